"""Exponents, polynomials and crossovers fitted to times by length. No jax.

Times come as [rounds, lengths], one figure a round: the bootstrap resamples rounds, so that what
moves the whole machine moves its interval too.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize

DRAWS = 1000


class Fit(NamedTuple):
    """An estimate with its 95% bootstrap interval over rounds, and the range leave-one-out spans.

    low, high: the hull of both, the interval that claims are judged by.
    """

    estimate: float
    low: float
    high: float
    bootstrap: tuple[float, float]
    left_out: tuple[float, float]


def local_exponents(
    lengths: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Slopes in log-log between neighbouring lengths."""
    return np.diff(np.log(values)) / np.diff(np.log(lengths))


def slope(
    lengths: Float[np.ndarray, " n"], values: Float[np.ndarray, "*k n"]
) -> Float[np.ndarray, "*k"]:
    """Least-squares slope in log-log: the exponent of values = c n^slope, [*k]."""
    x = np.log(lengths) - np.log(lengths).mean()
    return np.asarray(np.log(values) @ x / (x @ x))


def exponent(
    lengths: Float[np.ndarray, " n"],
    rounds: Float[np.ndarray, "r n"],
    *,
    top: int = 4,
    over: Callable = np.median,
) -> Fit:
    """The exponent over the `top` largest lengths, of the least or the median over rounds.

    A fit over all lengths mixes in the constant and the linear part: FlashAttention's own table of
    a quadratic method gives 1.46 that way. Leave-one-out drops each length in turn (with three or
    more). Raises ValueError with fewer than two lengths.
    """
    lengths, rounds = lengths[-top:], rounds[:, -top:]
    if len(lengths) < 2:
        raise ValueError(f"an exponent takes two lengths, not {len(lengths)}")
    estimate = float(slope(lengths, over(rounds, 0)))
    draws = _resampled(rounds, over)
    bootstrap = tuple(np.quantile(slope(lengths, draws), (0.025, 0.975)).tolist())
    left_out = (estimate, estimate)
    if len(lengths) > 2:
        others = [
            float(slope(np.delete(lengths, i), over(np.delete(rounds, i, 1), 0)))
            for i in range(len(lengths))
        ]
        left_out = min(others), max(others)
    low, high = min(bootstrap[0], left_out[0]), max(bootstrap[1], left_out[1])
    return Fit(estimate, low, high, bootstrap, left_out)


def _resampled(rounds, over):
    """Medians or minima [draws, lengths] over rounds drawn with replacement, always the same."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(rounds), (DRAWS, len(rounds)))
    return over(rounds[chosen], 1)


def polynomial(
    lengths: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " 3"], float]:
    """c0, c1, c2 >= 0 of values = c0 + c1 n + c2 n^2, and n* = c1 / c2 (inf without c2).

    Errors count relative to the value, so that small lengths count as much as large ones. From n*
    on the quadratic part is the larger one.
    """
    terms = np.stack([np.ones_like(lengths), lengths, lengths**2], 1)
    scale = np.array([1.0, lengths.max(), lengths.max() ** 2])
    found, _ = optimize.nnls(terms / scale / values[:, None], np.ones_like(values))
    c = found / scale
    return c, float(c[1] / c[2]) if c[2] > 0 else float("inf")


def balance(
    lengths: Float[np.ndarray, " n"], rounds: Float[np.ndarray, "r n"]
) -> tuple[float, float, float]:
    """n* of `polynomial`, of the medians over rounds, and its 95% bootstrap interval over them."""
    estimate = polynomial(lengths, np.median(rounds, 0))[1]
    draws = _resampled(rounds, np.median)
    found = np.array([polynomial(lengths, draw)[1] for draw in draws])
    # Ranks, not interpolation: between a number and infinity there is nothing.
    low, high = np.quantile(found, (0.025, 0.975), method="nearest")
    return estimate, float(low), float(high)


def crossover(
    lengths: Float[np.ndarray, " n"],
    slow: Float[np.ndarray, "r n"],
    fast: Float[np.ndarray, "r n"],
) -> tuple[float, float, float]:
    """The length from which on `fast` is below `slow`, and its 95% bootstrap interval over rounds.

    Between lengths the logarithms are taken as straight. The first length where it is below
    throughout; inf where it is not below at the largest. Rounds are drawn in pairs where both have
    as many: what slowed a whole round down slowed both.
    """
    estimate = _cross(lengths, np.median(slow, 0), np.median(fast, 0))
    draws = zip(*(_resampled(rows, np.median) for rows in (slow, fast)), strict=True)
    found = np.array([_cross(lengths, a, b) for a, b in draws])
    # Ranks, not interpolation: between a number and infinity there is nothing.
    low, high = np.quantile(found, (0.025, 0.975), method="nearest")
    return estimate, float(low), float(high)


def _cross(lengths, slow, fast):
    gap = np.log(fast) - np.log(slow)
    if gap[-1] > 0:
        return float("inf")
    above = np.flatnonzero(gap > 0)
    if not len(above):
        return float(lengths[0])
    i = above[-1]
    share = gap[i] / (gap[i] - gap[i + 1])
    return float(np.exp(np.log(lengths[i]) + share * np.log(lengths[i + 1] / lengths[i])))


def disagreement(rounds: Float[np.ndarray, "r n"]) -> float:
    """Median over lengths of the quartile range over rounds, relative to the median."""
    low, middle, high = np.quantile(rounds, (0.25, 0.5, 0.75), axis=0)
    return float(np.median((high - low) / middle))
