"""A prior learned on codes once an autoencoder is trained: its second stage, by flow matching.

Two-stage training (Dai and Wipf 2019, section 4), as latent generative models are built today
(Rombach et al. 2022), at the size of these codes. A net v(z, t) is fitted to the straight paths
from noise to codes, and dz/dt = v(z, t) carries N(0, I) to where codes lie (Lipman et al. 2023,
eq. 20 to 23 with sigma_min = 0).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from genjax.core import parallel
from genjax.vae.networks_velocity import Velocity

STEPS, BATCH, RATE = 4000, 256, 2e-3
# Of Heun's method from noise to a code.
WAY = 32


def fitted(codes: Float[np.ndarray, "n d"], seed: int, steps: int = STEPS) -> Callable:
    """A sampler (count, rng) -> [count, d] of the law of codes, learned by flow matching.

    Codes are standardised first, so that their scale, which an autoencoder leaves free, is no
    matter. seed: of the net's weights and of its training, of `steps` steps.
    """
    codes = np.asarray(codes, np.float32)
    mean, spread = codes.mean(0), codes.std(0)
    params = _train((codes - mean) / np.where(spread > 0, spread, 1), jax.random.key(seed), steps)

    def draw(count: int, rng: np.random.Generator):
        noise = rng.standard_normal((count, codes.shape[1])).astype(np.float32)
        return parallel.batched(lambda x: _carry(params, x), noise) * spread + mean

    return draw


@functools.partial(jax.jit, static_argnames="steps")
def _train(codes, key, steps):
    """The velocity's weights after so many steps of Adam, the rate falling as a cosine."""
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps))
    key, start = jax.random.split(key)
    params = Velocity().init(start, codes[:1], jnp.zeros(1))

    def loss(params, batch, key):
        noise_key, time_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, batch.shape)
        t = jax.random.uniform(time_key, (len(batch), 1))
        found = Velocity().apply(params, (1 - t) * noise + t * batch, t[:, 0])
        return ((found - (batch - noise)) ** 2).sum(-1).mean()

    def step(i, carry):
        params, state = carry
        chosen, drawn = jax.random.split(jax.random.fold_in(key, i))
        batch = codes[jax.random.randint(chosen, (BATCH,), 0, len(codes))]
        updates, state = optimizer.update(jax.grad(loss)(params, batch, drawn), state)
        return optax.apply_updates(params, updates), state

    return jax.lax.fori_loop(0, steps, step, (params, optimizer.init(params)))[0]


@jax.jit
def _carry(params, z):
    """Where the flow carries noise [b, d] from t = 0 to t = 1."""

    def field(z, t) -> Any:
        return Velocity().apply(params, z, jnp.full(len(z), t))

    def step(i, z):
        slope = field(z, i / WAY)
        return z + (slope + field(z + slope / WAY, (i + 1) / WAY)) / (2 * WAY)

    return jax.lax.fori_loop(0, WAY, step, z)
