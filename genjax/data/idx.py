"""A folder of four IDX files, the format of MNIST (LeCun, Cortes and Burges 1998)."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from genjax.core.errors import UsageError
from genjax.data import places, rows

_UNSIGNED_BYTE = 0x08


def read(folder: str, *, stay: bool = False) -> tuple[dict, dict]:
    """The train and the test (t10k) examples of a folder, plain or gzipped.

    Each is `{"image": float32 [n, height, width, 1] in [0, 1], "label": int32 [n]}`. stay: images
    as `rows.Rows`, which stay on disk; of plain files alone.

    Raises:
      UsageError: folder or file is missing, or damaged, or the files do not fit each other.
    """
    flag = f"--data=idx:{folder}"
    path = places.folder(flag, folder)
    train, test = (_read_part(flag, path, part, stay) for part in ("train", "t10k"))
    sizes = ["x".join(map(str, part["image"].shape[1:3])) for part in (train, test)]
    if sizes[0] != sizes[1]:
        raise UsageError(f"{flag}: train images are {sizes[0]} pixels, t10k images are {sizes[1]}")
    return train, test


def _read_part(flag: str, folder: Path, part: str, stay: bool) -> dict:
    image_path = _find(flag, folder, f"{part}-images", 3)
    label_path = _find(flag, folder, f"{part}-labels", 1)
    image = (_map_array if stay else _read_array)(flag, image_path, 3)
    label = _read_array(flag, label_path, 1)
    if len(image) != len(label):
        raise UsageError(
            f"{flag}: {image_path.name} holds {len(image)} images, "
            f"{label_path.name} {len(label)} labels"
        )
    if isinstance(image, np.ndarray):
        image = np.divide(image[..., None], 255, dtype=np.float32)
    return {"image": image, "label": label.astype(np.int32)}


def _map_array(flag: str, path: Path, ndim: int) -> rows.Rows:
    """The images of a plain IDX file, which stay there."""
    if path.suffix == ".gz":
        raise UsageError(f"{flag}: {path.name} cannot be read row by row; gunzip it")
    start = 4 + 4 * ndim
    try:
        with path.open("rb") as file:
            head, stored = file.read(start), path.stat().st_size
    except OSError as error:
        raise UsageError(f"{flag}: {path.name} cannot be read: {error}") from error
    if len(head) < start:
        raise _wrong_length(flag, path, "cut short", start, len(head))
    shape = _shape(flag, path, head, ndim)
    expected = start + math.prod(shape)
    if stored != expected:
        wrong = "cut short" if stored < expected else "too long"
        raise _wrong_length(flag, path, wrong, expected, stored)
    return rows.mapped(path, start, (*shape, 1))


def _find(flag: str, folder: Path, stem: str, ndim: int) -> Path:
    names = [f"{stem}{dot}idx{ndim}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"{flag}: the folder has no file {names[0]}, plain or as .gz")


def _read_array(flag: str, path: Path, ndim: int) -> UInt8[np.ndarray, "..."]:
    """One IDX file: two zero bytes, type, number of axes, big-endian lengths, the values.

    No more is read, and unpacked, than the header allows.
    """
    packed = path.suffix == ".gz"
    start = 4 + 4 * ndim
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            head, stored = file.read(start), path.stat().st_size
            if len(head) < start:
                raise _wrong_length(flag, path, "cut short", start, len(head))
            shape = _shape(flag, path, head, ndim)
            size = math.prod(shape)
            expected = start + size
            # Deflate packs no tighter than 1032 to 1: what the file cannot hold gets no memory.
            if expected > (1032 * stored if packed else stored):
                raise _wrong_length(flag, path, "cut short", expected, stored)
            values = np.empty(size, np.uint8)
            found, left = 0, values.data
            while count := file.readinto(left[found : found + 2**20]):
                found += count
            if found < size:
                raise _wrong_length(flag, path, "cut short", expected, start + found)
            if file.read(1):
                found = "more" if packed else stored
                raise _wrong_length(flag, path, "too long", expected, found)
            return values.reshape(shape)
    except (OSError, EOFError, zlib.error, MemoryError, OverflowError) as error:
        raise UsageError(f"{flag}: {path.name} is damaged or cannot be read: {error}") from error


def _shape(flag: str, path: Path, head: bytes, ndim: int) -> tuple[int, ...]:
    magic, *shape = struct.unpack(f">{1 + ndim}I", head)
    right = _UNSIGNED_BYTE << 8 | ndim
    if magic != right:
        raise UsageError(
            f"{flag}: {path.name} does not hold unsigned bytes with {ndim} axes: "
            f"magic number {right} expected, {magic} found"
        )
    if not all(shape):
        what = "pixels" if ndim == 3 else "labels"
        raise UsageError(f"{flag}: {path.name} holds no {what}, its shape is {tuple(shape)}")
    return tuple(shape)


def _wrong_length(flag: str, path: Path, wrong: str, expected: int, found) -> UsageError:
    return UsageError(f"{flag}: {path.name} is {wrong}: {expected} bytes expected, {found} found")
