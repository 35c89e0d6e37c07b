"""Figures of tables: intervals against SciPy, bands, and Holm's correction by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from genjax import claims

LEFT = [1.0, 1.2, 0.9, 1.1]


def test_interval_is_scipys():
    mean, low, high = claims.interval(LEFT)
    expected = stats.ttest_1samp(LEFT, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((np.mean(LEFT), *expected))


def test_summary_is_json_without_nan():
    assert claims.summarize([1.0], "nats") == {
        "mean": 1.0,
        "low": None,
        "high": None,
        "per_seed": [1.0],
        "unit": "nats",
    }
    assert claims.summarize([1.0, math.inf], "")["mean"] is None


def test_an_interval_of_a_share_ends_where_shares_do():
    few = claims.summarize([0.1, 0.9], "share")
    assert (few["low"], few["high"]) == (0, 1)
    assert claims.summarize([0.1, 0.9], "bits")["low"] < 0
    assert claims.summarize([0.5], "share")["low"] is None


def test_a_floors_band_is_the_middle_of_its_draws():
    """Of 0 to 40 the middle 95% are 1 to 39; what is not finite is shown, and counts not."""
    draws = [*range(41), math.nan, math.inf]
    found = claims.band(draws, "modes")
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((20, 1, 39))
    assert found["per_seed"] == [*range(41), None, None] and found["unit"] == "modes"
    assert claims.band([math.nan], "")["mean"] is claims.band([math.nan], "")["low"] is None


def test_holm_is_the_step_down_procedure():
    """Holm 1979: the smallest times n, the next times n - 1, never less than one before it."""
    found = claims.holm({"b": 0.02, "a": 0.01, "d": 0.9, "c": 0.02, "none": math.nan})
    wanted = {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.9}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert math.isnan(found["none"])
    assert claims.holm({"a": 0.5, "b": 0.6}) == {"a": 1.0, "b": 1.0}
