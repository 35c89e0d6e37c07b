"""Layers of images' nets against NumPy and jax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import hlo
from genjax.images import layers

RNG = np.random.default_rng(0)


def test_a_product_has_jaxs_own_slopes():
    """By hand against autodiff: first slopes, and those of a squared slope, as R1 takes them."""
    x, kernel = (jnp.asarray(RNG.normal(size=size), jnp.float32) for size in ((2, 3, 4), (4, 5)))

    def slopes(product):
        def value(x, kernel):
            return jnp.sin(product(x, kernel)).sum()

        def penalty(x, kernel):
            return (jax.grad(value)(x, kernel) ** 2).sum()

        return [jax.grad(f, (0, 1))(x, kernel) for f in (value, penalty)]

    found, expected = slopes(layers.product), slopes(jnp.matmul)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), found, expected)


def test_slopes_of_a_product_transpose_nothing():
    """Of inputs with an axis of size 1 in front, as a decoder has for a single draw."""
    rng = np.random.default_rng(1)
    x, kernel = (
        jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((1, 64, 80), (80, 96))
    )

    def compiled(product):
        def value(x, kernel):
            return jnp.sin(product(x, kernel)).sum()

        return jax.jit(jax.grad(value, (0, 1))).lower(x, kernel).compile()

    ours, plain = compiled(layers.product), compiled(jnp.matmul)
    jax.tree.map(np.testing.assert_array_almost_equal, ours(x, kernel), plain(x, kernel))
    assert layers.product(x, kernel).shape == (1, 64, 96)

    def across(compiled):
        kinds = [one.kind for one, *_ in hlo.Program(compiled.as_text()).walk()]
        return kinds.count("transpose") + kinds.count("copy")

    assert across(plain) and not across(ours)


def test_a_gaussian_head_is_two_dense_layers():
    """The same parameters, by the same names, and what each makes by itself."""
    rng = np.random.default_rng(2)
    head = layers.GaussianHead(5, jnp.dtype("float32"))
    h = jnp.asarray(rng.normal(size=(3, 4, 7)), jnp.float32)
    params = head.init(jax.random.key(0), h)["params"]
    assert sorted(params) == ["log_std", "mean"]
    params = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape), params)
    made = dict(zip(("mean", "log_std"), head.apply({"params": params}, h), strict=True))
    for name, found in made.items():
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        np.testing.assert_allclose(found, h @ kernel + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 128), (128, 128), (128, 1), (400, 200), (3, 3, 16, 64)])
def test_a_spectral_norm_is_found_from_below(shape):
    """By NumPy's singular values; kernels alone are divided."""
    for _ in range(5):
        params = {"kernel": RNG.normal(size=shape).astype(np.float32), "bias": jnp.ones(3)}
        found = jax.jit(layers.spectral_normalize)(params)
        norm = np.linalg.norm(np.reshape(found["kernel"], (-1, shape[-1])), 2)
        assert 1 - 1e-5 <= norm <= 1.09
        ratio = np.asarray(found["kernel"]) / params["kernel"]
        np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-5)
        np.testing.assert_array_equal(found["bias"], 1)
