"""Images as devices hold them: rows of grey levels, a byte each where that loses nothing."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from genjax.core import parallel

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
