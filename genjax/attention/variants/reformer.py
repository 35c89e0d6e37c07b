"""Reformer's LSH attention (Kitaev et al. 2020, section 2): queries meet keys of their own bucket.

Keys are the normalised queries (shared QK; k is not read). A round hashes h(x) = argmax [xR; -xR],
sorts by (bucket, position), cuts into chunks of 64 and lets each see itself and the one before,
within the bucket; itself only where there is nothing else. Rounds merge by their log-sum-exps, a
pair found in several counts once (appendix A): the result is the softmax over the union of pairs.

The number of buckets grows with n, two to a chunk at most, else the cost is O(n^2) again; above 64
the hash is two smaller ones side by side, since one rotation costs n per position. About
4 n 128 d FLOPs a head and round, and a sort.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.attention import blocks
from genjax.attention.registry import register
from genjax.attention.variant import Cost, Variant, needed

ONLY_ITSELF = -1e5


class Shape(NamedTuple):
    """chunk: positions. group: chunks at once."""

    chunk: int
    group: int
    causal: bool


class Where(NamedTuple):
    """Of all rounds, [rounds, n]: buckets, positions sorted by them, where each went, its chunk."""

    buckets: jax.Array
    order: jax.Array
    place: jax.Array
    chunks: jax.Array


@register(short=lambda length: {"chunk": 8}, sharded="sorts all positions by bucket; take flash")
def reformer(
    length: int,
    head_dim: int,
    *,
    causal: bool = False,
    rounds: int = 4,
    chunk: int = 64,
    group: int = 8,
) -> Variant:
    """rounds: of hashing. chunk: positions. group: chunks at once; changes speed and memory alone.

    `extra` holds the rotations R [rounds, d, half the buckets]; draw them again from another key at
    will.
    """
    chunk = min(chunk, length)
    count = -(-length // chunk)
    shape = Shape(chunk, group, causal)
    sizes = bucket_sizes(count)

    def init(key):
        return {"rotations": jax.random.normal(key, (rounds, head_dim, sum(sizes) // 2))}

    def attend(q, k, v, *, mask=None, extra=None):
        del k
        rotations = needed(extra)["rotations"]
        batch, _, heads, _ = q.shape
        valid = jnp.ones((batch, length), bool) if mask is None else mask
        valid = jnp.repeat(valid, heads, 0)

        def row(q, v, valid):
            buckets = hash_buckets(lax.stop_gradient(q), rotations, sizes)
            return merge_rounds(q, v, valid, buckets, *sort_buckets(buckets))

        @jax.checkpoint
        def merge_rounds(q, v, valid, buckets, order, place):
            keys = q * lax.rsqrt((q.astype(jnp.float32) ** 2).sum(-1, keepdims=True) + 1e-12)
            where = Where(buckets, order, place, place // chunk)

            def one(r):
                return _round((q, keys.astype(q.dtype), v, valid), where, r, shape)

            out, lse = lax.map(one, jnp.arange(rounds))
            top = lax.stop_gradient(lse.max(0))
            weights = jnp.exp(lse - top)
            total = weights.sum(0)
            seen = top > blocks.NONE
            merged = (weights[..., None] * out).sum(0) / total[:, None]
            return jnp.where(seen[:, None], merged, 0.0).astype(q.dtype)

        rows = blocks.heads_apart(q), blocks.heads_apart(v), valid
        out = blocks.over_rows(row, length, *rows)
        return blocks.heads_together(out, batch)

    pairs = count * chunk * 2 * chunk * rounds
    flops = 4.0 * head_dim * pairs + 2.0 * rounds * length * head_dim * sum(sizes) / 2
    return Variant(
        attend, Cost(flops, 4.0 * length * head_dim * (4 + 2 * rounds)), init, shared_qk=True
    )


def bucket_sizes(chunks: int) -> tuple[int, ...]:
    """Even numbers whose product is the number of buckets: near `chunks`, one hash or two."""
    if chunks <= 64:
        return (max(2, 2 * (chunks // 2)),)
    side = max(2, 2 * round(math.sqrt(chunks) / 2))
    return side, side


def hash_buckets(x, rotations, sizes):
    """Buckets [rounds, n] of x [n, dim] by rotations [rounds, dim, sum(sizes) / 2]."""
    turned = jnp.einsum("nd,rdh->rnh", x, rotations.astype(x.dtype))
    bucket, start = 0, 0
    for size in sizes:
        part = turned[..., start : start + size // 2]
        own = jnp.argmax(jnp.concatenate([part, -part], -1), -1).astype(jnp.int32)
        bucket, start = bucket * size + own, start + size // 2
    return bucket


def sort_buckets(buckets):
    """(order, place) [rounds, n]: positions sorted by (bucket, position), and where each went."""
    order = jnp.argsort(buckets, axis=-1, stable=True)
    rank = jnp.broadcast_to(jnp.arange(order.shape[1], dtype=order.dtype), order.shape)
    # A scatter, not a second sort.
    return order, jnp.put_along_axis(order, order, rank, -1, inplace=False)


@jax.custom_vjp
def _permute(x, order, place):
    """x[order], with a gradient that gathers by the inverse `place` instead of scattering."""
    del place
    return x[order]


_permute.defvjp(lambda x, order, place: (x[order], place), lambda place, g: (g[place], None, None))


def _round(row, where, r, shape):
    """Round r of one row (q, keys, v [n, dim], valid [n]): output [n, dim], log-sum-exp [n]."""
    q, keys, v, valid = row
    order, place = where.order[r], where.place[r]
    chunk, (length, dim) = shape.chunk, q.shape
    count = -(-length // chunk)
    group = math.gcd(shape.group, count)
    position = _chunks(order[:, None], chunk, -1)[..., 0]
    q, keys, v = (_chunks(_permute(x, order, place), chunk, 0) for x in (q, keys, v))
    seen = _chunks(valid[order][:, None], chunk, False)[..., 0]

    @jax.checkpoint
    def of_group(start):
        own = start + jnp.arange(group)
        both = jnp.stack([own, (own - 1) % count], 1)
        i, j = position[own], position[both].reshape(group, -1)
        k_two, v_two = (x[both].reshape(group, -1, dim) for x in (keys, v))
        visible = seen[both].reshape(group, -1)
        if count == 1:
            visible = visible & (jnp.arange(2 * chunk) < chunk)
        i_, j_ = i[:, None, :], j[:, :, None]

        def met(bucket, chunks):
            """Whether a round's chunks let the pairs meet."""
            apart = (chunks[i_] - chunks[j_]) % count
            return (bucket[i_] == bucket[j_]) & (apart <= 1)

        times = sum(
            met(where.buckets[other], where.chunks[other]).astype(jnp.int32)
            for other in range(len(where.buckets))
        )
        inside = visible[:, :, None] & (i_ >= 0) & (j_ >= 0)
        inside = inside & (where.buckets[r][i_] == where.buckets[r][j_])
        if shape.causal:
            inside = inside & (j_ <= i_)
        scores = jnp.einsum("gkd,gqd->gkq", k_two, q[own], preferred_element_type=jnp.float32)
        scores = jnp.where(i_ == j_, ONLY_ITSELF, scores * dim**-0.5)
        scores = jnp.where(inside, scores, blocks.NONE)
        top = lax.stop_gradient(scores.max(1, keepdims=True))
        weights = jnp.where(inside, jnp.exp(scores - top) / jnp.maximum(times, 1), 0.0)
        total = weights.sum(1)
        some = total > 0
        out = jnp.einsum("gkq,gkd->gqd", weights.astype(v.dtype), v_two).astype(jnp.float32)
        safe = jnp.where(some, total, 1.0)
        return out / safe[..., None], jnp.where(some, top[:, 0] + jnp.log(safe), blocks.NONE)

    out, lse = lax.map(of_group, jnp.arange(0, count, group))
    out = _permute(out.reshape(-1, dim)[:length], place, order)
    return out, _permute(lse.reshape(-1)[:length], place, order)


def _chunks(x, chunk, fill):
    """[n, ...] as [chunks, chunk, ...], padded."""
    padding = -len(x) % chunk
    x = jnp.pad(x, ((0, padding),) + ((0, 0),) * (x.ndim - 1), constant_values=fill)
    return x.reshape(-1, chunk, *x.shape[1:])
