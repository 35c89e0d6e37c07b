"""exp of numbers up to 0 against NumPy's in float64, and where it is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.attention import blocks
from genjax.attention.exponential import exp_up_to_0

# exp of this is the least float32 of full precision.
LEAST = -126 * np.log(2)


def test_equals_the_definition():
    x = np.linspace(LEAST, 0, 200_001).astype(np.float32)[1:]
    expected = np.exp(x.astype(np.float64))
    errors = np.abs(np.asarray(jax.jit(exp_up_to_0)(x)) / expected - 1)
    assert (errors <= 2e-7 + 1e-7 * np.abs(x)).all()


def test_ends_exactly():
    """A maximum weighs 1; what is masked, or far below, nothing, and is no negative number."""
    x = np.float32([0, -1e30, -np.inf, -89, *np.linspace(-88.5, LEAST, 1000)])
    found = np.asarray(jax.jit(exp_up_to_0)(x))
    assert found[:4].tolist() == [1, 0, 0, 0]
    assert (found >= 0).all() and (found[4:] <= 2.0**-125).all()
    assert np.isnan(exp_up_to_0(jnp.float32(np.nan)))


def test_derivative_is_the_value():
    x = jnp.linspace(-20, 0, 50)
    np.testing.assert_array_equal(jax.vmap(jax.grad(exp_up_to_0))(x), exp_up_to_0(x))


@pytest.mark.parametrize(("platform", "own"), [("cpu", True), ("gpu", False), ("tpu", False)])
def test_serves_cpu_alone(platform, own, monkeypatch):
    monkeypatch.setattr(blocks, "platform", lambda: platform)
    made = str(jax.make_jaxpr(lambda x: blocks.exp(x))(jnp.zeros(3)))
    assert (" exp " in made) is not own and ("exp_up_to_0" in made) is own
