"""Fully connected players, for points in the plane and for flat images."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

from genjax.gan.architecture import Architecture
from genjax.gan.networks_blocks import BatchNorm, Minibatch, kernel_init
from genjax.images import layers

ACTIVATIONS = {"relu": nn.relu, "leaky_relu": lambda h: nn.leaky_relu(h, 0.2), "silu": nn.silu}
LAYERS = ("maxout", *ACTIVATIONS)
PIECES = 5
FREQUENCIES = 32


class _Dense(nn.Module):
    """A dense layer, batch norm where asked, and an activation or the maximum of PIECES."""

    width: int
    layer: str
    init_std: float
    dtype: DTypeLike
    norm: bool
    running: bool
    dot_general: Callable = jax.lax.dot_general

    @nn.compact
    def __call__(self, h, total):
        pieces = PIECES if self.layer == "maxout" else 1
        init = kernel_init(self.init_std)
        h = nn.Dense(
            self.width * pieces,
            not self.norm,
            kernel_init=init,
            dtype=self.dtype,
            dot_general=self.dot_general,
        )(h)
        if self.norm:
            h = BatchNorm(self.running)(h, total)
        if pieces > 1:
            # Slices side by side and selections: a maximum over an inner axis, and its gradient
            # with its shares of ties, take XLA:CPU several times as long.
            first, *rest = jnp.split(h, pieces, -1)
            for piece in rest:
                first = jnp.where(piece > first, piece, first)
            return first
        return ACTIVATIONS[self.layer](h)


class MLPGenerator(nn.Module):
    """Dense layers, batch norm or none after each, and a linear one to the samples.

    `g_skip` adds another from the inputs to the samples.
    """

    architecture: Architecture

    @nn.compact
    def __call__(self, z, total):
        a = self.architecture
        h = z
        for _ in range(a.g_depth):
            h = _Dense(a.g_width, a.g_layer, a.init_std, a.dtype, a.g_norm, running=True)(h, total)
        size = math.prod(a.shape)
        init = {"kernel_init": kernel_init(a.init_std), "dtype": a.dtype}
        h = nn.Dense(size, **init)(h).astype(jnp.float32)
        if a.g_skip:
            h += nn.Dense(size, use_bias=False, **init)(z).astype(jnp.float32)
        h = h.reshape(*h.shape[:-1], *a.shape)
        return nn.tanh(h) if a.squash == "tanh" else h


class Fourier(nn.Module):
    """Sines and cosines of random projections, which let a dense net see fine detail.

    Random Fourier features (Tancik et al. 2020), learned from there on, with wavelengths
    log-uniform between `finest` and 100 times that: [..., n] -> [..., 2 features].
    """

    features: int
    finest: float

    @nn.compact
    def __call__(self, x):
        def init(key, shape):
            direction, size = jax.random.split(key)
            kernel = jax.random.normal(direction, shape)
            kernel /= jnp.linalg.norm(kernel, axis=0, keepdims=True)
            wavelength = self.finest * 100 ** jax.random.uniform(size, shape[1:])
            return kernel / wavelength

        turns = x @ self.param("frequencies", init, (x.shape[-1], self.features))
        return jnp.concatenate([wave(turns), wave(turns + 0.25)], -1)


def wave(turns: Array) -> Array:
    """A sine of `turns` periods made of parabolas, within 0.06 of it and as smooth in slope.

    XLA:CPU's own sine takes some ten times as long.
    """
    turns -= jax.lax.stop_gradient(jnp.round(turns))
    return 8 * turns * (1 - 2 * jnp.abs(turns))


class MLPDiscriminator(nn.Module):
    """Dense or maxout layers and a linear one; minibatch features before it."""

    architecture: Architecture
    outputs: int

    @nn.compact
    def __call__(self, x, total, gather):
        a = self.architecture
        h = x.reshape(*x.shape[:2], -1)
        if a.d_fourier:
            h = Fourier(FREQUENCIES, a.d_fourier)(h)
        for _ in range(a.d_depth):
            h = _Dense(a.d_width, a.d_layer, a.init_std, a.dtype, a.d_norm, False, layers.by_rows)(
                h, total
            )
        if a.minibatch != "none":
            h = Minibatch(a.minibatch)(h, total, gather)
        init = kernel_init(a.init_std)
        return nn.Dense(self.outputs, kernel_init=init, dtype=a.dtype)(h).astype(jnp.float32)
