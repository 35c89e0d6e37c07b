"""What training on some domains does for others: transfer, forgetting and their intervals. No jax.

Losses are in one unit throughout (bits per byte, say): smaller is better.
"""

import math

import numpy as np
import scipy
from jaxtyping import Bool, Float, Real

CONFIDENCE = 0.95


def composition_score(
    loss: float | Float[np.ndarray, "*k"],
    family: float | Float[np.ndarray, "*k"],
    floor: float | Float[np.ndarray, "*k"],
) -> float | Float[np.ndarray, "*k"]:
    """(floor - loss) / (floor - family): 1 as good as `family`, 0 no better than `floor`.

    nan where the two ends are the same; below 0 and above 1 where the loss lies beyond them.
    """
    span = np.asarray(floor - family)
    score = (floor - loss) / np.where(span == 0, np.nan, span)
    return score if np.ndim(score) else float(score)


def forgetting(
    before: Float[np.ndarray, " domains"], after: Float[np.ndarray, " domains"]
) -> tuple[Float[np.ndarray, " domains"], float]:
    """Loss after training on something else less the loss before: by domain, and the mean."""
    change = after - before
    return change, float(change.mean())


def continual(losses: Float[np.ndarray, "stages tasks"]) -> dict[str, float]:
    """GEM's ACC, BWT and FWT (Lopez-Paz & Ranzato 2017, eq. 2-4) as final, backward and forward.

    losses: row 0 of the initial model, row i after the i-th of T tasks; T + 1 rows. The paper's
    accuracies are minus the losses, so that greater is better in all three. Divided as in the
    paper, by T, T - 1 and T - 1; the authors' code (metrics/metrics.py) divides all by T. With one
    task backward and forward are nan. Raises ValueError where the rows are not T + 1.
    """
    stages, tasks = losses.shape
    if stages != tasks + 1:
        raise ValueError(f"{tasks} tasks take {tasks + 1} rows of losses, not {stages}")
    gain = -losses
    own = np.diagonal(gain[1:])
    # The diagonal of the upper rows is each task's loss just before its turn.
    early = np.diagonal(gain[:-1]) - gain[0]
    several = tasks > 1
    return {
        "final": float(gain[-1].mean()),
        "backward": float((gain[-1] - own)[:-1].mean()) if several else math.nan,
        "forward": float(early[1:].mean()) if several else math.nan,
    }


def few_shot_area(shots: Real[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> float:
    """Mean height of values over log2(1 + shots): the trapezoids' area divided by the range.

    Raises ValueError with fewer than two shots, or where they do not increase.
    """
    x = np.log2(1.0 + shots)
    if len(x) < 2 or not (np.diff(x) > 0).all():
        raise ValueError(f"shots must be two or more that increase, not {shots.tolist()}")
    return float(np.trapezoid(values, x) / (x[-1] - x[0]))


def hypervolume(points: Float[np.ndarray, "n 2"], reference: Float[np.ndarray, " 2"]) -> float:
    """Area that the points dominate below the reference, both coordinates to be small.

    Zitzler & Thiele 1998's measure in two dimensions, by one exact sweep. A point that is not
    better than the reference in both coordinates counts nothing.
    """
    inside = points[(points < reference).all(1)]
    area, height = 0.0, float(reference[1])
    # From the left, each point adds the strip between itself and the lowest so far.
    for x, y in inside[np.lexsort(inside.T[::-1])]:
        if y < height:
            area += float((reference[0] - x) * (height - y))
            height = float(y)
    return area


def calibration_error(
    probability: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"] | Real[np.ndarray, " n"],
    bins: int = 15,
) -> float:
    """Expected calibration error in [0, 1], equal-width bins (Guo et al. 2017, eq. 3).

    probability: of what was predicted; bin m holds ((m - 1) / bins, m / bins], 0 goes to the first.
    correct: whether it was right. nan without cases.
    """
    if not len(probability):
        return math.nan
    edges = np.arange(1, bins) / bins
    # A bin's share times |accuracy - confidence| is |sum of their differences| / n.
    gaps = np.bincount(np.searchsorted(edges, probability), correct - probability)
    return float(np.abs(gaps).sum() / len(probability))


def rank_correlation(
    a: Real[np.ndarray, " n"], b: Real[np.ndarray, " n"]
) -> tuple[float, float, float]:
    """Spearman's rho with ties at their mean rank, and its 95% interval (rho, low, high).

    Fisher's z with standard error sqrt((1 + rho^2 / 2) / (n - 3)) (Bonett & Wright 2000). All nan
    with fewer than four points, or where one side is constant or not finite; at rho = 1 or -1 the
    interval has no width, whatever n.
    """
    nothing = math.nan, math.nan, math.nan
    if len(a) < 4 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return nothing
    x, y = (ranks - ranks.mean() for ranks in map(scipy.stats.rankdata, (a, b)))
    scale = math.sqrt((x @ x) * (y @ y))
    if scale == 0:
        return nothing
    rho = min(1.0, max(-1.0, float(x @ y) / scale))
    if abs(rho) == 1:
        return rho, rho, rho
    half = scipy.stats.norm.ppf(0.5 + CONFIDENCE / 2) * math.sqrt((1 + rho**2 / 2) / (len(a) - 3))
    return rho, math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def bootstrap(
    per_document: Float[np.ndarray, " docs"],
    weights: Real[np.ndarray, " docs"],
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Weighted mean of losses, and its 95% percentile interval over documents drawn anew.

    weights: of documents, such as their bytes, where losses are per byte. The ends are nan with
    fewer than two documents. Raises ValueError where a weight is not above 0.
    """
    if not (weights > 0).all():
        raise ValueError("weights of documents must be above 0")
    mean = float(np.average(per_document, weights=weights))
    docs = len(per_document)
    if docs < 2:
        return mean, math.nan, math.nan
    chosen = np.random.default_rng(seed).integers(0, docs, (draws, docs))
    means = (per_document * weights)[chosen].sum(1) / weights[chosen].sum(1)
    low, high = np.quantile(means, (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2))
    return mean, float(low), float(high)
