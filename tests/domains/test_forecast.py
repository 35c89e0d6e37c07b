"""What two budgets foretell of a third: against a power law, and what counts as a ladder."""

import numpy as np
import pytest

from genjax.domains import forecast
from genjax.domains.config import Config


def test_a_power_law_is_foretold_exactly():
    """excess = a T^-b with a of each seed: at 1, 4 and 16 times the tokens."""
    scale, power = np.array([0.9, 1.0, 1.1]), 0.4
    first, second, third = (scale * tokens**-power for tokens in (1.0, 4.0, 16.0))
    mean, low, high = forecast.extrapolated(first, second)
    assert mean == pytest.approx(third.mean())
    # Half the slope leaves more of the excess, one and a half less.
    half, more = (second * (second / first) ** slope for slope in (0.5, 1.5))
    assert low < more.mean() < mean < half.mean() < high
    # Seeds that agree leave the slopes alone.
    _, low, high = forecast.extrapolated([1.0] * 3, [0.5] * 3)
    assert (low, high) == pytest.approx((0.5**2.5, 0.5**1.5))
    # What rises goes on rising.
    mean, low, high = forecast.extrapolated([1.0] * 3, [1.2] * 3)
    assert mean == pytest.approx(1.44) and 1.2 < low < mean < high


def test_a_ladder_is_of_arms_that_differ_in_steps_alone():
    rungs = {f"a{n}": {"steps": n} for n in (2, 8, 32, 5)}
    other = {f"b{n}": {"steps": n, "model": "lstm"} for n in (2, 8)}
    tuned = {f"c{n}": {"steps": n, "from": "a2"} for n in (2, 8, 32)}
    arms = Config(variants=rungs | other | tuned).arms()
    assert forecast.ladders(arms) == [["a2", "a8", "a32"]]
    found = {name: {"excess_seen": [1.0, 1.0]} for name in arms}
    found["a8"]["excess_seen"] = [0.5, 0.5]
    made = forecast.made(arms, found)
    assert made.keys() == {"a32/forecast_excess_seen"}
    assert made["a32/forecast_excess_seen"][0] == 0.25
