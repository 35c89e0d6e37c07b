"""Claims: what is asserted, what was measured over seeds, and the verdict.

Each room has its claims and their thresholds in its own claims.py, in the form of `sealed`, with
controls and `intervals` of the median; `replication` is how often a verdict came again. Here are
the figures of tables, which are means.
"""

import math
from collections.abc import Sequence

import numpy as np
import scipy

CONFIDENCE = 0.95

# One value a seed.
Seeds = Sequence[float] | np.ndarray


def interval(per_seed: Seeds) -> tuple[float, float, float]:
    """Mean and 95% Student t interval over seeds; the ends are nan with fewer than two seeds."""
    values = np.asarray(per_seed, np.float64)
    mean = float(values.mean())
    if len(values) < 2 or not np.isfinite(values).all():
        return mean, math.nan, math.nan
    half = scipy.stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * scipy.stats.sem(values)
    return mean, float(mean - half), float(mean + half)


def summarize(per_seed: Seeds, unit: str) -> dict:
    """A figure as summary.json holds it; what is not finite, or None, becomes None.

    unit: of a share, the interval is cut to between 0 and 1.
    """
    values = np.asarray(per_seed, np.float64)
    mean, low, high = interval(values)
    if unit.startswith("share"):
        low, high = np.clip((low, high), 0.0, 1.0)
    return {
        "mean": finite(mean),
        "low": finite(low),
        "high": finite(high),
        "per_seed": [finite(value) for value in values],
        "unit": unit,
    }


def band(draws: Seeds, unit: str) -> dict:
    """A floor as summary.json holds a figure: the mean, and the range of 95% of the draws."""
    values = np.asarray(draws, np.float64)
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (np.nan, np.nan)
    mean = finite.mean() if len(finite) else np.nan
    ends = [float(v) if np.isfinite(v) else None for v in (mean, low, high)]
    return dict(zip(("mean", "low", "high"), ends, strict=True)) | {
        "per_seed": [float(v) if np.isfinite(v) else None for v in values],
        "unit": unit,
    }


def finite(value: float) -> float | None:
    """A number as JSON can hold it: None for nan and infinities."""
    return float(value) if math.isfinite(value) else None


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Step-down adjusted p-values (Holm 1979) under the same names; nan stays and counts not."""
    tested = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    adjusted, least = dict(p_values), 0.0
    for i, (p, name) in enumerate(tested):
        # Never below that of a smaller p-value: rejection stops at the first that fails.
        least = max(least, min(1.0, (len(tested) - i) * p))
        adjusted[name] = least
    return adjusted
