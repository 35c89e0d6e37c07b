"""Densities, divergences and bounds in nats, per example, with no reduction over the batch."""

import math
import operator
from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_2PI = math.log(2 * math.pi)


@jax.custom_jvp
def bernoulli_log_prob(
    logits: Float[Array, "*lead pixels"], x: Float[Array, "*#lead pixels"]
) -> Float[Array, "*lead"]:
    """log prod_j Bernoulli(x_j; sigmoid(logits_j)) in nats, summed over the last axis.

    For x in {0, 1} a likelihood; for grey levels a cross-entropy, not comparable to one. Finite in
    value and gradient for every finite logit.

    A pixel's is x l - max(l, 0) - log(1 + e^-|l|). The logarithms are taken of products of eight
    factors in (1, 2], an eighth of their number, which is half the time of a likelihood on CPU, and
    the rest is summed in the same eights, by the same pass. The derivative is written out: x -
    sigmoid(l).
    """
    *lead, pixels = logits.shape
    linear = x * logits - jnp.maximum(logits, 0)
    factors = 1 + jnp.exp(-jnp.abs(logits))
    if pixels % 8:
        more = [(0, 0)] * len(lead) + [(0, -pixels % 8)]
        linear, factors = jnp.pad(linear, more), jnp.pad(factors, more, constant_values=1)
    linear, factors = (part.reshape(*lead, 8, -1) for part in (linear, factors))
    return (linear.sum(-2) - jnp.log(factors.prod(-2))).sum(-1)


@bernoulli_log_prob.defjvp
def _bernoulli_log_prob_jvp(primals, tangents):
    (logits, x), (by_logits, by_x) = primals, tangents
    slope = (x - jax.nn.sigmoid(logits)) * by_logits + logits * by_x
    return bernoulli_log_prob(logits, x), slope.sum(-1)


def gaussian_log_prob(x, mean, log_std) -> Array:
    """log N(x; mean, exp(log_std)^2) in nats, elementwise; arguments broadcast."""
    scaled = (x - mean) * jnp.exp(-log_std)
    return -0.5 * (scaled**2 + LOG_2PI) - log_std


def mixture_log_prob(
    z: Float[Array, "*lead d"], means: Float[Array, "k d"], log_stds: Float[Array, "k d"]
) -> Float[Array, "*lead"]:
    """log of the equally weighted mixture of k diagonal Gaussians at z, in nats.

    The VampPrior's density (Tomczak & Welling 2018, eq. 9). The square is expanded into products
    of matrices, so that no [..., k, d] array is formed.
    """
    precision = jnp.exp(-2 * log_stds)
    quadratic = (
        (z**2) @ precision.T - 2 * z @ (means * precision).T + (means**2 * precision).sum(-1)
    )
    normalizer = log_stds.sum(-1) + 0.5 * means.shape[-1] * LOG_2PI
    return jax.nn.logsumexp(-0.5 * quadratic - normalizer, -1) - math.log(means.shape[0])


def kl_to_standard_normal(mean, log_std) -> Array:
    """KL(N(mean, exp(log_std)^2) || N(0, 1)) in nats, elementwise (Kingma & Welling 2014)."""
    return 0.5 * (mean**2 + jnp.exp(2 * log_std) - 1) - log_std


def gaussian_kl(mean, log_std, prior_mean, prior_log_std) -> Array:
    """KL(N(mean, exp(log_std)^2) || N(prior_mean, exp(prior_log_std)^2)) in nats, elementwise."""
    scaled = (mean - prior_mean) * jnp.exp(-prior_log_std)
    ratio = log_std - prior_log_std
    return 0.5 * (scaled**2 + jnp.exp(2 * ratio) - 1) - ratio


def gaussian_product(mean_a, log_std_a, mean_b, log_std_b) -> tuple[Array, Array]:
    """Mean and log_std of the normalised product of two Gaussians, elementwise.

    The ladder VAE's merge of image and prior (Sonderby et al. 2016, eq. 8-10).
    """
    log_precision = jnp.logaddexp(-2 * log_std_a, -2 * log_std_b)
    weight = jax.nn.sigmoid(2 * (log_std_b - log_std_a))
    return weight * mean_a + (1 - weight) * mean_b, -0.5 * log_precision


def iwae_bound(log_weights: Float[Array, " k *batch"]) -> Float[Array, "*batch"]:
    """log mean_k w, the k-sample bound on log p(x) in nats (Burda et al. 2016, eq. 8)."""
    return jax.nn.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


def imq_kernel(squared_distances: Array, latent: int) -> Array:
    """Sum of inverse multiquadric kernels C / (C + d^2), C = 2 latent {.1, .2, .5, 1, 2, 5, 10}.

    The kernel of WAE-MMD for the prior N(0, I) (Tolstikhin et al. 2018, section 4).
    """
    scales = [2 * latent * c for c in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return reduce(operator.add, (c / (c + squared_distances) for c in scales))
