"""Sparse Transformer, fixed (Child et al. 2019, section 4.3): causal, heads merged.

A query i sees {j <= i : floor(j/l) = floor(i/l)} and {j <= i : j mod l >= l - c}: its own block,
and the last c positions of every earlier one. 2 n^2 d c/l FLOPs a head: quadratic unless l grows.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.sharded import ring, tiles
from genjax.attention.variant import Sharded, Variant, of_pattern
from genjax.core.errors import UsageError


def _sharded(shards, options) -> Sharded:
    part, stride, summary = shards.part, options.stride, options.summary
    if part % stride:
        raise UsageError(f"--stride={stride}: does not divide a part of {part:,}")

    def positions(device):
        return device * part + jnp.arange(part)

    def summaries(x):
        """The last `summary` of each block of positions on the axis before the last."""
        x = x.reshape(*x.shape[:-2], -1, stride, x.shape[-1])[..., stride - summary :, :]
        return x.reshape(*x.shape[:-3], -1, x.shape[-1])

    def in_block(i, j):
        return (j <= i) & (j // stride == i // stride)

    def own():
        here = positions(lax.axis_index(shards.axis))
        return tiles.See(here, here, in_block, stride - 1, 0)

    def before(p, s):
        keys = summaries(positions(p if s is None else s)[:, None])[:, 0]
        return tiles.See(positions(p), keys, lambda i, j: j // stride < i // stride)

    def attend(q, k, v, extra):
        del extra
        near = tiles.attend(own, q, k, v, tile=stride)
        keys, values = summaries(k), summaries(v)
        far = ring.attend(shards, before, q, keys, values, options.tile, lambda p, s: s < p)
        return tiles.merge(near, far)[0]

    return Sharded(tiles.on_rows(attend), "summaries of blocks go round")


@register(causal=(True,), short=lambda length: {"stride": 8, "summary": 2}, sharded=_sharded)
def sparse_fixed(
    length: int,
    head_dim: int,
    *,
    causal: bool = True,
    stride: int = 128,
    summary: int = 32,
    tile: int = 256,
) -> Variant:
    """stride: l, summary: c, positions. tile: summaries of a tile, at most; changes speed alone.

    Raises UsageError unless causal, or where c > l.
    """
    if not 0 < summary <= stride:
        raise UsageError(f"--summary={summary}: must lie between 1 and the stride, {stride}")
    positions = np.arange(length)
    own = blocks.cut(positions, stride)
    rows = np.arange(len(own))
    near = blocks.from_ranges(own, own, rows, rows + 1, lambda i, j: j <= i)
    keys = positions[positions % stride >= stride - summary]
    if not keys.size:
        return of_pattern(blocks.Pattern(length, (near,)), head_dim)
    size = blocks.block_size(len(keys), tile)
    keys = blocks.cut(keys, size)
    # Block i of queries sees the summaries of the i blocks before it.
    far = blocks.from_ranges(
        own,
        keys,
        0,
        -(-rows * summary // size),
        lambda i, j: (j >= 0) & (j // stride < i // stride),
        lambda i, j: (j + 1) * size <= i * summary,
    )
    return of_pattern(blocks.Pattern(length, (near, far)), head_dim)
