"""Rows of a small byte-level decoder: training, tokens a second."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import optax

from genjax import attention
from genjax.benchmark import peers, repeated, roofs
from genjax.benchmark.config import Config
from genjax.benchmark.harness import Part, Rates, Row, against, ratio
from genjax.benchmark.sizes import Decoder
from genjax.core import arrangement, machine, parallel, steps
from genjax.lm import transformer
from genjax.lm.objectives import token_loss
from genjax.lm.spread import parts_in_cache

LENGTHS = (256, 512, 1024)


def part(config: Config, size: Decoder) -> Part:
    """The decoder at every length of `config`."""
    lengths = config.lengths or LENGTHS

    def settle():
        machine.tune_cpu()
        machine.split_cpu(1, size.batch)

    return Part(
        settle,
        partial(rows, size, lengths),
        partial(ratios, lengths),
        partial(peers.lm_rows, size, lengths),
    )


def rows(size: Decoder, lengths: tuple[int, ...]) -> dict[str, Row]:
    """With attention in tiles, and as the textbook has it."""
    made = {f"{name} {n}": decoder(size, name, n) for n in lengths for name in ("flash", "full")}
    return roofs.beside(made, size.roofs)


def ratios(lengths: tuple[int, ...], rates: Rates) -> dict[str, np.ndarray]:
    """Against textbook attention, and the peers."""
    found = {f"flash / full, {n}": ratio(rates, f"flash {n}", f"full {n}") for n in lengths}
    theirs = {f"flash {n}": [f"{peer} {n}" for peer in peers.LOOPS] for n in lengths}
    return found | against(rates, theirs)


def decoder(size: Decoder, variant: str, length: int) -> Row:
    """Tokens a second through the real training step."""
    made = attention.build(variant, length, size.width // size.heads, causal=True)
    model = transformer.build(
        made, vocabulary=size.vocabulary, length=length, width=size.width,
        depth=size.depth, heads=size.heads,
    )  # fmt: skip
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.01))

    def take(arrays, windows):
        del arrays
        ones = jnp.ones(len(windows))
        return {"tokens": windows[:, :-1], "target": windows[:, 1:], "weight": ones}

    def in_turn(rows):
        return parts_in_cache(rows, length * size.width * size.depth)

    compiled = parallel.compile_step(
        steps.training_step(token_loss(model.apply), optimizer, microbatches=in_turn),
        {},
        [0],
        size.batch,
        needs=arrangement.Needs(rows=length, steps_per_call=size.steps),
        take=take,
    )
    shape = (size.steps, 1, size.batch, length + 1)
    return repeated.row(
        compiled,
        lambda key: steps.init_state(model.init(key), optimizer),
        [0],
        np.random.default_rng(0).integers(0, size.vocabulary - 1, shape, np.int32),
        work=size.steps * size.batch * length,
        unit="tokens/s",
    )
