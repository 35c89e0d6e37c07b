"""Intervals against SciPy, verdicts by cases."""

import math

import numpy as np
import pytest
from scipy import stats

from genjax import claims

LEFT, RIGHT = [1.0, 1.2, 0.9, 1.1], [2.0, 2.3, 1.7, 2.2]


def test_interval_is_scipys():
    mean, low, high = claims.interval(LEFT)
    expected = stats.ttest_1samp(LEFT, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((np.mean(LEFT), *expected))


def test_claim_is_the_paired_t_test():
    found = claims.claim("X", "left is less", LEFT, RIGHT, direction="less")
    expected = stats.ttest_rel(LEFT, RIGHT).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected))
    assert found["estimate"] == pytest.approx(np.mean(LEFT) - np.mean(RIGHT))


@pytest.mark.parametrize(
    ("left", "direction", "threshold", "verdict"),
    [
        (LEFT, "less", 0.0, "supported"),
        (LEFT, "greater", 0.0, "refuted"),
        (LEFT, "less", -1.0, "inconclusive"),
        (LEFT, "less", -5.0, "refuted"),
        (LEFT, "greater", -5.0, "supported"),
        ([1.0, math.nan, 1, 1], "less", 0.0, "inconclusive"),
    ],
)
def test_verdicts(left, direction, threshold, verdict):
    found = claims.claim("X", "", left, RIGHT, direction=direction, threshold=threshold)
    assert found["verdict"] == verdict


def test_one_seed_is_inconclusive():
    found = claims.claim("X", "", [0.0], [100.0], direction="less")
    assert found["verdict"] == "inconclusive" and found["low"] is None


def test_equal_differences_have_an_interval_of_no_width():
    found = claims.claim("X", "", [1.0, 2.0], [2.0, 3.0], direction="less")
    assert found["verdict"] == "supported" and found["low"] == found["high"] == -1


def test_both_takes_the_worst_verdict():
    parts = {verdict: {"verdict": verdict} for verdict in ("supported", "refuted", "inconclusive")}
    for names, expected in (
        (["supported", "supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["refuted", "inconclusive"], "refuted"),
    ):
        assert claims.both("X", "", [parts[n] for n in names])["verdict"] == expected


def test_summary_is_json_without_nan():
    assert claims.summarize([1.0], "nats") == {
        "mean": 1.0,
        "low": None,
        "high": None,
        "per_seed": [1.0],
        "unit": "nats",
    }
    assert claims.summarize([1.0, math.inf], "")["mean"] is None


def test_mistakes_of_the_caller_are_raised():
    with pytest.raises(ValueError, match="pairs 4 seeds with 1"):
        claims.claim("X", "", LEFT, [1.0], direction="less")
    with pytest.raises(ValueError, match="direction"):
        claims.claim("X", "", LEFT, RIGHT, direction="below")


def test_a_share_has_wilsons_interval():
    """Wilson 1927 for 20 of 20: 1 / (1 + z^2 / 20) and 1."""
    z = stats.norm.ppf(0.975)
    made = claims.share("G", "all", [True] * 20, direction="greater", threshold=0.8)
    assert made["estimate"] == 1 and made["verdict"] == "supported"
    assert made["low"] == pytest.approx(1 / (1 + z**2 / 20)) and made["high"] == 1
    few = claims.share("G", "all", [True] * 3, direction="greater", threshold=0.8)
    assert few["verdict"] == "inconclusive"
    none = claims.share("G", "all", [False] * 20, direction="greater", threshold=0.8)
    assert none["verdict"] == "refuted"
    one = claims.share("G", "all", [True], direction="greater", threshold=0.5)
    assert one["verdict"] == "inconclusive" and one["low"] is None
    summary = claims.summarize_share([1.0, 0.0, 1.0], "share of seeds")
    assert summary["low"] > 0 and summary["high"] < 1 and summary["per_seed"] == [1, 0, 1]


def test_between_takes_both_sides():
    def verdict(fit, least, most):
        return claims.between("X", "x", fit, least, most, "bootstrap")["verdict"]

    assert verdict((2.0, 1.95, 2.05), 1.9, 2.1) == "supported"
    assert verdict((2.0, 1.85, 2.05), 1.9, 2.1) == "inconclusive"
    assert verdict((2.4, 2.3, 2.5), 1.9, 2.1) == "refuted"
    assert verdict((1.0, 0.5, 1.05), -math.inf, 1.1) == "supported"
    assert verdict((1.0, math.inf, math.inf), -math.inf, 1.1) == "refuted"
    assert "parts" not in claims.between("X", "x", (1, 1, 1), -math.inf, 2, "exact")


def test_a_family_adjusts_its_verdicts():
    rng = np.random.default_rng(0)
    strong = claims.claim("A", "", 10 + rng.normal(size=5), np.zeros(5), direction="greater")
    values = np.array([0.3, 1.9, 1.0, 1.2, 0.1])
    weak = claims.claim("B", "", values, np.zeros(5), direction="greater")
    assert strong["verdict"] == weak["verdict"] == "supported"
    assert weak["p"] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    others = [
        claims.claim(name, "", rng.normal(size=5), np.zeros(5), direction="greater")
        for name in "CDEFGH"
    ]
    part = claims.share("S", "", [True] * 9, direction="greater", threshold=0.5)
    made = claims.family([strong, claims.both("P", "", [weak, part]), *others])
    assert made[0]["verdict"] == "supported" and made[0]["p_holm"] >= strong["p"]
    assert made[1]["verdict"] == "inconclusive"
    assert [p["verdict"] for p in made[1]["parts"]] == ["inconclusive", "supported"]


def test_p_values_of_one_seed_and_of_equal_differences():
    assert claims.claim("A", "", [1.0], [0.0], direction="less")["p"] is None
    assert claims.claim("A", "", [1.0, 1.0], [0.0, 0.0], direction="less")["p"] == 0
    assert claims.claim("A", "", [1.0, 1.0], [1.0, 1.0], direction="less")["p"] == 1


def test_a_floors_band_is_the_middle_of_its_draws():
    """Of 0 to 40 the middle 95% are 1 to 39; what is not finite is shown, and counts not."""
    draws = [*range(41), math.nan, math.inf]
    found = claims.band(draws, "modes")
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((20, 1, 39))
    assert found["per_seed"] == [*range(41), None, None] and found["unit"] == "modes"
    assert claims.band([math.nan], "")["mean"] is claims.band([math.nan], "")["low"] is None


def test_two_cases_have_wilsons_interval():
    """Wilson 1927, at a share of one half: 1/2 -+ z / 2 / sqrt(n + z^2)."""
    half = stats.norm.ppf(0.975) / 2 / np.sqrt(2 + stats.norm.ppf(0.975) ** 2)
    assert tuple(claims.wilson(1, 2)) == pytest.approx((0.5 - half, 0.5 + half))


def test_a_threshold_shifts_the_p_value():
    found = claims.claim("X", "", LEFT, RIGHT, direction="less", threshold=-0.7)
    assert found["p"] == pytest.approx(stats.ttest_1samp(np.subtract(LEFT, RIGHT), -0.7).pvalue)
    missing = claims.claim("X", "", [math.nan, 1.0, 2.0], [0.0] * 3, direction="less")
    assert missing["p"] is None and missing["estimate"] is None


def test_holm_is_the_step_down_procedure():
    """Holm 1979: the smallest times n, the next times n - 1, never less than one before it."""
    found = claims.holm({"b": 0.02, "a": 0.01, "d": 0.9, "c": 0.02, "none": math.nan})
    wanted = {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.9}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert math.isnan(found["none"])
    assert claims.holm({"a": 0.5, "b": 0.6}) == {"a": 1.0, "b": 1.0}


def test_a_comparison_that_stands_in_two_claims_counts_once():
    """Two claims on the same figures, and a third: Holm over two p values, not over three."""
    rng = np.random.default_rng(1)
    values, zero = 1 + rng.normal(size=6), np.zeros(6)
    same = [claims.claim(id, "one", values, zero, direction="greater") for id in ("A", "B")]
    other = claims.claim("C", "two", 5 + rng.normal(size=6), zero, direction="greater")
    assert other["p"] < same[0]["p"]
    made = claims.family([*same, other])
    assert [claim["p_holm"] for claim in made] == pytest.approx(
        [same[0]["p"], same[0]["p"], 2 * other["p"]]
    )
