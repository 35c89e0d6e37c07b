"""Bounds on log p(x) by importance sampling, in nats per image."""

import math
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
    ess: [b], the draws that count, (sum w)^2 / sum w^2, of `samples`. k_hat: [b], `pareto_k`.

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
            "ess": effective_samples(log_weights),
            "k_hat": pareto_k(log_weights),
        }

    return bounds


def grouped_bound(log_weights: Float[Array, "samples b"], k: int) -> Float[Array, " b"]:
    """Mean over disjoint groups of k of log mean_k w, in nats; samples left over are not used."""
    groups = log_weights.shape[0] // k
    grouped = log_weights[: groups * k].reshape(groups, k, -1)
    return (jax.nn.logsumexp(grouped, 1) - jnp.log(k)).mean(0)


def effective_samples(log_weights: Float[Array, "samples b"]) -> Float[Array, " b"]:
    """Draws that count among weighted ones: (sum w)^2 / sum w^2, from 1 to `samples`."""
    return jnp.exp(2 * jax.nn.logsumexp(log_weights, 0) - jax.nn.logsumexp(2 * log_weights, 0))


def trustworthy(samples: int) -> float:
    """The largest k-hat at which so many draws bound the likelihood reliably, at most 0.7.

    min(1 - 1 / log10(samples), 0.7) (Vehtari et al. 2024, section 3.2.4).
    """
    return min(1 - 1 / math.log10(max(samples, 2)), 0.7)


def pareto_k(log_weights: Float[Array, "samples b"]) -> Float[Array, " b"]:
    """Shape of the generalised Pareto distribution fitted to the largest weights, k-hat.

    Below 1/2 the weights have a variance, below 1 a mean. Vehtari et al. 2024, Pareto smoothed
    importance sampling: the largest min(samples / 5, 3 sqrt(samples)) weights, fitted by Zhang and
    Stephens (2009) with ten weakly informative observations at 1/2. nan of fewer than 25 draws.
    """
    samples = log_weights.shape[0]
    tail = math.ceil(min(samples / 5, 3 * math.sqrt(samples)))
    if tail < 5:
        return jnp.full(log_weights.shape[1], jnp.nan)
    largest = jax.lax.top_k(log_weights.T, tail + 1)[0]
    weights = jnp.exp(largest - largest[:, :1])[:, ::-1]
    return jax.vmap(_pareto_shape)(weights[:, 1:] - weights[:, :1])


def _pareto_shape(excess: Float[Array, " n"]) -> Float[Array, ""]:
    """Posterior mean shape of excesses over a cut, in rising order (Zhang and Stephens 2009)."""
    n = len(excess)
    points = 30 + int(math.sqrt(n))
    spread = 1 - jnp.sqrt(points / (jnp.arange(1, points + 1) - 0.5))
    limits = jnp.finfo(excess.dtype)
    largest = jnp.maximum(excess[-1], limits.tiny)
    quartile = jnp.maximum(excess[int(n / 4 + 0.5) - 1], largest * limits.eps)
    inverse = 1 / largest + spread / (3 * quartile)
    shapes = jnp.log1p(-inverse[:, None] * excess).mean(1)
    log_posterior = n * (jnp.log(-inverse / shapes) - shapes - 1)
    mean = (jax.nn.softmax(log_posterior) * inverse).sum()
    shape = jnp.log1p(-mean * excess).mean()
    # Weights alike within a thousandth, the rounding of log densities, have no tail.
    return jnp.where(excess[-1] > 1e-3, (n * shape + 10 * 0.5) / (n + 10), 0.0)
