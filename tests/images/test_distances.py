"""Measures of samples in the cases that trained models reach: copies, collapse, small sets."""

import numpy as np
import pytest

from genjax.images import distances

RNG = np.random.default_rng(2)


def test_frechet_distance_of_known_moments():
    a = RNG.normal(size=(400, 3))
    covariance = np.cov(a.T)
    # Covariances that commute: the sum of (s - 1)^2 times the first one's trace.
    assert distances.frechet_distance(a, 3 * a - 2 * a.mean(0)) == pytest.approx(
        4 * np.trace(covariance)
    )
    assert distances.frechet_distance(a, a + [1.0, 2.0, 2.0]) == pytest.approx(9)


def test_frechet_distance_from_a_single_point_is_a_variance():
    a = RNG.normal(size=(300, 5))
    collapsed = np.repeat(a.mean(0)[None], 200, 0)
    assert distances.frechet_distance(a, collapsed) == pytest.approx(a.var(0, ddof=1).sum())
    assert distances.frechet_distance(collapsed, collapsed) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [3, 64])
def test_copies_of_the_kth_neighbour_lie_on_the_surface(dtype, features):
    real = RNG.normal(size=(1100, features)).astype(dtype)
    # The same set in another order and, crossing a boundary of rows, other batches.
    found = distances.precision_recall_density_coverage(real, real[RNG.permutation(1100)], k=5)
    assert found == pytest.approx({"precision": 1, "recall": 1, "density": 6 / 5, "coverage": 1})


def test_more_neighbours_than_there_are_points():
    real = RNG.normal(size=(4, 2))
    found = distances.precision_recall_density_coverage(real, real, k=5)
    assert found == pytest.approx({"precision": 1, "recall": 1, "density": 4 / 5, "coverage": 1})


def test_kernel_distance_over_subsets_is_unbiased_and_repeatable():
    a, b = RNG.normal(size=(900, 4)), RNG.normal(size=(700, 4)) + 0.5
    all_pairs, deviation = distances.kernel_distance(a[:700], b)
    assert deviation == 0
    options = {"subsets": 300, "subset_size": 60}
    mean, deviation = distances.kernel_distance(a[:700], b, **options, seed=3)
    assert abs(mean - all_pairs) < 4 * deviation / np.sqrt(300)
    assert distances.kernel_distance(a[:700], b, **options, seed=3) == (mean, deviation)
    assert distances.kernel_distance(a[:700], b, **options, seed=4) != (mean, deviation)
    # Fewer features on one side: subsets of its size, drawn from the other.
    assert distances.kernel_distance(a, b, subsets=5)[1] > 0


def test_nearest_distance_by_brute_force():
    train, images = RNG.random((40, 6)), RNG.random((1400, 6))
    images[1000:] += 3
    every = np.linalg.norm(images[:, None] - train[None], axis=2).min(1)
    found = distances.nearest_distance(train, images)
    assert found == pytest.approx(np.median(every[:1000]))
    assert found != pytest.approx(np.median(every))


def test_exact_and_wholly_wrong_reconstructions_stay_finite():
    images = np.array([[0.0, 1.0], [1.0, 0.0]])
    exact = distances.reconstruction_errors(images, images)
    assert exact == pytest.approx({"mse": 0, "psnr": 120, "bce": 2e-6}, rel=1e-5)
    wrong = distances.reconstruction_errors(images, 1 - images)
    assert wrong == pytest.approx({"mse": 1, "psnr": 0, "bce": -2 * np.log(1e-6)}, abs=1e-9)
