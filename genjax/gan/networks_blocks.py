"""Building blocks of both players: kernels, batch norm, and features of a whole batch.

Their inputs have two leading axes, [groups, batch, ...]; whatever looks at a batch looks along the
second.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

MINIBATCH = ("none", "stddev", "discrimination")
# Salimans et al. 2016, section 3.2: kernels and their dimensions.
KERNELS, KERNEL_SIZE = 50, 5
# PacGAN's running statistics: 0.95 of the old value, 0.05 of the new.
MOMENTUM, EPSILON = 0.95, 1e-4


def kernel_init(std: float) -> Callable:
    """Normal kernels of this standard deviation; 0 takes LeCun's 1/fan_in."""
    return (
        nn.initializers.normal(std)
        if std
        else nn.initializers.variance_scaling(1.0, "fan_in", "normal")
    )


def moments(h: Array, axes: tuple[int, ...], total: Callable) -> tuple[Array, Array]:
    """Mean and (biased) variance over `axes` and over all devices, kept as axes of size 1."""
    count = total(jnp.float32(math.prod(h.shape[axis] for axis in axes)))
    mean = total(h.sum(axes, keepdims=True)) / count
    return mean, total(((h - mean) ** 2).sum(axes, keepdims=True)) / count


class BatchNorm(nn.Module):
    """Batch norm over the batch and space of each leading group, in float32.

    running: keeps running statistics, the collection `statistics`; total=None normalises by them.
    """

    running: bool = True

    @nn.compact
    def __call__(self, h, total):
        width = h.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        h = h.astype(jnp.float32)
        kept = ()
        if self.running:
            mean = self.variable("statistics", "mean", jnp.zeros, (width,))
            variance = self.variable("statistics", "variance", jnp.ones, (width,))
            kept = (mean, variance)
        if total is None:
            now = [value.value for value in kept]
        else:
            now = moments(h, tuple(range(1, h.ndim - 1)), total)
            if self.is_mutable_collection("statistics") and not self.is_initializing():
                for value, new in zip(kept, now, strict=False):
                    new = jax.lax.stop_gradient(new).reshape(-1, width).mean(0)
                    value.value = MOMENTUM * value.value + (1 - MOMENTUM) * new
        return (h - now[0]) * (scale * jax.lax.rsqrt(now[1] + EPSILON)) + bias


class Minibatch(nn.Module):
    """Features of the batch as a whole, appended to h [groups, b, n].

    `stddev`: the mean over features of their standard deviation (Karras et al. 2018, section 3).
    `discrimination`: nearness to the other examples (Salimans et al. 2016, section 3.2).
    """

    kind: str

    @nn.compact
    def __call__(self, h, total, gather):
        if self.kind == "stddev":
            _, variance = moments(h, (1,), total)
            spread = jnp.sqrt(variance + 1e-8).mean(-1, keepdims=True)
            return jnp.concatenate([h, jnp.broadcast_to(spread, (*h.shape[:2], 1))], -1)
        size = KERNELS * KERNEL_SIZE
        kernel = self.param("tensor", nn.initializers.normal(0.05), (h.shape[-1], size))
        features = (h @ kernel).reshape(*h.shape[:2], KERNELS, KERNEL_SIZE)
        # `gather` joins along the first axis; the batch is the second.
        others = gather(features.swapaxes(0, 1)).swapaxes(0, 1)
        distance = jnp.abs(features[:, :, None] - others[:, None]).sum(-1)
        near = jnp.exp(-distance).sum(2) - 1
        return jnp.concatenate([h, near], -1)
