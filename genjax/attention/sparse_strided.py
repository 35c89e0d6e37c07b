"""Sparse Transformer, strided (Child et al. 2019, section 4.3): causal, heads merged.

A query i sees {i - l .. i} and {j <= i : (i - j) mod l = 0}. With l near sqrt(n) about 8 n^1.5 d
FLOPs a head.
"""

import math

from genjax.attention import blocks
from genjax.attention.variant import Variant, of_pattern
from genjax.core.errors import UsageError


def make(
    length: int, head_dim: int, *, causal: bool = True, stride: int = 0, block: int = 256
) -> Variant:
    """stride: l; 0: the multiple of 8 nearest to sqrt(length). Raises UsageError unless causal."""
    if not causal:
        raise UsageError("--variants=sparse_strided: is causal by definition; give --causal")
    stride = stride or max(8, 8 * round(math.sqrt(length) / 8))
    (near,) = blocks.band(length, stride, 0, block=min(block, stride)).parts
    (far,) = blocks.band(length, None, 0, block=block, stride=stride).parts
    inside = far.allowed

    def beyond(i, j):
        return inside(i, j) & (i - j > stride)

    far = far._replace(allowed=beyond, whole=far.whole * 0)
    return of_pattern(blocks.Pattern(length, (near, far)), head_dim, f"stride {stride}")
