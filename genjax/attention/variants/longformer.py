"""Longformer (Beltagy et al. 2020, section 3.1): a window, dilated on request; global positions.

A query i sees |i - j| <= d w/2 with (i - j) mod d = 0; causal: that with j <= i. Global positions
see all and are seen by all; their own rows have projections of their own. 4 n (w + block) d FLOPs a
head.
"""

import functools

import numpy as np
from jax.sharding import PartitionSpec

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.sharded import halo, tiles
from genjax.attention.variant import Cost, Sharded, Variant, of_pattern, pattern_cost
from genjax.core.errors import UsageError


def _sharded(shards, options) -> Sharded:
    half, stride, causal = options.window // 2, options.dilation, options.causal
    if shards.part % stride:
        raise UsageError(f"--dilation={stride}: does not divide a part of {shards.part:,}")
    sides = half, 0 if causal else half

    def inside(i, j):
        return (i - j <= sides[0]) & (j - i <= sides[1])

    def reach(i, j):
        return j <= i if causal else (i >= 0) & (j >= 0)

    def beyond(i, j):
        near = ((i - j) % stride == 0) & inside(i // stride, j // stride)
        return reach(i, j) & ~near

    few = halo.Chosen(np.array(sorted(set(options.global_positions))), beyond, reach)

    def attend(q, k, v, extra):
        window = halo.Window(inside, sides, sides, stride)
        out, lse = halo.attend(shards, window, q, k, v, options.tile)
        if not few.positions.size:
            return out
        own = tuple(extra.get(name, x) for name, x in (("q", q), ("k", k), ("v", v)))
        return halo.with_chosen(shards, (out, lse), few, q, k, v, options.tile, own)

    note = "windows' borders" + (" and global positions" if few.positions.size else "")
    return Sharded(tiles.on_rows(attend), note, PartitionSpec(None, shards.axis))


@register(short=lambda length: {"window": 16}, sharded=_sharded)
def longformer(
    length: int,
    head_dim: int,
    *,
    causal: bool = False,
    window: int = 512,
    dilation: int = 1,
    global_positions: tuple[int, ...] = (),
    tile: int = 256,
) -> Variant:
    """window: w, positions, both sides together. dilation: d.

    tile: queries, and keys, of a tile, at most; changes speed alone. `extra` may hold `q`, `k`, `v`
    [batch, length, heads, head_dim] for the rows of the global positions (by default the ordinary
    ones). Raises UsageError where a global position lies outside.
    """
    half = window // 2
    note = "" if half * dilation < length - 1 else "the window holds all: full attention"
    (near,) = blocks.band(
        length, half, 0 if causal else half, block=min(tile, max(8, half)), stride=dilation
    ).parts
    if not global_positions:
        return of_pattern(blocks.Pattern(length, (near,)), head_dim, note)
    bad = [g for g in global_positions if not 0 <= g < length]
    if bad:
        raise UsageError(f"--global_positions={bad[0]}: must lie between 0 and {length - 1}")
    chosen = np.array(sorted(set(global_positions)))
    everywhere = near.queries if dilation == 1 else blocks.cut(np.arange(length), tile)

    def among(i):
        return functools.reduce(lambda a, b: a | b, [i == g for g in chosen])

    def reach(i, j):
        return (i >= 0) & (j <= i) if causal else i >= 0

    inside = near.allowed or reach
    near = near._replace(
        allowed=lambda i, j: inside(i, j) & ~among(i) & ~among(j), whole=near.whole * 0
    )
    few = blocks.cut(chosen, blocks.block_size(len(chosen), tile))
    columns = blocks.from_ranges(
        everywhere, few, 0, len(few), lambda i, j: reach(i, j) & ~among(i) & (j >= 0)
    )
    rows = blocks.from_ranges(few, everywhere, 0, len(everywhere), reach)
    local = blocks.Pattern(length, (near, columns))
    across = blocks.Pattern(length, (rows,))

    def attend(q, k, v, *, mask=None, extra=None):
        own = (extra or {}).get("q", q), (extra or {}).get("k", k), (extra or {}).get("v", v)
        return blocks.attend(local, q, k, v, mask=mask) + blocks.attend(across, *own, mask=mask)

    costs = pattern_cost(local, head_dim), pattern_cost(across, head_dim)
    return Variant(
        attend,
        Cost(*(sum(pair) for pair in zip(*costs, strict=True))),
        pattern=blocks.Pattern(length, local.parts + across.parts),
        note=note,
    )
