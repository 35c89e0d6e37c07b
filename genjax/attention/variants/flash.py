"""Exact attention in tiles, O(n) memory (Rabe & Staats 2021; FlashAttention, Dao et al. 2022).

4 n^2 d FLOPs a head (half of them causal, up to the diagonal's tiles), 16 n d bytes.

`--implementation` says what computes it: on a TPU Pallas' splash kernel, on a GPU cuDNN's, both in
fused.py; elsewhere, and by `tiles`, the kernel of blocks.py. Causal sequences of up to
static.LONGEST positions on CPU are cut into a few static tiles instead.
"""

import jax
import jax.numpy as jnp

from genjax.attention import blocks, fused, static
from genjax.attention.catalogue import IMPLEMENTATIONS
from genjax.attention.registry import register
from genjax.attention.sharded import ring
from genjax.attention.sharded import tiles as part_tiles
from genjax.attention.variant import Sharded, Variant, of_pattern
from genjax.core.errors import UsageError


def _ring(shards, options) -> Sharded:
    if options.implementation not in ("auto", "tiles"):
        raise UsageError(
            f"--implementation={options.implementation}: a ring computes in tiles; take auto or "
            "tiles"
        )
    mirrored = options.causal and shards.part % 2 == 0

    def places(p):
        return ring.pieces(shards, p) if mirrored else p * shards.part + jnp.arange(shards.part)

    def see(p, s):
        queries, keys = places(p), places(p if s is None else s)
        if options.causal:
            return part_tiles.See(queries, keys, lambda i, j: j <= i, ascending=True)
        return part_tiles.See(queries, keys)

    def attend(q, k, v, extra):
        del extra
        if not mirrored:
            return ring.attend(shards, see, q, k, v, options.tile)[0]
        q, k, v = (ring.zigzag(shards, x) for x in (q, k, v))
        out, _ = ring.attend(shards, see, q, k, v, options.tile)
        return ring.zigzag(shards, out.astype(q.dtype), back=True)

    return Sharded(part_tiles.on_rows(attend), "keys and values go round")


@register(sharded=_ring)
def flash(
    length: int,
    head_dim: int,
    *,
    causal: bool = False,
    tile: int = 512,
    implementation: str = "auto",
    dtype: str = "float32",
    platform: str = "",
) -> Variant:
    """tile: queries, and keys, of a tile, at most; changes speed alone. dtype: of q, k and v.

    implementation: one of IMPLEMENTATIONS. platform: cpu, gpu or tpu, of the one device that
    computes it; '': jax's default, and `auto` takes no kernel that a mesh could not share. Raises
    UsageError for another implementation, or one that does not fit.
    """
    if implementation not in IMPLEMENTATIONS:
        raise UsageError(
            f"--implementation={implementation}: choose from {', '.join(IMPLEMENTATIONS)}"
        )
    on = platform or jax.default_backend()
    pattern = blocks.band(length, None, 0 if causal else None, block=tile)
    variant = of_pattern(pattern, head_dim, note="computed in tiles")
    for kernel, note in (("splash", "Pallas' splash attention"), ("cudnn", "cuDNN")):
        missing = fused.unfit(kernel, on, length, head_dim, dtype)
        if implementation == kernel and missing:
            raise UsageError(f"--implementation={kernel}: needs {missing}; take auto or tiles")
        if implementation == kernel or (implementation == "auto" and platform and not missing):
            splash = kernel == "splash"
            attend = fused.splash(causal) if splash else fused.cudnn(causal, variant.attend)
            return variant._replace(attend=attend, note=f"computed by {note}")
    tiles = static.tiles_of(length)
    if implementation == "auto" and causal and tiles and on == "cpu":
        pattern = blocks.band(length, None, 0, block=length // tiles)
        cut = of_pattern(pattern, head_dim, note="computed in static tiles")
        return cut._replace(attend=_static(cut.attend, variant.attend))
    return variant


def _static(masked, elsewhere):
    """`Variant.attend` by static tiles.

    masked, elsewhere: compute with a key mask, and for described devices other than this CPU.
    """

    def attend(q, k, v, *, mask=None, extra=None):
        if mask is not None:
            return masked(q, k, v, mask=mask, extra=extra)
        if blocks.platform() != "cpu":
            return elsewhere(q, k, v, extra=extra)
        return static.attend(q, k, v)

    return attend
