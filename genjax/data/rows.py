"""Images that stay in their files, and are read by number: from memory maps, pictures, records.

A reader is a function of a module with its arguments bound, which worker processes can be given.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some images of a source, in an order.

    read: numbers [k] -> uint8 [k, height, width, channels]. each: the shape of one. numbers: those
    of the images in the source. levels: what a byte is divided by.
    """

    read: Callable
    each: tuple[int, ...]
    numbers: np.ndarray
    levels: int = 255

    def __len__(self):
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, height, width, channels), as an array's."""
        return (len(self), *self.each)

    def __getitem__(self, index) -> "Rows":
        """Some of them: an array of places, or a slice. Nothing is read."""
        return dataclasses.replace(self, numbers=self.numbers[index])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i : i + 1].floats()[0] for i in range(len(self)))

    def bytes(self) -> UInt8[np.ndarray, "n h w c"]:
        """All of them, as they are stored."""
        return self.read(self.numbers)

    def floats(self) -> Float32[np.ndarray, "n h w c"]:
        """All of them, in [0, 1]."""
        return np.divide(self.bytes(), self.levels, dtype=np.float32)

    def threshold(self) -> "Rows":
        """1 where a grey level is above a half."""
        return dataclasses.replace(self, read=partial(_threshold, self.read, self.levels), levels=1)


def rows(read: Callable, each: tuple[int, ...], count: int, levels: int = 255) -> Rows:
    """All images of a source."""
    return Rows(read, each, np.arange(count), levels)


def in_memory(images: Float32[np.ndarray, "n h w c"], levels: int) -> Rows:
    """Images that no file has, such as those of a package."""
    whole = np.rint(images * levels).astype(np.uint8)
    return rows(whole.__getitem__, images.shape[1:], len(images), levels)


def mapped(path: Path, offset: int, shape: tuple[int, ...]) -> Rows:
    """Bytes [n, h, w, c] that lie in a file as they are, from an offset on."""
    read = partial(_mapped_rows, str(path.resolve()), offset, shape)
    return rows(read, shape[1:], shape[0])


def _mapped_rows(path: str, offset: int, shape: tuple[int, ...], numbers) -> np.ndarray:
    return np.asarray(_map(path, offset, shape)[numbers])


@lru_cache(maxsize=8)
def _map(path: str, offset: int, shape: tuple[int, ...]) -> np.memmap:
    return np.memmap(path, np.uint8, "r", offset, shape)


def _threshold(read: Callable, levels: int, numbers) -> np.ndarray:
    return (read(numbers) > levels / 2).astype(np.uint8)
