"""Formulas against SciPy and against sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from genjax.vae import densities

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("pixels", [1, 7, 8, 50])
def test_bernoulli_is_scipys(pixels):
    logits = RNG.normal(size=(3, 2, pixels)).astype(np.float32) * 5
    x = RNG.integers(0, 2, (2, pixels)).astype(np.float32)
    each = stats.bernoulli.logpmf(x.astype(int), special.expit(logits.astype(np.float64)))
    found = densities.bernoulli_log_prob(jnp.asarray(logits), jnp.asarray(x))
    np.testing.assert_allclose(found, each.sum(-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, -90.0, 0.0, 90.0, 1e4])
def test_bernoulli_stays_finite(logit):
    logits = jnp.full((20,), logit, jnp.float32)
    for x in (0.0, 0.3, 1.0):
        target = jnp.full((20,), x)
        value, slope = jax.value_and_grad(densities.bernoulli_log_prob)(logits, target)
        expected = 20 * (x * logit - np.logaddexp(0, logit))
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(slope, np.full(20, x - special.expit(logit)), atol=1e-6)
        by_target = jax.grad(densities.bernoulli_log_prob, 1)(logits, target)
        np.testing.assert_array_equal(by_target, logits)


def test_gaussian_is_scipys():
    x, mean, log_std = RNG.normal(size=(3, 40)).astype(np.float32)
    expected = stats.norm.logpdf(x, mean, np.exp(log_std))
    np.testing.assert_allclose(densities.gaussian_log_prob(x, mean, log_std), expected, rtol=1e-4)


def test_kl_is_the_integral():
    mean, log_std, prior_mean, prior_log_std = 0.7, -0.4, -0.2, 0.3

    def integrand(z):
        q = stats.norm.logpdf(z, mean, np.exp(log_std))
        return np.exp(q) * (q - stats.norm.logpdf(z, prior_mean, np.exp(prior_log_std)))

    expected = integrate.quad(integrand, -12, 12)[0]
    found = densities.gaussian_kl(mean, log_std, prior_mean, prior_log_std)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(
        densities.kl_to_standard_normal(mean, log_std),
        densities.gaussian_kl(mean, log_std, 0.0, 0.0),
        rtol=1e-6,
    )


def test_gaussian_product_is_the_normalised_product():
    a, b = (0.5, -0.3), (-1.0, 0.6)
    grid = np.linspace(-10, 10, 20001)
    density = np.exp(sum(stats.norm.logpdf(grid, m, np.exp(s)) for m, s in (a, b)))
    density /= density.sum()
    mean = (density * grid).sum()
    std = np.sqrt((density * (grid - mean) ** 2).sum())
    found_mean, found_log_std = densities.gaussian_product(*map(jnp.float32, (*a, *b)))
    np.testing.assert_allclose([found_mean, np.exp(found_log_std)], [mean, std], rtol=1e-4)


def test_mixture_is_scipys_logsumexp():
    means, log_stds = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    z = RNG.normal(size=(4, 5, 3)).astype(np.float32)
    parts = stats.norm.logpdf(z[:, :, None], means, np.exp(log_stds)).sum(-1)
    expected = special.logsumexp(parts, -1) - np.log(6)
    found = densities.mixture_log_prob(jnp.asarray(z), jnp.asarray(means), jnp.asarray(log_stds))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_iwae_bound_is_the_log_of_the_mean_weight():
    log_weights = RNG.normal(size=(7, 3)).astype(np.float32)
    expected = np.log(np.exp(log_weights).mean(0))
    np.testing.assert_allclose(densities.iwae_bound(jnp.asarray(log_weights)), expected, rtol=1e-5)


def test_imq_kernel_by_hand():
    squared, latent = 3.0, 2
    scales = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10]) * 2 * latent
    expected = (scales / (scales + squared)).sum()
    found = densities.imq_kernel(jnp.float32(squared), latent)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
