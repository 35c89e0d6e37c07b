"""Layers of images' nets against NumPy and jax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
