"""What the sweep of attention runs: variants, controls, halves of a layer, the machine itself."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from genjax import attention
from genjax.attention.variants.full import scores, softmax, values
from genjax.scaling.microbenchmark import Inputs, Program

# Columns of what the control `rows` multiplies n rows by; keys of `roots`, in sqrt(n).
CONTROL, ROOT = 256, 8
# Queries, and keys, of a tile of `tiles` and `roots`: its scores, 256 kB, stay in a core's cache.
TILE = 256


def product(size: int) -> Program:
    """A square matrix product: the rate that the others are held against."""

    def make(seed):
        del seed
        square = jnp.full((size, size), 1 / size)
        return square, square

    return Program(jnp.matmul, (Inputs(f"square {size}", make),), 2.0 * size**3, 0.0)


def copy(size: int) -> Program:
    """A pass over `size` bytes: read once, written once."""
    inputs = Inputs(f"bytes {size}", lambda seed: (jnp.zeros(size // 4),))
    return Program(lambda x: x + 1, (inputs,), 1.0, 0.0)


def parts_of_full(shape: tuple[int, ...], dtype: str) -> dict[str, Program]:
    """{part: program} of textbook attention: its scores, their softmax, the sum of the values.

    shape: [batch, length, heads, head_dim] of q, k and v. Each is what `full` does, on its own.
    """
    batch, length, heads, dim = shape
    pairs = float(batch * heads * length**2)

    def softmaxed(scores):
        return softmax(scores)

    def weights(seed):
        q, k, _ = normal(shape, dtype, seed)[:3]
        return (scores(q, k),)

    own = Inputs(f"scores {shape} {dtype}", weights)
    v = Inputs(f"v {shape} {dtype}", lambda seed: (normal(shape, dtype, seed)[2],))
    return {
        "full.scores": Program(scores, (_qk(shape, dtype),), 2 * pairs * dim, 0.0),
        "full.softmax": Program(softmaxed, (own,), 0.0, 4 * pairs),
        "full.values": Program(values, (own, v), 2 * pairs * dim, 0.0),
    }


def controls(shape: tuple[int, ...], dtype: str) -> dict[str, Program]:
    """{control: program} whose growth is known: products, and nothing else.

    products: q k^T and that times v, no softmax between, n^2, and more where that matrix leaves a
    cache. tiles: the same in tiles that no cache is too small for, n^2. roots: so too, of the first
    ROOT sqrt(n) keys, n^1.5. rows: n rows times a matrix, n.
    """
    batch, length, heads, dim = shape
    pairs, rows = float(batch * heads * length**2), float(batch * heads * length)

    def products(q, k, v):
        return values(scores(q, k), v)

    def tiles(keys):
        def tiled(q, k, v):
            return _products_in_tiles(q, k[:, :keys], v[:, :keys])

        pairs = float(batch * heads * length * keys)
        return Program(tiled, (_qkv(shape, dtype),), 4 * pairs * dim, 0.0)

    def matrix(seed):
        return normal(shape, dtype, seed)[0], jnp.full((dim, CONTROL), 1 / dim, dtype)

    wide = Inputs(f"rows {shape} {dtype} {CONTROL}", matrix)
    return {
        "products": Program(products, (_qkv(shape, dtype),), 4 * pairs * dim, 4 * pairs),
        "tiles": tiles(length),
        "rows": Program(jnp.matmul, (wide,), 2 * rows * dim * CONTROL, 0.0),
        "roots": tiles(min(length, round(ROOT * length**0.5))),
    }


def _products_in_tiles(q, k, v):
    """q k^T v, [batch, length, heads, head_dim] like q: no more than a tile of q k^T at a time."""

    def cut(x):
        """-> [tiles, batch, rows, heads, head_dim]; one tile where TILE does not divide it."""
        batch, rows = x.shape[:2]
        size = TILE if rows % TILE == 0 else rows
        return x.reshape(batch, rows // size, size, *x.shape[2:]).swapaxes(0, 1)

    keys_values = cut(k), cut(v)

    def of_queries(q):
        def add(total, pair):
            keys, values = pair
            found = jnp.einsum("bqhd,bkhd->bhqk", q, keys)
            return total + jnp.einsum("bhqk,bkhd->bqhd", found, values), None

        return lax.scan(add, jnp.zeros_like(q), keys_values)[0]

    return lax.map(of_queries, cut(q)).swapaxes(0, 1).reshape(q.shape)


def _qkv(shape, dtype):
    return Inputs(f"qkv {shape} {dtype}", lambda seed: normal(shape, dtype, seed)[:3])


def _qk(shape, dtype):
    return Inputs(f"qk {shape} {dtype}", lambda seed: normal(shape, dtype, seed)[:2])


def of_variant(
    variant: attention.Variant, mode: str, shape: tuple[int, ...], dtype: str, name: str = ""
) -> Program:
    """A variant on standard normal q, k, v of a shape [batch, length, heads, head_dim].

    mode: `forward`, or `both`, which is given a cotangent too. name: of the variant, under which
    the arrays of its own are shared.
    """
    batch, _, heads, _ = shape
    flops, bytes_ = (batch * heads * figure for figure in variant.cost)
    parts, spread = variant.shardings or (None, None)
    where = f" {parts.mesh.shape}" if parts else ""

    def forward(q, k, v, extra):
        return variant.attend(q, k, v, extra=extra)

    def both(q, k, v, extra, cotangent):
        out, pull = jax.vjp(lambda q, k, v: forward(q, k, v, extra), q, k, v)
        return out, pull(cotangent)

    def own(seed):
        return (variant.init(jax.random.key(1 + seed)),)

    # Most draw nothing for themselves.
    some = bool(jax.tree.leaves(jax.eval_shape(lambda: own(0))))
    own_inputs = Inputs(f"{name} {shape}{where}", own, spread) if some else Inputs("nothing", own)
    qkv = _qkv(shape, dtype)
    inputs = (qkv._replace(name=qkv.name + where, sharding=parts), own_inputs)
    if mode == "forward":
        return Program(forward, inputs, flops, bytes_, variant.note)
    cotangent = Inputs(
        f"g {shape} {dtype}{where}", lambda seed: (normal(shape, dtype, seed)[3],), parts
    )
    flops, bytes_ = (1 + variant.backward_flops) * flops, variant.both_bytes * bytes_
    return Program(both, (*inputs, cotangent), flops, bytes_, variant.note)


# Not by `functools.cache` over traced calls: shapes are asked for before the arrays are made.
_NORMAL = {}


def normal(shape: tuple[int, ...], dtype: str, seed: int = 0) -> tuple:
    """q, k, v and a cotangent, the same arrays for all variants of a shape."""
    if isinstance(seed, int) and (shape, dtype, seed) in _NORMAL:
        return _NORMAL[shape, dtype, seed]
    keys = jax.random.split(jax.random.key(seed), 4)
    made = tuple(jax.random.normal(key, shape, dtype) for key in keys)
    if not isinstance(made[0], Tracer):
        _NORMAL[shape, dtype, seed] = made
    return made


def half_attention(width: int, length: int, head_dim: int) -> Program:
    """Of a layer: exact attention without its projections."""
    heads = width // head_dim
    variant = attention.build("flash", length, head_dim, causal=False)

    def attend(x):
        heads_apart = x.reshape(1, length, heads, head_dim)
        return variant.attend(heads_apart, heads_apart, heads_apart).reshape(x.shape)

    flops, bytes_ = (heads * figure for figure in variant.cost)
    return Program(attend, (_input(width, length),), flops, bytes_)


def half_feed_forward(width: int, length: int, head_dim: int) -> Program:
    """Of a layer: the feed-forward part, 4 d units."""
    del head_dim

    def make(seed):
        up = jax.random.normal(jax.random.key(seed + 1), (width, 4 * width)) / width**0.5
        down = jax.random.normal(jax.random.key(seed + 2), (4 * width, width)) / (4 * width) ** 0.5
        return up, down

    def feed_forward(x, up, down):
        return jax.nn.relu(x[0] @ up) @ down

    inputs = (_input(width, length), Inputs(f"feed-forward {width}", make))
    return Program(feed_forward, inputs, 16.0 * length * width**2, 16.0 * length * width)


def _input(width, length):
    def make(seed):
        return (jax.random.normal(jax.random.key(seed), (1, length, width)),)

    return Inputs(f"x {width} {length}", make)
