"""Measures against closed forms, SciPy and brute force."""

import numpy as np
import pytest
from scipy import linalg, stats
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from genjax.images import distances as samples
from genjax.vae import latents

RNG = np.random.default_rng(0)


def test_active_units_and_variances():
    scales = np.array([1.0, 0.05, 0.3, 0.0])
    means = RNG.normal(size=(5000, 4)) * scales
    assert latents.active_units(means) == 2
    np.testing.assert_allclose(latents.unit_variances(means), np.sort(scales**2)[::-1], rtol=0.1)


def test_collapsed_fraction_by_hand():
    kl = np.zeros((100, 3))
    kl[:, 0] = 1.0
    kl[:1, 1] = 1.0
    kl[:2, 2] = 1.0
    np.testing.assert_allclose(
        latents.collapsed_fraction(kl, np.array([0.5, 2.0]), 0.01), [1 / 3, 1]
    )


def test_aggregated_posterior_of_a_linear_gaussian():
    # x ~ N(0, s^2), q(z|x) = N(x, t^2): q(z) = N(0, s^2 + t^2), I = log(1 + s^2 / t^2) / 2.
    s, t, n = 1.5, 0.8, 4_000
    means = RNG.normal(size=(n, 1)) * s
    draws = means + t * RNG.normal(size=(n, 1))
    found = latents.aggregated_posterior(means, np.full((n, 1), np.log(t)), draws)
    total = s**2 + t**2
    assert abs(found["mutual_information"] - 0.5 * np.log(1 + s**2 / t**2)) < 0.06
    assert abs(found["kl_to_prior"] - 0.5 * (total - 1 - np.log(total))) < 0.06


def test_mutual_information_is_capped_at_log_n_and_sums_to_the_rate():
    means, log_stds = RNG.normal(size=(50, 3)) * 10, np.full((50, 3), -3.0)
    draws = means + np.exp(log_stds) * RNG.normal(size=(50, 3))
    found = latents.aggregated_posterior(means, log_stds, draws)
    np.testing.assert_allclose(found["mutual_information"], np.log(50), rtol=1e-6)
    log_ratio = stats.norm.logpdf(draws, means, np.exp(log_stds)) - stats.norm.logpdf(draws)
    np.testing.assert_allclose(sum(found.values()), log_ratio.sum(1).mean(), rtol=1e-9)


def test_mmd_by_brute_force_and_near_zero_for_equal_laws():
    x, y = RNG.normal(size=(7, 2)), RNG.normal(size=(9, 2)) + 1

    def kernel(a, b):
        scales = 4 * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10])
        return (scales / (scales + ((a - b) ** 2).sum())).sum()

    xx = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    xy = np.mean([kernel(a, b) for a in x for b in y])
    np.testing.assert_allclose(latents.mmd_imq(x, y), xx + yy - 2 * xy, rtol=1e-9)
    equal = [latents.mmd_imq(*RNG.normal(size=(2, 200, 2))) for _ in range(40)]
    assert abs(np.mean(equal)) < 4 * np.std(equal) / np.sqrt(40)


def test_frechet_distances_are_the_matrix_formula():
    a, b = RNG.normal(size=(300, 4)), RNG.normal(size=(400, 4)) @ RNG.normal(size=(4, 4)) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = np.real(linalg.sqrtm(cov_a @ cov_b))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    np.testing.assert_allclose(samples.frechet_distance(a, b), expected, rtol=1e-6)
    assert abs(samples.frechet_distance(a, a)) < 1e-8
    to_normal = (b.mean(0) ** 2).sum() + np.trace(
        cov_b + np.eye(4) - 2 * np.real(linalg.sqrtm(cov_b))
    )
    np.testing.assert_allclose(latents.frechet_to_normal(b), to_normal, rtol=1e-6)


def test_frechet_distance_without_full_rank():
    a = RNG.normal(size=(5, 20))
    assert np.isfinite(samples.frechet_distance(a, a + 1))
    np.testing.assert_allclose(samples.frechet_distance(a, a + 1), 20, rtol=1e-5)


def test_kernel_distance_by_brute_force():
    a, b = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3))

    def mean(u, v, same):
        values = [(x @ y / 3 + 1) ** 3 for i, x in enumerate(u) for j, y in enumerate(v)
                  if not (same and i == j)]  # fmt: skip
        return np.mean(values)

    expected = mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)
    np.testing.assert_allclose(samples.kernel_distance(a, b), (expected, 0), rtol=1e-9)
    value, deviation = samples.kernel_distance(
        RNG.normal(size=(500, 3)), RNG.normal(size=(500, 3)), subsets=50, subset_size=100
    )
    assert abs(value) < deviation and deviation > 0


def brute_prdc(real, fake, k):
    def radius(points):
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        return np.sort(distances, 1)[:, k]

    between = np.linalg.norm(real[:, None] - fake[None], axis=2)
    in_real, in_fake = between <= radius(real)[:, None], between <= radius(fake)[None]
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_fake.any(1).mean(),
        "density": in_real.sum(0).mean() / k,
        "coverage": in_real.any(1).mean(),
    }


def test_precision_recall_density_coverage_by_brute_force():
    real, fake = RNG.normal(size=(60, 3)), RNG.normal(size=(50, 3)) * 0.7 + 0.5
    found = samples.precision_recall_density_coverage(real, fake, k=3)
    assert found == pytest.approx(brute_prdc(real, fake, 3))


def test_a_collapsed_sampler_keeps_precision_and_loses_recall():
    real = RNG.normal(size=(200, 3))
    found = samples.precision_recall_density_coverage(real, np.repeat(real[:1], 200, 0))
    assert found["precision"] == 1 and found["recall"] < 0.02 and found["coverage"] < 0.2


def test_balls_of_radius_zero_hold_their_own_point():
    point = np.zeros((20, 3))
    found = samples.precision_recall_density_coverage(point, point)
    assert found["precision"] == found["recall"] == found["coverage"] == 1


def test_class_balance():
    confident = np.eye(4)[[0, 0, 0, 1]]
    found = samples.class_balance(confident)
    assert found["total_variation"] == pytest.approx(0.5) and abs(found["entropy"]) < 1e-9
    vague = samples.class_balance(np.full((8, 4), 0.25))
    assert vague["entropy"] == pytest.approx(np.log(4))


def test_reconstruction_errors():
    images = RNG.uniform(size=(3, 4, 4, 1))
    rebuilt = np.clip(images + 0.1, 0, 1)
    found = samples.reconstruction_errors(images, rebuilt)
    each = ((images - rebuilt) ** 2).mean((1, 2, 3))
    assert found["mse"] == pytest.approx(each.mean())
    assert found["psnr"] == pytest.approx((-10 * np.log10(each)).mean())
    bce = stats.entropy([0.3, 0.7]) + stats.entropy([0.3, 0.7], [0.6, 0.4])
    same = samples.reconstruction_errors(np.full((2, 1, 1, 1), 0.3), np.full((2, 1, 1, 1), 0.6))
    assert same["bce"] == pytest.approx(bce)


def test_probe_is_scikit_learns_on_standardised_codes():
    images, labels = load_digits(return_X_y=True)
    data = images[:800], labels[:800], images[800:], labels[800:]
    scaler = StandardScaler().fit(data[0])
    probe = LogisticRegression(max_iter=200).fit(scaler.transform(data[0]), data[1])
    expected = probe.score(scaler.transform(data[2]), data[3])
    assert latents.probe_accuracy(*data, labels=None, seed=0) == pytest.approx(expected)
    few = latents.probe_accuracy(*data, labels=50, seed=0)
    assert 0.5 < few < expected
    assert latents.knn_accuracy(*data, labels=None, seed=0) > 0.9


def test_labels_are_drawn_evenly_over_classes():
    labels = np.repeat([0, 1, 2], [500, 80, 20])
    chosen = latents._balanced(labels, 60, seed=1)
    assert len(set(chosen)) == 60 and set(np.bincount(labels[chosen])) == {20}
    assert not np.array_equal(chosen, latents._balanced(labels, 60, seed=2))


def test_roughness_of_straight_and_bent_paths():
    straight = np.linspace(0, 1, 5)[:, None] * np.array([3.0, 4.0])
    bent = np.array([[0.0, 0], [0, 3], [2, 3], [4, 3], [4, 3]])
    still = np.zeros((5, 2))
    assert latents.roughness(straight[None]) == pytest.approx(1)
    assert latents.roughness(np.stack([straight, bent, still])) == pytest.approx((1 + 7 / 5) / 2)
