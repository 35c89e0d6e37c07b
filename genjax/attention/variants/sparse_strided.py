"""Sparse Transformer, strided (Child et al. 2019, section 4.3): causal, heads merged.

A query i sees {i - l .. i} and {j <= i : (i - j) mod l = 0}. With l near sqrt(n) about 8 n^1.5 d
FLOPs a head.
"""

import math

import jax.numpy as jnp
from jax import lax

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.sharded import halo, tiles
from genjax.attention.variant import Sharded, Variant, of_pattern
from genjax.core.errors import UsageError


def _stride(length: int, stride: int) -> int:
    return stride or max(8, 8 * round(math.sqrt(length) / 8))


def _sharded(shards, options) -> Sharded:
    stride = _stride(options.length, options.stride)
    if shards.part % stride or stride % shards.devices:
        raise UsageError(
            f"--stride={stride}: a multiple of {shards.devices} that divides a part of "
            f"{shards.part:,}"
        )

    sides = (stride, 0)
    window = halo.Window(lambda i, j: (j <= i) & (i - j <= stride), sides, sides)

    def to_classes(x):
        """[rows, part, ...] -> [rows, length / stride, stride / devices, ...], classes of it."""
        x = x.reshape(len(x), -1, stride, *x.shape[2:])
        return lax.all_to_all(x, shards.axis, 2, 1, tiled=True)

    def back(x, rows: int):
        """[rows * stride / devices, length / stride, ...] -> [rows, part, ...]."""
        x = x.reshape(rows, -1, *x.shape[1:]).swapaxes(1, 2)
        x = lax.all_to_all(x, shards.axis, 1, 2, tiled=True)
        return x.reshape(rows, shards.part, *x.shape[3:])

    def own_classes():
        steps = jnp.arange(options.length // stride)
        # The stride before is in the window.
        return tiles.See(steps, steps, lambda i, j: j <= i - 2, right=-2)

    def attend(q, k, v, extra):
        del extra
        near = halo.attend(shards, window, q, k, v, options.tile)
        apart = (to_classes(x).swapaxes(1, 2) for x in (q, k, v))
        rows = (x.reshape(-1, *x.shape[2:]) for x in apart)
        far = (back(x, len(q)) for x in tiles.attend(own_classes, *rows, tile=options.tile))
        return tiles.merge(near, tuple(far))[0]

    return Sharded(tiles.on_rows(attend), "windows' borders; strides change places with positions")


@register(
    causal=(True,),
    short=lambda length: {"stride": 8},
    sharded=_sharded,
)
def sparse_strided(
    length: int, head_dim: int, *, causal: bool = True, stride: int = 0, tile: int = 256
) -> Variant:
    """stride: l, positions; 0: the multiple of 8 nearest to sqrt(length).

    tile: queries, and keys, of a tile, at most; changes speed alone. Raises UsageError unless
    causal.
    """
    stride = _stride(length, stride)
    (near,) = blocks.band(length, stride, 0, block=min(tile, stride)).parts
    (far,) = blocks.band(length, None, 0, block=tile, stride=stride).parts

    def beyond(i, j):
        # The classes of a stride hold pairs that are multiples of it apart.
        return (i >= 0) & (i - j > stride)

    far = far._replace(allowed=beyond, whole=far.whole * 0)
    return of_pattern(blocks.Pattern(length, (near, far)), head_dim, f"stride {stride}")
