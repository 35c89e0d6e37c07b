"""Measures of latents in the cases that trained models reach: collapsed, narrow, few labels."""

import numpy as np
import pytest
from scipy import special, stats

from genjax.vae import latents

RNG = np.random.default_rng(1)


def test_frechet_to_normal_of_known_moments():
    # Whitened draws have exactly the mean 0 and covariance I that are then moved and scaled.
    draws = RNG.normal(size=(500, 3))
    draws -= draws.mean(0)
    draws @= np.linalg.inv(np.linalg.cholesky(np.cov(draws.T)).T)
    assert latents.frechet_to_normal(draws) == pytest.approx(0, abs=1e-9)
    moved = draws * [2.0, 1.0, 0.5] + [0.0, 3.0, 0.0]
    assert latents.frechet_to_normal(moved) == pytest.approx(9 + 1 + 0.25)
    assert latents.frechet_to_normal(np.ones((50, 3))) == pytest.approx(3 + 3)


@pytest.mark.parametrize("n", [1, 7, 450])
def test_aggregated_posterior_by_brute_force(n):
    means, log_stds = RNG.normal(size=(n, 3)), RNG.normal(size=(n, 3)) * 0.5 - 1
    draws = means + np.exp(log_stds) * RNG.normal(size=(n, 3))
    pairs = stats.norm.logpdf(draws[:, None], means[None], np.exp(log_stds)[None]).sum(2)
    log_q = special.logsumexp(pairs, axis=1) - np.log(n)
    found = latents.aggregated_posterior(means, log_stds, draws)
    assert found["mutual_information"] == pytest.approx((np.diag(pairs) - log_q).mean(), abs=1e-9)
    prior = stats.norm.logpdf(draws).sum(1)
    assert found["kl_to_prior"] == pytest.approx((log_q - prior).mean(), abs=1e-9)


def test_the_cap_of_mutual_information_holds_for_narrow_posteriors():
    # exp(-12) is a standard deviation that an unregularised encoder reaches.
    means, log_stds = RNG.normal(size=(400, 8)) * 50, np.full((400, 8), -12.0)
    draws = means + np.exp(log_stds) * RNG.normal(size=(400, 8))
    found = latents.aggregated_posterior(means, log_stds, draws)
    assert found["mutual_information"] == pytest.approx(np.log(400), abs=1e-9)


def test_collapse_to_the_prior_carries_no_information():
    draws = RNG.normal(size=(300, 4))
    found = latents.aggregated_posterior(np.zeros((300, 4)), np.zeros((300, 4)), draws)
    assert found == pytest.approx({"mutual_information": 0, "kl_to_prior": 0}, abs=1e-9)
    assert latents.active_units(np.full((300, 4), 7.0)) == 0


def test_mmd_in_parts_equals_mmd_at_once(monkeypatch):
    x, y = RNG.normal(size=(501, 3)), RNG.normal(size=(430, 3))
    in_parts = latents.mmd_imq(x, y)
    monkeypatch.setattr(latents, "CHUNK", 10_000)
    assert in_parts == pytest.approx(latents.mmd_imq(x, y), rel=1e-9)


def test_roughness_leaves_out_what_is_only_rounding():
    straight = np.linspace(0, 1, 5)[:, None] * np.array([3.0, 4.0])
    rounding = 20 + 1e-6 * RNG.normal(size=(6, 5, 2))
    assert latents.roughness(np.concatenate([straight[None], rounding])) == pytest.approx(1)
    assert np.isnan(latents.roughness(rounding))
    assert np.isnan(latents.roughness(np.zeros((3, 5, 2))))
    bent = np.array([[[0.0, 0], [0, 3], [4, 3]]])
    assert latents.roughness(bent * 1e-12) == pytest.approx(7 / 5)


def test_more_labels_than_there_are_means_all():
    codes, labels = RNG.normal(size=(60, 2)), np.repeat([0, 1, 2], 20)
    codes += labels[:, None]
    data = codes, labels, codes, labels
    for accuracy in latents.probe_accuracy, latents.knn_accuracy:
        assert accuracy(*data, labels=1000, seed=0) == accuracy(*data, labels=None, seed=0)


def test_a_probe_short_of_convergence_stays_silent():
    # Labels a line cannot part, on badly scaled raw features: more than 200 iterations.
    codes = np.exp(RNG.normal(size=(300, 60)) * 3)
    labels = RNG.integers(0, 10, size=300)
    assert 0 <= latents.probe_accuracy(codes, labels, codes, labels, labels=None, seed=0) <= 1
