"""A compiled training step as a row: the same batches again and again, the state moving on."""

from collections.abc import Callable

import jax
import numpy as np

from genjax.benchmark import counts
from genjax.benchmark.harness import Row
from genjax.core.parallel import Compiled


def row(
    compiled: Compiled,
    init: Callable,
    seeds: list[int],
    index: np.ndarray,
    *,
    work: float,
    unit: str,
    repeat: int = 1,
) -> Row:
    """Runs all steps of `index` [steps, seeds, ...], `repeat` times in turn; (state, metrics).

    init: key -> the state of one seed. work: units of one time.
    """
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    held = [compiled.place(jax.jit(jax.vmap(init))(keys))]
    assert compiled.text is not None  # Told by `compile_step`.
    devices = compiled.plan.devices - compiled.plan.idle
    text = compiled.text(held[0], index, len(index))
    done = counts.of_steps(text, len(index), devices, work)

    def run():
        metrics = {}
        for _ in range(repeat):
            held[0], metrics = compiled.run(held[0], index, len(index))
        return jax.block_until_ready((held[0], metrics))

    return Row(run, repeat * work, unit, done)
