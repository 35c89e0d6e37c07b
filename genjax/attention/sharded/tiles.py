"""Softmax attention of a block of queries over a block of keys, wherever in the sequence they lie.

As `blocks`, in tiles with an online softmax, but nothing is known before the program runs: the
positions are the device's own (`lax.axis_index`), and which tiles are visited is arithmetic on
them. No table becomes a constant of the program. Arrays are [rows, n, dim], rows being batch x
heads; log-sum-exps [rows, n], NONE of a query that saw no key.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.attention import blocks
from genjax.attention.blocks import NONE, dot


class See(NamedTuple):
    """Which keys the queries see.

    queries, keys: their positions, [n] and [m]; a key below 0 is not there.
    allowed: (i, j) -> which pairs of positions count; None: all, and all keys are there.
    left, right: no pair further apart than so many positions before, or after, the query is
        allowed; None: no limit. They need both orders contiguous, and only save tiles.
    shift: the index among the keys at the position of query 0, for `left` and `right`.
    ascending: both come in order of their positions, and no key behind its query is allowed; that
        saves tiles wherever they lie.
    """

    queries: jax.Array
    keys: jax.Array
    allowed: Callable | None = None
    left: int | None = None
    right: int | None = None
    shift: int = 0
    ascending: bool = False


class _Cut(NamedTuple):
    """Tiles of the queries and of the keys: how many of each, and of how many positions."""

    see: See
    queries: int
    query_size: int
    keys: int
    key_size: int

    def of_queries(self, x):
        """[n, ...] as [tiles, size, ...], padded with zeros."""
        return _split(x, self.queries, self.query_size)

    def of_keys(self, x, padding=0):
        """[m, ...] as [tiles, size, ...]."""
        return _split(x, self.keys, self.key_size, padding)

    @property
    def checked(self) -> bool:
        padded = self.keys * self.key_size > len(self.see.keys)
        return padded or self.see.allowed is not None

    def mask(self, i, j):
        """[keys, queries] of a tile at positions i and j."""
        inside = (j >= 0)[:, None]
        return inside if self.see.allowed is None else inside & self.see.allowed(i, j[:, None])

    def span(self, block):
        """The first tile of keys that a tile of queries may see, and the one behind the last."""
        first, last, see = 0, self.keys, self.see
        begin = block * self.query_size + see.shift
        if see.left is not None:
            first = jnp.clip((begin - see.left) // self.key_size, 0, self.keys)
        if see.right is not None:
            end = begin + self.query_size - 1 + see.right
            last = jnp.clip(end // self.key_size + 1, first, self.keys)
        if see.ascending:
            end = jnp.minimum((block + 1) * self.query_size, len(see.queries)) - 1
            last = (see.keys[:: self.key_size] <= see.queries[end]).sum(dtype=jnp.int32)
        return first, last


def _split(x, count: int, size: int, padding=0):
    width = ((0, count * size - len(x)),) + ((0, 0),) * (x.ndim - 1)
    return jnp.pad(x, width, constant_values=padding).reshape(count, size, *x.shape[1:])


def _cut(see: See, tile: int) -> _Cut:
    sizes = [blocks.block_size(len(x), tile) for x in (see.queries, see.keys)]
    counts = [-(-len(x) // size) for x, size in zip(see[:2], sizes, strict=True)]
    return _Cut(see, counts[0], sizes[0], counts[1], sizes[1])


def _scaled(q):
    return (q.astype(jnp.float32) * q.shape[-1] ** -0.5).astype(q.dtype)


def forward(see: See, q, k, v, *, tile: int):
    """Outputs [rows, n, dim] and log-sum-exps [rows, n] in float32."""
    cut = _cut(see, tile)
    i_tiles, j_tiles = cut.of_queries(see.queries), cut.of_keys(see.keys, -1)

    def row(q, k, v):
        k, v_t = cut.of_keys(k), jnp.swapaxes(cut.of_keys(v), 1, 2)

        def of_block(arguments):
            block, q, i = arguments
            q_t = q.T

            def visit(j, carry):
                top, total, out = carry
                scores = dot(k[j], q_t)
                if cut.checked:
                    scores = jnp.where(cut.mask(i, j_tiles[j]), scores, NONE)
                new = jnp.maximum(top, scores.max(0))
                weights = jnp.exp(scores - new)
                shrink = jnp.exp(top - new)
                out = out * shrink + dot(v_t[j], weights.astype(v.dtype))
                return new, total * shrink + weights.sum(0), out

            # Above NONE: where all that was seen is masked, NONE - NONE would be a score of 0.
            size = cut.query_size
            empty = (jnp.full(size, NONE / 2), jnp.zeros(size), jnp.zeros((v.shape[-1], size)))
            top, total, out = lax.fori_loop(*cut.span(block), visit, empty)
            some = total > 0
            total = jnp.where(some, total, 1.0)
            return jnp.where(some, out / total, 0.0).T, jnp.where(some, top + jnp.log(total), NONE)

        rows = (jnp.arange(cut.queries), cut.of_queries(_scaled(q)), i_tiles)
        out, lse = lax.map(of_block, rows)
        return out.reshape(-1, v.shape[-1])[: len(q)], lse.reshape(-1)[: len(q)]

    return blocks.over_rows(row, q.shape[1], q, k, v)


def backward(see: See, q, k, v, *, lse, inner, d_out, tile: int):
    """Gradients by q, k and v in float32.

    lse: log-sum-exps [rows, n] over all keys of the queries, those of other blocks included.
    inner: sum(out * d_out) [rows, n] of the output over all keys, less the gradient by lse.
    """
    cut = _cut(see, tile)
    i_tiles, j_tiles = cut.of_queries(see.queries), cut.of_keys(see.keys, -1)
    # Queries that saw nothing: weights of exp(-inf) = 0. Padded ones have a d_out of 0.
    lse = jnp.where(lse > NONE / 2, lse, -NONE)

    def row(q, k, v, lse, inner, d_out):
        keys, values = cut.of_keys(k), cut.of_keys(v)
        keys_t = jnp.swapaxes(keys, 1, 2)

        def of_block(carry, arguments):
            block, q, i, lse, inner, d_out = arguments
            q_t, d_out_t = q.T, d_out.T

            def visit(j, carry):
                dq, dk, dv = carry
                scores = dot(keys[j], q_t)
                if cut.checked:
                    scores = jnp.where(cut.mask(i, j_tiles[j]), scores, NONE)
                weights = jnp.exp(scores - lse)
                d_scores = (weights * (dot(values[j], d_out_t) - inner)).astype(q.dtype)
                dv = dv.at[j].add(dot(weights.astype(q.dtype), d_out))
                dk = dk.at[j].add(dot(d_scores, q))
                return dq + dot(keys_t[j], d_scores), dk, dv

            zero = jnp.zeros(q_t.shape)
            dq, *carry = lax.fori_loop(*cut.span(block), visit, (zero, *carry))
            return tuple(carry), dq.T

        queries = [cut.of_queries(x) for x in (lse, inner, d_out)]
        rows = (jnp.arange(cut.queries), cut.of_queries(_scaled(q)), i_tiles, *queries)
        zeros = (jnp.zeros(keys.shape), jnp.zeros(values.shape))
        (dk, dv), dq = lax.scan(of_block, zeros, rows)
        dq = dq.reshape(-1, q.shape[-1])[: len(q)] * q.shape[-1] ** -0.5
        return dq, *(x.reshape(-1, x.shape[-1])[: len(k)] for x in (dk, dv))

    return blocks.over_rows(row, q.shape[1], q, k, v, lse, inner, d_out.astype(q.dtype))


def on_rows(function: Callable) -> Callable:
    """A function of rows [rows, n, dim], for arrays [batch, n, heads, dim].

    function: (q, k, v, extra) -> the output in float32.
    """

    def attend(q, k, v, *, extra=None):
        out = function(*jax.tree.map(blocks.heads_apart, (q, k, v, extra or {})))
        return blocks.heads_together(out.astype(q.dtype), q.shape[0])

    return attend


def merge(one, other):
    """Outputs and log-sum-exps over disjoint sets of keys, as those over their union."""
    (out, lse), (more, its) = one, other
    top = lax.stop_gradient(jnp.maximum(lse, its))
    a, b = jnp.exp(lse - top), jnp.exp(its - top)
    total = a + b
    out = (a[..., None] * out + b[..., None] * more) / total[..., None]
    return out, jnp.maximum(top + jnp.log(total), NONE)


def attend(see: Callable[[], See], q, k, v, *, tile: int):
    """`forward`, with gradients by q, k and v of both its results.

    see: asked forward and backward anew, since positions of a device are values of the program.
    """

    @jax.custom_vjp
    def core(q, k, v):
        return forward(see(), q, k, v, tile=tile)

    def keep(q, k, v):
        out, lse = core(q, k, v)
        return (out, lse), (q, k, v, out, lse)

    def pull(saved, given):
        q, k, v, out, lse = saved
        d_out, d_lse = given
        inner = (out * d_out).sum(-1) - d_lse
        grads = backward(see(), q, k, v, lse=lse, inner=inner, d_out=d_out, tile=tile)
        return tuple(g.astype(x.dtype) for g, x in zip(grads, (q, k, v), strict=True))

    core.defvjp(keep, pull)
    return core(q, k, v)
