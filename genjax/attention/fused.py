"""Exact attention by kernels that others wrote: splash on a TPU (Pallas), cuDNN's on a GPU.

`unfit` says in a line what each would need. Neither ran on a real device yet: `splash` is compared
with the tiles in Pallas' interpret mode, and both are compiled by the devices' own compilers.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

# Positions of a tile of splash attention, forward and backward.
TILES, LEAST = (512, 256, 128), 128
BLOCKS = (
    *("block_q", "block_kv", "block_kv_compute"),
    *("block_q_dkv", "block_kv_dkv", "block_kv_dkv_compute", "block_q_dq", "block_kv_dq"),
)
# Numbers of a head that cuDNN takes on all GPUs.
CUDNN_MOST, CUDNN_STEP = 128, 8


def unfit(kernel: str, platform: str, length: int, head_dim: int, dtype: str) -> str:
    """What `splash` or `cudnn` would need to run; '' where it can. platform: cpu, gpu or tpu."""
    if kernel == "splash":
        if platform != "tpu":
            return "a TPU"
        if length % LEAST:
            return f"lengths of multiples of {LEAST}, not {length:,}"
        return "" if dtype != "float16" else "--dtype=bfloat16 or float32"
    if platform not in ("gpu", "cuda"):
        return "a CUDA GPU"
    if jnp.dtype(dtype).itemsize != 2:
        return "--dtype=bfloat16 or float16"
    if head_dim % CUDNN_STEP or head_dim > CUDNN_MOST:
        return f"--head_dim of a multiple of {CUDNN_STEP} up to {CUDNN_MOST}, not {head_dim}"
    return f"even lengths, not {length:,}" if length % 2 else ""


def splash(causal: bool, interpret: bool = False) -> Callable:
    """`Variant.attend` by jax's Pallas kernel for TPU. interpret: on any platform, slowly."""
    # Pallas takes half a second to import.
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    def attend(q, k, v, *, mask=None, extra=None):
        del extra
        _, length, heads, dim = q.shape
        shape, size = (length, length), next(size for size in TILES if length % size == 0)
        one = masks.CausalMask(shape) if causal else masks.FullMask(shape)
        sizes: dict[str, Any] = dict.fromkeys(BLOCKS, size)
        kernel = kernels.make_splash_mha_single_device(
            masks.MultiHeadMask([one] * heads),
            block_sizes=kernels.BlockSizes(**sizes),
            interpret=interpret,
        )
        rows = cast(Callable[..., jax.Array], jax.vmap(kernel))
        q, k, v = (x.swapaxes(1, 2) for x in ((q * dim**-0.5).astype(q.dtype), k, v))
        if mask is None:
            return rows(q, k, v).swapaxes(1, 2)
        # A key of another segment than the queries' is not seen.
        segments = kernels.SegmentIds(jnp.zeros_like(mask, jnp.int32), (~mask).astype(jnp.int32))
        out = rows(q, k, v, segments).swapaxes(1, 2)
        # The kernel gives a query without a key some mean of the values.
        reached = jnp.cumsum(mask, 1) > 0 if causal else mask.any(1, keepdims=True)
        return jnp.where(reached[:, :, None, None], out, 0)

    return attend


def cudnn(causal: bool, otherwise: Callable) -> Callable:
    """`Variant.attend` by cuDNN, through `jax.nn.dot_product_attention`.

    otherwise: computes where there is a key mask, which cuDNN takes as a matrix of all pairs alone;
        and whose gradient under `jax.vmap`, where all seeds share the mask, is a TypeError until
        after jax 0.11.0 (jax issue 38495).
    """

    def attend(q, k, v, *, mask=None, extra=None):
        if mask is not None:
            return otherwise(q, k, v, mask=mask, extra=extra)
        return jax.nn.dot_product_attention(q, k, v, is_causal=causal, implementation="cudnn")

    return attend
