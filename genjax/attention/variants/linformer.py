"""Linformer (Wang et al. 2020, eq. 7): keys and values projected to k rows over the length.

softmax(q (E k)^T / sqrt(d)) F v with learned E, F [k, n], shared among heads, and with each other
on request. Not causal, and bound to one length. 8 n k d FLOPs a head.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.variant import Cost, Sharded, Variant, needed


def _sharded(shards, options) -> Sharded:
    def attend(q, k, v, *, extra=None):
        down = needed(extra)
        down = [down[name] for name in _names(options.shared)]
        k, v = (
            lax.psum(_project(e.astype(x.dtype), x, jnp.float32), shards.axis).astype(x.dtype)
            for e, x in ((down[0], k), (down[-1], v))
        )
        return _look_up(q, k, v, options.tile)

    spread = PartitionSpec(None, shards.axis)
    return Sharded(attend, "projected keys and values, summed", spread)


def _names(shared: bool) -> tuple[str, ...]:
    return ("both",) if shared else ("keys", "values")


def _project(down, x, dtype=None):
    """[rank, length] and [batch, length, heads, dim] -> [batch, heads, rank, dim]."""
    return jnp.einsum("rn,bnhd->bhrd", down, x, preferred_element_type=dtype)


def _look_up(q, k, v, tile: int):
    """softmax(q k^T / sqrt(d)) v of keys and values [batch, heads, rank, dim], like q."""
    length, head_dim = q.shape[1], q.shape[3]
    size = blocks.block_size(length, tile)
    count = -(-length // size)
    k, v = (x.reshape(-1, x.shape[2], head_dim) for x in (k, v))
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


@register(causal=(False,), short=lambda length: {"rank": length // 4}, sharded=_sharded)
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
    names = _names(shared)
    size = blocks.block_size(length, tile)

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
        k, v = (_project(e, x) for e, x in zip(down, (k, v), strict=True))
        return _look_up(q, k, v, tile)

    cost = Cost(8.0 * length * rank * head_dim, 4.0 * (2 * length * head_dim + 2 * size * rank))
    return Variant(attend, cost, init, trained=True, backward_flops=2.0)
