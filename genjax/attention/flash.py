"""Exact attention in tiles, O(n) memory (Rabe & Staats 2021; FlashAttention, Dao et al. 2022).

4 n^2 d FLOPs a head (half of them causal, up to the diagonal's tiles), 16 n d bytes.

On a GPU with half-precision inputs `--implementation=cudnn` takes cuDNN's fused kernel through
`jax.nn.dot_product_attention`; elsewhere, and by `blocks`, it is the kernel of blocks.py.
"""

import jax
import jax.numpy as jnp

from genjax.attention import blocks
from genjax.attention.variant import Variant, of_pattern
from genjax.errors import UsageError

IMPLEMENTATIONS = ("auto", "blocks", "cudnn")


def make(
    length: int,
    head_dim: int,
    *,
    causal: bool = False,
    block: int = 512,
    implementation: str = "auto",
    dtype: str = "float32",
) -> Variant:
    """Raises UsageError where cuDNN is asked for and cannot run."""
    on_gpu = jax.default_backend() == "gpu"
    half = jnp.dtype(dtype).itemsize == 2
    if implementation == "cudnn" and not (on_gpu and half):
        missing = "a GPU" if not on_gpu else "--dtype=bfloat16 or float16"
        raise UsageError(f"--implementation=cudnn: needs {missing}; take auto or blocks")
    pattern = blocks.band(length, None, 0 if causal else None, block=block)
    variant = of_pattern(pattern, head_dim, note="computed by genjax.attention.blocks")
    if implementation == "cudnn" or (implementation == "auto" and on_gpu and half):
        return variant._replace(attend=_cudnn(causal), note="computed by cuDNN")
    return variant


def _cudnn(causal: bool):
    def attend(q, k, v, *, mask=None, extra=None):
        del extra
        seen = None if mask is None else mask[:, None, None, :]
        out = jax.nn.dot_product_attention(
            q, k, v, mask=seen, is_causal=causal, implementation="cudnn"
        )
        if mask is None:
            return out
        reached = jnp.cumsum(mask, 1) > 0 if causal else mask.any(1, keepdims=True)
        return jnp.where(reached[:, :, None, None], out, 0)

    return attend
