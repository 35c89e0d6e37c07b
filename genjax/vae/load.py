"""A trained autoencoder, used: encode, decode, sample, log_prob."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.vae.likelihood import importance_bounds


class Autoencoder(NamedTuple):
    """A trained model as plain functions of arrays; images are [n, h, w, c] in [0, 1].

    encode: images -> codes [n, latent], the posterior means. decode: codes -> images, the mean
    pixels. sample: (key, n) -> images decoded from the model's prior. log_prob: (images, key,
    samples=100) -> [n] in nats, a lower bound by importance sampling (Burda et al. 2016, eq. 8);
    None for a deterministic encoder.
    """

    params: dict
    step: int
    encode: Callable
    decode: Callable
    sample: Callable
    log_prob: Callable | None


def model(run, arm: str, step: int, params: dict) -> Autoencoder:
    """The functions of an arm with parameters of a step."""
    from genjax.vae.experiment import network

    config = run.config
    net = network(config, arm, tuple(run.facts()["image_shape"]))

    @jax.jit
    def encode(images):
        return net.mean(params, net.encode(params, images))

    @jax.jit
    def decode(codes):
        return jax.nn.sigmoid(net.decode(params, codes))

    def sample(key, n: int):
        if net.mixture:
            means, log_stds = net.mixture(params)
            chosen, noise = jax.random.split(key)
            rows = jax.random.randint(chosen, (n,), 0, len(means))
            spread = jnp.exp(log_stds[rows])
            return decode(means[rows] + spread * jax.random.normal(noise, spread.shape))
        return decode(net.descend(params, jax.random.normal(key, (n, net.noise_size))))

    def log_prob(images, key, samples: int = 100):
        bounds = importance_bounds(net, samples=samples)
        return -bounds(params, images, np.arange(len(images)), key)["nll"][samples]

    deterministic = config.arms()[arm].deterministic
    return Autoencoder(params, step, encode, decode, sample, None if deterministic else log_prob)


def samples(model: Autoencoder, key, n: int | None) -> np.ndarray:
    """Images [n, h, w, c] in [0, 1], by default 64."""
    return np.asarray(model.sample(key, n or 64))
