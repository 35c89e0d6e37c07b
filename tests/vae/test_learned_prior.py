"""The second stage's sampler learns the law of codes, whatever their scale."""

import numpy as np
import pytest

from genjax.vae import latents, learned_prior, samplers

SCALE, SHIFT = np.array([30.0, 0.02, 0.0]), np.array([-5.0, 1.0, 2.0])


def law(count: int, rng) -> np.ndarray:
    """Two dense arcs and a constant: what no Gaussian fits."""
    angle = rng.choice([0.0, np.pi], count) + rng.uniform(-0.5, 0.5, count)
    radius = 1 + 0.1 * rng.standard_normal(count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], 1)


def far(draws: np.ndarray) -> float:
    """Squared MMD to new draws of the law."""
    return latents.mmd_imq(
        (draws - SHIFT)[:, :2] / SCALE[:2], law(3000, np.random.default_rng(9))[:, :2]
    )


@pytest.fixture(scope="module")
def codes():
    return (law(3000, np.random.default_rng(0)) * SCALE + SHIFT).astype(np.float32)


@pytest.fixture(scope="module")
def sampler(codes):
    return learned_prior.fitted(codes, seed=0, steps=1000)


def test_draws_follow_the_codes_where_a_gaussian_does_not(codes, sampler):
    draws = sampler(3000, np.random.default_rng(1))
    gaussian = far(samplers.fitted_gaussian(codes, 3000, np.random.default_rng(1)))
    assert draws.shape == (3000, 3) and far(draws) < 0.1 * gaussian
    np.testing.assert_allclose(draws[:, 2], 2.0, atol=1e-6)


def test_draws_hang_on_the_seeds_alone(codes):
    def drawn(seed, stream):
        sampler = learned_prior.fitted(codes, seed, steps=20)
        return sampler(50, np.random.default_rng(stream))

    np.testing.assert_array_equal(drawn(0, 1), drawn(0, 1))
    assert (drawn(1, 1) != drawn(0, 1)).any() and (drawn(0, 2) != drawn(0, 1)).any()
