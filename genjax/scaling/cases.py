"""What the sweep of attention runs: variants, layers and their halves, and the machine itself."""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from genjax import attention
from genjax.lm import transformer
from genjax.scaling.microbenchmark import Program


def product(size: int) -> Program:
    """A square matrix product: the rate that the others are held against."""
    square = jnp.full((size, size), 1 / size)
    return Program(jnp.matmul, lambda: (square, square), 2.0 * size**3, 0.0)


def copy(size: int) -> Program:
    """A pass over `size` bytes: read once, written once."""
    return Program(lambda x: x + 1, lambda: (jnp.zeros(size // 4),), 1.0, 0.0)


def of_variant(
    variant: attention.Variant, mode: str, shape: tuple[int, ...], dtype: str
) -> Program:
    """A variant on standard normal q, k, v of a shape [batch, length, heads, head_dim].

    mode: `forward`, or `both`, which is given a cotangent too.
    """
    batch, _, heads, _ = shape
    flops, bytes_ = (batch * heads * figure for figure in variant.cost)

    def forward(q, k, v, extra):
        return variant.attend(q, k, v, extra=extra)

    def both(q, k, v, extra, cotangent):
        out, pull = jax.vjp(lambda q, k, v: forward(q, k, v, extra), q, k, v)
        return out, pull(cotangent)

    def arguments():
        *qkv, cotangent = normal(shape, dtype)
        extra = variant.init(jax.random.key(1))
        return (*qkv, extra) if mode == "forward" else (*qkv, extra, cotangent)

    if mode == "forward":
        return Program(forward, arguments, flops, bytes_, variant.note)
    flops, bytes_ = (1 + variant.backward_flops) * flops, variant.both_bytes * bytes_
    return Program(both, arguments, flops, bytes_, variant.note)


# Not by `functools.cache` over traced calls: shapes are asked for before the arrays are made.
_NORMAL = {}


def normal(shape: tuple[int, ...], dtype: str) -> tuple:
    """q, k, v and a cotangent, the same arrays for all variants of a shape."""
    if (shape, dtype) in _NORMAL:
        return _NORMAL[shape, dtype]
    keys = jax.random.split(jax.random.key(0), 4)
    made = tuple(jax.random.normal(key, shape, dtype) for key in keys)
    if not isinstance(made[0], Tracer):
        _NORMAL[shape, dtype] = made
    return made


def layer(width: int, length: int, head_dim: int) -> Program:
    """The transformer of one block: norms, projections, exact attention and the feed-forward part.

    4 n^2 d + 24 n d^2 FLOPs.
    """
    heads = width // head_dim
    variant, model = _layer(width, length, head_dim)

    def arguments():
        return _parameters(width, head_dim), jnp.zeros((1, length), jnp.int32)

    flops = heads * variant.cost.flops + 24.0 * length * width**2
    return Program(model.apply, arguments, flops, 16.0 * length * width)


def _layer(width, length, head_dim):
    variant = attention.build("flash", length, head_dim, causal=False)
    shape = {"length": length, "width": width, "depth": 1, "heads": width // head_dim}
    return variant, transformer.build(variant, vocabulary=2, **shape)


_PARAMETERS = {}


def _parameters(width, head_dim):
    """Of a layer of any length, the same arrays for all; as `normal`."""
    if (width, head_dim) in _PARAMETERS:
        return _PARAMETERS[width, head_dim]
    _, model = _layer(width, head_dim, head_dim)
    made = jax.jit(model.init)(jax.random.key(0))
    if not isinstance(jax.tree.leaves(made)[0], Tracer):
        _PARAMETERS[width, head_dim] = made
    return made


def half_attention(width: int, length: int, head_dim: int) -> Program:
    """Of a layer: exact attention without its projections."""
    heads = width // head_dim
    variant = attention.build("flash", length, head_dim, causal=False)

    def attend(x):
        heads_apart = x.reshape(1, length, heads, head_dim)
        return variant.attend(heads_apart, heads_apart, heads_apart).reshape(x.shape)

    flops, bytes_ = (heads * figure for figure in variant.cost)
    return Program(attend, lambda: (_input(width, length),), flops, bytes_)


def half_feed_forward(width: int, length: int, head_dim: int) -> Program:
    """Of a layer: the feed-forward part, 4 d units."""
    del head_dim

    def arguments():
        up = jax.random.normal(jax.random.key(1), (width, 4 * width)) / width**0.5
        down = jax.random.normal(jax.random.key(2), (4 * width, width)) / (4 * width) ** 0.5
        return _input(width, length), up, down

    def feed_forward(x, up, down):
        return jax.nn.relu(x[0] @ up) @ down

    return Program(feed_forward, arguments, 16.0 * length * width**2, 16.0 * length * width)


def _input(width, length):
    return jax.random.normal(jax.random.key(0), (1, length, width))
