"""What autoencoders minimise, per example in nats; noise belongs to an example, not to its place.

An objective is `loss(params, batch, key, gather, **weights) -> (losses [batch], metrics)`; weights
are those that it was made with, or, as a part of training's state, arguments of a program. What it
was made with says which terms there are: one of weight 0 is not computed.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genjax.core.steps import example_noise
from genjax.vae import densities
from genjax.vae.networks import Model

# One stream of random numbers a purpose.
BINARIZE, POSTERIOR, CORRUPT, PRIOR, PROJECT = range(5)


def bernoulli_pixels(
    key: Array, index: Int[Array, " b"], grey: Float[Array, "b h w c"]
) -> Float[Array, "b h w c"]:
    """Binary images drawn anew from grey levels: the `dynamic` data set (Burda et al. 2016).

    Probabilities are rounded to multiples of 2^-16 (black and white stay certain), which halves
    the cost of the random numbers.
    """
    size = grey[0].size
    words = example_noise(jax.random.bits, key, BINARIZE, index, (-(-size // 2),))
    bits = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(grey.shape[0], -1)[:, :size]
    threshold = jnp.round(grey.reshape(bits.shape) * 2**16).astype(jnp.uint32)
    return (bits.astype(jnp.uint32) < threshold).astype(jnp.float32).reshape(grey.shape)


def _draws(model: Model, params, batch, key, k: int):
    """Code, k draws and log p(x|z) [k, b] of a batch."""
    noise = example_noise(jax.random.normal, key, POSTERIOR, batch["index"], (k, model.noise_size))
    code = model.encode(params, batch["image"])
    draw = model.draw(params, code, jnp.moveaxis(noise, 1, 0))
    return code, draw, model.log_prob(params, model.decode(params, draw.z), batch["image"])


def binarize(key: Array, batch: dict) -> dict:
    """A batch with its images drawn anew from their grey levels."""
    return batch | {"image": bernoulli_pixels(key, batch["index"], batch["image"])}


def elbo_loss(model: Model, *, k: int = 1, beta: float = 1.0, free_bits: float = 0.0) -> Callable:
    """-ELBO in nats, mean over k draws (Kingma & Welling 2014, eq. 10); beta weighs the rate.

    free_bits: a layer whose KL, averaged over the batch, is below this many nats is not pressed
    further (Kingma et al. 2016, eq. 15, by layer). The bound on the batch mean is a gate on each
    example's gradient, so that the loss stays a sum over examples.
    """
    edges, gated = [sum(model.layers[:i]) for i in range(1, len(model.layers))], free_bits > 0

    def loss(params, batch, key, gather, beta=beta, free_bits=free_bits):
        _, draw, log_prob = _draws(model, params, batch, key, k)
        distortion, kl = -log_prob.mean(0), draw.kl.mean(0)
        rate = kl.sum(-1)
        penalty = rate
        if gated:
            layers = jnp.stack([part.sum(-1) for part in jnp.split(kl, edges, -1)], -1)
            weight = gather(batch["weight"])[:, None]
            mean = (weight * gather(jax.lax.stop_gradient(layers))).sum(0) / weight.sum()
            penalty = jnp.where(mean > free_bits, layers, free_bits).sum(-1)
        return distortion + beta * penalty, {"rate": rate, "distortion": distortion}

    return loss


def iwae_loss(model: Model, *, k: int) -> Callable:
    """-log mean_k w in nats (Burda et al. 2016, eq. 8), the reparameterised gradient."""

    def loss(params, batch, key, gather):
        del gather
        _, draw, log_prob = _draws(model, params, batch, key, k)
        metrics = {"rate": draw.kl.mean(0).sum(-1), "distortion": -log_prob.mean(0)}
        return -densities.iwae_bound(log_prob + draw.log_ratio), metrics

    return loss


def dreg_loss(model: Model, *, k: int) -> Callable:
    """-log mean_k w with the doubly reparameterised gradient (Tucker et al. 2019, eq. 8).

    The encoder's gradient is sum_k v_k^2 d log w_k / dz dz/dphi with the normalised weights v, the
    decoder's is that of `iwae_loss`. For one stochastic layer with the prior N(0, I): the surrogate
    below has the bound's value, and the two gradients. Its passes through the decoder are equal up
    to stop_gradient, and compile to one.
    """

    def loss(params, batch, key, gather):
        del gather
        index, images = batch["index"], batch["image"]
        noise = example_noise(jax.random.normal, key, POSTERIOR, index, (k, model.noise_size))
        code = model.encode(params, images)
        z = code["mean"] + jnp.exp(code["log_std"]) * jnp.moveaxis(noise, 1, 0)
        frozen = jax.lax.stop_gradient(code)

        def log_weights(params, z):
            log_prob = model.log_prob(params, model.decode(params, z), images)
            log_prior = densities.gaussian_log_prob(z, 0.0, 0.0).sum(-1)
            log_q = densities.gaussian_log_prob(z, frozen["mean"], frozen["log_std"]).sum(-1)
            return log_prob + log_prior - log_q, log_prob

        fixed = jax.lax.stop_gradient(z)
        (log_w, log_prob) = log_weights(params, fixed)
        weights = jax.lax.stop_gradient(jax.nn.softmax(log_w, 0))
        _, pull = jax.vjp(lambda z: log_weights(jax.lax.stop_gradient(params), z)[0], fixed)
        dz = jax.lax.stop_gradient(weights[..., None] * pull(weights)[0])
        path = (dz * (z - fixed)).sum((0, -1))
        metrics = {
            "rate": densities.kl_to_standard_normal(code["mean"], code["log_std"]).sum(-1),
            "distortion": -log_prob.mean(0),
        }
        return -densities.iwae_bound(log_w) - path, metrics

    return loss


def reconstruction_loss(
    model: Model,
    *,
    corruption: float = 0.0,
    latent_weight: float = 0.0,
    decoder_l2: float = 0.0,
    decoder_gradient: float = 0.0,
    mmd_weight: float = 0.0,
) -> Callable:
    """-log p(x|z) in nats of a deterministic autoencoder, and what regularises it.

    corruption: standard deviation of the Gaussian noise added to the input, the target staying
        clean (denoising autoencoder, Vincent et al. 2008).
    latent_weight: times |z|^2 / 2; decoder_l2: times the squared norm of the decoder's kernels;
        decoder_gradient: times the squared Frobenius norm of the decoder's Jacobian, by one random
        projection an example (RAE, Ghosh et al. 2020, eq. 9-12).
    mmd_weight: times the unbiased squared MMD between the batch's codes and as many draws of
        N(0, I), inverse multiquadric kernels (WAE-MMD, Tolstikhin et al. 2018, algorithm 2).
    """

    made = {
        "corruption": corruption,
        "latent_weight": latent_weight,
        "decoder_l2": decoder_l2,
        "decoder_gradient": decoder_gradient,
        "mmd_weight": mmd_weight,
    }
    terms = {name for name, weight in made.items() if weight}

    def loss(params, batch, key, gather, **weights):
        weights = made | weights
        images, index = batch["image"], batch["index"]
        inputs = images
        if "corruption" in terms:
            noise = example_noise(jax.random.normal, key, CORRUPT, index, images.shape[1:])
            inputs = images + weights["corruption"] * noise
        z = model.mean(params, model.encode(params, inputs))
        distortion = -model.log_prob(params, model.decode(params, z), images)
        penalty = 0.5 * weights["latent_weight"] * (z**2).sum(-1)
        metrics = {"distortion": distortion}
        if "decoder_l2" in terms:
            flat, _ = jax.tree_util.tree_flatten_with_path(params["decoder"])
            squares = sum((v**2).sum() for p, v in flat if p[-1].key == "kernel")
            penalty += weights["decoder_l2"] * squares
        if "decoder_gradient" in terms:
            pixels, pull = jax.vjp(lambda z: jax.nn.sigmoid(model.decode(params, z)), z)
            noise = example_noise(jax.random.normal, key, PROJECT, index, pixels.shape[1:])
            penalty += weights["decoder_gradient"] * (pull(noise)[0] ** 2).sum(-1)
        if "mmd_weight" in terms:
            prior_key = jax.random.fold_in(key, PRIOR)
            mmd = _mmd_terms(z, gather(z), gather(batch["weight"]), prior_key)
            penalty += weights["mmd_weight"] * mmd
            metrics["mmd"] = mmd
        return distortion + penalty, metrics

    return loss


def _mmd_terms(z, all_z, all_weight, key):
    """Each example's part [b] of the batch's unbiased squared MMD to N(0, I); their mean is it.

    The codes of the other devices arrive as constants. A pair's kernel is symmetric, so that the
    gradient missing on their side is made up by counting it twice on this one.
    """
    count = all_weight.sum()
    prior = jax.random.normal(key, all_z.shape)

    def kernel_sums(a, b):
        squared = ((a[:, None] - b[None]) ** 2).sum(-1)
        return densities.imq_kernel(squared, z.shape[-1])

    self_kernel = densities.imq_kernel(jnp.zeros(()), z.shape[-1])
    others = jnp.maximum(count - 1, 1)
    pairs = kernel_sums(z, jax.lax.stop_gradient(all_z)) @ all_weight - self_kernel
    pairs = 2 * pairs - jax.lax.stop_gradient(pairs)
    prior_pairs = all_weight @ kernel_sums(prior, prior) @ all_weight - count * self_kernel
    cross = kernel_sums(z, prior) @ all_weight
    return pairs / others + prior_pairs / (count * others) - 2 * cross / count
