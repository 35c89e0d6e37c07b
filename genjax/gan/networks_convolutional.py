"""Convolutional players for images, after PacGAN's two Stacked-MNIST nets."""

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from genjax.gan.architecture import Architecture
from genjax.gan.networks_blocks import BatchNorm, Minibatch, kernel_init
from genjax.images import layers


class Plan(NamedTuple):
    """The layers of a pair of convolutional nets.

    kernel: side of all kernels. width: channels of the generator's first map. up: those after each
    layer that doubles its sides. transposed: whether the layer to the image doubles them too.
    down: channels of the discriminator's layers, each of which halves the sides. slope: of its
    leaky relu. norm_first: whether its first layer has a norm where the others have one.
    """

    kernel: int
    width: int
    up: tuple[int, ...]
    transposed: bool
    down: tuple[int, ...]
    slope: float
    norm_first: bool

    @property
    def doublings(self) -> int:
        """Layers of the generator that double its sides."""
        return len(self.up) + self.transposed


def _dcgan(side: int) -> Plan:
    """5x5, 512 channels halved at each of up to four layers; discriminator 64 doubled up to 512."""
    doublings = min(4, max(1, round(math.log2(side / 2))))
    up = tuple(512 >> i for i in range(1, doublings))
    return Plan(5, 512, up, True, (512, *up)[::-1], 0.2, norm_first=False)


def _metz(side: int) -> Plan:
    """3x3, 64-32-16-8 and a last convolution; discriminator 8-16-32."""
    del side
    return Plan(3, 64, (32, 16, 8), False, (8, 16, 32), 0.3, norm_first=True)


# Functions of an image's side.
PLANS: dict[str, Callable[[int], Plan]] = {"dcgan": _dcgan, "metz": _metz}


class ConvGenerator(nn.Module):
    """A dense layer and strided transposed convolutions, batch norm and relu after each, tanh.

    A side is the next one's half, rounded up.
    """

    architecture: Architecture

    @nn.compact
    def __call__(self, z, total):
        a = self.architecture
        rows, columns, channels = a.shape
        plan = PLANS[a.arch](rows)
        groups, batch = z.shape[:2]
        init = {"kernel_init": kernel_init(a.init_std), "dtype": a.dtype}
        first = -(-rows // 2**plan.doublings)
        h = nn.Dense(first * first * plan.width, use_bias=False, **init)(z)
        h = nn.relu(BatchNorm()(h.reshape(groups, batch, first, first, plan.width), total))
        for i, count in enumerate(plan.up, 1):
            h = h.reshape(-1, *h.shape[2:])
            h = layers.Upsample(count, plan.kernel, use_bias=False, **init)(h)
            height, width = (-(-side // 2 ** (plan.doublings - i)) for side in (rows, columns))
            h = h[:, :height, :width]
            h = nn.relu(BatchNorm()(h.reshape(groups, batch, *h.shape[1:]), total))
        h = h.reshape(-1, *h.shape[2:])
        if plan.transposed:
            h = layers.Upsample(channels, plan.kernel, **init)(h)
        else:
            h = nn.Conv(channels, (plan.kernel, plan.kernel), **init)(h)
        h = h[:, :rows, :columns].astype(jnp.float32)
        return nn.tanh(h.reshape(groups, batch, *a.shape))


class ConvDiscriminator(nn.Module):
    """Strided convolutions, leaky relu, a linear layer; batch norm where asked."""

    architecture: Architecture
    outputs: int

    @nn.compact
    def __call__(self, x, total, gather):
        a = self.architecture
        groups, batch = x.shape[:2]
        plan = PLANS[a.arch](x.shape[2])
        init = {"kernel_init": kernel_init(a.init_std), "dtype": a.dtype}
        h = x
        for i, count in enumerate(plan.down):
            norm = a.d_norm and (i > 0 or plan.norm_first)
            h = h.reshape(-1, *h.shape[2:])
            h = nn.Conv(
                max(1, round(count * a.d_fraction)),
                (plan.kernel, plan.kernel),
                2,
                use_bias=not norm,
                conv_general_dilated=layers.convolution,
                **init,
            )(h)
            h = h.reshape(groups, batch, *h.shape[1:])
            h = nn.leaky_relu(BatchNorm(running=False)(h, total) if norm else h, plan.slope)
        h = h.reshape(groups, batch, -1)
        if a.minibatch != "none":
            h = Minibatch(a.minibatch)(h, total, gather)
        return nn.Dense(self.outputs, **init)(h).astype(jnp.float32)
