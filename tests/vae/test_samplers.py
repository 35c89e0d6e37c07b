"""Samplers reproduce what they were fitted to."""

import numpy as np
from scipy import stats

from genjax.vae import samplers

RNG = np.random.default_rng(0)
MIXING = np.array([[1.0, 0.0], [0.8, 0.3]])


def test_gaussian_has_the_moments_of_the_codes():
    codes = (RNG.normal(size=(4000, 2)) @ MIXING.T + [3, -1]).astype(np.float32)
    draws = samplers.fitted_gaussian(codes, 40_000, np.random.default_rng(1))
    np.testing.assert_allclose(draws.mean(0), codes.mean(0), atol=0.03)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(codes.T), atol=0.04)


def test_mixture_finds_what_one_gaussian_cannot():
    codes = RNG.normal(size=(3000, 2)).astype(np.float32) * 0.1
    codes[::2] += 5
    draws = samplers.fitted_mixture(codes, 3000, np.random.default_rng(1))
    between = (np.abs(draws.mean(1) - 2.5) < 1.5).mean()
    assert between < 0.01
    single = samplers.fitted_gaussian(codes, 3000, np.random.default_rng(1))
    assert (np.abs(single.mean(1) - 2.5) < 1.5).mean() > 0.3


def test_mixture_draws_follow_their_density():
    means = np.array([[-2.0], [1.0]], np.float32)
    log_stds = np.log(np.array([[0.5], [1.5]], np.float32))
    draws = samplers.mixture_draws(means, log_stds, 5000, np.random.default_rng(1))

    def cdf(z):
        return 0.5 * (stats.norm.cdf(z, -2, 0.5) + stats.norm.cdf(z, 1, 1.5))

    assert stats.kstest(draws[:, 0], cdf).pvalue > 0.01


def test_draws_are_a_function_of_the_generator():
    codes = RNG.normal(size=(200, 3)).astype(np.float32)
    for fit in (samplers.fitted_gaussian, samplers.fitted_mixture):
        first, again, other = (fit(codes, 50, np.random.default_rng(s)) for s in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
