"""Ring attention (Liu et al. 2023): blocks of keys and values travel round the devices.

Each device keeps its queries. In each of P - 1 hops it sends the keys and values that it holds to
the next device while it attends to them, and merges what it found by the running maximum and sum.
The backward pass goes round once more: gradients of keys and values travel with them, one hop more,
and arrive at home. What is kept between the passes is a device's own part, never all blocks.

Causal, the devices with the last positions would have most of the work. `zigzag` gives each of P
devices one of the first P of 2 P pieces and its mirror image among the last, so that all see as
many keys (Llama 3, 2024, section 3.3.2; Brandon et al. 2023 take stripes).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from genjax.attention.sharded import tiles
from genjax.attention.variant import Shards


def attend(shards: Shards, see: Callable, q, k, v, tile: int, reached: Callable | None = None):
    """Output [rows, n, dim] and log-sum-exp [rows, n] of this device's queries, in float32.

    see: (p, s) -> the tiles.See of device p's queries and device s's keys; s is None for its own.
    reached: (p, s) -> whether any pair of another device's keys is allowed; None: always.
    """

    axis, count = shards.axis, shards.devices

    @jax.custom_vjp
    def core(q, k, v):
        return keep(q, k, v)[0]

    def when(s, function, state):
        """function(state), where device s holds a key that a query here may see."""
        if reached is None:
            return function(state)
        return lax.cond(reached(lax.axis_index(axis), s), function, lambda state: state, state)

    def keep(q, k, v):
        p = lax.axis_index(axis)

        def add(state, keys, s):
            def more(state):
                return tiles.merge(state, tiles.forward(see(p, s), q, *keys, tile=tile))

            return when(s, more, state)

        def hop(r, carry):
            state, keys = carry
            # Sent before they are read, so that both can go on at once.
            following = _send(shards, keys)
            return add(state, keys, (p - r) % count), following

        state = tiles.forward(see(p, None), q, k, v, tile=tile)
        if count > 1:
            state, keys = lax.fori_loop(1, count - 1, hop, (state, _send(shards, (k, v))))
            state = add(state, keys, (p + 1) % count)
        return state, (q, k, v, *state)

    def pull(saved, given):
        q, k, v, out, lse = saved
        d_out, d_lse = given
        by = {"lse": lse, "inner": (out * d_out).sum(-1) - d_lse, "d_out": d_out}
        p = lax.axis_index(axis)

        def add(grads, keys, s):
            def more(grads):
                new = tiles.backward(see(p, s), q, *keys, **by, tile=tile)
                return jax.tree.map(lax.add, grads, new)

            return when(s, more, grads)

        def hop(r, carry):
            (dq, *grads), keys = carry
            following = _send(shards, keys)
            grads = _send(shards, grads)
            return add((dq, *grads), keys, (p - r) % count), following

        grads = tiles.backward(see(p, None), q, k, v, **by, tile=tile)
        if count > 1:
            sent = _send(shards, (k, v))
            (dq, *grads), keys = lax.fori_loop(1, count - 1, hop, (grads, sent))
            grads = _send(shards, grads)
            dq, *grads = add((dq, *grads), keys, (p + 1) % count)
            grads = (dq, *_send(shards, grads))
        return tuple(g.astype(x.dtype) for g, x in zip(grads, (q, k, v), strict=True))

    core.defvjp(keep, pull)
    return core(q, k, v)


def pieces(shards: Shards, p) -> jax.Array:
    """The positions [part] that device p has of a `zigzag`, ascending."""
    half = shards.part // 2
    own = jnp.arange(half)
    return jnp.concatenate([p * half + own, (2 * shards.devices - 1 - p) * half + own])


def zigzag(shards: Shards, x, back: bool = False):
    """[rows, part, dim] of consecutive parts as those of `pieces`; or back. The part is even."""
    half, count = shards.part // 2, shards.devices
    homes = [min(piece, 2 * count - 1 - piece) for piece in range(2 * count)]
    # Pieces of even number are a permutation of devices, and so are the others.
    ways = [list(enumerate(homes[first::2])) for first in (0, 1)]
    odd = lax.axis_index(shards.axis) % 2 == 1  # There a piece of even number is the second.

    def swapped(one, other):
        return jnp.where(odd, other, one), jnp.where(odd, one, other)

    def sent(one, other):
        hops = [[(b, a) for a, b in way] for way in ways] if back else ways
        return [
            lax.ppermute(piece, shards.axis, hop)
            for piece, hop in zip((one, other), hops, strict=True)
        ]

    both = x[:, :half], x[:, half:]
    both = sent(*swapped(*both)) if back else swapped(*sent(*both))
    return jnp.concatenate(both, 1)


def _send(shards: Shards, tree):
    """Every leaf of device p to device p + 1, the last one's to the first."""
    hops = [(p, (p + 1) % shards.devices) for p in range(shards.devices)]
    return lax.ppermute(tree, shards.axis, hops)
