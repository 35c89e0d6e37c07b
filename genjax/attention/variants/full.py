"""Full attention as textbooks write it: the n x n matrix is formed (Vaswani et al. 2017, eq. 1).

Two products and a softmax between: 4 n^2 d FLOPs a head, and 4 n^2 bytes for each matrix of that
size: two forward, four backward. The matrix lies [keys, queries], so that the softmax reduces its
first axis: XLA:CPU does that with vectors, along the last axis one number after the other. The
gradients are written out (dv = w do; ds = w (dw - sum w dw)), as two products and a softmax have.
"""

import jax
import jax.numpy as jnp

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.variant import Cost, Variant


def scores(q: jax.Array, k: jax.Array) -> jax.Array:
    """k q^T / sqrt(d): [batch, length, heads, head_dim] twice -> [batch, heads, keys, queries]."""
    found = jnp.einsum("bkhd,bqhd->bhkq", k, q, preferred_element_type=jnp.float32)
    return found * q.shape[-1] ** -0.5


def softmax(scores: jax.Array) -> jax.Array:
    """The weights of the keys [batch, heads, keys, queries], which add up to 1 for each query."""
    return jax.nn.softmax(scores, axis=-2)


def values(weights: jax.Array, v: jax.Array) -> jax.Array:
    """The sums of values: weights and v [batch, length, heads, head_dim] -> like v."""
    return jnp.einsum("bkhd,bhkq->bhdq", v, weights.astype(v.dtype)).transpose(0, 3, 1, 2)


@jax.custom_vjp
def _core(q, k, v, seen):
    return _forward(q, k, v, seen)[0]


def _forward(q, k, v, seen):
    found = scores(q, k)
    if seen is not None:
        found = jnp.where(seen, found, blocks.NONE)
    weights = softmax(found)
    if seen is not None:
        weights = jnp.where(seen, weights, 0.0)
    return values(weights, v), (q, k, v, weights)


def _backward(saved, d_out):
    """The same as autodiff's, whose products XLA:CPU takes from the slow side."""
    q, k, v, weights = saved
    scale = q.shape[-1] ** -0.5
    d_v = jnp.einsum("bhkq,bqhd->bkhd", weights.astype(v.dtype), d_out)
    d_weights = jnp.einsum("bkhd,bqhd->bhkq", v, d_out, preferred_element_type=jnp.float32)
    d_scores = weights * (d_weights - (weights * d_weights).sum(-2, keepdims=True))
    d_scores = (d_scores * scale).astype(q.dtype)
    d_q = jnp.einsum("bkhd,bhkq->bhdq", k, d_scores).transpose(0, 3, 1, 2)
    return d_q, jnp.einsum("bhkq,bqhd->bkhd", d_scores, q), d_v, None


_core.defvjp(_forward, _backward)


@register(sharded="forms the whole matrix of scores; take flash")
def full(length: int, head_dim: int, *, causal: bool = False) -> Variant:
    """softmax(q k^T / sqrt(d)) v over all pairs, or those with j <= i."""

    def attend(q, k, v, *, mask=None, extra=None):
        del extra
        seen = jnp.triu(jnp.ones((length, length), bool))[None, None] if causal else None
        if mask is not None:
            keys = mask[:, None, :, None]
            seen = keys if seen is None else seen & keys
        return _core(q, k, v, seen)

    # The scores and the weights.
    cost = Cost(4.0 * length**2 * head_dim, 2 * 4.0 * length**2)
    # The backward pass has four such matrices alive, on CPU up to six below a length of 1024, and
    # computes no scores again.
    return Variant(attend, cost, backward_flops=2.0, both_bytes=2.0)
