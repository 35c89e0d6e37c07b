"""Training steps compiled in a thread, while floors are counted and arms before them train."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from genjax.core import platforms, processes
from genjax.domains import training
from genjax.domains.job import Job


@contextlib.contextmanager
def steps(job: Job, names: list[str], products: str) -> Iterator[None]:
    """Inside, the steps of arms are compiled in their order; an arm that comes first waits.

    products: the precision that they train with. What fails here fails again, and is told, where
    the arm trains. Not of several processes, which ask each other while they compile, nor on a GPU,
    whose compiler times kernels on the device.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    if processes.count() == 1 and jax.default_backend() != "gpu":
        for name in _first_of_each(job, names):
            pool.submit(_compile, job, name, products)
    try:
        yield
    finally:
        pool.shutdown(cancel_futures=True)


def _first_of_each(job: Job, names: list[str]) -> list[str]:
    """The first arm of each program."""
    made = {training.program_key(job, name): name for name in reversed(names)}
    return [name for name in names if name in made.values()]


def _compile(job: Job, name: str, products: str) -> None:
    arm, config, seeds = job.arms[name], job.config, job.config.all_seeds
    made = training.programs(job, name)
    network = jax.vmap(lambda seed: job.network(name).init(jax.random.key(seed)))
    base = jax.eval_shape(network, np.asarray(seeds))
    others = [base if there else None for there in (arm.from_, arm.ewc, arm.dro)]
    rates = np.full(len(seeds), arm.learning_rate, np.float32)
    state = jax.eval_shape(made.start, np.asarray(seeds), *others, rates)
    row = jax.ShapeDtypeStruct((len(seeds), config.batch_size, job.source.length + 3), np.int32)
    with platforms.products(products):
        made.step.ahead(state, row)
