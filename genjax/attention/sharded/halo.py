"""Windows over devices: each is sent the keys and values that its neighbours hold at its borders.

A halo wider than a device's part comes from several neighbours. Gradients go back the same way, by
autodiff of the exchange. Global positions are gathered, since they are few: all devices hold their
keys and values, and each attends for all of their queries to the keys that it has.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.attention.sharded import tiles
from genjax.attention.sharded.tiles import See
from genjax.attention.variant import Shards


def _extend(x, shards: Shards, left: int, right: int):
    """[rows, n, dim] with what lies before and behind, [rows, left + n + right, dim].

    Zeros where the sequence has ended; left and right reach no further than it is long.
    """
    own = x.shape[1]
    before, behind = [], []
    for hop in range(1, shards.devices):
        taken = min(own, left - own * (hop - 1))
        if taken > 0:
            pairs = [(p, p + hop) for p in range(shards.devices - hop)]
            before.insert(0, lax.ppermute(x[:, own - taken :], shards.axis, pairs))
        taken = min(own, right - own * (hop - 1))
        if taken > 0:
            pairs = [(p + hop, p) for p in range(shards.devices - hop)]
            behind.append(lax.ppermute(x[:, :taken], shards.axis, pairs))
    return jnp.concatenate([*before, x, *behind], 1)


class Window(NamedTuple):
    """Which keys a query sees a few strides before and ahead.

    allowed: (i, j) -> which pairs count, of positions in strides, of one class.
    reach: no pair that counts is further apart than so many strides before, or after, the query.
    halo: strides before, and behind, a device's part that its queries see.
    dilation: positions of a stride, a divisor of the part; its classes are rows of their own.
    """

    allowed: Callable
    reach: tuple[int, int]
    halo: tuple[int, int]
    dilation: int = 1


def attend(shards: Shards, window: Window, q, k, v, tile: int):
    """Output and log-sum-exp of the queries over the keys of their windows."""
    allowed, reach, halo, dilation = window
    rows, own = len(q), shards.part // dilation
    most = own * (shards.devices - 1)
    left, right = (min(side, most) for side in halo)

    def classes(x):
        """[rows, n, dim] -> [rows * dilation, n / dilation, dim]."""
        x = x.reshape(rows, -1, dilation, x.shape[-1])
        return x.swapaxes(1, 2).reshape(rows * dilation, -1, x.shape[-1])

    def together(x):
        """[rows * dilation, n / dilation, ...] -> [rows, n, ...]."""
        x = x.reshape(rows, dilation, own, *x.shape[2:])
        return x.swapaxes(1, 2).reshape(rows, shards.part, *x.shape[3:])

    def see():
        first = lax.axis_index(shards.axis) * own
        keys = first - left + jnp.arange(left + own + right)
        keys = jnp.where(keys < shards.devices * own, keys, -1)
        return See(first + jnp.arange(own), keys, allowed, *reach, left)

    k, v = (_extend(x, shards, left * dilation, right * dilation) for x in (k, v))
    return tuple(map(together, tiles.attend(see, *map(classes, (q, k, v)), tile=tile)))


class Chosen(NamedTuple):
    """Global positions, which see all and are seen by all.

    beyond: (i, j) -> the pairs of a query and a global key that the window does not hold.
    reach: (i, j) -> the keys that a global query may see; None: all.
    """

    positions: np.ndarray
    beyond: Callable
    reach: Callable | None


def with_chosen(shards: Shards, near, chosen: Chosen, q, k, v, tile: int, own: tuple):
    """A window's output with global positions too.

    near: output and log-sum-exp of the window. own: q, k and v of the global positions' rows.
    """

    def here():
        return lax.axis_index(shards.axis) * shards.part + jnp.arange(shards.part)

    def seen():
        return See(here(), jnp.asarray(chosen.positions), chosen.beyond)

    def seeing():
        return See(jnp.asarray(chosen.positions), here(), chosen.reach)

    keys, values = (_gather(shards, x, chosen.positions) for x in (k, v))
    out, _ = tiles.merge(near, tiles.attend(seen, q, keys, values, tile=tile))
    queries = _gather(shards, own[0], chosen.positions)
    found, lse = tiles.attend(seeing, queries, *own[1:], tile=tile)
    weights = jnp.exp(lse - lax.pmax(lax.stop_gradient(lse), shards.axis))
    rows, total = lax.psum((weights[..., None] * found, weights), shards.axis)
    place, inside = _places(shards, chosen.positions)
    # Other devices' positions are behind the end, where nothing is set.
    place = jnp.where(inside, place, shards.part)
    return out.at[:, place].set(rows / total[..., None], mode="drop")


def _places(shards: Shards, positions):
    """Where positions of the whole sequence are in this device's part, and whether they are."""
    place = positions - lax.axis_index(shards.axis) * shards.part
    return place, (place >= 0) & (place < shards.part)


def _gather(shards: Shards, x, positions):
    """Rows of [rows, n, dim] at positions of the whole sequence, on every device."""
    place, inside = _places(shards, positions)
    own = jnp.where(inside[:, None], x[:, jnp.clip(place, 0, shards.part - 1)], 0)
    return lax.psum(own, shards.axis)
