"""Attention with a kernel in place of the softmax: phi(q) (phi(k)^T v), in chunks, O(n) memory.

phi comes in two parts, phi(x) = values * exp(shift), so that sums over keys stay at the size of
their largest term, as in an online softmax. Gradients are autodiff's, each chunk recomputed in the
backward pass.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from genjax.attention import blocks
from genjax.attention.variant import Cost, Shards

TINY = 1e-30
CHUNK = 128  # Positions: longer ones cost causal rows more pairs, shorter ones more sums to keep.


def attend(
    features: Callable,
    size: int,
    q,
    k,
    v,
    *,
    mask=None,
    causal: bool = False,
    shards: Shards | None = None,
):
    """out_i = sum_j phi(q_i).phi(k_j) v_j / sum_j phi(q_i).phi(k_j); j <= i where causal.

    features: (x [chunk, dim], seen) -> (values [chunk, size], shift). For keys `seen` [chunk] says
        which count, and the shift is one number; for queries it is None, and each may have its own.
    shards: the devices that hold a part of the positions each; under `jax.shard_map`.
    """
    batch, length, heads, dim = q.shape
    chunk = blocks.block_size(length, CHUNK)
    count = -(-length // chunk)
    padded = mask is not None or count * chunk > length

    def key_features(k, seen):
        """phi(k) without its shift, zero where the key is not seen, and the shift."""
        values, shift = features(k, seen)
        return (jnp.where(seen[:, None], values, 0.0) if padded else values), shift

    def absorb(state, k, v, seen):
        return _add(state, *key_features(k, seen), v)

    def answer(state, q):
        _, sums, total = state
        asked, _ = features(q, None)
        return _divide(blocks.dot(asked, sums), asked @ total)

    def both(state, q, k, v, seen):
        top, sums, total = state
        asked, _ = features(q, None)
        values, shift = key_features(k, seen)
        new = jnp.maximum(top, shift)
        scores = blocks.dot(asked, values.T) * jnp.exp(shift - new)
        scores = jnp.where(jnp.tri(chunk, dtype=bool), scores, 0.0)
        asked = asked * jnp.exp(top - new)
        out = blocks.dot(asked, sums) + blocks.dot(scores.astype(v.dtype), v)
        return _add(state, values, shift, v), _divide(out, asked @ total + scores.sum(1))

    absorb, answer, both = _of_heads(absorb), _of_heads(answer, 1), _of_heads(both, (0, 1))
    empty = (
        jnp.full(heads, blocks.NONE),
        jnp.zeros((heads, size, dim)),
        jnp.zeros((heads, size)),
    )

    def sequence(q, k, v, seen):
        def cut(x):
            x = jnp.pad(x, ((0, count * chunk - length),) + ((0, 0),) * (x.ndim - 1))
            return x.reshape(count, chunk, *x.shape[1:])

        def absorbed():
            return lax.scan(lambda state, x: (absorb(state, *x), None), empty, keys)[0]

        q, keys = cut(q), (cut(k), cut(v), cut(seen))
        if causal:
            begin = _before(shards, absorbed(), empty) if shards else empty
            _, out = lax.scan(lambda state, x: both(state, *x), begin, (q, *keys))
        else:
            state = _over(shards, absorbed()) if shards else absorbed()
            out = lax.map(lambda q: answer(state, q), q)
        return out.reshape(count * chunk, heads, dim)[:length].astype(q.dtype)

    seen = jnp.ones((batch, length), bool) if mask is None else mask
    return blocks.over_rows(sequence, heads * length, q, k, v, seen)


def _of_heads(step, out_axes: int | tuple[int, ...] = 0):
    """step(state, ...) of one head's chunks [chunk, dim], for all heads of [chunk, heads, dim].

    What has no heads is all heads'. out_axes: where heads are in the results. Computed again in
    the backward pass. Heads are laid apart first, and held: else XLA:CPU turns their chunks too, to
    [heads, dim, chunk], for its products.
    """

    def apart(x):
        return lax.optimization_barrier(x.swapaxes(0, 1)) if x.ndim == 3 else x

    def steps(state, *chunks):
        axes = [0 if x.ndim == 3 else None for x in chunks]
        return jax.vmap(step, (0, *axes), out_axes)(state, *map(apart, chunks))

    return jax.checkpoint(steps)


@jax.custom_vjp
def _over_positions(a, b):
    """a^T b, summed in float32: [chunk, size], [chunk, dim] -> [size, dim]."""
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)


def _over_positions_backward(kept, slope):
    """As autodiff's, which has the first one turned."""
    a, b = kept
    return blocks.dot(b, slope.T).astype(a.dtype), blocks.dot(a, slope).astype(b.dtype)


_over_positions.defvjp(lambda a, b: (_over_positions(a, b), (a, b)), _over_positions_backward)


def _add(state, values, shift, v):
    """The state with a chunk's keys: their top shift, sums of phi(k) v and of phi(k)."""
    top, sums, total = state
    new = jnp.maximum(top, shift)
    before, now = jnp.exp(top - new), jnp.exp(shift - new)
    own = _over_positions(values.astype(v.dtype), v)
    return new, sums * before + own * now, total * before + values.sum(0) * now


def _over(shards: Shards, state):
    """The state of all devices' keys, of those of each."""
    top, sums, total = state
    highest = lax.pmax(lax.stop_gradient(top), shards.axis)
    scale = jnp.exp(top - highest)
    sums, total = lax.psum((sums * scale[:, None, None], total * scale[:, None]), shards.axis)
    return highest, sums, total


def _before(shards: Shards, state, empty):
    """The state of the devices before this one: a scan over devices (Hillis & Steele 1986)."""

    def back(state, hops):
        """That of the device so many places before, and whether there is one."""
        pairs = [(p, p + hops) for p in range(shards.devices - hops)]
        return lax.ppermute(state, shards.axis, pairs), lax.axis_index(shards.axis) >= hops

    def either(there, one, other):
        return jax.tree.map(lambda a, b: jnp.where(there, a, b), one, other)

    hops = 1
    while hops < shards.devices:
        other, there = back(state, hops)
        top = jnp.maximum(state[0], other[0])
        a, b = jnp.exp(state[0] - top), jnp.exp(other[0] - top)
        joined = (
            top,
            *(
                x * a.reshape(-1, *[1] * (x.ndim - 1)) + y * b.reshape(-1, *[1] * (x.ndim - 1))
                for x, y in zip(state[1:], other[1:], strict=True)
            ),
        )
        state = either(there, joined, state)
        hops *= 2
    other, there = back(state, 1)
    return either(there, other, empty)


def _divide(sums, total):
    """Sums of values [chunk, dim] over those of weights [chunk]; zeros where nothing was seen."""
    some = (total > TINY)[:, None]
    return jnp.where(some, sums / jnp.where(some, total[:, None], 1.0), 0.0)


def travels(causal: bool) -> str:
    """What devices send each other."""
    return "sums over keys, by a scan over devices" if causal else "sums over keys"


def cost(length: int, head_dim: int, size: int, projected: bool, causal: bool) -> Cost:
    """Sums of phi(k) v, phi(q) times them, phi's two projections; causal: the chunks' own pairs."""
    chunk = blocks.block_size(length, CHUNK)
    length = -(-length // chunk) * chunk
    flops = 4.0 * length * size * head_dim * (2 if projected else 1)
    flops += 2.0 * length * chunk * (size + head_dim) if causal else 0.0
    return Cost(flops, 4.0 * (4 * length * head_dim + 3 * size * chunk))
