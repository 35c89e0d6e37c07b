"""Importance-sampled bounds against an integral, and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from genjax.vae import networks
from genjax.vae.architecture import Architecture
from genjax.vae.likelihood import (
    effective_samples,
    grouped_bound,
    importance_bounds,
    pareto_k,
    trustworthy,
)

IMAGES = jnp.round(jax.random.uniform(jax.random.key(3), (4, 3, 3, 1)))
INDEX = jnp.arange(4)
MODEL = networks.build(Architecture((3, 3, 1), latent=1, hidden=(8,)))


@pytest.fixture(scope="module")
def params():
    params = jax.jit(MODEL.init)(jax.random.key(0), IMAGES)
    # A decoder that depends on z, so that the bounds differ, and a posterior wider than the
    # prior, so that the weights are bounded.
    params["decoder"] = jax.tree.map(lambda leaf: 3 * leaf, params["decoder"])
    params["head"]["mean"] = jax.tree.map(jnp.zeros_like, params["head"]["mean"])
    params["head"]["log_std"] = {"kernel": jnp.zeros((8, 1)), "bias": jnp.array([0.2])}
    return params


@pytest.fixture(scope="module")
def found(params):
    return importance_bounds(MODEL, samples=5000, chunk=50)(
        params, IMAGES, INDEX, jax.random.key(1)
    )


def test_five_thousand_samples_reach_the_integral(params, found):
    grid = np.linspace(-8, 8, 4001)
    z = jnp.asarray(grid, jnp.float32)[:, None, None] * jnp.ones((1, 4, 1))
    log_prob = np.asarray(MODEL.log_prob(params, MODEL.decode(params, z), IMAGES), np.float64)
    log_joint = log_prob - 0.5 * grid[:, None] ** 2 - 0.5 * np.log(2 * np.pi)
    exact = special.logsumexp(log_joint, 0) + np.log(grid[1] - grid[0])
    np.testing.assert_allclose(-found["nll"][5000], exact, atol=0.03)
    assert (np.abs(found["nll"][1] + exact) > 0.1).any()


def test_bounds_tighten_with_k(found):
    means = [float(found["nll"][k].mean()) for k in (1, 10, 100, 1000, 5000)]
    assert means == sorted(means, reverse=True) and means[0] - means[-1] > 0.05


def test_elbo_is_rate_plus_distortion(found):
    np.testing.assert_allclose(found["nll"][1], found["rate"] + found["distortion"], atol=0.05)
    np.testing.assert_allclose(found["kl"].sum(-1), found["rate"], rtol=1e-5)


def test_chunks_change_the_noise_alone(params, found):
    other = importance_bounds(MODEL, samples=5000, chunk=500)(
        params, IMAGES, INDEX, jax.random.key(1)
    )
    np.testing.assert_allclose(other["nll"][5000], found["nll"][5000], atol=0.05)


def test_an_image_has_the_same_bound_in_any_batch(params):
    bounds = importance_bounds(MODEL, samples=100, chunk=20)
    whole = bounds(params, IMAGES, INDEX, jax.random.key(1))["nll"]
    part = bounds(params, IMAGES[2:], INDEX[2:], jax.random.key(1))["nll"]
    assert sorted(whole) == [1, 10, 100]
    np.testing.assert_allclose(part[100], whole[100][2:], rtol=1e-5)


def test_grouped_bound_is_the_mean_of_its_groups():
    log_weights = np.random.default_rng(0).normal(size=(13, 2)).astype(np.float32)
    groups = log_weights[:12].reshape(3, 4, 2)
    expected = (special.logsumexp(groups, 1) - np.log(4)).mean(0)
    np.testing.assert_allclose(grouped_bound(jnp.asarray(log_weights), 4), expected, rtol=1e-5)


def test_any_number_of_samples_is_cut_into_chunks(params):
    found = importance_bounds(MODEL, samples=21, chunk=10)(params, IMAGES, INDEX, jax.random.key(1))
    assert sorted(found["nll"]) == [1, 10, 21] and np.isfinite(found["nll"][21]).all()


@pytest.mark.parametrize("shape", [-0.3, 0.3, 0.7, 1.2])
def test_pareto_k_is_the_shape_of_the_tail(shape):
    """Against SciPy's maximum likelihood on the same tail, drawn towards 1/2 by ten of 213."""
    rng = np.random.default_rng(0)
    weights = 1e-3 + stats.genpareto.rvs(shape, size=(5000, 4), random_state=rng)
    found = pareto_k(jnp.asarray(np.log(weights), jnp.float32))
    for one, column in zip(found, weights.T, strict=True):
        *_, cut = (ordered := np.sort(column))[:-213]
        fitted = stats.genpareto.fit(ordered[-213:] - cut, floc=0)[0]
        np.testing.assert_allclose(one, (213 * fitted + 5) / 223, atol=0.04)


def test_no_tail_is_no_danger_and_few_draws_are_no_tail():
    assert (pareto_k(jnp.zeros((5000, 2))) == 0).all()
    assert jnp.isnan(pareto_k(jnp.zeros((20, 2)))).all()
    assert trustworthy(100) == 0.5 and trustworthy(5000) == 0.7


def test_the_draws_that_count():
    log_weights = jnp.log(jnp.array([[1.0, 1.0, 3.0], [1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(effective_samples(log_weights - 80.0), [3, 1, 1.6], rtol=1e-4)


def test_weights_of_the_exact_posterior_all_count(params, found):
    assert (found["ess"] > 1000).all() and (found["ess"] <= 5000).all()
    assert (found["k_hat"] < 0.7).all()
