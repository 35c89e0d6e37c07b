"""Bounds on log p(x) by importance sampling, in nats per image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genjax.core.steps import example_noise
from genjax.vae.networks import Model
from genjax.vae.objectives import POSTERIOR

BOUNDS = (1, 10, 100, 1000, 5000)


def importance_bounds(model: Model, *, samples: int = 5000, chunk: int = 50) -> Callable:
    """(params, images [b, h, w, c], index [b], key) -> dict of estimates for each image, jitted.

    nll: {k: [b]} for the k in BOUNDS up to `samples`, and `samples` itself: -log mean_k w (Burda et
        al. 2016, eq. 8), the mean over samples // k disjoint groups of k of the same weights, so
        that small k are estimated well and the curve falls with k in expectation.
    rate, distortion: [b], mean over the draws; nll[1] is their sum up to the Monte Carlo error of
        a closed-form rate. kl: [b, units].

    The image is encoded once. Draws come in chunks inside one scan, of the largest divisor of
    `samples` up to `chunk`, so that memory holds chunk x b decoded images and samples x b weights.
    """
    chunk = max(size for size in range(1, chunk + 1) if samples % size == 0)

    @jax.jit
    def bounds(params, images, index, key) -> dict:
        code = model.encode(params, images)

        def draw_chunk(_, i):
            noise = example_noise(
                jax.random.normal,
                jax.random.fold_in(key, i),
                POSTERIOR,
                index,
                (chunk, model.noise_size),
            )
            draw = model.draw(params, code, jnp.moveaxis(noise, 1, 0))
            log_prob = model.log_prob(params, model.decode(params, draw.z), images)
            return None, (log_prob + draw.log_ratio, log_prob.mean(0), draw.kl.mean(0))

        steps = jnp.arange(samples // chunk)
        _, (log_weights, log_prob, kl) = jax.lax.scan(draw_chunk, None, steps)
        log_weights = log_weights.reshape(samples, -1)
        ks = sorted({k for k in BOUNDS if k <= samples} | {samples})
        kl = kl.mean(0)
        return {
            "nll": {k: -grouped_bound(log_weights, k) for k in ks},
            "rate": kl.sum(-1),
            "distortion": -log_prob.mean(0),
            "kl": kl,
        }

    return bounds


def grouped_bound(log_weights: Float[Array, "samples b"], k: int) -> Float[Array, " b"]:
    """Mean over disjoint groups of k of log mean_k w, in nats; samples left over are not used."""
    groups = log_weights.shape[0] // k
    grouped = log_weights[: groups * k].reshape(groups, k, -1)
    return (jax.nn.logsumexp(grouped, 1) - jnp.log(k)).mean(0)
