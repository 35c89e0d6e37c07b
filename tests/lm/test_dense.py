"""A dense layer whose gradients are products by hand, against autodiff's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.lm.dense import dense


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 7), (7, 3)])
def test_a_dense_layers_gradients_are_autodiffs(inputs, outputs):
    layer = dense(outputs, jnp.float32, "layer")
    keys = jax.random.split(jax.random.key(0), 3)
    # Two seeds, each with a kernel of its own.
    x = jax.random.normal(keys[0], (2, 4, 5, inputs))
    kernel = jax.random.normal(keys[1], (2, inputs, outputs))
    slope = jax.random.normal(keys[2], (2, 4, 5, outputs))

    def ours(kernel, x):
        return layer.apply({"params": {"kernel": kernel}}, x)

    sides = []
    for function in (ours, lambda kernel, x: x @ kernel):
        out, pull = jax.vjp(jax.vmap(function), kernel, x)
        sides.append((out, *pull(slope)))
    for found, expected in zip(*sides, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
