"""Orders of positions that a program computes, so that it need not hold them as constants.

An order is a table [blocks, size] of positions, -1 where it is padding (`blocks.Part`). All but
drawn ones are affine in two indices: place t holds c + (t // a) b + (t mod a) d. At 131,072
positions a table is half a megabyte, and every layer has several of them, forward and backward.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Entries of a table that may be a constant of a program.
SMALL = 2**11


class Affine(NamedTuple):
    """Place t holds first + (t // group) * jump + (t mod group) * step, -1 from `end` on."""

    first: int
    group: int
    jump: int
    step: int
    end: int


def affine(table: np.ndarray) -> Affine | None:
    """The formula of a table [blocks, size]; None where it has none that is known here."""
    flat = table.ravel()
    if flat[0] < 0:
        return None
    step = int(flat[1] - flat[0]) if len(flat) > 1 and flat[1] > flat[0] else 1
    broken = np.flatnonzero(flat != flat[0] + step * np.arange(len(flat)))
    later = broken[flat[broken] >= 0]
    group = int(later[0]) if len(later) else len(flat)
    jump = int(flat[group] - flat[0]) if len(later) else group * step
    found = Affine(int(flat[0]), group, jump, step, int(flat.max()) + 1)
    side_by_side = step == 1 and jump >= group
    classes = jump == 1 and found.first == 0 and len(flat) == group * step
    if not (side_by_side or classes):
        return None
    places = np.arange(len(flat))
    expected = found.first + places // group * jump + places % group * step
    expected = np.where(expected < found.end, expected, -1)
    return found if np.array_equal(expected, flat) else None


def positions(table: np.ndarray, block: jax.Array | None = None) -> jax.Array:
    """The table on the device, or one block of it [size], int32; of a large one computed there."""
    order = affine(table) if table.size > SMALL else None
    if order is None:
        whole = jnp.asarray(table)
        return whole if block is None else lax.dynamic_index_in_dim(whole, block, 0, False)
    blocks, size = table.shape
    numbers = lax.iota(jnp.int32, blocks)[:, None] if block is None else block
    places = numbers * size + lax.iota(jnp.int32, size)
    found = order.first + places // order.group * order.jump + places % order.group * order.step
    return jnp.where(found < order.end, found, -1)


def tile_of(tiles: np.ndarray) -> Callable:
    """(i, slot) -> tiles[i, slot] on the device; a large table of ranges is not held there."""
    first = tiles[:, 0]
    ranges = first[:, None] + np.arange(tiles.shape[1], dtype=tiles.dtype)
    # Unused slots hold 0.
    if tiles.size > SMALL and ((tiles == ranges) | (tiles == 0)).all():
        starts = jnp.asarray(first) if first.any() else jnp.zeros_like(first)
        return lambda i, slot: starts[i] + slot
    narrow = tiles.size > SMALL and tiles.max() < 2**15
    table = jnp.asarray(tiles.astype(np.int16) if narrow else tiles)
    return lambda i, slot: table[i, slot].astype(jnp.int32)


def in_order(table: np.ndarray, length: int) -> bool:
    """Whether the table holds 0 ... length - 1 one after the other."""
    return np.array_equal(table.ravel()[:length], np.arange(length))


def blocks_of(x: jax.Array, table: np.ndarray) -> jax.Array:
    """Rows of x [n, ...] in the table's order: [blocks, size, ...]; padding holds any number."""
    shape = *table.shape, *x.shape[1:]
    if in_order(table, len(x)):
        return _padded(x, 0, table.size).reshape(shape)
    order = affine(table) if len(x) > SMALL else None
    if order is None:
        return x[np.maximum(table, 0)]
    groups = -(-table.size // order.group)
    if order.step == 1:
        x = _padded(x, 0, max(len(x), groups * order.jump + order.first))[order.first :]
        x = _padded(x, 0, groups * order.jump).reshape(groups, order.jump, *x.shape[1:])
        x = x[:, : order.group].reshape(-1, *x.shape[2:])[: table.size]
    else:
        x = _padded(x, 0, table.size).reshape(order.group, order.step, *x.shape[1:])
    return (x if order.step == 1 else x.swapaxes(0, 1)).reshape(shape)


def unblock(x: jax.Array, table: np.ndarray, length: int, fill: float = 0) -> jax.Array:
    """The way back: [blocks, size, ...] to [length, ...]; positions that do not occur get fill."""
    x = x.reshape(-1, *x.shape[2:])
    if in_order(table, length):
        return x[:length]
    order = affine(table) if length > SMALL else None
    if order is None:
        place = np.full(length + 1, table.size, np.int32)
        place[table.ravel()] = np.arange(table.size)
        absent = jnp.full((1, *x.shape[1:]), fill, x.dtype)
        return jnp.concatenate([x, absent])[place[:length]]
    groups = -(-table.size // order.group)
    if order.step > 1:
        x = x.reshape(groups, order.group, *x.shape[1:]).swapaxes(0, 1)
        return x.reshape(-1, *x.shape[2:])[:length]
    x = _padded(x, 0, groups * order.group, fill).reshape(groups, order.group, *x.shape[1:])
    x = _padded(x, 1, order.jump, fill).reshape(-1, *x.shape[2:])
    x = jnp.concatenate([jnp.full((order.first, *x.shape[1:]), fill, x.dtype), x])
    # What is behind the last position was padding.
    return _padded(x[: order.end], 0, length, fill)


def _padded(x: jax.Array, axis: int, size: int, fill: float = 0) -> jax.Array:
    """x with `fill` behind it along an axis, or cut, to a size."""
    x = lax.slice_in_dim(x, 0, min(size, x.shape[axis]), axis=axis)
    widths = [(0, size - n if i == axis else 0) for i, n in enumerate(x.shape)]
    return jnp.pad(x, widths, constant_values=fill)
