"""BigBird (Zaheer et al. 2020, ITC): blocks of a window, of random others, and global ones.

Each block of queries sees the block before it, itself and the next, the first and the last block,
and three more drawn once without replacement; the first and the last see all. 4 n (8 + 2) b d FLOPs
a head with the paper's b = 64. Not causal, as in the paper.
"""

import numpy as np

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.sharded import halo, tiles
from genjax.attention.variant import Sharded, Variant, of_pattern
from genjax.core.errors import UsageError


def _sharded(shards, options) -> Sharded:
    block = options.block
    if options.random_blocks:
        raise UsageError("its random blocks lie on any device; give --random_blocks=0")
    if shards.part % block:
        raise UsageError(f"--block={block}: does not divide a part of {shards.part:,}")

    def inside(i, j):
        return abs(i // block - j // block) <= 1

    ends = np.r_[:block, options.length - block : options.length]
    few = halo.Chosen(np.unique(ends), lambda i, j: ~inside(i, j), None)
    # A whole block before and behind; its furthest pairs are two blocks' ends.
    window = halo.Window(inside, (2 * block - 1, 2 * block - 1), (block, block))

    def attend(q, k, v, extra):
        del extra
        near = halo.attend(shards, window, q, k, v, block)
        return halo.with_chosen(shards, near, few, q, k, v, block, (q, k, v))

    return Sharded(tiles.on_rows(attend), "windows' borders and global blocks")


# Of four blocks of eight it would see all.
@register(
    causal=(False,),
    short=lambda length: {"block": 8 if length > 64 else 2, "random_blocks": 1},
    sharded=_sharded,
)
def bigbird(
    length: int,
    head_dim: int,
    *,
    causal: bool = False,
    block: int = 64,
    random_blocks: int = 3,
    pattern_seed: int = 0,
) -> Variant:
    """block: b, positions. pattern_seed: of the random blocks.

    Raises UsageError where causal, or where the block does not divide the length.
    """
    if length % block:
        raise UsageError(f"--block={block}: does not divide the length {length}")
    positions = blocks.cut(np.arange(length), block)
    count = len(positions)
    blocks.require_table(count, min(count, 5 + random_blocks))
    rng = np.random.default_rng(pattern_seed)
    lists = []
    for i in range(count):
        if i in (0, count - 1):
            lists.append(np.arange(count))
            continue
        fixed = {0, count - 1, i - 1, i, i + 1}
        others = count - len(fixed)
        drawn = rng.choice(others, min(random_blocks, others), replace=False)
        for block_ in sorted(fixed):  # From a number among the others to a block's.
            drawn += drawn >= block_
        lists.append(np.array(sorted(fixed | set(drawn.tolist()))))
    sees_all = all(len(row) == count for row in lists)
    # The rows that see all have lists of their own length: a part apart keeps the table narrow.
    ends = [0, count - 1] if count > 1 else [0]
    inner = [i for i in range(count) if i not in ends]
    parts = [blocks.from_lists(positions[ends], positions, [lists[i] for i in ends])]
    if inner:
        parts.append(blocks.from_lists(positions[inner], positions, [lists[i] for i in inner]))
    note = "all blocks seen: full attention" if sees_all else ""
    return of_pattern(blocks.Pattern(length, tuple(parts)), head_dim, note)
