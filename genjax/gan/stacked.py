"""Three images of one set stacked into the channels of one: every triple of classes is a mode.

Metz et al. 2017, section 3.3.1, as Stacked-MNIST. The triples are drawn from the training images;
on the device lie the single images and the triples' indices, and a batch is put together as it is
read.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from genjax.core import parallel

STACK = 3


def triples(size: int, count: int, pack: int, rng: np.random.Generator) -> np.ndarray:
    """`count` packs of triples of image numbers below `size`: int32 [count, pack, 3]."""
    return rng.integers(size, size=(count, pack, STACK), dtype=np.int32)


def mode_of(labels: Int[np.ndarray, "... 3"], classes: int) -> Int[np.ndarray, "..."]:
    """The mode's number of a triple of classes, its classes read as digits."""
    return labels @ (classes ** np.arange(STACK)[::-1])


def mode_weights(labels: Int[np.ndarray, " n"], classes: int) -> np.ndarray:
    """The share of every mode among triples of images with these labels: [classes^3]."""
    share = np.bincount(labels, minlength=classes) / len(labels)
    return np.einsum("i,j,k->ijk", share, share, share).ravel()


def stack(images: Array) -> Array:
    """Triples of images [..., 3, h, w, 1] in [0, 1] -> [..., h, w, 3] in [-1, 1]."""
    return 2 * jnp.moveaxis(images[..., 0], -3, -1) - 1


def take(read: Callable, arrays: dict, index: Array) -> dict:
    """The batch of an index [b] of {"triple", "image"}: `real`, `index`, `weight`.

    read: `Stored.read` of the images' rows.
    """
    images = read(arrays["image"][arrays["triple"][jnp.maximum(index, 0)]])
    return {"real": stack(images)} | parallel.take({}, index)


def take_streamed(read: Callable, arrays: dict, rows: Array) -> dict:
    """The same of rows [b, ...] that have the images; read: `Streamed.read`."""
    images, index = read(rows)
    return {"real": stack(images)} | parallel.take(arrays, index)
