"""Full attention as textbooks write it: the n x n matrix is formed (Vaswani et al. 2017, eq. 1).

4 n^2 d FLOPs a head, and 4 n^2 bytes for each matrix of that size: two forward, four backward.
"""

import jax
import jax.numpy as jnp

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.variant import Cost, Variant


@register()
def full(length: int, head_dim: int, *, causal: bool = False) -> Variant:
    """softmax(q k^T / sqrt(d)) v over all pairs, or those with j <= i."""

    def attend(q, k, v, *, mask=None, extra=None):
        del extra
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
        scores = scores * q.shape[-1] ** -0.5
        seen = None
        if causal:
            seen = jnp.tril(jnp.ones((length, length), bool))[None, None]
        if mask is not None:
            keys = mask[:, None, None, :]
            seen = keys if seen is None else seen & keys
        if seen is not None:
            scores = jnp.where(seen, scores, blocks.NONE)
        weights = jax.nn.softmax(scores)
        if mask is not None and seen is not None:
            weights = jnp.where(seen, weights, 0.0)
        return jnp.einsum("bhqk,bkhd->bqhd", weights.astype(v.dtype), v)

    # The scores and the weights.
    cost = Cost(4.0 * length**2 * head_dim, 2 * 4.0 * length**2)
    # The backward pass has four such matrices alive, on CPU up to six below a length of 1024, and
    # computes no scores again.
    return Variant(attend, cost, backward_flops=2.0, both_bytes=2.0)
