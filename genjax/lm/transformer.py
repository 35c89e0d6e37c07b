"""A pre-norm transformer whose attention is any variant of genjax.attention.

Rotary positions (Su et al. 2021), RMS norms, a feed-forward part of four times the width, and
embeddings that are the output's weights too. `init` and `apply` are pure functions.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.attention import Variant, blocks
from genjax.attention.variants.full import full
from genjax.core import fsdp
from genjax.lm.dense import dense
from genjax.lm.objectives import logits, of_outputs

BASE = 10_000.0
# Angles, positions x pairs, whose table may be a constant of a program.
TABLE = 2**14


class Large(NamedTuple):
    """What `Model.losses` does about memory.

    remat: what a block keeps for its gradient (Chen et al. 2016). none: all; dots: products with
    its weights; full: its input alone. parts: devices that the parameters are split over
    (core.fsdp); a block gathers its own, and keeps them for no gradient.
    """

    remat: str = "none"
    parts: int = 1


class Model(NamedTuple):
    """init: key -> params. apply: (params, tokens [b, n]) -> logits [b, n, vocabulary], float32.

    heads: (params, tokens) -> q, k, v of the last layer, [b, n, heads, dim]; None without any.
    begin, step: the same token by token: begin(b) is the memory before the first, of all sequences,
        and step(params, memory, tokens [b]) -> (logits [b, vocabulary], memory). A transformer
        keeps keys and values, a recurrent net its state; None where a variant cannot.
    losses: (params, tokens, target [b, n]) -> nats and hits [b, n], as `objectives.of_logits`, but
        as training computes them: never all logits at once where they are large, blocks
        rematerialised, parameters in parts.
    """

    init: Callable
    apply: Callable
    heads: Callable | None = None
    begin: Callable | None = None
    step: Callable | None = None
    losses: Callable | None = None


def rotate(x: jax.Array, place: jax.Array | None = None, length: int = 0) -> jax.Array:
    """Rotary embedding of x [b, n, heads, dim] by its position, dim even (RoFormer, eq. 34).

    place: the position of the one token of x, or of each [n], of `length` there are; None: n
        positions from 0.
    """
    half = x.shape[-1] // 2
    length = x.shape[1] if place is None else length
    if length * half <= TABLE:
        cos, sin = _table(length, half)
        if place is not None:
            cos, sin = (part[place].reshape(-1, 1, 2 * half) for part in (cos, sin))
    else:
        places = jnp.arange(length) if place is None else place
        cos, sin = (part.reshape(-1, 1, half) for part in _computed(places, half))
        cos, sin = _of_both(jnp, cos, sin)
    # The halves change places; joined from two results, each number would ask which one it is of.
    swapped = x.reshape(*x.shape[:-1], 2, half)[..., ::-1, :].reshape(x.shape)
    return (x * cos + swapped * sin).astype(x.dtype)


def _of_both(library, cos, sin) -> tuple:
    """What the numbers of both halves are multiplied by, and what those of the other half are."""
    return library.concatenate([cos, cos], -1), library.concatenate([-sin, sin], -1)


@functools.cache
def _table(length: int, half: int) -> tuple[jax.Array, jax.Array]:
    """`_of_both` of each position's angles [length, 1, 2 half], rounded from float64.

    On the host, once: XLA:CPU computes them again for every head and row. The same two arrays for
    all layers are two constants of a program; NumPy's would be two a layer.
    """
    angles = np.arange(length)[:, None, None] * BASE ** (-np.arange(half) / half)
    with jax.ensure_compile_time_eval():
        cos, sin = _of_both(np, np.cos(angles), np.sin(angles))
        return jnp.asarray(cos, jnp.float32), jnp.asarray(sin, jnp.float32)


def _computed(places: jax.Array, half: int) -> tuple[jax.Array, jax.Array]:
    """The same on the device to 3e-7, [..., half], for places below 2^24.

    Angles in turns, modulo one, in fixed point: a float32 product of position and frequency is off
    by 0.03 radians at a million.
    """
    turns = np.round(BASE ** (-np.arange(half) / half) / (2 * np.pi) * 2.0**48).astype(np.uint64)
    high, low = (jnp.asarray(part.astype(np.uint32)) for part in (turns >> 16, turns & 0xFFFF))
    p = places.astype(jnp.uint32)[..., None]
    # All modulo 2^32: p * turns / 2^16, its low half by parts of 16 bits.
    turned = p * high + (p >> 16) * low + ((p & 0xFFFF) * low >> 16)
    angles = jax.lax.bitcast_convert_type(turned, jnp.int32).astype(jnp.float32)
    angles = angles * np.float32(2 * np.pi / 2**32)
    # Held, or every head and row would compute them again.
    return jax.lax.optimization_barrier((jnp.cos(angles), jnp.sin(angles)))


class SelfAttention(nn.Module):
    """Projections around a variant; what it draws or learns beside them is a parameter.

    kept: positions whose keys and values are kept, for one token at a time; 0: all tokens at once.
    """

    variant: Variant
    heads: int
    dtype: jnp.dtype
    kept: int = 0

    @nn.compact
    def __call__(self, x):
        batch, length, width = x.shape
        qkv = dense(3 * width, self.dtype, "qkv")(x)
        q, k, v = jnp.split(qkv.reshape(batch, length, 3 * self.heads, -1), 3, 2)
        extra = self.param("extra", self.variant.init)
        if self.kept:
            out = self.next(q, k, v)
        else:
            q, k = rotate(q), rotate(k)
            self.sow("intermediates", "heads", (q, k, v))
            if not self.variant.trained:
                extra = jax.tree.map(jax.lax.stop_gradient, extra)
            out = self.variant.attend(q, k, v, extra=extra)
        return dense(width, self.dtype, "out")(out.reshape(x.shape))

    def next(self, q, k, v):
        """One query against the keys so far that the variant's pattern gives it."""
        assert self.variant.pattern is not None  # `build` offers no memory without.
        shape = (q.shape[0], self.kept, *q.shape[2:])
        place = self.variable("memory", "place", jnp.zeros, (), jnp.int32)
        keys = self.variable("memory", "keys", jnp.zeros, shape, k.dtype)
        values = self.variable("memory", "values", jnp.zeros, shape, v.dtype)
        at = place.value
        q, k = rotate(q, at, self.kept), rotate(k, at, self.kept)
        keys.value = jax.lax.dynamic_update_slice(keys.value, k, (0, at, 0, 0))
        values.value = jax.lax.dynamic_update_slice(values.value, v, (0, at, 0, 0))
        place.value = at + 1
        mask = jnp.broadcast_to(blocks.seen(self.variant.pattern, at), shape[:2])
        return full(self.kept, q.shape[-1]).attend(q, keys.value, values.value, mask=mask)


def block(module: "Network | Block", x: jax.Array, i: int) -> jax.Array:
    """A block by its number: what mixes positions and a feed-forward part, added to their input."""
    h = nn.RMSNorm(dtype=module.dtype, name=f"mixer_norm_{i}")(x)
    x = x + module.mixer(name=f"mixer_{i}")(h)
    if module.feed_forward:
        h = nn.RMSNorm(dtype=module.dtype, name=f"feed_norm_{i}")(x)
        h = dense(4 * module.width, module.dtype, f"up_{i}")(h)
        x = x + dense(module.width, module.dtype, f"down_{i}")(nn.relu(h))
    return x


class Network(nn.Module):
    """Pre-norm blocks around whatever mixes positions; `mixer` makes one module a block."""

    vocabulary: int
    mixer: Callable
    width: int
    depth: int
    dtype: jnp.dtype
    feed_forward: bool = True

    @nn.compact
    def __call__(self, tokens, *, last: bool = False):
        """Logits; last: what they are products of."""
        init = nn.initializers.normal(self.width**-0.5)
        embed = nn.Embed(self.vocabulary, self.width, embedding_init=init, name="embed")
        # Looked up in float32 whatever the type: so the gradient's sums over tokens are, too.
        x = embed(tokens).astype(self.dtype) * self.width**0.5
        for i in range(self.depth):
            x = block(self, x, i)
        x = nn.RMSNorm(dtype=self.dtype, name="norm")(x)
        return (x, embed.embedding) if last else logits(x, embed.embedding)


class Block(nn.Module):
    """The first block of a Network alone."""

    mixer: Callable
    width: int
    dtype: jnp.dtype
    feed_forward: bool

    @nn.compact
    def __call__(self, x):
        return block(self, x, 0)


def build(
    variant: Variant,
    *,
    vocabulary: int,
    length: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 2,
    dtype: jnp.dtype = jnp.float32,
    large: Large = Large(),  # noqa: B008 - immutable.
) -> Model:
    """A transformer of one variant; causal where the variant is.

    Raises ValueError where the heads do not divide the width into even parts.
    """
    if width % (2 * heads):
        raise ValueError(f"{heads} heads do not cut a width of {width} into even parts")
    make = functools.partial(Network, vocabulary, width=width, depth=depth, dtype=dtype)
    mixer = functools.partial(SelfAttention, variant, heads, dtype)
    network = make(mixer)

    def init(key):
        return network.init(key, jnp.zeros((1, length), jnp.int32))["params"]

    def apply(params, tokens):
        return network.apply({"params": params}, tokens)

    def last_heads(params, tokens):
        _, found = network.apply({"params": params}, tokens, mutable=["intermediates"])
        return found["intermediates"][f"mixer_{depth - 1}"]["heads"][0]

    by_token = (None, None)
    if variant.causal and variant.pattern is not None:
        by_token = one_by_one(make(functools.partial(mixer, kept=length)))
    losses = losses_of(network) if large == Large() else blockwise(network, init, large)
    return Model(init, apply, last_heads, *by_token, losses)


def losses_of(network: Network) -> Callable:
    """`Model.losses` of a network as it is."""

    def losses(params, tokens, target):
        found: Any = network.apply({"params": params}, tokens, last=True)
        x, table = found
        return of_outputs(x, table, target)

    return losses


def blockwise(network: Network, init: Callable, large: Large) -> Callable:
    """`Model.losses` by a scan over the blocks, one of which is compiled."""
    policy = {
        "none": fsdp.ungathered,
        "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        "full": jax.checkpoint_policies.nothing_saveable,
    }[large.remat]
    width, dtype = network.width, network.dtype
    first = Block(mixer=network.mixer, width=width, dtype=dtype, feed_forward=network.feed_forward)

    def whole(tree, like):
        """Kernels in the products' type, the rest as it is."""

        def one(path, part, full):
            axis, kernel = fsdp.axis_of(full.shape, large.parts), path[-1].key == "kernel"
            return fsdp.whole(part, axis, dtype if kernel else part.dtype)

        return jax.tree_util.tree_map_with_path(one, tree, like)

    def of_block(params, i):
        own = {name.rpartition("_"): leaves for name, leaves in params.items() if "_" in name}
        return {f"{name}_0": leaves for (name, _, n), leaves in own.items() if n == str(i)}

    def losses(params, tokens, target):
        like = jax.eval_shape(init, jax.random.key(0))
        table = whole(params["embed"], like["embed"])["embedding"]

        @functools.partial(jax.checkpoint, policy=policy, prevent_cse=False)
        def one(x, own):
            return first.apply({"params": whole(own, of_block(like, 0))}, x), None

        every = [of_block(params, i) for i in range(network.depth)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *every)
        x, _ = jax.lax.scan(one, table[tokens].astype(dtype) * width**0.5, stacked)
        x = nn.RMSNorm(dtype=dtype).apply({"params": params["norm"]}, x)
        return of_outputs(jnp.asarray(x), table, target)

    return losses


def one_by_one(network: Network) -> tuple[Callable, Callable]:
    """`begin` and `step` of a model whose mixers keep a collection `memory`."""

    def begin(batch):
        shapes = jax.eval_shape(
            network.init, jax.random.key(0), jax.ShapeDtypeStruct((batch, 1), jnp.int32)
        )
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes["memory"])

    def step(params, memory, tokens):
        logits, found = network.apply(
            {"params": params, "memory": memory}, tokens[:, None], mutable=["memory"]
        )
        return logits[:, 0], found["memory"]

    return begin, step
