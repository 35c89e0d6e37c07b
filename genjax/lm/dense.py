"""Dense layers of language models, in products that XLA:CPU is fast at."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from genjax.attention import blocks


def dense(width: int, dtype: jnp.dtype, name: str) -> nn.Dense:
    """A dense layer without a bias."""
    return nn.Dense(width, use_bias=False, dtype=dtype, name=name, dot_general=_dot_general)


def _dot_general(x, kernel, dimensions, precision=None):
    """x @ kernel as nn.Dense asks for it: [..., n], [n, m] -> [..., m]."""
    if blocks.platform() != "cpu":
        return jax.lax.dot_general(x, kernel, dimensions, precision)
    return _product(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _product(x, kernel):
    return x @ kernel


def _forward(x, kernel):
    return x @ kernel, (x, kernel)


def _backward(kept, slope):
    """The kernel's gradient by turning the narrower of x and the slope; autodiff's turns the slope.

    Held: else what makes the slope, such as a concatenation, is computed again for each product,
    and the turning becomes a part of the product, which then reads across its rows.
    """
    x, kernel = kept
    slope = jax.lax.optimization_barrier(slope)
    if x.shape[1] <= slope.shape[1]:
        by_kernel = jax.lax.optimization_barrier(x.T) @ slope
    else:
        by_kernel = (jax.lax.optimization_barrier(slope.T) @ x).T
    return slope @ kernel.T, by_kernel


_product.defvjp(_forward, _backward)
