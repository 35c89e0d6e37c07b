"""Measures of mode coverage, against brute force and in the cases that collapse brings."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from genjax.core.errors import UsageError
from genjax.gan import mixtures, modes

RNG = np.random.default_rng(3)
RING = mixtures.mixture("ring8")
GRID = mixtures.mixture("grid25")


def test_mixtures_of_the_papers():
    np.testing.assert_allclose(np.linalg.norm(RING.means, axis=1), 1)
    assert (RING.sigma, GRID.sigma) == (0.01, 0.05)
    # No two modes coincide, as they do in code that closes the circle.
    assert pdist(RING.means).min() == pytest.approx(2 * math.sin(math.pi / 8))
    expected = {(-4 + 2 * i, -4 + 2 * j) for i in range(5) for j in range(5)}
    assert {tuple(m) for m in GRID.means} == expected
    assert len(mixtures.mixture("grid100").means) == 100


def test_imbalance_and_means_of_ones_own():
    mixture = mixtures.mixture("modes", modes="0,0;3,4;-1,2", sigma=0.1, imbalance=4.0)
    np.testing.assert_allclose(mixture.weights, np.array([4, 2, 1]) / 7)
    points = mixtures.draw(mixture, 200_000, RNG)
    nearest = np.linalg.norm(points[:, None] - mixture.means, axis=2).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest) / 2e5, mixture.weights, atol=5e-3)
    assert math.sqrt(points.var(0).mean()) == pytest.approx(mixture.spread, rel=0.01)


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("grid24", {}, ["grid24", "grid16"]),
        ("ring1", {}, ["ring1"]),
        ("ring8", {"modes": "0,0;1,1"}, ["--modes", "ring8"]),
        ("modes", {"sigma": 1.0}, ["--modes is missing"]),
        ("modes", {"modes": "0,0;1", "sigma": 1.0}, ["--modes=0,0;1"]),
        ("modes", {"modes": "0,0;1,x", "sigma": 1.0}, ["--modes=0,0;1,x"]),
        ("modes", {"modes": "0,0;1,1"}, ["--sigma is missing"]),
        ("modes", {"modes": "0,0;1,1;0,0", "sigma": 1.0}, ["--modes=0,0;1,1;0,0", "same mean"]),
        ("ring8", {"imbalance": float("inf")}, ["--imbalance=inf"]),
        ("ring8", {"imbalance": float("nan")}, ["--imbalance=nan"]),
        ("ring8", {"sigma": float("nan")}, ["--sigma=nan"]),
    ],
)
def test_mixtures_that_are_none(spec, options, said):
    with pytest.raises(UsageError) as error:
        mixtures.mixture(spec, **options)
    assert all(part in str(error.value) for part in said)


def test_a_mode_is_held_with_a_quarter_of_its_weight():
    """Of eight modes 0 to 4 have their share, 5 a quarter and a little, 6 less, 7 one sample."""
    counts = np.array([125, 125, 125, 125, 125, 32, 31, 1])
    samples = np.repeat(RING.means, counts, 0)
    away = np.zeros((1000 - counts.sum(), 2))
    found = modes.mixture_measures(np.concatenate([samples, away]), RING)
    assert (found["modes"], found["held"]) == (8, 6)
    # The samples at no mode count: without them 6 has its quarter.
    assert modes.mixture_measures(samples, RING)["held"] == 7
    labels = np.repeat(np.arange(8), counts)
    assert modes.label_measures(labels, RING.weights)["held"] == 7


def test_packs_hold_points_drawn_with_replacement():
    points = mixtures.draw(RING, 300, RNG)
    assert mixtures.packs(points, 1, RNG).shape == (300, 1, 2)
    packs = mixtures.packs(points, 3, np.random.default_rng(0))
    assert packs.shape == (300, 3, 2)
    rows = {tuple(p) for p in points}
    assert all(tuple(p) in rows for p in packs.reshape(-1, 2))
    assert len(np.unique(packs.reshape(-1, 2), axis=0)) < 300


@pytest.mark.parametrize("mixture", [RING, GRID], ids=["ring8", "grid25"])
def test_perfect_samples_score_the_published_floor(mixture):
    draws = [
        modes.mixture_measures(mixtures.draw(mixture, 2500, np.random.default_rng(i)), mixture)
        for i in range(40)
    ]
    mean = {name: np.mean([d[name] for d in draws]) for name in draws[0]}
    count = len(mixture.means)
    assert mean["modes"] == count and mean["full"] == 1
    # A circle of 3 sigma in two dimensions, not a box.
    assert mean["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=1e-3)
    assert mean["reverse_kl"] == pytest.approx((count - 1) / 5000, rel=0.2)
    assert mean["spread"] == pytest.approx(1, abs=0.01)
    assert 0.7 < mean["eigenvalue_ratio"] <= 1
    if mixture is GRID:
        assert mean["mode_tv"] == pytest.approx(0.045, abs=0.003)


def test_measures_by_hand():
    means = RING.means
    points = np.concatenate([
        np.repeat(means[:1], 6, 0) + np.array([[0.02, 0], [-0.02, 0], [0, 0.01], [0, -0.01],
                                               [0.0, 0.0], [0.031, 0]]),
        means[3:4] + [[0.0, 0.029]],
        np.zeros((1, 2)),
    ])  # fmt: skip
    found = modes.mixture_measures(points, RING)
    assert found["modes"] == 2 and found["full"] == 0
    assert found["high_quality"] == pytest.approx(6 / 8)
    share = np.array([5, 0, 0, 1, 0, 0, 0, 0]) / 8
    assert found["mode_tv"] == pytest.approx(0.5 * (np.abs(share - 1 / 8).sum() + 2 / 8))
    expected = 5 / 6 * math.log(5 / 6 * 8) + 1 / 6 * math.log(1 / 6 * 8)
    assert found["reverse_kl_hq"] == pytest.approx(expected)
    # All eight samples, each at its nearest mode.
    assert found["reverse_kl"] == pytest.approx(7 / 8 * math.log(7))
    squares = 2 * 0.02**2 + 2 * 0.01**2
    assert found["spread"] == pytest.approx(math.sqrt(squares / 8) / (modes.TRUNCATED * 0.01))
    assert found["eigenvalue_ratio"] == pytest.approx(0.25)


def test_truncation_by_simulation():
    z = RNG.normal(size=(400_000, 2))
    kept = z[np.linalg.norm(z, axis=1) < modes.RADIUS]
    assert kept.std() == pytest.approx(modes.TRUNCATED, abs=1e-3)


def test_a_generator_that_collapsed():
    one = np.repeat(RING.means[2:3], 100, 0)
    found = modes.mixture_measures(one, RING)
    assert found["modes"] == 1 and found["high_quality"] == 1 and found["spread"] < 1e-9
    assert found["reverse_kl"] == pytest.approx(math.log(8))
    assert found["mode_tv"] == pytest.approx(7 / 8)
    nowhere = modes.mixture_measures(np.zeros((50, 2)), RING)
    assert nowhere["modes"] == 0 and nowhere["mode_tv"] == 1
    assert math.isnan(nowhere["reverse_kl_hq"]) and math.isnan(nowhere["spread"])


def test_measures_of_named_modes():
    weights = np.array([0.5, 0.25, 0.25, 0.0])
    found = modes.label_measures(np.array([0, 0, 1, 1]), weights)
    assert found["modes"] == 2 and found["full"] == 0
    assert found["kl"] == pytest.approx(math.log(2))
    assert found["mode_tv"] == pytest.approx(0.25)
    # About (k - 1) / 2n for uniform draws, here with k = 1000.
    labels = RNG.integers(1000, size=26_000)
    kl = modes.label_measures(labels, np.full(1000, 1e-3))["kl"]
    assert kl == pytest.approx(999 / 52_000, rel=0.15)


def test_vendi_score_of_known_sets():
    assert modes.vendi_score(np.eye(7)) == pytest.approx(7)
    assert modes.vendi_score(np.repeat(np.eye(7)[:1], 9, 0)) == pytest.approx(1)
    shares = np.repeat(np.eye(3), [4, 2, 2], 0)
    expected = math.exp(stats.entropy([4, 2, 2]))
    for wide in (shares, np.pad(shares, [(0, 0), (0, 20)])):
        assert modes.vendi_score(wide) == pytest.approx(expected)
    far = np.arange(5)[:, None] * 100.0
    assert modes.gaussian_vendi_score(far, 1.0) == pytest.approx(5)
    points = RNG.normal(size=(30, 2))
    kernel = np.exp(-((points[:, None] - points) ** 2).sum(2) / (2 * 0.49))
    eigenvalues = np.linalg.eigvalsh(kernel / 30)
    expected = math.exp(-sum(v * math.log(v) for v in eigenvalues if v > 1e-12))
    assert modes.gaussian_vendi_score(points, 0.7) == pytest.approx(expected)


def test_birthday_paradox_finds_the_support():
    for support in (20, 400):
        copies = RNG.normal(size=(support, 2))[RNG.integers(support, size=5000)]
        found = modes.birthday_support(copies, 1e-9)
        # P(no pair) = 1/2 at s = 1.18 sqrt(support), and sizes grow by a fifth.
        assert support < found < 3.2 * support
    assert modes.birthday_support(RNG.random((40, 2)), 1e-12) == math.inf


def test_bins_reject_a_twentieth_of_equal_laws_and_nearly_all_of_another():
    real = RNG.normal(size=(20_000, 2))
    bins = modes.Bins(real, 50)
    equal = [bins.measure(RNG.normal(size=(2500, 2))) for _ in range(20)]
    assert np.mean([m["ndb"] for m in equal]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([m["js"] for m in equal]) < 0.005
    collapsed = bins.measure(np.zeros((2500, 2)))
    assert collapsed["ndb"] > 0.9
    p = bins.real / bins.real.sum()
    q = np.eye(50)[bins.means.predict(np.zeros((1, 2)))[0]]
    middle = (p + q) / 2
    expected = 0.5 * (stats.entropy(p, middle) + stats.entropy(q, middle))
    assert collapsed["js"] == pytest.approx(expected)


def test_a_bin_that_is_empty_counts_for_nothing():
    """Three of five have no real sample, two of these no other either: no warning, no NaN."""
    bins = modes.Bins(RNG.normal(size=(1000, 2)), 5)
    bins.real = np.array([600, 400, 0, 0, 0])
    labels = np.repeat([0, 1, 3], [100, 50, 50])
    bins.means.predict = lambda samples: labels
    p, q = np.array([0.6, 0.4, 0]), np.array([0.5, 0.25, 0.25])
    middle = (p + q) / 2
    expected = 0.5 * (stats.entropy(p, middle) + stats.entropy(q, middle))
    assert bins.measure(np.zeros((200, 2)))["js"] == pytest.approx(expected, rel=1e-12)


def test_recall_of_thinned_truth_sees_lost_modes_alone():
    """Thin modes, or modes drawn out to lines, are no loss; modes that are gone are."""
    real, fake = (mixtures.draw(RING, 2500, np.random.default_rng(seed)) for seed in (0, 1))
    mode = np.linalg.norm(fake[:, None] - RING.means, axis=2).argmin(1)
    centre = RING.means[mode]

    def recalls(samples):
        found = modes.thinned_recall(real, samples.astype(np.float32), RING)
        return (
            found["recall_thinned"],
            found["recall_lost"],
            modes.Neighbours(real).measure(samples),
        )

    for shape in (np.eye(2), 0.6 * np.eye(2), np.diag([0.8, 0.01])):
        thinned, lost, plain = recalls(centre + (fake - centre) @ shape)
        assert thinned > 0.96 and lost == 0
        assert plain["recall"] > 0.96 or shape[0, 0] < 1
    assert recalls(centre + 0.6 * (fake - centre))[2]["recall"] < 0.9
    # Two of eight gone, or held by three samples.
    for few in (0, 3):
        some = np.concatenate([fake[mode < 6], fake[mode == 6][:few]])
        thinned, lost, _ = recalls(some)
        share = (np.linalg.norm(real[:, None] - RING.means, axis=2).argmin(1) < 6).mean()
        assert thinned == pytest.approx(0.975 * share, abs=0.01)
        assert lost == pytest.approx(0.975 * (1 - share), abs=0.01)
    # All mass of each mode in two points: a covariance, and no coverage.
    two = centre + 0.01 * np.sign(fake - centre) * [1, 0]
    assert recalls(two)[0] < 0.1
    nowhere = modes.thinned_recall(real, np.zeros((50, 2)), RING)
    assert nowhere == {"recall_thinned": 0, "recall_lost": 1}


@pytest.mark.parametrize("dimensions", [2, 5])
def test_neighbours_are_three_for_precision_and_recall_and_five_for_the_rest(dimensions):
    """By trees in the plane, by all distances of features."""
    real = RNG.normal(size=(400, dimensions)).astype(np.float32)
    fake = RNG.normal(0.5, 1.5, size=(300, dimensions)).astype(np.float32)
    fake[:20] = fake[20]  # Collapsed ones, whose radii are 0.
    found = modes.Neighbours(real).measure(fake)

    def distance(a, b):
        return np.linalg.norm(a[:, None].astype(float) - b, axis=-1)

    def radius(points, k):
        return np.sort(distance(points, points), 1)[:, k]

    apart = distance(real, fake)
    inside = apart <= radius(real, 5)[:, None]
    assert found == pytest.approx(
        {
            "precision": (apart <= radius(real, 3)[:, None]).any(0).mean(),
            "recall": (apart <= radius(fake, 3)).any(1).mean(),
            "density": inside.sum() / (5 * 300),
            "coverage": inside.any(1).mean(),
        }
    )
