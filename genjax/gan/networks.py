"""Generators, discriminators and the reconstructor, as pure functions of their parameters.

Samples carry two leading axes: generators see latents [passes, batch, latent], discriminators
inputs [groups, batch, ...]. Whatever looks at a whole batch (batch norm, minibatch layers) looks
along the second axis, so that one call serves real and fake batches, or the members of a pack,
without mixing them.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genjax.core import parallel
from genjax.gan.architecture import Architecture
from genjax.gan.networks_convolutional import PLANS, ConvDiscriminator, ConvGenerator
from genjax.gan.networks_dense import MLPDiscriminator, MLPGenerator
from genjax.images import layers

# (generator, discriminator) by name: modules of an Architecture.
PAIRS = {"mlp": (MLPGenerator, MLPDiscriminator)} | dict.fromkeys(
    PLANS, (ConvGenerator, ConvDiscriminator)
)


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


def build(architecture: Architecture) -> Networks:
    """The nets of an architecture."""
    a = architecture
    make_generator, make_discriminator = PAIRS[a.arch]
    generator = make_generator(a)
    discriminator = make_discriminator(a, a.outputs)
    estimator = make_discriminator(replace(a, d_norm=False, minibatch="none"), 1)
    inverse = MLPGenerator(replace(a, shape=(a.latent,), g_norm=False, g_skip=False, squash="none"))

    def init(key):
        keys = jax.random.split(key, 4)
        z = jnp.zeros((1, 2, a.latent + a.codes))
        made = generator.init(keys[0], _features(a, z), parallel.identity)
        # Images are packed along channels, vectors along their only axis.
        *sides, last = a.shape
        x = jnp.zeros((1, 2, *sides, a.pack * (last + (a.latent if a.reconstructor else 0))))
        params = {
            "generator": made["params"],
            "statistics": made.get("statistics", {}),
            "discriminator": discriminator.init(keys[1], x, parallel.identity, parallel.identity)[
                "params"
            ],
        }
        if a.reconstructor:
            flat = jnp.zeros((1, 2, math.prod(a.shape)))
            params["reconstructor"] = inverse.init(keys[2], flat, None)["params"]
        if a.ratio:
            x = jnp.zeros((1, 2, *a.shape))
            params["ratio"] = estimator.init(keys[3], x, parallel.identity, parallel.identity)[
                "params"
            ]
        return params

    def generate(params, statistics, z, total):
        variables = {"params": params, "statistics": statistics}
        if total is None or not statistics:
            return generator.apply(variables, _features(a, z), total), statistics
        x, new = generator.apply(variables, _features(a, z), total, mutable=["statistics"])
        return x, new["statistics"]

    def discriminate(params, x, total, gather):
        if a.spectral_norm:
            params = layers.spectral_normalize(params)
        return discriminator.apply({"params": params}, x, total, gather)

    def reconstruct(params, x):
        flat = x.reshape(*x.shape[: x.ndim - len(a.shape)], -1)
        return inverse.apply({"params": params}, flat, None)

    def log_ratio(params, x):
        outputs: Any = estimator.apply(
            {"params": params}, x[None], parallel.identity, parallel.identity
        )
        return outputs[0, :, 0]

    separate = a.minibatch == "none" and not a.d_norm
    return Networks(
        init, generate, discriminate, reconstruct, log_ratio, a.latent, a.shape, separate
    )


def _features(architecture: Architecture, z: Array) -> Array:
    """What the generator's first layer sees of latents [..., latent + codes]."""
    if not architecture.codes:
        return z
    z, code = z[..., : architecture.latent], z[..., architecture.latent :]
    joint = (code[..., :, None] * z[..., None, :]).reshape(*z.shape[:-1], -1)
    return jnp.concatenate([code, joint], -1)


def pack(samples: Float[Array, "groups b m *shape"]) -> Float[Array, "groups b *packed"]:
    """Joins the m members of each pack along their last axis (PacGAN, Lin et al. 2018)."""
    m = samples.shape[2]
    members = [samples[:, :, i] for i in range(m)]
    return members[0] if m == 1 else jnp.concatenate(members, -1)
