"""Images as devices hold them: rows of grey levels, a byte each where that loses nothing.

Or as training reads them from their files, where they do not fit: `Streamed`.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from genjax.core import parallel, stream
from genjax.core.arrangement import Needs

# What sources divide by: bits, the ink of scikit-learn's digits, bytes.
LEVELS = (1, 16, 255)
# Columns of a TPU's tiles. Of rows that fill them no other layout is smaller, so that none is made
# at each call: of MNIST that was six times the work of a training step.
LANES = 128


class Stored(NamedTuple):
    """rows: [n, pixels and padding], uint8, or float32 where the images have other levels.

    read: some of the rows, on the device -> images float32 [..., h, w, c], the same bits as were
        given.
    """

    rows: np.ndarray
    read: Callable

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What lies on the devices."""
        return {"image": self.rows}

    def take(self, arrays: dict, index: jax.Array) -> dict:
        """`parallel.take` of {"image": rows, ...}, whose batch has images."""
        batch = parallel.take(arrays, index)
        return batch | {"image": self.read(batch["image"])}


def store(images: Float32[np.ndarray, "n h w c"]) -> Stored:
    """Images in [0, 1], to be kept on devices: a quarter of the bytes, and read as they lie there.

    A row has all its pixels side by side: XLA brings images [n, h, w, c] into another layout at
    each call of a program, all of them.
    """
    flat, shape = images.reshape(len(images), -1), images.shape[1:]
    for levels in LEVELS:
        # Compared chunk by chunk: no second copy in float32.
        chunks = np.array_split(flat, math.ceil(flat.size / 2**24))
        whole = [np.rint(chunk * levels).astype(np.uint8) for chunk in chunks]
        pairs = zip(whole, chunks, strict=True)
        if all((np.divide(w, levels, dtype=np.float32) == chunk).all() for w, chunk in pairs):
            return Stored(_padded(np.concatenate(whole)), _reader(shape, levels))
    return Stored(_padded(flat), lambda rows: _images(rows, shape))


class Streamed(NamedTuple):
    """Images that stay in their files: a step's index is its rows, which have the images.

    rows: `data.rows.Rows`. shape: of an example's images, [h, w, c] or [m, h, w, c]. chosen:
    numbers of examples [k] -> of their images [k] or [k, m].
    """

    rows: Any
    shape: tuple[int, ...]
    chosen: Callable = np.asarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Nothing lies on the devices."""
        return {}

    @property
    def size(self) -> int:
        """Bytes of a row: an example's images, and in the last four its number."""
        least = math.prod(self.shape) + 4
        return least + -least % LANES

    def read(self, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Rows uint8 [b, size] on the device -> (images float32 [b, *shape], index [b])."""
        index = jax.lax.bitcast_convert_type(rows[..., -4:], jnp.int32)
        return _reader(self.shape, self.rows.levels)(rows), index

    def take(self, arrays: dict, rows: jax.Array) -> dict:
        """What `Stored.take` makes of the index."""
        images, index = self.read(rows)
        return {"image": images} | parallel.take(arrays, index)

    def pack(self, order: Callable, own: np.ndarray | None = None) -> Callable:
        """(first, count) -> rows [count, seeds, batch, size] of an order of examples.

        order: (first, count) -> index [count, seeds, batch], -1 where there is none. own: [seeds,
        batch], those whose images are read; the others stay zeros.
        """

        def many(first, count):
            index = order(first, count)
            mine = np.ones(index.shape[1:], bool) if own is None else own
            rows = np.zeros((*index.shape, self.size), np.uint8)
            rows[..., -4:] = index[..., None].view(np.uint8)
            if mine.any():
                # In the place of none the first, as `parallel.take` has it.
                numbers = self.chosen(np.maximum(index[:, mine], 0).ravel())
                images = self.rows[numbers.ravel()].bytes()
                images = images.reshape(len(index), mine.sum(), math.prod(self.shape))
                rows[:, mine, : images.shape[-1]] = images
            return rows

        return many


def kept(images) -> Stored | Streamed:
    """Images to train on: float32 [n, h, w, c] in [0, 1], or `data.rows.Rows` of them."""
    return store(images) if isinstance(images, np.ndarray) else Streamed(images, images.shape[1:])


def needs(kept: Stored | Streamed | None, asked: Needs, examples: int) -> Needs:
    """What a step of so many examples, of all seeds, asks of the devices."""
    if not isinstance(kept, Streamed):
        return asked
    return asked._replace(most_steps=stream.steps_per_call(examples * kept.size))


@contextlib.contextmanager
def reading(
    kept: Stored | Streamed | None, order: Callable, compiled: parallel.Compiled, steps: int
) -> Iterator[Callable]:
    """Inside, what training asks for its batches, in an order of examples.

    order: (first, count) -> index [count, seeds, batch].
    """
    if not isinstance(kept, Streamed):
        yield order
        return
    examples = math.prod(order(0, 1).shape)
    batches = kept.pack(order, compiled.own)
    with stream.ahead(batches, steps, examples * kept.size) as ahead:
        yield ahead


def _padded(rows: np.ndarray) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % LANES)))


def _images(rows: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return rows[..., : math.prod(shape)].reshape(*rows.shape[:-1], *shape)


def _reader(shape: tuple[int, ...], levels: int) -> Callable:
    """uint8 [..., pixels] -> rounded quotients by `levels`, float32 [..., *shape].

    XLA multiplies by the reciprocal in place of dividing, which rounds half of the levels to a
    neighbour. Of a reciprocal in two parts the first product is exact, so that the sum alone
    rounds.
    """
    fraction, exponent = math.frexp(1 / levels)
    high = np.float32(math.ldexp(round(fraction * 2**16), exponent - 16))
    low = np.float32(1 / levels - float(high))

    def read(rows):
        grey = _images(rows, shape).astype(jnp.float32)
        return grey * high + grey * low

    return read
