"""Densities, divergences and bounds in nats, per example, with no reduction over the batch."""

import math
import operator
from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_2PI = math.log(2 * math.pi)


@jax.custom_jvp
def softplus_sum(logits: Float[Array, "*lead pixels"]) -> Float[Array, "*lead"]:
    """Sum over the last axis of log(1 + exp(logits)), in nats.

    log(1 + e^l) = max(l, 0) + log(1 + e^-|l|), and the second logarithms are taken of products of
    eight factors in (1, 2]: an eighth of the logarithms, which is half the time of a likelihood
    on CPU. The derivative is written out, sigmoid(logits), finite for every logit.
    """
    *lead, pixels = logits.shape
    factors = 1 + jnp.exp(-jnp.abs(logits))
    if pixels % 8:
        factors = jnp.concatenate([factors, jnp.ones((*lead, -pixels % 8), factors.dtype)], -1)
    products = factors.reshape(*lead, 8, -1).prod(-2)
    return jnp.maximum(logits, 0).sum(-1) + jnp.log(products).sum(-1)


@softplus_sum.defjvp
def _softplus_sum_jvp(primals, tangents):
    (logits,), (tangent,) = primals, tangents
    return softplus_sum(logits), (jax.nn.sigmoid(logits) * tangent).sum(-1)


def bernoulli_log_prob(
    logits: Float[Array, "*lead pixels"], x: Float[Array, "*#lead pixels"]
) -> Float[Array, "*lead"]:
    """log prod_j Bernoulli(x_j; sigmoid(logits_j)) in nats, summed over the last axis.

    For x in {0, 1} a likelihood; for grey levels a cross-entropy, not comparable to one. Finite in
    value and gradient for every finite logit.
    """
    return (x * logits).sum(-1) - softplus_sum(logits)


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
