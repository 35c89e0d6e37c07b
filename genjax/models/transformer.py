"""A pre-norm transformer whose attention is any variant of genjax.attention.

Rotary positions (Su et al. 2021), RMS norms, a feed-forward part of four times the width, and
embeddings that are the output's weights too. `init` and `apply` are pure functions.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.attention import Variant


class Model(NamedTuple):
    """init: key -> params. apply: (params, tokens [b, n]) -> logits [b, n, vocabulary], float32.

    heads: (params, tokens) -> q, k, v of the last layer, [b, n, heads, dim].
    """

    init: Callable
    apply: Callable
    heads: Callable


def rotate(x: jax.Array, base: float = 10_000.0) -> jax.Array:
    """Rotary embedding of x [b, n, heads, dim] by its position, dim even (RoFormer, eq. 34)."""
    half = x.shape[-1] // 2
    rates = base ** (-jnp.arange(half) / half)
    angles = jnp.arange(x.shape[1])[:, None] * rates
    cos, sin = jnp.cos(angles)[:, None, :], jnp.sin(angles)[:, None, :]
    left, right = x[..., :half], x[..., half:]
    out = jnp.concatenate([left * cos - right * sin, left * sin + right * cos], -1)
    return out.astype(x.dtype)


class SelfAttention(nn.Module):
    """Projections around a variant; what it draws or learns beside them is a parameter."""

    variant: Variant
    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x):
        batch, length, width = x.shape
        qkv = nn.Dense(3 * width, use_bias=False, dtype=self.dtype, name="qkv")(x)
        q, k, v = jnp.split(qkv.reshape(batch, length, 3 * self.heads, -1), 3, 2)
        q, k = rotate(q), rotate(k)
        self.sow("intermediates", "heads", (q, k, v))
        extra = self.param("extra", self.variant.init)
        if not self.variant.trained:
            extra = jax.tree.map(jax.lax.stop_gradient, extra)
        out = self.variant.attend(q, k, v, extra=extra).reshape(x.shape)
        return nn.Dense(width, use_bias=False, dtype=self.dtype, name="out")(out)


class Network(nn.Module):
    vocabulary: int
    variant: Variant
    width: int
    depth: int
    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, tokens):
        init = nn.initializers.normal(self.width**-0.5)
        embed = nn.Embed(self.vocabulary, self.width, dtype=self.dtype, embedding_init=init)
        x = embed(tokens) * self.width**0.5
        for _ in range(self.depth):
            h = nn.RMSNorm(dtype=self.dtype)(x)
            x = x + SelfAttention(self.variant, self.heads, self.dtype)(h)
            h = nn.RMSNorm(dtype=self.dtype)(x)
            h = nn.relu(nn.Dense(4 * self.width, use_bias=False, dtype=self.dtype)(h))
            x = x + nn.Dense(self.width, use_bias=False, dtype=self.dtype)(h)
        x = nn.RMSNorm(dtype=self.dtype)(x)
        return embed.attend(x).astype(jnp.float32)


def build(
    variant: Variant,
    *,
    vocabulary: int,
    length: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 2,
    dtype: jnp.dtype = jnp.float32,
) -> Model:
    """A transformer of one variant; causal where the variant is.

    Raises ValueError where the heads do not divide the width into even parts.
    """
    if width % (2 * heads):
        raise ValueError(f"{heads} heads do not cut a width of {width} into even parts")
    network = Network(vocabulary, variant, width, depth, heads, dtype)

    def init(key):
        return network.init(key, jnp.zeros((1, length), jnp.int32))["params"]

    def apply(params, tokens):
        return network.apply({"params": params}, tokens)

    def last_heads(params, tokens):
        _, found = network.apply({"params": params}, tokens, mutable=["intermediates"])
        return found["intermediates"][f"SelfAttention_{depth - 1}"]["heads"][0]

    return Model(init, apply, last_heads)
