"""Linear attention (Katharopoulos et al. 2020, eq. 5-7): phi(x) = elu(x) + 1.

4 n d^2 FLOPs a head; causal by sums over the chunks before, and the chunk's own pairs.
"""

import jax.numpy as jnp

from genjax.attention import kernelized
from genjax.attention.registry import register
from genjax.attention.variant import Variant


@register()
def linear(length: int, head_dim: int, *, causal: bool = False) -> Variant:
    """No options: phi has as many features as the head has numbers, d."""

    def features(x, seen):
        del seen
        x = x.astype(jnp.float32)
        return jnp.where(x > 0, x + 1, jnp.exp(jnp.minimum(x, 0))), jnp.float32(0)

    def attend(q, k, v, *, mask=None, extra=None):
        del extra
        return kernelized.attend(features, head_dim, q, k, v, mask=mask, causal=causal)

    return Variant(attend, kernelized.cost(length, head_dim, head_dim, False, causal))
