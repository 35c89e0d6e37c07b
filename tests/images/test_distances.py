"""Measures of samples in the cases that trained models reach: copies, collapse, small sets."""

import threading

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from genjax.core.beside import at_once
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


def test_subsets_whose_pairs_are_computed_once_and_one_after_the_other():
    """Pairs within b and across are fewer than those of all subsets, pairs within a are not."""
    a, b = RNG.normal(size=(300, 5)), RNG.normal(size=(190, 5)) + 0.2
    rng, expected = np.random.default_rng(3), []
    for _ in range(40):
        own, other = (rng.choice(len(x), 60, replace=False) for x in (a, b))
        expected.append(distances.kernel_distance(a[own], b[other])[0])
    found = distances.kernel_distance(a, b, subsets=40, subset_size=60, seed=3)
    np.testing.assert_allclose(found, (np.mean(expected), np.std(expected)), rtol=1e-9)


def test_nearest_distance_by_brute_force():
    train, images = RNG.random((40, 6)), RNG.random((1400, 6))
    images[1000:] += 3
    every = np.linalg.norm(images[:, None] - train[None], axis=2).min(1)
    found = distances.nearest_distance(train, images)
    assert found == pytest.approx(np.median(every[:1000]))
    assert found != pytest.approx(np.median(every))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e25])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairs_are_within_a_limit_where_their_distances_are(scale, dtype, monkeypatch):
    """Limits that are distances of some pair, of neighbours, and of nobody; also where squares
    leave float32, and where points are no numbers."""
    monkeypatch.setattr(distances, "TOGETHER", 3000)
    left, right = ((scale * RNG.normal(size=(n, 20))).astype(dtype) for n in (130, 90))
    left[:30] = right[:30]
    right[40] = np.nan if scale == 1 else right[41]
    every = cdist(left, right)
    edge = np.take_along_axis(every, RNG.integers(90, size=(130, 1)), 1)
    for limit in (edge, np.nextafter(edge, 0), every[:1], np.zeros((130, 1)), 0 * edge + 6 * scale):
        found = np.concatenate([within(limit[rows] if len(limit) > 1 else limit)
                                for rows, within in distances._pairs(left, right)])  # fmt: skip
        np.testing.assert_array_equal(found, every <= limit)
    assert (every <= edge).sum() > (every < edge).sum() + 100


def test_the_nearest_of_many_points_is_found_exactly(monkeypatch):
    """Of points that lie along few directions, of copies, and of noise that lies nowhere near."""
    compared = []
    real = distances.Search._compared
    monkeypatch.setattr(
        distances.Search, "_compared", lambda s, x, i: compared.append(len(i)) or real(s, x, i)
    )
    flat = RNG.normal(size=(6000, 12)) @ RNG.normal(size=(12, 300))
    points = (flat + 0.05 * RNG.normal(size=flat.shape)).astype(np.float32)
    search = distances.Search(points[:5900])
    images = {"new": points[5900:], "copies": points[:50], "noise": RNG.normal(size=(40, 300))}
    for name, found in images.items():
        del compared[:]
        best = cdist(found, points[:5900]).min(1)
        np.testing.assert_allclose(search.nearest(found), best, rtol=1e-6, atol=1e-6, err_msg=name)
        assert name == "noise" or sum(compared) < 20 * len(found)
    assert (search.nearest(points[:50]) == 0).all()
    # In all directions alike the map tells little.
    every, some = (RNG.normal(size=(n, 300)).astype(np.float32) for n in (3000, 30))
    found = distances.Search(every).nearest(some)
    np.testing.assert_allclose(found, cdist(some, every).min(1), rtol=1e-6)
    few = distances.Search(points[:3, :2])
    np.testing.assert_allclose(
        few.nearest(points[:9, :2]), cdist(points[:9, :2], points[:3, :2]).min(1), rtol=1e-6
    )


def test_what_hangs_on_one_side_alone_is_computed_once(monkeypatch):
    """Radii by k from one search, as from a search of that k; sums over pairs of each subset."""
    points, fake = RNG.normal(size=(300, 6)), RNG.normal(size=(200, 6))
    cloud = distances.Cloud(points)
    radii = {k: distances.Cloud(points, k).radii(k) for k in (1, 3, 5)}
    found = {k: cloud.radii(k) for k in radii}
    np.testing.assert_equal(found, radii)
    np.testing.assert_allclose(radii[3], np.sort(cdist(points, points), 1)[:, 3])
    options = {"subsets": 20, "subset_size": 50}
    alone = [distances.kernel_distance(points, fake, **options, seed=seed) for seed in (1, 2)]
    twice = [distances.kernel_distance(cloud, fake, **options, seed=s) for s in (1, 2, 1, 2)]
    assert twice == alone * 2


def test_threads_that_share_a_cloud_find_what_each_finds_alone():
    points, fakes = RNG.normal(size=(200, 30)), RNG.normal(size=(8, 180, 30))
    options = {"subsets": 40, "subset_size": 150, "seed": 3}
    alone = [distances.kernel_distance(points, fake, **options) for fake in fakes]
    shared, begin = distances.Cloud(points), threading.Barrier(len(fakes), timeout=20)

    def measured(fake):
        begin.wait()
        return distances.kernel_distance(shared, fake, **options)

    assert at_once(measured, list(fakes)) == alone


def test_exact_and_wholly_wrong_reconstructions_stay_finite():
    images = np.array([[0.0, 1.0], [1.0, 0.0]])
    exact = distances.reconstruction_errors(images, images)
    assert exact == pytest.approx({"mse": 0, "psnr": 120, "bce": 2e-6}, rel=1e-5)
    wrong = distances.reconstruction_errors(images, 1 - images)
    assert wrong == pytest.approx({"mse": 1, "psnr": 0, "bce": -2 * np.log(1e-6)}, abs=1e-9)
