"""Linformer (Wang et al. 2020, eq. 7): keys and values projected to k rows over the length.

softmax(q (E k)^T / sqrt(d)) F v with learned E, F [k, n], shared among heads, and with each other
on request. Not causal, and bound to one length. 8 n k d FLOPs a head.
"""

import jax
import jax.numpy as jnp
from jax import lax

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.variant import Cost, Variant, needed


@register(causal=(False,), short=lambda length: {"rank": length // 4})
def linformer(
    length: int,
    head_dim: int,
    *,
    causal: bool = False,
    rank: int = 256,
    shared: bool = True,
    tile: int = 512,
) -> Variant:
    """rank: k; shared: E = F. tile: queries of a tile, at most; changes speed alone.

    `extra` holds the parameters E and F [k, n]: `both`, or `keys` and `values`. Raises UsageError
    where causal.
    """
    names = ("both",) if shared else ("keys", "values")
    size = blocks.block_size(length, tile)
    count = -(-length // size)

    def init(key):
        keys = jax.random.split(key, len(names))
        return {
            name: jax.random.normal(k, (rank, length)) / rank**0.5
            for name, k in zip(names, keys, strict=True)
        }

    def attend(q, k, v, *, mask=None, extra=None):
        down = needed(extra)
        if mask is not None:
            k, v = (jnp.where(mask[:, :, None, None], x, 0) for x in (k, v))
        down = [down[names[0]].astype(k.dtype), down[names[-1]].astype(v.dtype)]
        k, v = (jnp.einsum("rn,bnhd->bhrd", e, x) for e, x in zip(down, (k, v), strict=True))
        k, v = (x.reshape(-1, rank, head_dim) for x in (k, v))
        rows = jnp.pad(blocks.heads_apart(q), ((0, 0), (0, count * size - length), (0, 0)))
        rows = rows.reshape(-1, count, size, head_dim).swapaxes(2, 3) * head_dim**-0.5

        @jax.checkpoint
        def of_block(k, v, q):
            scores = blocks.dot(k, q)
            weights = jnp.exp(scores - lax.stop_gradient(scores.max(0)))
            out = blocks.dot(v.T, weights.astype(v.dtype))
            return (out / weights.sum(0)).T

        def row(q, k, v):
            return lax.map(lambda block: of_block(k, v, block), q)

        out = blocks.over_rows(row, length, rows, k, v).astype(q.dtype)
        return blocks.heads_together(out.reshape(len(out), -1, head_dim)[:, :length], len(q))

    cost = Cost(8.0 * length * rank * head_dim, 4.0 * (2 * length * head_dim + 2 * size * rank))
    return Variant(attend, cost, init, trained=True, backward_flops=2.0)
