"""Intervals for the median: against SciPy, and by simulation, at one look and at many."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from genjax.claims import intervals

TRIALS = 4000
# (draw [trials, n], the true median): values as seeds give them.
LAWS = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "skewed": (lambda rng, shape: rng.lognormal(sigma=1.5, size=shape), 1.0),
    "heavy": (lambda rng, shape: rng.standard_t(1.5, size=shape), 0.0),
    "counts of 8": (lambda rng, shape: rng.binomial(8, 0.75, size=shape), 6.0),
    "differences of counts": (
        lambda rng, shape: rng.binomial(8, 0.9, size=shape) - rng.binomial(8, 0.9, size=shape),
        0.0,
    ),
    "nearly always 8": (lambda rng, shape: 8.0 - (rng.random(shape) < 0.1), 8.0),
    "shares": (lambda rng, shape: rng.binomial(50, 0.9, size=shape) / 50, 0.9),
    "two lumps": (
        lambda rng, shape: np.where(rng.random(shape) < 0.4, -1, 1) + 0.1 * rng.normal(size=shape),
        None,
    ),
}


def true_median(law):
    draw, known = LAWS[law]
    return np.median(draw(np.random.default_rng(9), 400_001)) if known is None else known


@pytest.mark.parametrize("n", [6, 8, 10, 20])
def test_at_one_look_the_count_is_the_sign_test(n):
    count = intervals.needed(n, 0.05, False)
    assert stats.binomtest(count, n).pvalue <= 0.05 < stats.binomtest(count - 1, n).pvalue
    values = np.arange(n) - 2.5
    expected = stats.binomtest(int((values > 0).sum()), n).pvalue
    assert intervals.p_value(values, 0.0) == pytest.approx(expected)


def test_evidence_is_the_mean_likelihood_ratio():
    """Over probabilities from 1/2 to 1, by a sum on a fine grid."""
    p = (np.arange(200_000) + 0.5) / 400_000 + 0.5
    for count, n in ((5, 5), (9, 12), (3, 10)):
        likelihood = p**count * (1 - p) ** (n - count) * 2**n
        assert intervals.evidence(count, n) == pytest.approx(likelihood.mean(), rel=1e-4)
    assert intervals.evidence(7, 7) == pytest.approx(2**8 * (1 - 0.5**8) / 8, rel=1e-9)


def test_evidence_grows_by_one_in_the_mean():
    """A martingale under 1/2: the next value's two outcomes average to what is there."""
    for n in range(12):
        for count in range(n + 1):
            later = [intervals.evidence(count + one, n + 1) for one in (0, 1)]
            assert np.mean(later) == pytest.approx(intervals.evidence(count, n))


def test_the_fewest_that_say_anything():
    assert (intervals.fewest(), intervals.fewest(sequential=True)) == (6, 8)
    assert intervals.of_median([1.0] * 5) == (1.0, -math.inf, math.inf)
    assert intervals.of_median([1.0] * 6) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [6, 10, 20])
def test_the_interval_misses_the_median_rarely_and_stays_in_range(law, n):
    draws = LAWS[law][0](np.random.default_rng(n), (TRIALS, n))
    truth, misses = true_median(law), 0
    for values in draws:
        median, low, high = intervals.of_median(values)
        assert values.min() <= low <= median <= high <= values.max()
        misses += not low <= truth <= high
    assert misses <= stats.binom.ppf(0.999, TRIALS, 0.05)


def published():
    """Values by seed of published runs, one a measure and arm: what occurs here."""
    folder = Path(__file__).parents[2] / "results"
    for path in sorted(folder.glob("*.json")):
        for name, found in json.loads(path.read_text())["metrics"].items():
            values = found.get("per_seed") or []
            if len(values) >= 10 and None not in values and len({*values}) > 1:
                yield f"{path.stem} {name}", np.array(values)


def test_on_values_as_seeds_gave_them_the_interval_misses_rarely():
    """Fresh seeds drawn from the published ones, with ties, skew and outliers as they are."""
    laws, trials = dict(published()), 200
    assert len(laws) > 300
    rng, misses, looked, n = np.random.default_rng(0), 0, 0, 16
    count = {n: intervals.needed(n, 0.05, True) for n in range(1, 41)}
    for values in laws.values():
        # Half of an even number of values lies on each side of the middle, but for ties.
        values = np.sort(values)[: len(values) // 2 * 2]
        truth = np.median(values)
        for draw in rng.choice(values, (trials // 20, n)):
            _, low, high = intervals.of_median(draw)
            misses += not low <= truth <= high
        draws = rng.choice(values, (trials, 40))
        above, below = ((draws > truth).cumsum(1), (draws < truth).cumsum(1))
        ever = np.zeros(trials, bool)
        for n_, needed in count.items():
            if needed:
                ever |= (above[:, n_ - 1] >= needed) | (below[:, n_ - 1] >= needed)
        looked += ever.sum()
    for wrong, tried in ((misses, len(laws) * trials // 20), (looked, len(laws) * trials)):
        assert wrong <= stats.binom.ppf(0.999, tried, 0.05)


@pytest.mark.parametrize("law", LAWS)
def test_looking_again_and_again_is_no_more_wrong(law):
    """After each of 40 values: a false verdict at any look. Ordinary t intervals: over 20%."""
    trials, most = 1000, 40
    draws = LAWS[law][0](np.random.default_rng(3), (trials, most))
    truth = true_median(law)
    above, below = ((draws > truth).cumsum(1), (draws < truth).cumsum(1))
    ever = np.zeros(trials, bool)
    for n in range(1, most + 1):
        count = intervals.needed(n, 0.05, True)
        if count:
            ever |= (above[:, n - 1] >= count) | (below[:, n - 1] >= count)
    assert ever.mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    # What is counted above is what the interval does.
    for values in draws[:20]:
        for n in (8, 13, 40):
            _, low, high = intervals.of_median(values[:n], sequential=True)
            count = intervals.needed(n, 0.05, True)
            wrong = max((values[:n] > truth).sum(), (values[:n] < truth).sum()) >= count
            assert wrong == (not low <= truth <= high)


def test_ordinary_intervals_are_wrong_where_one_looks_again():
    """The reason for the above: a t interval after each of 3 to 40 values."""
    draws = np.random.default_rng(5).normal(size=(600, 40))
    ever = np.zeros(600, bool)
    for n in range(3, 41):
        ever |= stats.ttest_1samp(draws[:, :n], 0, axis=1).pvalue < 0.05
    assert ever.mean() > 0.2


def test_what_is_not_a_number_may_lie_anywhere():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, math.nan]
    _, low, high = intervals.of_median(values)
    assert (low, high) == (-math.inf, math.inf)
    _, low, high = intervals.of_median([*values, 8.0])  # Eight of nine are needed.
    ends = [intervals.of_median([*values[:7], 8.0, end]) for end in (-1e9, 1e9)]
    assert low == min(end.low for end in ends) == 1.0
    assert high == max(end.high for end in ends) == 8.0


def test_equivalence_asks_both_sides():
    values = np.linspace(-0.4, 0.5, 12)
    assert intervals.p_equivalent(values, 0.0, 1.0) == pytest.approx(2 * 0.5**12)
    # On one side two of twelve lie beyond the margin.
    assert intervals.p_equivalent(values, 0.0, 0.35) == pytest.approx(
        2 * stats.binom.sf(9, 12, 0.5)
    )


@pytest.mark.parametrize("sequential", [False, True])
def test_the_visible_effect_is_seen_in_four_of_five(sequential):
    rng, n = np.random.default_rng(1), 12
    shift = intervals.visible(
        stats.norm.ppf((np.arange(1000) + 0.5) / 1000)[:n], sequential=sequential
    )
    spread = np.std(stats.norm.ppf((np.arange(1000) + 0.5) / 1000)[:n], ddof=1)
    draws = rng.normal(shift, spread, size=(4000, n))
    count = intervals.needed(n, 0.05, sequential)
    assert ((draws > 0).sum(1) >= count).mean() == pytest.approx(0.8, abs=0.02)


def test_how_many_would_settle():
    values = [1, 1, 1, 1, -1, 1, 1, 1, -1, 1]  # 8 of 10, p 0.11.
    n = intervals.would_settle(values, 0.0)
    count, share = intervals.needed(n, 0.05, False), 8.5 / 11
    assert stats.binom.sf(count - 1, n, share) >= 0.8
    fewer = [m for m in range(11, n) if intervals.needed(m, 0.05, False)]
    assert all(stats.binom.sf(intervals.needed(m, 0.05, False) - 1, m, share) < 0.8 for m in fewer)
    assert intervals.would_settle([1, -1] * 10, 0.0) is None


def test_how_many_would_settle_that_nothing_differs():
    """No side of 0 is preferred, and each end of the margin has one value in ten beyond it."""
    values, margin = [-2, 2, *[0.5, -0.5] * 4], 1.0
    n = intervals.would_settle(values, 0.0, margin)
    assert n > 10 and intervals.would_settle(values, 0.0) is None
    beyond = 1.5 / 11  # An end, as the estimate of shares draws it to one half.
    chances = [beyond, 1 - 2 * beyond, beyond]
    draws = np.random.default_rng(0).choice([-2, 0, 2], (2000, n), p=chances)
    inside = [(one.low, one.high) for one in map(intervals.of_median, draws)]
    equivalent = np.mean([-margin < low <= high < margin for low, high in inside])
    assert 0.8 <= equivalent < 0.9
    # Values further out than the margin are no reason to go on.
    assert intervals.would_settle([-2, 2] * 5, 0.0, margin) is None
