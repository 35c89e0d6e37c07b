"""Measures of transfer against values worked out by hand, scipy and brute force."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from genjax import claims
from genjax.lm import transfer


def test_composition_score():
    assert transfer.composition_score(2.5, 2.0, 4.0) == 0.75
    assert math.isnan(transfer.composition_score(1.0, 2.0, 2.0))
    scores = transfer.composition_score(
        np.array([2.0, 4.0, 5.0]), np.array([2.0, 2.0, 2.0]), np.array([4.0, 4.0, 4.0])
    )
    np.testing.assert_allclose(scores, [1, 0, -0.5])


def test_forgetting():
    change, mean = transfer.forgetting(np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 2.75]))
    np.testing.assert_allclose(change, [0.5, 0, -0.25])
    assert mean == pytest.approx(0.25 / 3)


def test_continual_by_hand():
    losses = np.array([[8.0, 8.0, 8.0], [2.0, 7.0, 6.0], [3.0, 2.0, 5.0], [4.0, 2.5, 1.0]])
    found = transfer.continual(losses)
    assert found == {
        "final": pytest.approx(-7.5 / 3),
        "backward": pytest.approx(-(2.0 + 0.5) / 2),
        "forward": pytest.approx((1.0 + 3.0) / 2),
    }


def test_continual_as_the_papers_sums():
    losses = np.random.default_rng(0).random((6, 5))
    r, t = -losses, 5
    found = transfer.continual(losses)
    assert found["final"] == pytest.approx(sum(r[t, i] for i in range(t)) / t)
    backward = sum(r[t, i - 1] - r[i, i - 1] for i in range(1, t)) / (t - 1)
    forward = sum(r[i - 1, i - 1] - r[0, i - 1] for i in range(2, t + 1)) / (t - 1)
    assert found["backward"] == pytest.approx(backward)
    assert found["forward"] == pytest.approx(forward)


def test_continual_of_one_task_and_of_the_wrong_shape():
    found = transfer.continual(np.array([[8.0], [3.0]]))
    assert found["final"] == -3 and math.isnan(found["backward"]) and math.isnan(found["forward"])
    with pytest.raises(ValueError, match="3 tasks take 4 rows of losses, not 3"):
        transfer.continual(np.ones((3, 3)))


def test_few_shot_area():
    # log2(1 + k) = 0, 1, 3: (1 * 3 + 2 * 1) / 3
    area = transfer.few_shot_area(np.array([0, 1, 7]), np.array([4.0, 2.0, 0.0]))
    assert area == pytest.approx(5 / 3)
    assert transfer.few_shot_area(np.array([1, 5, 9]), np.full(3, 2.5)) == pytest.approx(2.5)
    for shots in ([3], [1, 1], [4, 2]):
        with pytest.raises(ValueError, match="increase"):
            transfer.few_shot_area(np.array(shots), np.ones(len(shots)))


def test_hypervolume_by_hand():
    reference = np.array([4.0, 4.0])
    points = np.array([[1.0, 3.0], [2.0, 1.0], [3.0, 2.0], [5.0, 0.0], [0.0, 4.0], [2.0, 1.0]])
    assert transfer.hypervolume(points, reference) == 3 + 4
    assert transfer.hypervolume(points[3:5], reference) == 0
    assert transfer.hypervolume(np.zeros((0, 2)), reference) == 0


@pytest.mark.parametrize("seed", range(5))
def test_hypervolume_counts_cells(seed):
    """Integer points: the area is the number of unit cells above and right of some point."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 12, (8, 2)).astype(float)
    cells = [
        any(x <= i and y <= j for x, y in points) for i, j in itertools.product(range(10), range(9))
    ]
    assert transfer.hypervolume(points, np.array([10.0, 9.0])) == sum(cells)


def test_calibration_error_by_hand():
    probability = np.array([0.9, 0.9, 0.6, 0.6])
    correct = np.array([True, False, True, True])
    assert transfer.calibration_error(probability, correct) == pytest.approx(0.4)
    # In one bin what is too sure and what is not sure enough cancel.
    assert transfer.calibration_error(probability, correct, bins=1) == pytest.approx(0)
    assert math.isnan(transfer.calibration_error(np.zeros(0), np.zeros(0, bool)))


@pytest.mark.parametrize("bins", (1, 4, 15))
def test_calibration_error_by_its_bins(bins):
    rng = np.random.default_rng(bins)
    # The edges themselves belong to the bin below, 0 to the first.
    probability = np.concatenate([rng.random(200), np.arange(bins + 1) / bins])
    correct = rng.random(len(probability)) < probability**2
    wanted = 0.0
    for m in range(bins):
        inside = (probability > m / bins) & (probability <= (m + 1) / bins)
        inside |= (probability == 0) & (m == 0)
        if inside.any():
            gap = abs(correct[inside].mean() - probability[inside].mean())
            wanted += inside.mean() * gap
    assert transfer.calibration_error(probability, correct, bins) == pytest.approx(wanted)


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 8, 30)
    b = a + rng.normal(0, 3, 30)
    rho, low, high = transfer.rank_correlation(a, b)
    assert rho == pytest.approx(stats.spearmanr(a, b).statistic)
    z, error = np.arctanh(rho), np.sqrt((1 + rho**2 / 2) / 27)
    np.testing.assert_allclose(
        [low, high], np.tanh([z - 1.959964 * error, z + 1.959964 * error]), rtol=1e-6
    )


def test_rank_correlation_at_its_ends():
    up = np.arange(5.0)
    assert transfer.rank_correlation(up, up**3) == (1, 1, 1)
    assert transfer.rank_correlation(up, -up) == (-1, -1, -1)
    assert np.isnan(transfer.rank_correlation(up[:3], up[:3])).all()
    assert np.isnan(transfer.rank_correlation(up, np.ones(5))).all()
    assert np.isnan(transfer.rank_correlation(up, np.array([1.0, 2, 3, 4, np.nan]))).all()


def test_bootstrap_is_weighted_and_as_wide_as_the_error():
    rng = np.random.default_rng(0)
    losses, weights = rng.normal(2, 0.3, 400), np.full(400, 7)
    mean, low, high = transfer.bootstrap(losses, weights)
    assert mean == pytest.approx(losses.mean())
    half = 1.96 * stats.sem(losses)
    np.testing.assert_allclose([low, high], [mean - half, mean + half], atol=0.2 * half)
    assert transfer.bootstrap(np.array([1.0, 4.0]), np.array([1.0, 2.0]))[0] == 3
    assert transfer.bootstrap(losses, weights) == (mean, low, high)
    assert transfer.bootstrap(losses, weights, seed=1) != (mean, low, high)


def test_bootstrap_against_every_draw():
    """Three documents can be drawn in 27 ways; 0.0 and 1.0 alone are in 1 of 27 each."""
    losses, weights = np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 5.0])
    draws = np.array(list(itertools.product(range(3), repeat=3)))
    means = np.sort((losses * weights)[draws].sum(1) / weights[draws].sum(1))
    _, low, high = transfer.bootstrap(losses, weights, draws=4000)
    assert low == means[0] and high == means[-1]


def test_bootstrap_of_too_little():
    mean, low, high = transfer.bootstrap(np.array([2.0]), np.array([3.0]))
    assert mean == 2 and math.isnan(low) and math.isnan(high)
    with pytest.raises(ValueError, match="above 0"):
        transfer.bootstrap(np.ones(2), np.array([1.0, 0.0]))


def test_holm_by_hand():
    found = claims.holm({"a": 0.03, "b": 0.01, "c": math.nan, "d": 0.04, "e": 0.6})
    assert list(found) == ["a", "b", "c", "d", "e"] and math.isnan(found.pop("c"))
    assert found == pytest.approx({"a": 0.09, "b": 0.04, "d": 0.09, "e": 0.6})
    assert claims.holm({}) == {}


@pytest.mark.parametrize("seed", range(3))
def test_holm_is_closed_testing(seed):
    """Holm rejects where Bonferroni rejects every intersection that a hypothesis is part of."""
    p = np.random.default_rng(seed).random(5) ** 3
    found = claims.holm({str(i): float(value) for i, value in enumerate(p)})
    sets = [s for n in range(1, 6) for s in itertools.combinations(range(5), n)]
    for i in range(5):
        wanted = max(min(1, len(s) * min(p[j] for j in s)) for s in sets if i in s)
        assert found[str(i)] == pytest.approx(wanted)
