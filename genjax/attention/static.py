"""Causal softmax attention of one row in a few static tiles, for lengths that the caches hold.

A block of queries meets all keys up to its own end in one product: no loop over tiles, no online
softmax, and of a masked tile no more than the diagonal's half is wasted. Scores lie [keys,
queries], as in blocks.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.attention import blocks
from genjax.attention.blocks import dot

# Up to this length; tiles that a row is cut into, up to blocks.SHORT positions and beyond. More
# tiles waste less of the diagonal, and take longer to compile.
LONGEST, FEW, TILES = 1024, 2, 4


def tiles_of(length: int) -> int:
    """How many a row of so many positions is cut into; 0 where it is not."""
    count = FEW if length <= blocks.SHORT else TILES
    return count if length <= LONGEST and length % count == 0 else 0


def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v over j <= i: [batch, length, heads, head_dim], like q."""
    scaled = (q.astype(jnp.float32) * q.shape[-1] ** -0.5).astype(q.dtype)
    rows = (blocks.heads_apart(x) for x in (scaled, k, v))
    return blocks.heads_together(_core(*rows), q.shape[0])


@jax.custom_vjp
def _core(q, k, v):
    return _forward(q, k, v)[0]


def _forward(q, k, v):
    """Rows [rows, length, dim]; long ones one after the other on CPU."""
    out, lse = blocks.over_rows(_row, q.shape[1], q, k, v)
    return out.swapaxes(1, 2), (q, k, v, out, lse)


def _backward(saved, d_out):
    d_q, d_k, d_v = blocks.over_rows(_row_backward, d_out.shape[1], *saved, d_out)
    return d_q.swapaxes(1, 2), d_k, d_v


_core.defvjp(_forward, _backward)


def _row(q, k, v):
    """The output [dim, length] and the log-sum-exp [length] of a row, q already scaled."""
    # Turned once: XLA:CPU multiplies by a transposed left side two to three times slower, and held,
    # or it would make such a product of the turning and the product.
    v_t = lax.optimization_barrier(v.T)
    outs, sums = [], []
    for own in _cuts(len(q)):
        scores = _scores(q, k, own)
        top = scores.max(0)
        weights = jnp.exp(scores - top)
        total = weights.sum(0)
        outs.append(dot(v_t[:, : own.stop], weights.astype(v.dtype)) / total)
        sums.append(top + jnp.log(total))
    return lax.optimization_barrier(jnp.concatenate(outs, 1).astype(q.dtype)), jnp.concatenate(sums)


def _row_backward(q, k, v, out, lse, d_out):
    """Gradients by the scaled q [dim, length], k and v [length, dim]; out and lse of `_row`."""
    k_t = lax.optimization_barrier(k.T)
    inner = (out.T.astype(jnp.float32) * d_out).sum(-1)
    d_q, d_k, d_v = [], jnp.zeros(k.shape), jnp.zeros(v.shape)
    for own in _cuts(len(q)):
        end = own.stop
        weights = jnp.exp(_scores(q, k, own) - lse[own])
        slopes = weights * (dot(v[:end], d_out[own].T) - inner[own])
        weights, slopes = weights.astype(q.dtype), slopes.astype(q.dtype)
        d_v = d_v.at[:end].add(dot(weights, d_out[own]))
        d_k = d_k.at[:end].add(dot(slopes, q[own]))
        d_q.append(dot(k_t[:, :end], slopes))
    d_q = lax.optimization_barrier(jnp.concatenate(d_q, 1))
    return tuple(x.astype(q.dtype) for x in (d_q, d_k, d_v))


def _cuts(length):
    size = length // tiles_of(length)
    return [slice(start, start + size) for start in range(0, length, size)]


def _scores(q, k, own):
    """Of a block of queries and all keys up to its end, [keys, queries], float32."""
    found = dot(k[: own.stop], q[own].T)
    seen = np.arange(own.stop)[:, None] <= np.arange(own.start, own.stop)
    return jnp.where(seen, found, blocks.NONE)
