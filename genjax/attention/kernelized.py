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
CHUNK = 128  # Positions: longer ones cost causal rows more pairs, shorter ones more sums to keep.


def attend(features: Callable, size: int, q, k, v, *, mask=None, causal: bool = False):
    """out_i = sum_j phi(q_i).phi(k_j) v_j / sum_j phi(q_i).phi(k_j); j <= i where causal.

    features: (x [chunk, dim], seen) -> (values [chunk, size], shift). For keys `seen` [chunk] says
        which count, and the shift is one number; for queries it is None, and each may have its own.
    """
    batch, length, heads, dim = q.shape
    chunk = blocks.block_size(length, CHUNK)
    count = -(-length // chunk)
    padded = mask is not None or count * chunk > length

    def key_features(k, seen):
        """phi(k) without its shift, zero where the key is not seen, and the shift."""
        values, shift = features(k, seen)
        return (jnp.where(seen[:, None], values, 0.0) if padded else values), shift

    def add(state, values, shift, v):
        """The state with a chunk's keys: their top shift, sums of phi(k) v and of phi(k)."""
        top, sums, total = state
        new = jnp.maximum(top, shift)
        before, now = jnp.exp(top - new), jnp.exp(shift - new)
        own = blocks.dot(values.T.astype(v.dtype), v)
        return new, sums * before + own * now, total * before + values.sum(0) * now

    def absorb(state, k, v, seen):
        return add(state, *key_features(k, seen), v)

    def answer(state, q):
        _, sums, total = state
        asked, _ = features(q, None)
        return _divide(blocks.dot(asked, sums), asked @ total)

    def both(state, q, k, v, seen):
        top, sums, total = state
        asked, _ = features(q, None)
        values, shift = key_features(k, seen)
        new = jnp.maximum(top, shift)
        scores = blocks.dot(asked, values.T) * jnp.exp(shift - new)
        scores = jnp.where(jnp.tri(chunk, dtype=bool), scores, 0.0)
        asked = asked * jnp.exp(top - new)
        out = blocks.dot(asked, sums) + blocks.dot(scores.astype(v.dtype), v)
        return add(state, values, shift, v), _divide(out, asked @ total + scores.sum(1))

    # A chunk [chunk, heads, dim] is read as [chunk, dim] for each head; `seen` is all heads'.
    absorb = jax.checkpoint(jax.vmap(absorb, (0, 1, 1, None)))
    answer = jax.checkpoint(jax.vmap(answer, (0, 1), 1))
    both = jax.checkpoint(jax.vmap(both, (0, 1, 1, 1, None), (0, 1)))
    empty = (
        jnp.full(heads, blocks.NONE),
        jnp.zeros((heads, size, dim)),
        jnp.zeros((heads, size)),
    )

    def sequence(q, k, v, seen):
        def cut(x):
            x = jnp.pad(x, ((0, count * chunk - length),) + ((0, 0),) * (x.ndim - 1))
            return x.reshape(count, chunk, *x.shape[1:])

        q, keys = cut(q), (cut(k), cut(v), cut(seen))
        if causal:
            _, out = lax.scan(lambda state, x: both(state, *x), empty, (q, *keys))
        else:
            state, _ = lax.scan(lambda state, x: (absorb(state, *x), None), empty, keys)
            out = lax.map(lambda q: answer(state, q), q)
        return out.reshape(count * chunk, heads, dim)[:length].astype(q.dtype)

    seen = jnp.ones((batch, length), bool) if mask is None else mask
    return blocks.over_rows(sequence, heads * length, q, k, v, seen)


def _divide(sums, total):
    """Sums of values [chunk, dim] over those of weights [chunk]; zeros where nothing was seen."""
    some = (total > TINY)[:, None]
    return jnp.where(some, sums / jnp.where(some, total[:, None], 1.0), 0.0)


def cost(length: int, head_dim: int, size: int, projected: bool, causal: bool) -> Cost:
    """Sums of phi(k) v, phi(q) times them, phi's two projections; causal: the chunks' own pairs."""
    chunk = blocks.block_size(length, CHUNK)
    length = -(-length // chunk) * chunk
    flops = 4.0 * length * size * head_dim * (2 if projected else 1)
    flops += 2.0 * length * chunk * (size + head_dim) if causal else 0.0
    return Cost(flops, 4.0 * (4 * length * head_dim + 3 * size * chunk))
