"""Attention with a kernel in place of the softmax: phi(q) (phi(k)^T v), in chunks, O(n) memory.

phi comes in two parts, phi(x) = values * exp(shift), so that sums over keys stay at the size of
their largest term, as in an online softmax. Gradients are autodiff's, each chunk recomputed in the
backward pass.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from genjax.attention import blocks
from genjax.attention.variant import Cost

TINY = 1e-30


def attend(
    features: Callable, size: int, q, k, v, *, mask=None, causal: bool = False, chunk: int = 512
):
    """out_i = sum_j phi(q_i).phi(k_j) v_j / sum_j phi(q_i).phi(k_j); j <= i where causal.

    features: (x [dim, chunk], seen) -> (values [size, chunk], shift). For keys `seen` [chunk] says
        which count, and the shift is one number; for queries it is None, and each may have its own.
    """
    batch, length, heads, dim = q.shape
    chunk = blocks.block_size(length, chunk)
    count = -(-length // chunk)

    def cut(x):
        """Chunks first, heads still beside each other: no copy where there is one batch row."""
        x = jnp.pad(x, ((0, 0), (0, count * chunk - length)) + ((0, 0),) * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(batch, count, chunk, *x.shape[2:]), 1, 0)

    valid = cut(jnp.ones((batch, length), bool) if mask is None else mask)
    padded = mask is not None or count * chunk > length

    def rows(x):
        """[batch, chunk, heads, dim] -> [batch, heads, dim, chunk], in the cache."""
        return x.transpose(0, 2, 3, 1)

    def per_row(function):
        return jax.vmap(jax.vmap(function))

    def key_features(k, valid):
        """phi(k) without its shift, zero where the key is not seen, and the shift."""
        values, shift = features(k, valid)
        return (jnp.where(valid, values, 0.0) if padded else values), shift

    def add(state, values, shift, v):
        """The state with a chunk's keys: their largest shift, sums of phi(k) v and phi(k)."""
        top, outer, total = state
        new = jnp.maximum(top, shift)
        old, own = jnp.exp(top - new), jnp.exp(shift - new)
        product = _dot(values.astype(v.dtype), v.T)
        return new, outer * old + product * own, total * old + _dot(values, ones) * own

    def divide(out, total):
        some = total > TINY
        return jnp.where(some, out / jnp.where(some, total, 1.0), 0.0)

    @jax.checkpoint
    def absorb(state, chunk):
        k, v, valid = chunk
        seen = jnp.repeat(valid[:, None], heads, 1)

        def row(state, k, v, valid):
            return add(state, *key_features(k, valid), v)

        return per_row(row)(state, rows(k), rows(v), seen), None

    @jax.checkpoint
    def answer(state, q):
        def row(state, q):
            values, _ = features(q, None)
            _, outer, total = state
            return divide(_dot(outer.T, values), total @ values)

        return per_row(row)(state, rows(q)).transpose(0, 3, 1, 2)

    @jax.checkpoint
    def both(state, chunk):
        q, k, v, valid = chunk
        seen = jnp.repeat(valid[:, None], heads, 1)

        def row(state, q, k, v, valid):
            top, outer, total = state
            asked, _ = features(q, None)
            values, shift = key_features(k, valid)
            new = jnp.maximum(top, shift)
            old, own = jnp.exp(top - new), jnp.exp(shift - new)
            scores = _dot(values.T, asked) * own
            scores = jnp.where(jnp.tri(scores.shape[0], dtype=bool).T, scores, 0.0)
            out = _dot(outer.T * old, asked) + _dot(v, scores.astype(v.dtype))
            out = divide(out, (total * old) @ asked + scores.sum(0))
            return add(state, values, shift, v), out

        state, out = per_row(row)(state, rows(q), rows(k), rows(v), seen)
        return state, out.transpose(0, 3, 1, 2)

    ones = jnp.ones(chunk)
    empty = (jnp.float32(blocks.NONE), jnp.zeros((size, dim)), jnp.zeros(size))
    empty = jax.tree.map(lambda x: jnp.broadcast_to(x, (batch, heads, *x.shape)), empty)
    if causal:
        _, out = lax.scan(both, empty, (cut(q), cut(k), cut(v), valid))
    else:
        state, _ = lax.scan(absorb, empty, (cut(k), cut(v), valid))
        out = lax.map(lambda q: answer(state, q), cut(q))
    out = jnp.moveaxis(out.astype(q.dtype), 0, 1)
    return out.reshape(batch, count * chunk, heads, dim)[:, :length]


def _dot(a, b):
    return lax.dot(a, b, preferred_element_type=jnp.float32)


def cost(
    length: int, head_dim: int, size: int, projected: bool, causal: bool, chunk: int = 512
) -> Cost:
    """Sums of phi(k) v, phi(q) times them, phi's two projections; causal: the chunks' own pairs."""
    chunk = blocks.block_size(length, chunk)
    length = -(-length // chunk) * chunk
    flops = 4.0 * length * size * head_dim * (2 if projected else 1)
    flops += 2.0 * length * chunk * (size + head_dim) if causal else 0.0
    return Cost(flops, 4.0 * (4 * length * head_dim + 3 * size * chunk))
