"""Autoencoders, deterministic and variational, as pure functions of their parameters.

`build` returns a `Model`. Every one of them can be read in the same way: `encode` does all that
does not depend on noise, `draw` turns noise into latents, `decode` turns latents into pixels. An
importance-weighted bound with 5,000 samples therefore encodes an image once.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genjax.images.layers import GaussianHead, PixelDecoder, PixelEncoder, Stack, spectral_normalize
from genjax.vae import densities
from genjax.vae.architecture import Architecture


class Draw(NamedTuple):
    """One draw of the posterior for each image; leading axes as in the noise.

    z: [..., latent], what the decoder reads (the lowest stochastic layer).
    log_ratio: [...], log p(z) - log q(z|x) of all layers at the draw, in nats.
    kl: [..., units], KL(q(z|x) || p(z)) in nats unit by unit: in closed form where there is one
        (given the layers above), else log q - log p at the draw. One column in all where the prior
        does not factorise. No columns for a deterministic encoder.
    means: [..., units], the posterior means of all layers.
    """

    z: Array
    log_ratio: Array
    kl: Array
    means: Array


class Model(NamedTuple):
    """A latent-variable model as pure functions.

    init: (key, images [b, h, w, c]) -> params; the images set the pixel biases.
    encode: (params, images) -> code, a pytree with the batch as its leading axis.
    draw: (params, code, noise [..., b, noise_size]) -> Draw.
    mean: (params, code) -> [b, layers[0]], the code used as representation: the posterior mean of
        the lowest layer, the layers above at their means.
    descend: (params, noise [..., noise_size]) -> z: standard normals pushed down the generative
        hierarchy; the identity for one layer.
    mixture: None, or params -> (means, log_stds), each [components, latent]: a learned prior.
    decode: (params, z [..., latent]) -> logits [..., h, w, c].
    log_prob: (params, logits, images) -> [...], log p(x|z) in nats, summed over pixels.
    log_std: params -> scalar, the decoder's log standard deviation (Gaussian), or None.
    layers: the latent sizes, lowest first; noise_size is their sum.
    """

    init: Callable
    encode: Callable
    draw: Callable
    mean: Callable
    descend: Callable
    mixture: Callable | None
    decode: Callable
    log_prob: Callable
    log_std: Callable | None
    layers: tuple[int, ...]

    @property
    def noise_size(self) -> int:
        return sum(self.layers)


class _Base(nn.Module):
    """What all families share: the two ends that touch pixels, and the decoder's scale."""

    architecture: Architecture

    def _ends(self):
        a = self.architecture
        self.encoder = PixelEncoder(a.arch, a.hidden, a.channels, a.activation, a.dtype)
        self.decoder = PixelDecoder(
            a.arch, a.hidden[::-1], a.channels, a.activation, a.dtype, a.image_shape
        )
        self.pixel_log_std = self.param("pixel_log_std", nn.initializers.constant(-2.0), ())

    def _upper_stack(self, layer: int) -> Stack:
        # Each further layer has half the width of the one below: Burda's 200-200 / 100-100.
        widths = tuple(max(1, width // 2**layer) for width in self.architecture.hidden)
        return Stack(widths, self.architecture.activation, self.architecture.dtype)

    def decode(self, z):
        return self.decoder(z)

    def __call__(self, images):
        """Touches every parameter once, which is what initialisation needs."""
        noise = jnp.zeros((images.shape[0], sum(self.architecture.sizes)))
        self.descend(noise)
        return self.decode(self.draw(self.encode(images), noise).z)


class _Flat(_Base):
    """One layer: a point (deterministic) or a diagonal Gaussian; prior N(0, I) or VampPrior."""

    def setup(self):
        self._ends()
        a, xavier = self.architecture, nn.initializers.xavier_uniform()
        if a.deterministic:
            self.head = nn.Dense(a.sizes[0], dtype=a.dtype, kernel_init=xavier)
        else:
            self.head = GaussianHead(a.sizes[0], a.dtype)
        if a.pseudo_inputs:
            shape = (a.pseudo_inputs, *a.image_shape)
            self.pseudo = self.param("pseudo_inputs", nn.initializers.zeros, shape)

    def encode(self, images):
        h = self.encoder(images)
        if isinstance(self.head, nn.Dense):
            return {"mean": self.head(h).astype(jnp.float32)}
        mean, log_std = self.head(h)
        return {"mean": mean, "log_std": log_std}

    def mean(self, code):
        return code["mean"]

    def draw(self, code, noise):
        if self.architecture.deterministic:
            z = jnp.broadcast_to(code["mean"], noise.shape)
            return Draw(z, jnp.zeros(z.shape[:-1]), jnp.zeros((*z.shape[:-1], 0)), z)
        mean, log_std = code["mean"], code["log_std"]
        z = mean + jnp.exp(log_std) * noise
        log_q = densities.gaussian_log_prob(z, mean, log_std).sum(-1)
        if self.architecture.pseudo_inputs:
            log_ratio = densities.mixture_log_prob(z, *self.mixture()) - log_q
            kl = -log_ratio[..., None]
        else:
            log_ratio = densities.gaussian_log_prob(z, 0.0, 0.0).sum(-1) - log_q
            kl = jnp.broadcast_to(densities.kl_to_standard_normal(mean, log_std), z.shape)
        return Draw(z, log_ratio, kl, jnp.broadcast_to(mean, z.shape))

    def mixture(self):
        code = self.encode(nn.sigmoid(self.pseudo))
        return code["mean"], code["log_std"]

    def descend(self, noise):
        return noise


class _Deep(_Base):
    """Several stochastic layers: p(z_L) = N(0, I), p(z_l | z_l+1) diagonal Gaussians."""

    def _paths(self):
        self._ends()
        sizes, dtype = self.architecture.sizes, self.architecture.dtype
        uppers = range(1, len(sizes))
        self.up = [self._upper_stack(i) for i in uppers]
        self.up_heads = [GaussianHead(size, dtype) for size in sizes]
        self.down = [self._upper_stack(i) for i in uppers]
        self.down_heads = [GaussianHead(sizes[i - 1], dtype) for i in uppers]

    def _split(self, noise):
        """Noise of all layers, lowest first."""
        edges = [sum(self.architecture.sizes[:i]) for i in range(1, len(self.architecture.sizes))]
        return jnp.split(noise, edges, axis=-1)

    def _prior(self, layer, z_above):
        return self.down_heads[layer](self.down[layer](z_above))

    def descend(self, noise):
        *lower, z = self._split(noise)
        for i in reversed(range(len(lower))):
            mean, log_std = self._prior(i, z)
            z = mean + jnp.exp(log_std) * lower[i]
        return z


class _Hierarchical(_Deep):
    """Burda's stochastic layers: q(z1|x) q(z2|z1) ... bottom-up, p(z2) p(z1|z2) p(x|z1)."""

    def setup(self):
        self._paths()

    def encode(self, images):
        mean, log_std = self.up_heads[0](self.encoder(images))
        return {"mean": mean, "log_std": log_std}

    def mean(self, code):
        return code["mean"]

    def draw(self, code, noise):
        noises = self._split(noise)
        posteriors = [(code["mean"], code["log_std"])]
        zs = [code["mean"] + jnp.exp(code["log_std"]) * noises[0]]
        for stack, head, above in zip(self.up, self.up_heads[1:], noises[1:], strict=True):
            mean, log_std = head(stack(zs[-1]))
            posteriors.append((mean, log_std))
            zs.append(mean + jnp.exp(log_std) * above)
        priors = [self._prior(i, z) for i, z in enumerate(zs[1:])] + [(0.0, 0.0)]
        kl = jnp.concatenate(
            [
                densities.gaussian_log_prob(z, *q) - densities.gaussian_log_prob(z, *p)
                for z, q, p in zip(zs, posteriors, priors, strict=True)
            ],
            -1,
        )
        means = [jnp.broadcast_to(q[0], z.shape) for z, q in zip(zs, posteriors, strict=True)]
        return Draw(zs[0], -kl.sum(-1), kl, jnp.concatenate(means, -1))


class _Ladder(_Deep):
    """Ladder VAE (Sonderby et al. 2016): a deterministic path up, one shared path down.

    On the way down each layer's posterior is the precision-weighted product of what comes up from
    the image and the prior given the layer above (their eq. 8-10).
    """

    def setup(self):
        self._paths()

    def encode(self, images):
        h = self.encoder(images)
        heads = [self.up_heads[0](h)]
        for stack, head in zip(self.up, self.up_heads[1:], strict=True):
            h = stack(h)
            heads.append(head(h))
        return {"heads": heads}

    def mean(self, code):
        heads = code["heads"]
        noise = jnp.zeros((heads[0][0].shape[0], sum(self.architecture.sizes)))
        return self.draw(code, noise).z

    def draw(self, code, noise):
        noises = self._split(noise)
        prior = (jnp.zeros(()), jnp.zeros(()))
        kls, means, log_ratio, z = [], [], jnp.zeros(()), None
        for i in reversed(range(len(noises))):
            mean, log_std = code["heads"][i]
            if z is not None:
                prior = self._prior(i, z)
                mean, log_std = densities.gaussian_product(mean, log_std, *prior)
            z = mean + jnp.exp(log_std) * noises[i]
            log_ratio += (
                densities.gaussian_log_prob(z, *prior)
                - densities.gaussian_log_prob(z, mean, log_std)
            ).sum(-1)
            kls.append(jnp.broadcast_to(densities.gaussian_kl(mean, log_std, *prior), z.shape))
            means.append(jnp.broadcast_to(mean, z.shape))
        assert z is not None  # There is a layer.
        return Draw(z, log_ratio, jnp.concatenate(kls[::-1], -1), jnp.concatenate(means[::-1], -1))


FAMILIES = {"flat": _Flat, "hierarchical": _Hierarchical, "ladder": _Ladder}


def build(architecture: Architecture) -> Model:
    """Wires a family of autoencoders into pure functions."""
    a = architecture
    module = FAMILIES[a.family](a)

    def init(key, images: Float[Array, "b h w c"]):
        params = cast(dict, module.init(key, images)["params"])
        mean = jnp.clip(images.mean(0), 1e-3, 1 - 1e-3)
        params["decoder"]["pixel_bias"] = (jnp.log(mean) - jnp.log1p(-mean)).ravel()
        if a.pseudo_inputs:
            # Near the data: the mean image plus noise, through the sigmoid's inverse.
            noise = jax.random.normal(jax.random.fold_in(key, 1), params["pseudo_inputs"].shape)
            params["pseudo_inputs"] = params["decoder"]["pixel_bias"].reshape(a.image_shape) + noise
        if a.likelihood == "bernoulli" or a.decoder_std is not None:
            del params["pixel_log_std"]
        return params

    def bound(method):
        def call(params, *args):
            if "pixel_log_std" not in params:
                params = params | {"pixel_log_std": jnp.zeros(())}
            if a.spectral_norm:
                params = params | {"decoder": spectral_normalize(params["decoder"])}
            return module.apply({"params": params}, *args, method=method)

        return call

    def log_std(params):
        return params["pixel_log_std"] if a.decoder_std is None else jnp.log(a.decoder_std)

    def log_prob(params, logits, images):
        logits = logits.reshape(*logits.shape[:-3], -1)
        images = images.reshape(*images.shape[:-3], -1)
        if a.likelihood == "bernoulli":
            return densities.bernoulli_log_prob(logits, images)
        return densities.gaussian_log_prob(images, nn.sigmoid(logits), log_std(params)).sum(-1)

    return Model(
        init=init,
        encode=bound("encode"),
        draw=bound("draw"),
        mean=bound("mean"),
        descend=bound("descend"),
        mixture=bound("mixture") if a.pseudo_inputs else None,
        decode=bound("decode"),
        log_prob=log_prob,
        log_std=None if a.likelihood == "bernoulli" else log_std,
        layers=a.sizes,
    )


def parameter_count(params) -> int:
    """The number of scalars in a pytree of parameters."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
