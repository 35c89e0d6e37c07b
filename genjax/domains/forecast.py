"""What two budgets of tokens foretell of a third: excess over the exact optimum, by a power law.

The optimum `known` is computed and not fitted, so that two budgets give a slope: the excess falls
(or rises) by one factor for each fourfold of tokens. How the slope bends is not known; the interval
takes it to go on at half to one and a half of itself.
"""

import numpy as np

from genjax import claims
from genjax.domains.arms import alike
from genjax.domains.config import Arm

MEASURES = ("excess_seen", "excess_unseen")
FACTOR = 4
SLOPES = (1.0, 0.5, 1.5)


def ladders(arms: dict[str, Arm]) -> list[list[str]]:
    """Arms from scratch that differ in steps alone: a budget, four times it, and sixteen times."""
    scratch = {name: arm for name, arm in arms.items() if not arm.from_ and arm.model != "ngram"}
    found = []
    for group in alike(scratch, "steps"):
        by_steps = {arms[name].steps: name for name in group}
        for steps, name in by_steps.items():
            more = [by_steps.get(steps * FACTOR**i) for i in (1, 2)]
            if all(more):
                found.append([name, *more])
    return found


def extrapolated(first, second) -> tuple[float, float, float]:
    """(forecast, low, high) of the mean excess at the third budget, from two of each seed.

    The ends are those of 95% t intervals over seeds at the ends of SLOPES.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    ends = [claims.interval(second * (second / first) ** slope) for slope in SLOPES]
    lows, highs = [end[1] for end in ends], [end[2] for end in ends]
    return ends[0][0], float(np.min(lows)), float(np.max(highs))


def made(arms: dict[str, Arm], found: dict[str, dict]) -> dict[str, tuple[float, float, float]]:
    """{third arm/forecast_measure: (forecast, low, high)} of every ladder."""
    return {
        f"{group[2]}/forecast_{measure}": extrapolated(
            *(found[name][measure] for name in group[:2])
        )
        for group in ladders(arms)
        for measure in MEASURES
        if measure in found[group[0]]
    }
