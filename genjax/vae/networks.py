"""Autoencoders, deterministic and variational, as pure functions of their parameters.

`build` returns a `Model`. Every one of them can be read in the same way: `encode` does all that
does not depend on noise, `draw` turns noise into latents, `decode` turns latents into pixels. An
importance-weighted bound with 5,000 samples therefore encodes an image once.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genjax.images.layers import GaussianHead, PixelDecoder, PixelEncoder, Stack, spectral_normalize
from genjax.vae import densities


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

    layers: tuple[int, ...]
    arch: str
    hidden: tuple[int, ...]
    channels: int
    activation: str
    dtype: jnp.dtype
    image_shape: tuple[int, int, int]

    def _ends(self):
        common = (self.channels, self.activation, self.dtype)
        self.encoder = PixelEncoder(self.arch, self.hidden, *common)
        self.decoder = PixelDecoder(self.arch, self.hidden[::-1], *common, self.image_shape)
        self.pixel_log_std = self.param("pixel_log_std", nn.initializers.constant(-2.0), ())

    def _upper_stack(self, layer: int) -> Stack:
        # Each further layer has half the width of the one below: Burda's 200-200 / 100-100.
        widths = tuple(max(1, width // 2**layer) for width in self.hidden)
        return Stack(widths, self.activation, self.dtype)

    def decode(self, z):
        return self.decoder(z)

    def __call__(self, images):
        """Touches every parameter once, which is what initialisation needs."""
        noise = jnp.zeros((images.shape[0], sum(self.layers)))
        self.descend(noise)
        return self.decode(self.draw(self.encode(images), noise).z)


class _Flat(_Base):
    """One layer: a point (deterministic) or a diagonal Gaussian; prior N(0, I) or VampPrior."""

    deterministic: bool
    pseudo_inputs: int

    def setup(self):
        self._ends()
        if self.deterministic:
            self.head = nn.Dense(
                self.layers[0], dtype=self.dtype, kernel_init=nn.initializers.xavier_uniform()
            )
        else:
            self.head = GaussianHead(self.layers[0], self.dtype)
        if self.pseudo_inputs:
            shape = (self.pseudo_inputs, *self.image_shape)
            self.pseudo = self.param("pseudo_inputs", nn.initializers.zeros, shape)

    def encode(self, images):
        h = self.head(self.encoder(images))
        if self.deterministic:
            return {"mean": h.astype(jnp.float32)}
        return {"mean": h[0], "log_std": h[1]}

    def mean(self, code):
        return code["mean"]

    def draw(self, code, noise):
        if self.deterministic:
            z = jnp.broadcast_to(code["mean"], noise.shape)
            return Draw(z, jnp.zeros(z.shape[:-1]), jnp.zeros((*z.shape[:-1], 0)), z)
        mean, log_std = code["mean"], code["log_std"]
        z = mean + jnp.exp(log_std) * noise
        log_q = densities.gaussian_log_prob(z, mean, log_std).sum(-1)
        if self.pseudo_inputs:
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
        uppers = range(1, len(self.layers))
        self.up = [self._upper_stack(i) for i in uppers]
        self.up_heads = [GaussianHead(size, self.dtype) for size in self.layers]
        self.down = [self._upper_stack(i) for i in uppers]
        self.down_heads = [GaussianHead(self.layers[i - 1], self.dtype) for i in uppers]

    def _split(self, noise):
        """Noise of all layers, lowest first."""
        edges = [sum(self.layers[:i]) for i in range(1, len(self.layers))]
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
        noise = jnp.zeros((heads[0][0].shape[0], sum(self.layers)))
        return self.draw(code, noise).z

    def draw(self, code, noise):
        noises = self._split(noise)
        prior = (jnp.zeros(()), jnp.zeros(()))
        kls, means, log_ratio, z = [], [], 0.0, None
        for i in reversed(range(len(self.layers))):
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
        return Draw(z, log_ratio, jnp.concatenate(kls[::-1], -1), jnp.concatenate(means[::-1], -1))


def build(
    *,
    image_shape: tuple[int, int, int],
    latent: int,
    layers: int = 1,
    family: str = "flat",
    deterministic: bool = False,
    pseudo_inputs: int = 0,
    arch: str = "mlp",
    hidden: tuple[int, ...] = (200, 200),
    channels: int = 32,
    activation: str = "relu",
    likelihood: str = "bernoulli",
    decoder_std: float | None = None,
    spectral_norm: bool = False,
    dtype: jnp.dtype = jnp.float32,
) -> Model:
    """Wires a family of autoencoders into pure functions.

    family: `flat` (Kingma & Welling 2014; with `pseudo_inputs` Tomczak & Welling 2018's VampPrior),
        `hierarchical` (Burda et al. 2016, two stochastic layers in the paper) or `ladder`
        (Sonderby et al. 2016). Each layer above the first has half the latents and half the widths.
    likelihood: `bernoulli` (a likelihood of binary images only; on grey levels a cross-entropy) or
        `gaussian` with mean sigmoid(logits) and one standard deviation for all pixels:
        `decoder_std`, or learned where it is None (Rybkin et al. 2021, sigma-VAE).
    spectral_norm: divides the decoder's kernels by their largest singular value (RAE-SN).
    """
    sizes = tuple(max(1, latent // 2**i) for i in range(layers))
    common = (sizes, arch, hidden, channels, activation, dtype, image_shape)
    if family == "flat":
        module = _Flat(*common, deterministic, pseudo_inputs)
    else:
        module = {"hierarchical": _Hierarchical, "ladder": _Ladder}[family](*common)

    def init(key, images: Float[Array, "b h w c"]):
        params = module.init(key, images)["params"]
        mean = jnp.clip(images.mean(0), 1e-3, 1 - 1e-3)
        params["decoder"]["pixel_bias"] = (jnp.log(mean) - jnp.log1p(-mean)).ravel()
        if pseudo_inputs:
            # Near the data: the mean image plus noise, through the sigmoid's inverse.
            noise = jax.random.normal(jax.random.fold_in(key, 1), params["pseudo_inputs"].shape)
            params["pseudo_inputs"] = params["decoder"]["pixel_bias"].reshape(image_shape) + noise
        if likelihood == "bernoulli" or decoder_std is not None:
            del params["pixel_log_std"]
        return params

    def bound(method):
        def call(params, *args):
            if "pixel_log_std" not in params:
                params = params | {"pixel_log_std": jnp.zeros(())}
            if spectral_norm:
                params = params | {"decoder": spectral_normalize(params["decoder"])}
            return module.apply({"params": params}, *args, method=method)

        return call

    def log_std(params):
        return params["pixel_log_std"] if decoder_std is None else jnp.log(decoder_std)

    def log_prob(params, logits, images):
        logits = logits.reshape(*logits.shape[:-3], -1)
        images = images.reshape(*images.shape[:-3], -1)
        if likelihood == "bernoulli":
            return densities.bernoulli_log_prob(logits, images)
        return densities.gaussian_log_prob(images, nn.sigmoid(logits), log_std(params)).sum(-1)

    return Model(
        init=init,
        encode=bound("encode"),
        draw=bound("draw"),
        mean=bound("mean"),
        descend=bound("descend"),
        mixture=bound("mixture") if pseudo_inputs else None,
        decode=bound("decode"),
        log_prob=log_prob,
        log_std=None if likelihood == "bernoulli" else log_std,
        layers=sizes,
    )


def parameter_count(params) -> int:
    """The number of scalars in a pytree of parameters."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
