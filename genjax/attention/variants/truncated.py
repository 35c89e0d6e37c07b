"""Truncation: only the last L positions see, and are seen; the others get zeros.

4 L^2 d FLOPs a head, whatever the length.
"""

import numpy as np

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.variant import Variant, of_pattern


@register(
    short=lambda length: {"keep": length // 2},
    sharded="one device has the last positions; nothing is left to share",
)
def truncated(
    length: int, head_dim: int, *, causal: bool = False, keep: int = 512, tile: int = 256
) -> Variant:
    """keep: L, positions. tile: queries, and keys, of a tile, at most; changes speed alone."""
    kept = min(keep, length)
    (part,) = blocks.band(kept, None, 0 if causal else None, block=tile).parts
    shift = length - kept
    part = part._replace(
        queries=np.where(part.queries < 0, -1, part.queries + shift),
        keys=np.where(part.keys < 0, -1, part.keys + shift),
    )
    note = f"the last {kept} positions" + ("" if kept < length else ": full attention")
    return of_pattern(blocks.Pattern(length, (part,)), head_dim, note)
