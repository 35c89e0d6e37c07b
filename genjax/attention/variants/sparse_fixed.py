"""Sparse Transformer, fixed (Child et al. 2019, section 4.3): causal, heads merged.

A query i sees {j <= i : floor(j/l) = floor(i/l)} and {j <= i : j mod l >= l - c}: its own block,
and the last c positions of every earlier one. 2 n^2 d c/l FLOPs a head: quadratic unless l grows.
"""

import numpy as np

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.variant import Variant, of_pattern
from genjax.core.errors import UsageError


@register(causal=(True,), short=lambda length: {"stride": 8, "summary": 2})
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
