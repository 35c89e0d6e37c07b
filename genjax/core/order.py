"""The order in which training reads its examples: a pure function of seed and step."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int32


def batches(seeds: list[int], size: int, batch_size: int) -> Callable:
    """(first, count) -> index [count, seeds, batch] of that many steps, a seed's own order each."""

    def index(first, count):
        return np.stack(
            [batch_index(seed, size, batch_size, first, count) for seed in seeds], axis=1
        )

    return index


def batch_index(
    seed: int, size: int, batch_size: int, start: int, steps: int
) -> Int32[np.ndarray, "{steps} {batch_size}"]:
    """The examples of training steps `start` ... `start + steps - 1`.

    Each epoch reads a permutation of `range(size)`, drawn from (seed, epoch), in
    ceil(size / batch_size) batches. The last one is filled up with -1, which weighs 0. A pure
    function of its arguments: a resumed run asks for the steps that are left.
    """
    batches = -(-size // batch_size)
    index = np.full((steps, batch_size), -1, np.int32)
    for row, step in enumerate(range(start, start + steps)):
        epoch, batch = divmod(step, batches)
        part = _epoch_order(seed, epoch, size)[batch * batch_size : (batch + 1) * batch_size]
        index[row, : len(part)] = part
    return index


@functools.lru_cache(maxsize=32)
def _epoch_order(seed: int, epoch: int, size: int) -> Int32[np.ndarray, " {size}"]:
    order = np.random.default_rng([seed, epoch]).permutation(np.arange(size, dtype=np.int32))
    order.flags.writeable = False
    return order
