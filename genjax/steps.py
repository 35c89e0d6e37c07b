"""State, the training step, and the objectives it descends.

An objective is `loss(params, batch, key, gather) -> (losses [batch], metrics)`: everything per
example, so that the step alone reduces over the batch, with sums and counts that `total` adds up
over devices. Noise belongs to an example, not to its place in the batch: one device and eight, a
run and its continuation draw the same numbers.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from genjax import losses
from genjax.models.autoencoder import Model

# One stream of random numbers a purpose.
BINARIZE, POSTERIOR, CORRUPT, PRIOR, PROJECT = range(5)


class State(NamedTuple):
    """All that training carries, and all that a checkpoint holds."""

    step: Array
    params: dict
    opt_state: optax.OptState


def init_state(params, optimizer: optax.GradientTransformation) -> State:
    """The state before the first step."""
    return State(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def example_noise(
    draw: Callable, key: Array, stream: int, index: Int[Array, " b"], shape: tuple[int, ...]
) -> Array:
    """draw(key, shape) for each example: [b, *shape], a function of (key, stream, index) alone."""
    key = jax.random.fold_in(key, stream)
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i), shape))(index)


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


def training_step(
    loss: Callable,
    optimizer: optax.GradientTransformation,
    *,
    reduction: str = "mean",
    dynamic: bool = False,
) -> Callable:
    """The step contract, step(state, batch, key, *, total, gather) -> (state, metrics).

    batch: `image` [b, h, w, c], `label` [b], `index` [b] (an example's number in the data set) and
        `weight` [b] (0 for the padding of a last, uneven batch).
    key: the seed's root key; the step folds in its own number.
    total, gather: sum a pytree, concatenate an array over the devices that share the batch.
    reduction: `mean`, or `sum` of the gradient over the batch (the IWAE code's convention).
    dynamic: draws binary images from grey levels at every use.
    """

    def step(state: State, batch: dict, key: Array, *, total: Callable, gather: Callable):
        step_key = jax.random.fold_in(key, state.step)
        if dynamic:
            batch = batch | {"image": bernoulli_pixels(step_key, batch["index"], batch["image"])}
        weight = batch["weight"]

        def objective(params):
            values, metrics = loss(params, batch, step_key, gather)
            metrics = {"loss": values} | metrics
            return (weight * values).sum(), {k: (weight * v).sum() for k, v in metrics.items()}

        grads, sums = jax.grad(objective, has_aux=True)(state.params)
        grads, sums, count = total((grads, sums, weight.sum()))
        if reduction == "mean":
            grads = jax.tree.map(lambda g: g / count, grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(state.step + 1, params, opt_state), {k: v / count for k, v in sums.items()}

    return step


def _draws(model: Model, params, batch, key, k: int):
    """Code, k draws and log p(x|z) [k, b] of a batch."""
    noise = example_noise(jax.random.normal, key, POSTERIOR, batch["index"], (k, model.noise_size))
    code = model.encode(params, batch["image"])
    draw = model.draw(params, code, jnp.moveaxis(noise, 1, 0))
    return code, draw, model.log_prob(params, model.decode(params, draw.z), batch["image"])


def elbo_loss(model: Model, *, k: int = 1, beta: float = 1.0, free_bits: float = 0.0) -> Callable:
    """-ELBO in nats, mean over k draws (Kingma & Welling 2014, eq. 10); beta weighs the rate.

    free_bits: a layer whose KL, averaged over the batch, is below this many nats is not pressed
    further (Kingma et al. 2016, eq. 15, by layer). The bound on the batch mean is a gate on each
    example's gradient, so that the loss stays a sum over examples.
    """
    edges = [sum(model.layers[:i]) for i in range(1, len(model.layers))]

    def loss(params, batch, key, gather):
        _, draw, log_prob = _draws(model, params, batch, key, k)
        distortion, kl = -log_prob.mean(0), draw.kl.mean(0)
        rate = kl.sum(-1)
        penalty = rate
        if free_bits:
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
        return -losses.iwae_bound(log_prob + draw.log_ratio), metrics

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
            log_prior = losses.gaussian_log_prob(z, 0.0, 0.0).sum(-1)
            log_q = losses.gaussian_log_prob(z, frozen["mean"], frozen["log_std"]).sum(-1)
            return log_prob + log_prior - log_q, log_prob

        fixed = jax.lax.stop_gradient(z)
        (log_w, log_prob) = log_weights(params, fixed)
        weights = jax.lax.stop_gradient(jax.nn.softmax(log_w, 0))
        _, pull = jax.vjp(lambda z: log_weights(jax.lax.stop_gradient(params), z)[0], fixed)
        dz = jax.lax.stop_gradient(weights[..., None] * pull(weights)[0])
        path = (dz * (z - fixed)).sum((0, -1))
        metrics = {
            "rate": losses.kl_to_standard_normal(code["mean"], code["log_std"]).sum(-1),
            "distortion": -log_prob.mean(0),
        }
        return -losses.iwae_bound(log_w) - path, metrics

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

    def loss(params, batch, key, gather):
        images, index = batch["image"], batch["index"]
        inputs = images
        if corruption:
            noise = example_noise(jax.random.normal, key, CORRUPT, index, images.shape[1:])
            inputs = images + corruption * noise
        z = model.mean(params, model.encode(params, inputs))
        distortion = -model.log_prob(params, model.decode(params, z), images)
        penalty = 0.5 * latent_weight * (z**2).sum(-1)
        metrics = {"distortion": distortion}
        if decoder_l2:
            flat, _ = jax.tree_util.tree_flatten_with_path(params["decoder"])
            penalty += decoder_l2 * sum((v**2).sum() for p, v in flat if p[-1].key == "kernel")
        if decoder_gradient:
            pixels, pull = jax.vjp(lambda z: jax.nn.sigmoid(model.decode(params, z)), z)
            noise = example_noise(jax.random.normal, key, PROJECT, index, pixels.shape[1:])
            penalty += decoder_gradient * (pull(noise)[0] ** 2).sum(-1)
        if mmd_weight:
            prior_key = jax.random.fold_in(key, PRIOR)
            mmd = _mmd_terms(z, gather(z), gather(batch["weight"]), prior_key)
            penalty += mmd_weight * mmd
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
        return losses.imq_kernel(squared, z.shape[-1])

    self_kernel = losses.imq_kernel(jnp.zeros(()), z.shape[-1])
    others = jnp.maximum(count - 1, 1)
    pairs = kernel_sums(z, jax.lax.stop_gradient(all_z)) @ all_weight - self_kernel
    pairs = 2 * pairs - jax.lax.stop_gradient(pairs)
    prior_pairs = all_weight @ kernel_sums(prior, prior) @ all_weight - count * self_kernel
    cross = kernel_sums(z, prior) @ all_weight
    return pairs / others + prior_pairs / (count * others) - 2 * cross / count


def classification_loss(apply: Callable) -> Callable:
    """Cross-entropy in nats of `apply(params, images) -> (logits, features)`, and the accuracy."""

    def loss(params, batch, key, gather):
        del key, gather
        logits, _ = apply(params, batch["image"])
        values = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        hits = jnp.argmax(logits, -1) == batch["label"]
        return values, {"accuracy": hits.astype(jnp.float32)}

    return loss


def token_loss(apply: Callable) -> Callable:
    """Cross-entropy in nats a position of `apply(params, tokens) -> logits`, and the accuracy.

    Averaged over a sequence's positions with a target (not -1), so that each counts alike.
    """

    def loss(params, batch, key, gather):
        del key, gather
        logits, target = apply(params, batch["tokens"]), batch["target"]
        asked = (target >= 0).astype(jnp.float32)
        values = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(target, 0))
        count = jnp.maximum(asked.sum(-1), 1.0)
        hits = (jnp.argmax(logits, -1) == target) * asked
        return (values * asked).sum(-1) / count, {"accuracy": hits.sum(-1) / count}

    return loss


def schedule(name: str, rate: float, steps: int) -> optax.Schedule:
    """Learning rate by step: `constant`, `cosine` to zero, or `burda`.

    `burda`: 3^i passes at rate * 10^(-i/7) for i = 0..7, 3,280 passes in all (Burda et al. 2016,
    section 5), stretched or shrunk to `steps`.
    """
    if name == "constant":
        return optax.constant_schedule(rate)
    if name == "cosine":
        return optax.cosine_decay_schedule(rate, steps)
    passes = [3**i for i in range(8)]
    edges = jnp.asarray([steps * sum(passes[: i + 1]) / sum(passes) for i in range(7)])
    return lambda step: rate * 10.0 ** (-jnp.sum(step >= edges) / 7)
