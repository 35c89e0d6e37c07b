"""The random numbers of jax's threefry keys, bit for bit, by a hash that compiles into one kernel.

XLA:CPU has jax's own as a loop of dozens of small kernels: 0.15 of the 3.3 ms of a VAE's step for
2,560 numbers. On accelerators jax, too, writes the rounds out.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl, threefry_prng_impl

# Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3, table 2 and section 3.3.
_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
_PARITY = 0x1BD11BDA


def written_out(key: jax.Array) -> jax.Array:
    """The same key, whose draws are these; the key itself where jax is set to draw other ones."""
    config: Any = jax.config
    own = config.jax_threefry_partitionable and not config.jax_enable_x64
    if jax.random.key_impl(key) != "threefry2x32" or not own:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_IMPLEMENTATION)


def _hash(key: jax.Array, high, low) -> tuple[jax.Array, jax.Array]:
    """Threefry-2x32-20 of counters of two words by a key [2]."""
    words = key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY)
    high, low = high + words[0], low + words[1]
    for i in range(5):
        for bits in _ROTATIONS[i % 2]:
            high = high + low
            low = high ^ (low << bits | low >> (32 - bits))
        high, low = high + words[(i + 1) % 3], low + words[(i + 2) % 3] + jnp.uint32(i + 1)
    return high, low


def _places(key: jax.Array, shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Of the place of each entry of an array of less than 2^32."""
    low = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return _hash(key, jnp.uint32(0), low)


def _random_bits(key: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
    high, low = _places(key, shape)
    return (high ^ low).astype(f"uint{width}")


def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.stack(_places(key, shape), -1)


def _fold_in(key: jax.Array, data) -> jax.Array:
    return jnp.stack(_hash(key, jnp.uint32(0), jnp.asarray(data, jnp.uint32)))


_IMPLEMENTATION = define_prng_impl(
    key_shape=(2,),
    seed=threefry_prng_impl.seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry_written_out",
    tag="fry",
)
