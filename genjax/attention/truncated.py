"""Truncation: only the last L positions see, and are seen; the others get zeros.

4 L^2 d FLOPs a head, whatever the length.
"""

import numpy as np

from genjax.attention import blocks
from genjax.attention.variant import Variant, of_pattern


def make(
    length: int, head_dim: int, *, causal: bool = False, keep: int = 512, block: int = 256
) -> Variant:
    kept = min(keep, length)
    (part,) = blocks.band(kept, None, 0 if causal else None, block=block).parts
    shift = length - kept
    part = part._replace(
        queries=np.where(part.queries < 0, -1, part.queries + shift),
        keys=np.where(part.keys < 0, -1, part.keys + shift),
    )
    note = f"the last {kept} positions" + ("" if kept < length else ": full attention")
    return of_pattern(blocks.Pattern(length, (part,)), head_dim, note)
