"""Which pairs of positions a pattern attends to, without a matrix of all of them."""

import numpy as np

from genjax.attention.blocks import Pattern


def holds(pattern: Pattern, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Whether each query [n] attends to the key beside it [n]: the entries of `dense_mask`."""
    found = np.zeros(len(queries), bool)
    for part in pattern.parts:
        own, others = _block(part.queries, pattern.length), _block(part.keys, pattern.length)
        mine, theirs = own[queries], others[keys]
        slots = np.arange(part.tiles.shape[1])
        same = (part.tiles[mine] == theirs[:, None]) & (slots < part.counts[mine][:, None])
        inside = same.any(1) & (mine >= 0) & (theirs >= 0)
        if part.allowed is not None:
            free = same.argmax(1) < part.whole[mine]
            inside &= free | np.asarray(part.allowed(queries, keys))
        found |= inside
    return found


def _block(order: np.ndarray, length: int) -> np.ndarray:
    """The block of each position, [length]; -1 where it is in none."""
    found = np.full(length + 1, -1)
    # Padding, -1, is the last entry, which is cut off.
    found[order.ravel()] = np.repeat(np.arange(len(order)), order.shape[1])
    return found[:length]
