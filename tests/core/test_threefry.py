"""Random numbers of keys whose hash is written out, against jax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import steps, threefry

DRAWS = {
    "bits": jax.random.bits,
    "bytes": lambda key, shape: jax.random.bits(key, shape, jnp.uint8),
    "uniform": jax.random.uniform,
    "randint": lambda key, shape: jax.random.randint(key, shape, 0, 1000),
    "split": lambda key, shape: jax.random.key_data(jax.random.split(key, shape)),
}


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 50)], ids=str)
@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_jaxs_own(name, shape):
    """Bit for bit, of keys folded with small and large numbers, alone and many at once."""
    data = jnp.asarray([0, 1, 2**31 - 1, 12345], jnp.int32)

    def draws(key):
        return jax.vmap(lambda i: DRAWS[name](jax.random.fold_in(key, i), shape))(data)

    for seed in (0, 7, 2**32 - 1):
        key = jax.random.key(seed)
        np.testing.assert_array_equal(draws(threefry.written_out(key)), draws(key))


def test_an_examples_noise_needs_no_loop():
    """One kernel of rounds, where jax's own on CPU is a loop of them."""

    def noise(key, index):
        return steps.example_noise(jax.random.normal, key, 1, index, (20,))

    arguments = jax.random.key(0), jnp.arange(8)
    text = jax.jit(noise).lower(*arguments).compile().as_text()
    assert " while(" not in text
    key = jax.random.fold_in(arguments[0], 1)
    expected = [jax.random.normal(jax.random.fold_in(key, i), (20,)) for i in range(8)]
    np.testing.assert_allclose(noise(*arguments), expected, rtol=1e-6, atol=1e-6)


def test_other_generators_keep_theirs():
    key = jax.random.key(0, impl="rbg")
    assert threefry.written_out(key) is key
    with jax.threefry_partitionable(False):
        key = jax.random.key(0)
        assert threefry.written_out(key) is key
