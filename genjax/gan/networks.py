"""Generators, discriminators and the reconstructor, as pure functions of their parameters.

Samples carry two leading axes: generators see latents [passes, batch, latent], discriminators
inputs [groups, batch, ...]. Whatever looks at a whole batch (batch norm, minibatch layers) looks
along the second axis, so that one call serves real and fake batches, or the members of a pack,
without mixing them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genjax.images import layers

ARCHITECTURES = ("mlp", "dcgan", "metz")
LAYERS = ("maxout", "relu", "leaky_relu", "silu")
MINIBATCH = ("none", "stddev", "discrimination")
PIECES = 5
FREQUENCIES = 32
# Salimans et al. 2016, section 3.2: kernels and their dimensions.
KERNELS, KERNEL_SIZE = 50, 5
# PacGAN's running statistics: 0.95 of the old value, 0.05 of the new.
MOMENTUM, EPSILON = 0.95, 1e-4


class Networks(NamedTuple):
    """The nets of a GAN. `total` sums a pytree over the devices that share the batch.

    init: key -> {"generator", "discriminator", "statistics" and, where asked, "reconstructor" and
        "ratio"}.
    generate: (params, statistics, latents [passes, b, latent], total or None) -> (samples
        [passes, b, *shape], new statistics). Batch norm normalises each pass by itself; with
        total=None it takes the running statistics, as a test does.
    discriminate: (params, inputs [groups, b, *packed shape], total, gather) -> [groups, b, 1 + k],
        the logit and, for a mixture of k generators, the logits of who made it.
    reconstruct: (params, samples [..., *shape]) -> latents [..., latent].
    log_ratio: (params, samples [b, *shape]) -> [b], an estimate of log p(data) / p(generated).
    separate: whether each logit depends on its own samples alone.
    """

    init: Callable
    generate: Callable
    discriminate: Callable
    reconstruct: Callable
    log_ratio: Callable
    latent: int
    shape: tuple[int, ...]
    separate: bool


def _kernel_init(std: float):
    return nn.initializers.normal(std) if std else nn.initializers.variance_scaling(
        1.0, "fan_in", "normal"
    )  # fmt: skip


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


def _judging(x, kernel, dimensions, precision=None):
    """`layers.product` as a discriminator's nn.Dense asks for it."""
    del dimensions, precision
    return layers.product(x, kernel)


class _Dense(nn.Module):
    width: int
    layer: str
    init_std: float
    dtype: jnp.dtype
    norm: bool
    running: bool
    dot_general: Callable = jax.lax.dot_general

    @nn.compact
    def __call__(self, h, total):
        pieces = PIECES if self.layer == "maxout" else 1
        init = _kernel_init(self.init_std)
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
        return _activate(self.layer, h)


def _activate(name, h):
    return {"relu": nn.relu, "silu": nn.silu, "leaky_relu": lambda h: nn.leaky_relu(h, 0.2)}[name](
        h
    )


class MLPGenerator(nn.Module):
    """Dense layers, batch norm or none after each, and a linear one to the samples.

    skip: adds another from the inputs to the samples.
    """

    shape: tuple[int, ...]
    width: int
    depth: int
    layer: str
    norm: bool
    init_std: float
    squash: str
    dtype: jnp.dtype
    skip: bool = False

    @nn.compact
    def __call__(self, z, total):
        h = z
        for _ in range(self.depth):
            h = _Dense(self.width, self.layer, self.init_std, self.dtype, self.norm, running=True)(
                h, total
            )
        size = math.prod(self.shape)
        init = {"kernel_init": _kernel_init(self.init_std), "dtype": self.dtype}
        h = nn.Dense(size, **init)(h).astype(jnp.float32)
        if self.skip:
            h += nn.Dense(size, use_bias=False, **init)(z).astype(jnp.float32)
        h = h.reshape(*h.shape[:-1], *self.shape)
        return nn.tanh(h) if self.squash == "tanh" else h


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

    width: int
    depth: int
    layer: str
    norm: bool
    init_std: float
    minibatch: str
    outputs: int
    fourier: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, total, gather):
        h = x.reshape(*x.shape[:2], -1)
        if self.fourier:
            h = Fourier(FREQUENCIES, self.fourier)(h)
        for _ in range(self.depth):
            h = _Dense(
                self.width, self.layer, self.init_std, self.dtype, self.norm, False, _judging
            )(h, total)
        if self.minibatch != "none":
            h = Minibatch(self.minibatch)(h, total, gather)
        init = _kernel_init(self.init_std)
        return nn.Dense(self.outputs, kernel_init=init, dtype=self.dtype)(h).astype(jnp.float32)


def _plan(arch: str, side: int) -> tuple[int, list[int], int, int]:
    """(kernel size, generator's channels, first side, first channels) of a convolutional net."""
    halvings = max(1, round(math.log2(side / 2))) if arch == "dcgan" else 3
    if arch == "dcgan":
        halvings = min(4, halvings)
        return 5, [512 >> i for i in range(1, halvings)], -(-side // 2**halvings), 512
    return 3, [32, 16, 8], -(-side // 8), 64


class ConvGenerator(nn.Module):
    """A dense layer and strided transposed convolutions, batch norm and relu after each, tanh.

    `dcgan`: 5x5, 512 channels halved at each of up to four layers; `metz`: 3x3, 64-32-16-8 and a
    last convolution (PacGAN's two Stacked-MNIST nets). A side is the next one's half, rounded up.
    """

    arch: str
    shape: tuple[int, ...]
    init_std: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, z, total):
        size, channels, first, width = _plan(self.arch, self.shape[0])
        groups, batch = z.shape[:2]
        init = {"kernel_init": _kernel_init(self.init_std), "dtype": self.dtype}
        h = nn.Dense(first * first * width, use_bias=False, **init)(z)
        h = nn.relu(BatchNorm()(h.reshape(groups, batch, first, first, width), total))
        halvings = len(channels) + (self.arch == "dcgan")
        for i, count in enumerate(channels, 1):
            h = h.reshape(-1, *h.shape[2:])
            h = layers.Upsample(count, size, use_bias=False, **init)(h)
            rows, columns = (-(-side // 2 ** (halvings - i)) for side in self.shape[:2])
            h = h[:, :rows, :columns]
            h = nn.relu(BatchNorm()(h.reshape(groups, batch, *h.shape[1:]), total))
        h = h.reshape(-1, *h.shape[2:])
        if self.arch == "dcgan":
            h = layers.Upsample(self.shape[-1], size, **init)(h)
        else:
            h = nn.Conv(self.shape[-1], (size, size), **init)(h)
        rows, columns, _ = self.shape
        h = h[:, :rows, :columns].astype(jnp.float32)
        return nn.tanh(h.reshape(groups, batch, *self.shape))


class ConvDiscriminator(nn.Module):
    """Strided convolutions, leaky relu, a linear layer; batch norm where asked.

    `dcgan`: 5x5, 64 channels doubled up to 512, slope 0.2, no norm at the first; `metz`: 3x3,
    8-16-32 times `fraction`, slope 0.3, norm at all.
    """

    arch: str
    fraction: float
    norm: bool
    init_std: float
    minibatch: str
    outputs: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, total, gather):
        groups, batch = x.shape[:2]
        size, channels, _, width = _plan(self.arch, x.shape[2])
        channels = [width, *channels][::-1] if self.arch == "dcgan" else channels[::-1]
        slope = 0.2 if self.arch == "dcgan" else 0.3
        init = {"kernel_init": _kernel_init(self.init_std), "dtype": self.dtype}
        h = x
        for i, count in enumerate(channels):
            norm = self.norm and (i > 0 or self.arch == "metz")
            count = max(1, round(count * self.fraction))
            h = h.reshape(-1, *h.shape[2:])
            h = nn.Conv(
                count,
                (size, size),
                2,
                use_bias=not norm,
                conv_general_dilated=layers.convolution,
                **init,
            )(h)
            h = h.reshape(groups, batch, *h.shape[1:])
            h = nn.leaky_relu(BatchNorm(running=False)(h, total) if norm else h, slope)
        h = h.reshape(groups, batch, -1)
        if self.minibatch != "none":
            h = Minibatch(self.minibatch)(h, total, gather)
        return nn.Dense(self.outputs, **init)(h).astype(jnp.float32)


def build(
    *,
    shape: tuple[int, ...],
    latent: int,
    pack: int = 1,
    generators: int = 1,
    reconstructor: bool = False,
    ratio: bool = False,
    arch: str = "mlp",
    g_width: int = 128,
    g_depth: int = 2,
    g_layer: str = "relu",
    g_skip: bool = False,
    g_norm: bool = False,
    d_width: int = 128,
    d_depth: int = 2,
    d_layer: str = "leaky_relu",
    d_norm: bool = False,
    d_fraction: float = 1.0,
    d_fourier: float = 0.0,
    init_std: float = 0.0,
    spectral_norm: bool = False,
    minibatch: str = "none",
    squash: str = "none",
    dtype: jnp.dtype = jnp.float32,
) -> Networks:
    """The nets of a GAN for samples of `shape`.

    generators: a mixture of k generators that share all but their first layer (MGAN, Hoang et al.
        2018): the latent is followed by a one-hot code, and the first layer sees (code, code x
        latent), which is one dense layer a generator; so does the linear path of `g_skip`.
    reconstructor: a net from samples to latents whose codes the discriminator sees beside the
        samples (VEEGAN, Srivastava et al. 2017). mlp only.
    ratio: a net for `log_ratio`, the discriminator's but for packs, norms and batch features.
    init_std: of all kernels; 0 takes LeCun's 1/fan_in.
    """
    outputs = 1 + (generators if generators > 1 else 0)
    common = {"init_std": init_std, "dtype": dtype}
    if arch == "mlp":
        generator = MLPGenerator(
            shape, g_width, g_depth, g_layer, g_norm, squash=squash, skip=g_skip, **common
        )  # fmt: skip
        discriminator = MLPDiscriminator(
            d_width,
            d_depth,
            d_layer,
            d_norm,
            minibatch=minibatch,
            outputs=outputs,
            fourier=d_fourier,
            **common,
        )
    else:
        generator = ConvGenerator(arch, shape, **common)
        discriminator = ConvDiscriminator(
            arch, d_fraction, d_norm, minibatch=minibatch, outputs=outputs, **common
        )
    estimator = discriminator.copy(norm=False, minibatch="none", outputs=1)
    inverse = MLPGenerator((latent,), g_width, g_depth, g_layer, False, squash="none", **common)

    def features(z):
        if generators == 1:
            return z
        z, code = z[..., :latent], z[..., latent:]
        joint = (code[..., :, None] * z[..., None, :]).reshape(*z.shape[:-1], -1)
        return jnp.concatenate([code, joint], -1)

    def packed(sample_shape):
        # Images are packed along channels, vectors along their only axis.
        return (*sample_shape[:-1], sample_shape[-1] * pack)

    def alone(tree):
        return tree

    def init(key):
        keys = jax.random.split(key, 4)
        z = jnp.zeros((1, 2, latent + (generators if generators > 1 else 0)))
        made = generator.init(keys[0], features(z), alone)
        x = jnp.zeros((1, 2, *packed(shape)))
        if reconstructor:
            x = jnp.zeros((1, 2, packed(shape)[0] + pack * latent))
        params = {
            "generator": made["params"],
            "statistics": made.get("statistics", {}),
            "discriminator": discriminator.init(keys[1], x, alone, alone)["params"],
        }
        if reconstructor:
            flat = jnp.zeros((1, 2, math.prod(shape)))
            params["reconstructor"] = inverse.init(keys[2], flat, None)["params"]
        if ratio:
            x = jnp.zeros((1, 2, *shape))
            params["ratio"] = estimator.init(keys[3], x, alone, alone)["params"]
        return params

    def generate(params, statistics, z, total):
        variables = {"params": params, "statistics": statistics}
        if total is None or not statistics:
            return generator.apply(variables, features(z), total), statistics
        x, new = generator.apply(variables, features(z), total, mutable=["statistics"])
        return x, new["statistics"]

    def discriminate(params, x, total, gather):
        if spectral_norm:
            params = layers.spectral_normalize(params)
        return discriminator.apply({"params": params}, x, total, gather)

    def reconstruct(params, x):
        return inverse.apply(
            {"params": params}, x.reshape(*x.shape[: x.ndim - len(shape)], -1), None
        )

    def log_ratio(params, x):
        return estimator.apply({"params": params}, x[None], alone, alone)[0, :, 0]

    separate = minibatch == "none" and not d_norm
    return Networks(init, generate, discriminate, reconstruct, log_ratio, latent, shape, separate)


def pack(samples: Float[Array, "groups b m *shape"]) -> Float[Array, "groups b *packed"]:
    """Joins the m members of each pack along their last axis (PacGAN, Lin et al. 2018)."""
    m = samples.shape[2]
    members = [samples[:, :, i] for i in range(m)]
    return members[0] if m == 1 else jnp.concatenate(members, -1)
