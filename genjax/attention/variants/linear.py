"""Linear attention (Katharopoulos et al. 2020, eq. 5-7): phi(x) = elu(x) + 1.

4 n d^2 FLOPs a head; causal by sums over the chunks before, and the chunk's own pairs.
"""

import jax
import jax.numpy as jnp

from genjax.attention import blocks, kernelized
from genjax.attention.registry import register
from genjax.attention.variant import Sharded, Variant


@jax.custom_jvp
def _phi(x):
    return jnp.where(x > 0, x + 1, blocks.exp(jnp.minimum(x, 0)))


@_phi.defjvp
def _(at, slopes):
    """1 where x > 0, else exp(x), of the value alone: autodiff's own takes four selections."""
    phi = _phi(*at)
    return phi, jnp.minimum(phi, 1) * slopes[0]


def _features(x, seen):
    del seen
    return _phi(x.astype(jnp.float32)), jnp.float32(0)


def _sharded(shards, options) -> Sharded:
    def attend(q, k, v, *, extra=None):
        del extra
        causal = options.causal
        return kernelized.attend(_features, q.shape[-1], q, k, v, causal=causal, shards=shards)

    return Sharded(attend, kernelized.travels(options.causal))


@register(sharded=_sharded)
def linear(length: int, head_dim: int, *, causal: bool = False) -> Variant:
    """No options: phi has as many features as the head has numbers, d."""

    def attend(q, k, v, *, mask=None, extra=None):
        del extra
        return kernelized.attend(_features, head_dim, q, k, v, mask=mask, causal=causal)

    return Variant(attend, kernelized.cost(length, head_dim, head_dim, False, causal))
