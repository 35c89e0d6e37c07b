"""The velocity of a flow on codes: a small dense net."""

import flax.linen as nn
import jax.numpy as jnp

WIDTH, DEPTH = 128, 3


class Velocity(nn.Module):
    """v(z, t): codes [b, d] and times [b] -> [b, d]."""

    @nn.compact
    def __call__(self, z, t):
        x = jnp.concatenate([z, t[:, None]], -1)
        for _ in range(DEPTH):
            x = nn.silu(nn.Dense(WIDTH)(x))
        return nn.Dense(z.shape[-1])(x)
