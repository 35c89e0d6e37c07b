"""Sparse Transformer, strided (Child et al. 2019, section 4.3): causal, heads merged.

A query i sees {i - l .. i} and {j <= i : (i - j) mod l = 0}. With l near sqrt(n) about 8 n^1.5 d
FLOPs a head.
"""

import math

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.variant import Variant, of_pattern


@register(
    causal=(True,),
    short=lambda length: {"stride": 8},
    sharded="each of its strides runs over all devices; take sparse_fixed",
)
def sparse_strided(
    length: int, head_dim: int, *, causal: bool = True, stride: int = 0, tile: int = 256
) -> Variant:
    """stride: l, positions; 0: the multiple of 8 nearest to sqrt(length).

    tile: queries, and keys, of a tile, at most; changes speed alone. Raises UsageError unless
    causal.
    """
    stride = stride or max(8, 8 * round(math.sqrt(length) / 8))
    (near,) = blocks.band(length, stride, 0, block=min(tile, stride)).parts
    (far,) = blocks.band(length, None, 0, block=tile, stride=stride).parts

    def beyond(i, j):
        # The classes of a stride hold pairs that are multiples of it apart.
        return (i >= 0) & (i - j > stride)

    far = far._replace(allowed=beyond, whole=far.whole * 0)
    return of_pattern(blocks.Pattern(length, (near, far)), head_dim, f"stride {stride}")
