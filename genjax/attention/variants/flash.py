"""Exact attention in tiles, O(n) memory (Rabe & Staats 2021; FlashAttention, Dao et al. 2022).

4 n^2 d FLOPs a head (half of them causal, up to the diagonal's tiles), 16 n d bytes.

`--implementation` says what computes it: on a TPU Pallas' splash kernel, on a GPU cuDNN's, both in
fused.py; elsewhere, and by `tiles`, the kernel of blocks.py. Short
causal sequences on CPU are cut into a few static tiles instead, all rows at once: loops over tiles
and rows cost more there than the tiles (BUILD_NOTES.md).
"""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.attention import blocks, fused
from genjax.attention.catalogue import IMPLEMENTATIONS
from genjax.attention.registry import register
from genjax.attention.sharded import ring
from genjax.attention.sharded import tiles as part_tiles
from genjax.attention.variant import Sharded, Variant, of_pattern
from genjax.core.errors import UsageError

# Up to this length a causal sequence is cut into static tiles on CPU, that many.
SHORT, TILES = 256, 2


def _ring(shards, options) -> Sharded:
    if options.implementation not in ("auto", "tiles"):
        raise UsageError(
            f"--implementation={options.implementation}: a ring computes in tiles; take auto or "
            "tiles"
        )
    part, causal = shards.part, options.causal

    def see(p, s):
        own = jnp.arange(part)
        queries, keys = p * part + own, (p if s is None else s) * part + own
        if causal and s is None:
            return part_tiles.See(queries, keys, lambda i, j: j <= i, right=0)
        return part_tiles.See(queries, keys)

    def attend(q, k, v, extra):
        del extra
        reached = (lambda p, s: s < p) if causal else None
        return ring.attend(shards, see, q, k, v, options.tile, reached)[0]

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
    short = causal and length <= SHORT and length % TILES == 0 and on == "cpu"
    if implementation == "auto" and short:
        tiles = blocks.band(length, None, 0, block=length // TILES)
        variant = of_pattern(tiles, head_dim, note="computed in static tiles")
        return variant._replace(attend=_short(variant.attend))
    return variant


def _short(otherwise):
    """Causal attention with each block of queries against all keys up to its end."""

    def cuts(length):
        size = length // TILES
        return [(slice(i * size, (i + 1) * size), (i + 1) * size) for i in range(TILES)]

    def scores(q, k, own):
        """[rows, keys, queries], as in blocks.py."""
        found = jnp.einsum("rkd,rqd->rkq", k, q, preferred_element_type=jnp.float32)
        queries, keys = np.arange(own.start, own.stop), np.arange(own.stop)
        return jnp.where(keys[:, None] <= queries, found, blocks.NONE)

    @jax.custom_vjp
    def core(q, k, v):
        return forward(q, k, v)[0]

    def forward(q, k, v):
        # XLA:CPU multiplies by a transposed left side three times slower.
        v_t = v.swapaxes(1, 2)
        outs, sums = [], []
        for own, end in cuts(q.shape[1]):
            found = scores(q[:, own], k[:, :end], own)
            top = found.max(1)
            weights = jnp.exp(found - top[:, None])
            total = weights.sum(1)
            out = jnp.einsum("rdk,rkq->rdq", v_t[:, :, :end], weights.astype(v.dtype))
            outs.append(out / total[:, None].astype(v.dtype))
            sums.append(top + jnp.log(total))
        out, lse = jnp.concatenate(outs, 2).swapaxes(1, 2), jnp.concatenate(sums, 1)
        return out, (q, k, v, out, lse)

    def backward(saved, d_out):
        q, k, v, out, lse = saved
        inner, k_t = (out * d_out).sum(-1), k.swapaxes(1, 2)
        d_q, d_k, d_v = [], jnp.zeros_like(k), jnp.zeros_like(v)
        for own, end in cuts(q.shape[1]):
            weights = jnp.exp(scores(q[:, own], k[:, :end], own) - lse[:, None, own])
            slopes = jnp.einsum("rkd,rqd->rkq", v[:, :end], d_out[:, own]) - inner[:, None, own]
            slopes = (weights * slopes).astype(q.dtype)
            weights = weights.astype(q.dtype)
            d_v = d_v.at[:, :end].add(jnp.einsum("rkq,rqd->rkd", weights, d_out[:, own]))
            d_k = d_k.at[:, :end].add(jnp.einsum("rkq,rqd->rkd", slopes, q[:, own]))
            d_q.append(jnp.einsum("rdk,rkq->rdq", k_t[:, :, :end], slopes))
        return jnp.concatenate(d_q, 2).swapaxes(1, 2), d_k, d_v

    core.defvjp(forward, backward)

    def attend(q, k, v, *, mask=None, extra=None):
        if mask is not None:
            return otherwise(q, k, v, mask=mask, extra=extra)
        scaled = (q.astype(jnp.float32) * q.shape[-1] ** -0.5).astype(q.dtype)
        rows = (blocks.heads_apart(x) for x in (scaled, k, v))
        return blocks.heads_together(core(*rows), q.shape[0])

    return attend
