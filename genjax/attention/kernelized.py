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

    features: (x [chunk, dim], seen) -> (values [size, chunk], shift). For keys `seen` [chunk] says
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

    def per_row(function):
        """Over batch and heads: [batch, chunk, heads, dim] is read as [chunk, dim]."""
        return lambda state, *x: jax.vmap(jax.vmap(function))(state, *(x.swapaxes(1, 2) for x in x))

    def key_features(k, valid):
        """phi(k) without its shift, zero where the key is not seen, and the shift."""
        values, shift = features(k, valid)
        return (jnp.where(valid, values, 0.0) if padded else values), shift

    def add(state, values, shift, v):
        """The state with a chunk's keys: their largest shift, and sums of phi(k) (v, 1)."""
        top, sums = state
        new = jnp.maximum(top, shift)
        own = _dot(values.astype(v.dtype), v)
        return new, sums * jnp.exp(top - new) + own * jnp.exp(shift - new)

    def with_one(v):
        """v and a column of ones, whose sums are the denominators."""
        return jnp.concatenate([v, jnp.ones((*v.shape[:-1], 1), v.dtype)], -1)

    def divide(sums):
        out, total = sums[..., :-1], sums[..., -1:]
        some = total > TINY
        return jnp.where(some, out / jnp.where(some, total, 1.0), 0.0)

    @jax.checkpoint
    def absorb(state, chunk):
        k, v, seen = chunk

        def row(state, k, v, seen):
            return add(state, *key_features(k, seen), v)

        return per_row(row)(state, k, with_one(v), _each_head(seen, heads)), None

    @jax.checkpoint
    def answer(state, q):
        def row(state, q):
            values, _ = features(q, None)
            return _dot(values.T, state[1])

        return divide(per_row(row)(state, q).swapaxes(1, 2))

    @jax.checkpoint
    def both(state, chunk):
        q, k, v, seen = chunk

        def row(state, q, k, v, seen):
            top, sums = state
            asked, _ = features(q, None)
            values, shift = key_features(k, seen)
            new = jnp.maximum(top, shift)
            scores = _dot(asked.T, values) * jnp.exp(shift - new)
            scores = jnp.where(jnp.tri(scores.shape[0], dtype=bool), scores, 0.0)
            out = _dot(asked.T, sums * jnp.exp(top - new)) + _dot(scores.astype(v.dtype), v)
            return add(state, values, shift, v), out

        seen = _each_head(seen, heads)
        state, out = per_row(row)(state, q, k, with_one(v), seen)
        return state, divide(out.swapaxes(1, 2))

    empty = (jnp.float32(blocks.NONE), jnp.zeros((size, dim + 1)))
    empty = jax.tree.map(lambda x: jnp.broadcast_to(x, (batch, heads, *x.shape)), empty)
    if causal:
        _, out = lax.scan(both, empty, (cut(q), cut(k), cut(v), valid))
    else:
        state, _ = lax.scan(absorb, empty, (cut(k), cut(v), valid))
        out = lax.map(lambda q: answer(state, q), cut(q))
    out = jnp.moveaxis(out.astype(q.dtype), 0, 1)
    return out.reshape(batch, count * chunk, heads, dim)[:, :length]


def _each_head(seen, heads):
    """[batch, chunk] -> [batch, chunk, heads]."""
    return jnp.repeat(seen[:, :, None], heads, 2)


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
