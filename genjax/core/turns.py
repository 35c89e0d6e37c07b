"""The seeds of a device one after the other: all steps of a call of one, then those of the next.

One seed's parameters and moments then stay in the caches of its core, and no product has an axis
of seeds: its numbers are those of the seed alone. Where the devices do not divide the seeds, a
seed's call is cut into pieces, and a timetable shares them (McNaughton 1959, Management Science 6,
the rule that wraps around).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core.arrangement import Plan


class Timetable(NamedTuple):
    """Who runs what when; times are pieces of a seed's call.

    pieces: of a seed. slots: [devices, times, 2], the seed and which piece of it. moves: {time:
    [(from, to, seed)]}, before that time; of a device at most one. owners: the device of each
    seed's last piece.
    """

    pieces: int
    slots: np.ndarray
    moves: dict[int, list[tuple[int, int, int]]]
    owners: np.ndarray


def timetable(seeds: int, devices: int) -> Timetable:
    """The timetable of at least as many seeds as devices, without a gap.

    All pieces lie in a row, seed by seed, and are cut into as many equal parts as there are
    devices. Of a seed that a cut divides the later device has its first pieces, and runs them
    first; the earlier one ends with the others.
    """
    pieces = devices // math.gcd(seeds, devices)
    times = seeds * pieces // devices
    seed, place = np.divmod(np.arange(seeds * pieces).reshape(devices, times), pieces)
    slots, moves = np.stack([seed, place], -1), {}
    for device in range(1, devices):
        cut = int(place[device, 0])  # Pieces of its first seed that the device before it has.
        if not cut:
            continue
        head = pieces - cut
        slots[device, :head, 1] -= cut
        slots[device - 1, -cut:, 1] += head
        moves.setdefault(head, []).append((device, device - 1, int(seed[device, 0])))
    owners = np.arange(seeds) * pieces // times
    return Timetable(pieces, slots, moves, owners)


def loop(one: Callable, plan: Plan) -> Callable:
    """The loop of a call for the seeds of a device; `many` of `parallel.program`.

    one: (state, arrays, index [batch, ...], key) -> (state, metrics), a step of one seed.
    """
    if plan.uneven:
        return shared(one, plan.steps_per_call, plan.replicas, "replica")
    return in_turn(one, plan.steps_per_call)


def in_turn(one: Callable, most: int) -> Callable:
    """`loop` of devices that divide the seeds. most: steps of a call."""

    def many(state, arrays, index, keys, count):
        def call(seed):
            state, index, key = seed
            blank = _blank(one, most, state, arrays, index, key)
            return _steps(one, (state, blank), arrays, index, key, 0, count)

        state, metrics = jax.lax.map(call, (state, jnp.moveaxis(index, 1, 0), keys))
        return state, _by_step(metrics)

    return many


def shared(one: Callable, most: int, devices: int, axis: str) -> Callable:
    """`in_turn` by the timetable of more seeds than devices, which need not divide them.

    Every device of the mesh's axis is given, and returns, what there is of all seeds.
    """

    def many(state, arrays, index, keys, count):
        table, me = timetable(len(keys), devices), jax.lax.axis_index(axis)
        slots = jnp.asarray(table.slots)[me]
        state0, index0 = jax.tree.map(lambda leaf: leaf[0], state), index[:, 0]
        blank = _blank(one, most, state0, arrays, index0, keys[0])
        blank = jax.tree.map(lambda m: jnp.zeros((len(keys), *m.shape), m.dtype), blank)

        def run(time, held):
            seed, piece = slots[time]
            ends = count * piece // table.pieces, count * (piece + 1) // table.pieces
            own = index[:, seed], keys[seed]
            return _put(held, seed, _steps(one, _at(held, seed), arrays, *own, *ends))

        times = jnp.asarray([0, *sorted(table.moves), slots.shape[0]])
        move = _move(table, devices, axis)

        def until(i, held):
            return move(i, jax.lax.fori_loop(times[i], times[i + 1], run, held))

        # One loop, so that the step is compiled once.
        held = jax.lax.fori_loop(0, len(times) - 1, until, (state, blank))
        state, metrics = _told(held, table.owners, axis)
        return state, _by_step(metrics)

    return many


def _blank(one, most, state, arrays, index, key):
    """Room for the metrics of a seed's call."""
    shapes = jax.eval_shape(one, state, arrays, index[0], key)[1]
    return jax.tree.map(lambda m: jnp.zeros((most, *m.shape), m.dtype), shapes)


def _steps(one, held, arrays, index, key, first, last):
    """(state, metrics) after the steps from first to last of a seed's call."""

    def step(i, held):
        state, metrics = held
        state, new = one(state, arrays, index[i], key)
        return state, jax.tree.map(lambda m, v: m.at[i].set(v), metrics, new)

    return jax.lax.fori_loop(first, last, step, held)


def _by_step(metrics):
    """[seeds, steps] as [steps, seeds]."""
    return jax.tree.map(lambda m: jnp.moveaxis(m, 0, 1), metrics)


def _at(tree, seed):
    return jax.tree.map(lambda leaf: leaf[seed], tree)


def _put(tree, seed, one):
    return jax.tree.map(lambda leaf, new: leaf.at[seed].set(new), tree, one)


def _move(table: Timetable, devices: int, axis: str):
    """(i, what is held) -> it, and of a seed that moves at the i-th time what its giver holds."""
    gives, takes = np.full((2, len(table.moves) + 1, devices), -1)
    for i, time in enumerate(sorted(table.moves)):
        for giver, taker, seed in table.moves[time]:
            gives[i, giver] = takes[i, taker] = seed
    pairs = [(device, device - 1) for device in range(1, devices)]

    def move(i, held):
        me = jax.lax.axis_index(axis)
        give, take = jnp.asarray(gives)[i, me], jnp.asarray(takes)[i, me]
        sent = jax.tree.map(
            lambda leaf: jax.lax.ppermute(leaf, axis, pairs), _at(held, jnp.maximum(give, 0))
        )
        place = jnp.maximum(take, 0)
        kept = jax.tree.map(lambda a, b: jnp.where(take < 0, a, b), _at(held, place), sent)
        return _put(held, place, kept)

    return move


def _told(held, owners, axis):
    """What is held, of each seed as its owner has it."""
    seeds, most = len(owners), int(np.bincount(owners).max())
    starts = np.minimum(np.searchsorted(owners, np.arange(owners[-1] + 1)), seeds - most)
    begin = jnp.asarray(starts)[jax.lax.axis_index(axis)]
    rows = owners * most + np.arange(seeds) - starts[owners]

    def one(leaf):
        own = jax.lax.dynamic_slice_in_dim(leaf, begin, most)
        return jax.lax.all_gather(own, axis, tiled=True)[rows]

    return jax.tree.map(one, held)
