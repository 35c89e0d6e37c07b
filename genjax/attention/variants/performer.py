"""Performer, FAVOR+ (Choromanski et al. 2021, eq. 5 and lemma 1): positive random features.

phi(x) = exp(w.x - |x|^2 / 2) / sqrt(m) on x d^(-1/4), w orthogonal in blocks of d rows with norms
of a Gaussian vector. Each exponential is taken relative to the largest, over the features for a
query and over positions too for keys, which changes nothing but the range (no epsilon is needed).
8 n m d FLOPs a head. Unbiased for the softmax kernel, with a variance exponential in |q| |k|.
"""

import jax
import jax.numpy as jnp
from jax import lax

from genjax.attention import blocks, kernelized
from genjax.attention.registry import register
from genjax.attention.variant import Sharded, Variant, needed


def _phi(w):
    """The features of rows [chunk, head_dim], for the random rows w [m, head_dim]."""

    def phi(x, seen):
        x = x.astype(jnp.float32) * x.shape[-1] ** -0.25
        logits = x @ w.T - 0.5 * (x**2).sum(1, keepdims=True)
        if seen is None:
            top = lax.stop_gradient(logits.max(1, keepdims=True))
            return blocks.exp(logits - top), top
        logits = jnp.where(seen[:, None], logits, blocks.NONE)
        top = lax.stop_gradient(logits.max())
        return blocks.exp(logits - top), top

    return phi


def _sharded(shards, options) -> Sharded:
    def attend(q, k, v, *, extra=None):
        phi, causal = _phi(needed(extra)["features"]), options.causal
        return kernelized.attend(phi, options.features, q, k, v, causal=causal, shards=shards)

    return Sharded(attend, kernelized.travels(options.causal))


@register(short=lambda length: {"features": 64}, sharded=_sharded)
def performer(length: int, head_dim: int, *, causal: bool = False, features: int = 256) -> Variant:
    """features: m. `extra` holds the rows w [m, d]; draw them again from another key at will."""

    def attend(q, k, v, *, mask=None, extra=None):
        phi = _phi(needed(extra)["features"])
        return kernelized.attend(phi, features, q, k, v, mask=mask, causal=causal)

    def init(key):
        return {"features": orthogonal_features(key, features, head_dim)}

    return Variant(attend, kernelized.cost(length, head_dim, features, True, causal), init)


def orthogonal_features(key: jax.Array, count: int, dim: int) -> jax.Array:
    """[count, dim]: rows orthogonal in blocks of dim, each marginally N(0, I) (section 3.2)."""
    turn, norms = jax.random.split(key)
    square = jax.random.normal(turn, (-(-count // dim), dim, dim))
    q, r = jnp.linalg.qr(square)
    # The signs make the turn uniform (Mezzadri 2007).
    q = q * jnp.sign(jnp.diagonal(r, axis1=1, axis2=2))[:, None, :]
    rows = jnp.swapaxes(q, 1, 2).reshape(-1, dim)[:count]
    return rows * jnp.linalg.norm(jax.random.normal(norms, (count, dim)), axis=1)[:, None]
