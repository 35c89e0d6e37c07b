"""Intervals for the median over replicates that hold for any distribution, at one look or at any.

Replicates (seeds, processes, generated tasks) are independent values of one figure, mostly paired
differences of two arms. What is asked is their median: what the next replicate would as likely
exceed as not. Its interval runs from one of the values to another, counted from the ends, so that
no form of the distribution is assumed and no end leaves the possible range; ties only widen it.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import scipy

ALPHA = 0.05
# An effect is "visible" where it is found this often.
POWER = 0.8
# More replicates than this are not spoken of.
MOST = 200


def evidence(count: int, n: int) -> float:
    """An e-value against "a replicate lies above with probability 1/2 at most", of `count` of `n`.

    The likelihood of `count` under probabilities spread evenly over 1/2 to 1, over that under 1/2:
    a nonnegative supermartingale from 1, so that it ever reaches 1 / alpha with probability alpha
    at most (Ville 1939; Howard and Ramdas 2022 for quantiles).
    """
    log_mass = scipy.special.betaln(count + 1, n - count + 1)
    log_mass += scipy.stats.beta.logsf(0.5, count + 1, n - count + 1)
    return float(math.exp((n + 1) * math.log(2) + log_mass))


@functools.cache
def p_above(count: int, n: int, sequential: bool) -> float:
    """p of "a replicate lies above with probability 1/2 at most", seeing `count` of `n` above.

    sequential: valid though one looked before and may look again.
    """
    if sequential:
        return min(1.0, 1 / evidence(count, n))
    return float(scipy.stats.binom.sf(count - 1, n, 0.5))


@functools.cache
def needed(n: int, alpha: float, sequential: bool) -> int | None:
    """The fewest of `n` above that show the median above, at alpha / 2; None where n do not."""
    if not n or p_above(n, n, sequential) > alpha / 2:
        return None
    return next(k for k in range(n // 2, n + 1) if p_above(k, n, sequential) <= alpha / 2)


def fewest(*, alpha: float = ALPHA, sequential: bool = False) -> int:
    """The fewest replicates with which any verdict can fall: six at one look, eight at any."""
    return next(n for n in range(1, 10_000) if needed(n, alpha, sequential))


class Interval(NamedTuple):
    """The median and its interval; ends are infinite where so few replicates bound nothing."""

    median: float
    low: float
    high: float


def of_median(values, *, alpha: float = ALPHA, sequential: bool = False) -> Interval:
    """The median over replicates, and an interval that misses it with probability alpha at most.

    values: [n], n >= 1. The ends are order statistics (Conover 1999, section 3.2). sequential: over
    all looks together, however often one adds replicates. A value that is not a number may lie
    anywhere, and widens the interval as such.
    """
    found = np.asarray(values, np.float64)
    n, median = len(found), float(np.median(found))
    count = needed(n, alpha, sequential)
    if count is None:
        return Interval(median, -math.inf, math.inf)
    low = np.sort(np.where(np.isnan(found), -np.inf, found))[n - count]
    high = np.sort(np.where(np.isnan(found), np.inf, found))[count - 1]
    return Interval(median, float(low), float(high))


def p_value(values, threshold: float, *, sequential: bool = False) -> float:
    """The least alpha at which the interval excludes the threshold (a two-sided sign test)."""
    values = np.asarray(values, np.float64)
    n = len(values)
    sides = [(values > threshold).sum(), (values < threshold).sum()]
    return min(1.0, 2 * min(p_above(int(side), n, sequential) for side in sides))


def p_equivalent(values, threshold: float, margin: float, *, sequential: bool = False) -> float:
    """The least alpha at which the interval lies within the margin around the threshold."""
    values = np.asarray(values, np.float64)
    n = len(values)
    sides = [(values > threshold - margin).sum(), (values < threshold + margin).sum()]
    return min(1.0, 2 * max(p_above(int(side), n, sequential) for side in sides))


def visible(values, *, alpha: float = ALPHA, sequential: bool = False) -> float:
    """The smallest shift of the median that so many replicates would show with 80% power.

    For normal values of the spread seen here. inf where so few replicates show nothing.
    """
    values = np.asarray(values, np.float64)
    n = len(values)
    count = needed(n, alpha, sequential)
    if count is None or n < 2:
        return math.inf
    # P(at least `count` of n above) = 80%; the beta distribution inverts the binomial.
    share = scipy.stats.beta.ppf(POWER, count, n - count + 1)
    return float(scipy.stats.norm.ppf(share) * np.std(values, ddof=1))


def would_settle(
    values, threshold: float, margin: float = 0.0, *, alpha: float = ALPHA, sequential: bool = False
) -> int | None:
    """Replicates that would decide with 80% power, if values lie as here: on the sides of the
    threshold, or of both ends of the margin around it, which makes them equivalent.

    None where it would take more than MOST.
    """
    values = np.asarray(values, np.float64)
    numbers, counts = _all_needed(alpha, sequential)
    later = numbers > len(values)

    def power(side: np.ndarray) -> np.ndarray:
        share = (side.sum() + 0.5) / (len(values) + 1)
        return scipy.stats.binom.sf(counts[later] - 1, numbers[later], share)

    ways = [power(values > threshold), power(values < threshold)]
    if margin:
        # What both ends have at least, however they hang together.
        ways.append(power(values > threshold - margin) + power(values < threshold + margin) - 1)
    decides = np.max(ways, axis=0) >= POWER
    return int(numbers[later][decides.argmax()]) if decides.any() else None


@functools.cache
def _all_needed(alpha: float, sequential: bool) -> tuple[np.ndarray, np.ndarray]:
    """(n, needed(n)) of all n up to MOST with which a verdict can fall."""
    numbers = range(fewest(alpha=alpha, sequential=sequential), MOST + 1)
    return np.array(numbers), np.array([needed(n, alpha, sequential) for n in numbers])
