"""Claims: what is asserted, what was measured over seeds, and the verdict.

Each room has its claims and their thresholds in its own claims.py. `sealed` is the form that they
are to take, with controls and intervals of the median; here is what the others still use.
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
    """A figure as summary.json holds it; what is not finite, or None, becomes None."""
    values = np.asarray(per_seed, np.float64)
    mean, low, high = interval(values)
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


def summarize_share(hits: Seeds, unit: str) -> dict:
    """The same for what a seed has (1) or has not (0): the share, and its 95% Wilson interval."""
    low, high = wilson(int(np.sum(hits)), len(hits))
    return summarize(hits, unit) | {"low": finite(low), "high": finite(high)}


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95% Wilson interval of a share; nan, nan with fewer than two cases."""
    if count < 2:
        return math.nan, math.nan
    return scipy.stats.binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")


def claim(
    id: str,
    statement: str,
    left: Seeds,
    right: Seeds,
    *,
    direction: str,
    threshold: float = 0.0,
) -> dict:
    """Judges `left - right`, paired over seeds, against a threshold fixed before the run.

    direction: `less` or `greater`, the side of the threshold that the statement claims. Supported
    where the whole interval lies there, refuted where it lies wholly on the other side, otherwise
    inconclusive, as is a single seed.
    """
    if direction not in ("less", "greater"):
        raise ValueError(f"direction must be 'less' or 'greater', not {direction!r}")
    if len(left) != len(right):
        raise ValueError(f"claim {id} pairs {len(left)} seeds with {len(right)}")
    estimate, low, high = interval(np.asarray(left, np.float64) - np.asarray(right, np.float64))
    return {
        "id": id,
        "statement": statement,
        "estimate": finite(estimate),
        "low": finite(low),
        "high": finite(high),
        "threshold": threshold,
        "direction": direction,
        "seeds": len(left),
        "interval": "95% t, paired over seeds",
        "p": _p_value(np.subtract(left, right) - threshold),
        "verdict": _verdict(low, high, threshold, direction),
    }


def _p_value(differences) -> float | None:
    """Two-sided p of a t test that the mean is zero; None with fewer than two seeds."""
    if len(differences) < 2 or not np.isfinite(differences).all():
        return None
    mean, error = differences.mean(), scipy.stats.sem(differences)
    if error == 0:
        return float(mean == 0)
    return float(2 * scipy.stats.t.sf(abs(mean) / error, len(differences) - 1))


def family(claims: list[dict]) -> list[dict]:
    """The claims with p values adjusted over all of them by Holm (1979).

    A verdict whose adjusted p is above 5% becomes inconclusive. Parts without a p value (shares,
    fits) stay as they are.
    """
    parts = [part for made in claims for part in made.get("parts", [made])]
    # One comparison may stand in two claims, such as at equal parameters and at equal FLOPs.
    key = {part["id"]: f"{part['statement']} {part.get('p')}" for part in parts}
    adjusted = holm({key[part["id"]]: part["p"] for part in parts if part.get("p") is not None})
    for part in parts:
        if key[part["id"]] in adjusted:
            part["p_holm"] = adjusted[key[part["id"]]]
            if part["p_holm"] > 1 - CONFIDENCE:
                part["verdict"] = "inconclusive"
    return [
        both(made["id"], made["statement"], made["parts"]) if "parts" in made else made
        for made in claims
    ]


def share(id: str, statement: str, hits: Seeds, *, direction: str, threshold: float) -> dict:
    """Judges the share of seeds for which something holds, by its 95% Wilson interval."""
    low, high = wilson(int(np.sum(hits)), len(hits))
    return {
        "id": id,
        "statement": statement,
        "estimate": float(np.mean(hits)),
        "low": finite(low),
        "high": finite(high),
        "threshold": threshold,
        "direction": direction,
        "seeds": len(hits),
        "interval": "95% Wilson over seeds",
        "verdict": _verdict(low, high, threshold, direction),
    }


def between(
    id: str, statement: str, fit: tuple[float, float, float], least: float, most: float, how: str
) -> dict:
    """Judges an estimate with its interval (estimate, low, high) against least < it < most.

    A bound may be infinite. how: where the interval comes from.
    """
    estimate, low, high = fit
    sides = (("greater", least), ("less", most))
    parts = [
        {
            "id": f"{id}{letter}",
            "statement": statement,
            "estimate": finite(estimate),
            "low": finite(low),
            "high": finite(high),
            "threshold": bound,
            "direction": direction,
            "interval": how,
            "verdict": _verdict(low, high, bound, direction),
        }
        for letter, (direction, bound) in zip("ab", sides, strict=True)
        if math.isfinite(bound)
    ]
    return parts[0] | {"id": id} if len(parts) == 1 else both(id, statement, parts)


def _verdict(low, high, threshold, direction):
    if high < threshold or low > threshold:
        on_the_left = high < threshold
        return "supported" if on_the_left == (direction == "less") else "refuted"
    return "inconclusive"


def both(id: str, statement: str, parts: list[dict]) -> dict:
    """A claim that holds where all its parts do, and fails where one does; keeps the parts."""
    verdicts = {part["verdict"] for part in parts}
    verdict = "refuted" if "refuted" in verdicts else "inconclusive"
    if verdicts == {"supported"}:
        verdict = "supported"
    return {"id": id, "statement": statement, "parts": parts, "verdict": verdict}


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
