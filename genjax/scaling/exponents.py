"""Slopes and crossings of times by length. No jax."""

import numpy as np
from jaxtyping import Float


def local_exponents(
    lengths: Float[np.ndarray, " n"], values: Float[np.ndarray, "*k n"]
) -> Float[np.ndarray, "*k m"]:
    """Slopes in log-log between neighbouring lengths, m = n - 1."""
    return np.diff(np.log(values)) / np.diff(np.log(lengths))


def slope(
    lengths: Float[np.ndarray, " n"], values: Float[np.ndarray, "*k n"]
) -> Float[np.ndarray, "*k"]:
    """The exponent from the first length to the last: log of the ratio over log of the ratio."""
    return np.asarray(np.log(values[..., -1] / values[..., 0]) / np.log(lengths[-1] / lengths[0]))


def crossing(
    lengths: Float[np.ndarray, " n"],
    slow: Float[np.ndarray, " n"],
    fast: Float[np.ndarray, " n"],
) -> float:
    """The length from which on `fast` is below `slow`.

    Between lengths the logarithms are taken as straight. The first length where it is below
    throughout; inf where it is not below at the largest.
    """
    gap = np.log(fast) - np.log(slow)
    if gap[-1] > 0:
        return float("inf")
    above = np.flatnonzero(gap > 0)
    if not len(above):
        return float(lengths[0])
    i = above[-1]
    share = gap[i] / (gap[i] - gap[i + 1])
    return float(np.exp(np.log(lengths[i]) + share * np.log(lengths[i + 1] / lengths[i])))
