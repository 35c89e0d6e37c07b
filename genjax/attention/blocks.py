"""Exact softmax attention over a list of tiles: one kernel for every pattern that has blocks.

A pattern says which tiles (a block of queries, a block of keys) exist, and which pairs inside them
count. The same description drives the kernel, the count of operations and the dense mask that tests
compare with. Tiles that are not listed are never formed, forward or backward, and of those that
are, one at a time: memory grows as the length.

The softmax runs online (Milakov & Gimelshein 2018; Rabe & Staats 2021), the backward pass
recomputes the tiles from the saved log-sum-exp (Dao et al. 2022, algorithm 4). Scores are laid out
[keys, queries]: XLA:CPU reduces along the first axis with vectors, along the last one number after
the other.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.attention.exponential import exp_up_to_0
from genjax.attention.orders import blocks_of, positions, tile_of, unblock

NONE = -1e30  # Less than any score, and finite, so that differences of it are no NaN.
SHORT = 256  # Positions of which a batch of rows stays in the caches.
# Blocks of one order, and tiles in a table: beyond, a table takes minutes and gigabytes to make.
MOST_BLOCKS, MOST_TILES = 2**15, 2**26


class TooMany(ValueError):
    """A table that is too large to be made; `register` says of which variant."""


def require_table(blocks: int, slots: int = 1) -> None:
    """Raises TooMany for a table of tiles [blocks, slots] that is too large to be made."""
    if blocks > MOST_BLOCKS:
        raise TooMany(f"{blocks:,} blocks of positions; at most {MOST_BLOCKS:,}")
    if blocks * slots > MOST_TILES:
        raise TooMany(f"{blocks:,} blocks that see {slots:,}; at most {MOST_TILES:,} tiles")


class Part(NamedTuple):
    """Tiles over one order of the queries and one of the keys.

    queries, keys: positions in that order, [blocks, size]; -1 is padding.
    tiles: for each block of queries the blocks of keys it sees, [blocks, slots]; the first `counts`
        of a row are used, the first `whole` of those hold allowed pairs alone.
    allowed: (i, j) -> which pairs of positions count; None: all.
    """

    queries: np.ndarray
    keys: np.ndarray
    tiles: np.ndarray
    counts: np.ndarray
    whole: np.ndarray
    allowed: Callable | None


class Pattern(NamedTuple):
    """Parts whose allowed pairs are disjoint; together they are what a query attends to."""

    length: int
    parts: tuple[Part, ...]


def block_size(length: int, most: int) -> int:
    """A block of at most `most` that cuts `length` evenly up to a multiple of eight."""
    blocks = -(-length // most)
    return -(-length // (8 * blocks)) * 8


def cut(order: np.ndarray, size: int) -> np.ndarray:
    """Positions [n] as blocks [ceil(n / size), size], padded with -1."""
    require_table(-(-len(order) // size))
    padded = np.full(-(-len(order) // size) * size, -1, np.int32)
    padded[: len(order)] = order
    return padded.reshape(-1, size)


def from_ranges(
    queries: np.ndarray, keys: np.ndarray, first, last, allowed=None, whole=None
) -> Part:
    """A part whose block of queries i sees the blocks of keys first[i] <= j < last[i].

    whole: (i, j) -> whether the tile of these blocks holds allowed pairs alone; None: none does.
        Tiles with padding are never whole.
    """
    count = len(queries)
    first, last = (np.broadcast_to(np.asarray(a), (count,)) for a in (first, last))
    require_table(count, int((last - first).max(initial=0)))
    numbers = np.arange(max(0, last.max(initial=0)), dtype=np.int32)
    lists = [numbers[a : max(a, b)] for a, b in zip(first, last, strict=True)]
    return from_lists(queries, keys, lists, allowed, whole)


def from_lists(queries, keys, lists, allowed=None, whole=None) -> Part:
    """A part whose block of queries i sees the blocks of keys lists[i]."""
    full = (keys >= 0).all(-1)
    slots = max(1, max((len(row) for row in lists), default=1))
    tiles = np.zeros((len(queries), slots), np.int32)
    counts, wholes = np.zeros((2, len(queries)), np.int32)
    for i, row in enumerate(lists):
        row = np.asarray(row, np.int32)
        ok = full[row]
        if allowed is not None:
            ok = ok & whole(i, row) if whole else np.zeros_like(ok)
        tiles[i, : len(row)] = np.concatenate([row[ok], row[~ok]])
        counts[i], wholes[i] = len(row), ok.sum()
    return Part(queries, keys, tiles, counts, wholes, allowed)


def band(
    length: int, left: int | None, right: int | None, *, block: int, stride: int = 1
) -> Pattern:
    """Keys from `left` strides before a query to `right` after it, (i - j) mod stride = 0.

    None: no limit on that side. The classes of a stride lie one after the other, padded to whole
    blocks, so that each is a band of its own.
    """
    require_table(min(stride, length))
    classes = [np.arange(c, length, stride) for c in range(min(stride, length))]
    size = block_size(len(classes[0]), block)
    blocks = -(-len(classes[0]) // size)
    require_table(len(classes) * blocks)
    order = np.full((len(classes), blocks * size), -1, np.int32)
    for c, members in enumerate(classes):
        order[c, : len(members)] = members
    order = order.reshape(-1, size)
    own, begin = np.arange(len(order)) % blocks, np.arange(len(order)) // blocks * blocks
    reach_left = blocks if left is None else -(-left // size)
    reach_right = blocks if right is None else -(-right // size)
    first = begin + np.maximum(own - reach_left, 0)
    last = begin + np.minimum(own + reach_right, blocks - 1) + 1
    if left is None and right is None:
        return Pattern(length, (from_ranges(order, order, first, last),))

    def allowed(i, j):
        inside = i >= 0
        if left is not None:
            inside = inside & (i - j <= left * stride)
        if right is not None:
            inside = inside & (j - i <= right * stride)
        return inside

    def whole(i, j):
        apart = (j - i) * size
        ok = np.ones_like(apart, bool)
        if left is not None:
            ok &= size - 1 - apart <= left
        if right is not None:
            ok &= apart + size - 1 <= right
        return ok

    return Pattern(length, (from_ranges(order, order, first, last, allowed, whole),))


def tile_pairs(pattern: Pattern) -> int:
    """Pairs of queries and keys that the kernel computes, padding and masked ones included."""
    return sum(
        int(part.counts.sum()) * part.queries.shape[1] * part.keys.shape[1]
        for part in pattern.parts
    )


def dense_mask(pattern: Pattern) -> np.ndarray:
    """How often each pair is attended to, [length, length]; at most once if parts are disjoint."""
    found = np.zeros((pattern.length + 1, pattern.length + 1), np.int32)
    for part in pattern.parts:
        for i, row in enumerate(part.tiles):
            for slot, tile in enumerate(row[: part.counts[i]]):
                queries, keys = part.queries[i][:, None], part.keys[tile][None, :]
                inside = (queries >= 0) & (keys >= 0)
                if part.allowed is not None and slot >= part.whole[i]:
                    inside = inside & np.asarray(part.allowed(queries, keys))
                # -1 is the last row and column, which are cut off.
                np.add.at(found, (queries, keys), inside)
    return found[:-1, :-1]


def seen(pattern: Pattern, at: jax.Array) -> jax.Array:
    """Which keys the query at a position sees, [length]: a row of `dense_mask` > 0."""
    found = jnp.zeros(pattern.length, bool)
    for part in pattern.parts:
        own = (positions(part.queries) == at).any(1)
        i, tiles = jnp.argmax(own), tile_of(part.tiles)
        slots = jnp.arange(part.tiles.shape[1])
        used = own.any() & (slots < jnp.asarray(part.counts)[i])
        members = jnp.where(used, tiles(i, slots), len(part.keys))
        keys = positions(part.keys)
        inside = jnp.zeros(len(keys), bool).at[members].set(True, mode="drop")[:, None]
        inside = inside & (keys >= 0)
        if part.allowed is not None:
            inside = inside & part.allowed(at, keys)
        found = found | unblock(inside, part.keys, pattern.length, False)
    return found


def attend(pattern: Pattern, q, k, v, *, mask=None):
    """softmax(q k^T / sqrt(d)) v over the pattern's pairs: [batch, length, heads, head_dim].

    mask: [batch, length], False where a key is not to be seen. A query that sees no key gets zeros,
    and gradients of zero.
    """
    batch, length, heads, _ = q.shape
    valid = jnp.ones((batch, length), bool) if mask is None else mask
    rows = (heads_apart(x) for x in (q, k, v))
    out = _core(pattern, mask is not None)(*rows, jnp.repeat(valid, heads, 0))
    return heads_together(out, batch)


def heads_apart(x: jax.Array) -> jax.Array:
    """[batch, length, heads, dim] -> [batch * heads, length, dim]."""
    return x.transpose(0, 2, 1, 3).reshape(-1, x.shape[1], x.shape[3])


def heads_together(x: jax.Array, batch: int) -> jax.Array:
    """[batch * heads, length, dim] -> [batch, length, heads, dim]."""
    return x.reshape(batch, -1, *x.shape[1:]).transpose(0, 2, 1, 3)


def platform() -> str:
    """Of the devices that this is compiled for: those of `shard_map`'s mesh, else jax's default."""
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    return getattr(device, "platform", None) or jax.default_backend()


def over_rows(function: Callable, length: int, *rows: jax.Array) -> Any:
    """function over the leading axis, batch x heads: long ones one after the other on CPU."""
    if platform() == "cpu" and length > SHORT:
        return lax.map(lambda row: function(*row), rows)
    return jax.vmap(function)(*rows)


def _core(pattern: Pattern, masked: bool):
    """The kernel with its own gradient: q, k, v [rows, length, dim], valid [rows, length]."""

    @jax.custom_vjp
    def core(q, k, v, valid):
        return forward(q, k, v, valid)[0]

    def forward(q, k, v, valid):
        def row(q, k, v, valid):
            scaled = q.astype(jnp.float32) * q.shape[-1] ** -0.5
            found = [
                _forward(part, scaled.astype(q.dtype), k, v, valid, masked)
                for part in pattern.parts
            ]
            return _merge(found)

        out, lse = over_rows(row, q.shape[1], q, k, v, valid)
        return out.astype(q.dtype), (q, k, v, valid, out, lse)

    def backward(saved, d_out):
        def row(q, k, v, valid, out, lse, d_out):
            scale = q.shape[-1] ** -0.5
            inner = (out * d_out).sum(-1)
            scaled = (q.astype(jnp.float32) * scale).astype(q.dtype)
            grads = [
                _backward(part, (scaled, k, v), valid, (lse, inner, d_out), masked)
                for part in pattern.parts
            ]
            dq, dk, dv = (sum(parts) for parts in zip(*grads, strict=True))
            return dq * scale, dk, dv

        grads = over_rows(row, saved[0].shape[1], *saved, d_out.astype(saved[0].dtype))
        return *(g.astype(saved[0].dtype) for g in grads), None

    core.defvjp(forward, backward)
    return core


def _merge(found):
    """Outputs [n, d] and log-sum-exps [n] of disjoint sets of keys, as those of their union."""
    if len(found) == 1:
        return found[0]
    top = jnp.stack([lse for _, lse in found]).max(0)
    weights = [jnp.exp(lse - top) for _, lse in found]
    total = jnp.asarray(sum(weights))
    out = sum(w[:, None] * out for w, (out, _) in zip(weights, found, strict=True))
    return out / total[:, None], jnp.maximum(top + jnp.log(total), NONE)


def _tile_mask(part, valid, i, tile, masked):
    """[keys, queries] of one tile."""
    queries, keys = positions(part.queries, i), positions(part.keys, tile)
    inside = (keys >= 0)[:, None]
    if masked:
        inside = inside & lax.dynamic_index_in_dim(valid, tile, 0, False)[:, None]
    if part.allowed is not None:
        inside = inside & part.allowed(queries[None, :], keys[:, None])
    return inside


def _over_tiles(part, i, masked, body, carry):
    """body(carry, tile, check) over block i's tiles: whole ones first, which need no check."""
    counts, whole = jnp.asarray(part.counts), jnp.asarray(part.whole)
    tiles = tile_of(part.tiles)

    def step(check):
        return lambda slot, carry: body(carry, tiles(i, slot), check)

    start = 0
    if not masked and part.whole.any():
        start = whole[i]
        carry = lax.fori_loop(0, start, step(False), carry)
    if masked or (part.whole < part.counts).any():
        carry = lax.fori_loop(start, counts[i], step(True), carry)
    return carry


def dot(a, b):
    """a b, summed in float32 whatever the inputs are."""
    return lax.dot(a, b, preferred_element_type=jnp.float32)


def exp(x):
    """exp(x) of float32 up to 0."""
    return exp_up_to_0(x) if platform() == "cpu" else jnp.exp(x)


def _forward(part, q, k, v, valid, masked):
    """Output [n, d] and log-sum-exp [n] of one part and row, float32."""
    length, dim = q.shape
    q_t = jnp.swapaxes(blocks_of(q, part.queries), 1, 2)
    k, v_t = blocks_of(k, part.keys), jnp.swapaxes(blocks_of(v, part.keys), 1, 2)
    valid = blocks_of(valid, part.keys)
    size = part.queries.shape[1]

    def of_block(arguments):
        i, q_t = arguments

        def tile(carry, j, check):
            top, total, out = carry
            scores = dot(k[j], q_t)
            if check:
                scores = jnp.where(_tile_mask(part, valid, i, j, masked), scores, NONE)
            new = jnp.maximum(top, scores.max(0))
            weights = exp(scores - new)
            shrink = exp(top - new)
            out = out * shrink + dot(v_t[j], weights.astype(v.dtype))
            return new, total * shrink + weights.sum(0), out

        # Above NONE: where all that was seen is masked, NONE - NONE would count as a score of 0.
        empty = (jnp.full(size, NONE / 2), jnp.zeros(size), jnp.zeros((dim, size)))
        top, total, out = _over_tiles(part, i, masked, tile, empty)
        seen = total > 0
        out = jnp.where(seen, out / jnp.where(seen, total, 1.0), 0.0)
        return out.T, jnp.where(seen, top + jnp.log(jnp.where(seen, total, 1.0)), NONE)

    out, lse = lax.map(of_block, (jnp.arange(len(part.queries)), q_t))
    return (
        unblock(out, part.queries, length),
        unblock(lse, part.queries, length, NONE),
    )


def _backward(part, qkv, valid, results, masked):
    """Gradients [n, d] by the scaled q, k and v, of one part and row, float32.

    results: log-sum-exp and sum(out * d_out) [n] of the whole pattern, and d_out [n, d].
    """
    q, k, v = qkv
    length, _ = q.shape
    lse, inner, d_out, q = (blocks_of(x, part.queries) for x in (*results, q))
    # Padding, and queries that saw nothing: weights of exp(-inf) = 0.
    lse = jnp.where((positions(part.queries) >= 0) & (lse > NONE / 2), lse, -NONE)
    k, v, valid = (blocks_of(x, part.keys) for x in (k, v, valid))
    k_t = jnp.swapaxes(k, 1, 2)

    def of_block(carry, arguments):
        i, q, d_out, lse, inner = arguments
        q_t, d_out_t = q.T, d_out.T

        def tile(carry, j, check):
            dq, dk, dv = carry
            scores = dot(k[j], q_t)
            if check:
                scores = jnp.where(_tile_mask(part, valid, i, j, masked), scores, NONE)
            weights = exp(scores - lse)
            d_scores = (weights * (dot(v[j], d_out_t) - inner)).astype(q.dtype)
            weights = weights.astype(q.dtype)
            dv = dv.at[j].add(dot(weights, d_out))
            dk = dk.at[j].add(dot(d_scores, q))
            return dq + dot(k_t[j], d_scores), dk, dv

        dq, *carry = _over_tiles(part, i, masked, tile, (jnp.zeros(q_t.shape), *carry))
        return tuple(carry), dq.T

    zeros = (jnp.zeros(k.shape), jnp.zeros(v.shape))
    rows = (jnp.arange(len(part.queries)), q, d_out, lse, inner)
    (dk, dv), dq = lax.scan(of_block, zeros, rows)
    return (
        unblock(dq, part.queries, length),
        unblock(dk, part.keys, length),
        unblock(dv, part.keys, length),
    )
