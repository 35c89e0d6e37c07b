"""Arrays of an .npz file: labelled images, read for no more than the file holds."""

import math
import struct
import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genjax.core.config import shown
from genjax.core.errors import UsageError, one_line
from genjax.data import places, rows

KEYS = "x_train and x_test with y_train and y_test, or images with labels; labels may be missing"
# Deflate packs no tighter.
_TIGHTEST = 1032


def read(file: str, *, stay: bool = False) -> tuple[dict, dict | None]:
    """(train, test) of x_train, y_train, x_test and y_test; or (all, None) of images and labels.

    Each is {"image": float32 [n, h, w, c] in [0, 1], "label": int32 [n]}, of arrays [n, h, w] or
    [n, h, w, 1 or 3] of bytes, or of numbers from 0 to 1. Without labels all are 0. Labels are
    numbered in the order of their values. stay: images as `rows.Rows`, which stay on disk; of
    bytes that are not compressed alone.

    Raises:
      UsageError: there is no such file, or it is damaged, or holds no images.
    """
    flag = f"--data=npz:{shown(file)}"
    images = ("x_train", "x_test", "images")
    found = arrays(flag, file, (*images, "y_train", "y_test", "labels"), images if stay else ())
    if "x_train" in found and "x_test" in found:
        names = [("x_train", "y_train"), ("x_test", "y_test")]
    elif "images" in found:
        names = [("images", "labels")]
    else:
        raise UsageError(f"{flag}: the arrays {KEYS}, are needed")
    given = [name for _, name in names if name in found]
    if len(given) == 1 and len(names) == 2:
        raise UsageError(f"{flag}: holds {given[0]} alone; give y_train and y_test, or neither")
    values = np.unique(
        np.concatenate([_labels(flag, name, found[name]) for name in given] or [[0]])
    )
    parts = []
    for image_name, label_name in names:
        image = _images(flag, image_name, found[image_name])
        label = found.get(label_name, np.zeros(len(image), np.int32))
        if label.shape != (len(image),):
            raise UsageError(
                f"{flag}: {image_name} holds {len(image):,} images, "
                f"{label_name} {label.size:,} labels"
            )
        label = np.searchsorted(values, label).astype(np.int32)
        parts.append({"image": image, "label": label})
    if len({part["image"].shape[1:] for part in parts}) > 1:
        raise UsageError(f"{flag}: x_train and x_test hold images of different shapes")
    return parts[0], parts[1] if len(parts) == 2 else None


def _images(flag: str, name: str, array: np.ndarray) -> np.ndarray | rows.Rows:
    where = f"{flag}: {name}"
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or not array.size:
        shape = " x ".join(map(str, array.shape))
        raise UsageError(
            f"{where}: images n x h x w, or n x h x w x 1 or 3, are needed, not {shape}"
        )
    if isinstance(array, np.memmap):
        if array.dtype != np.uint8 or not array.flags.c_contiguous:
            raise UsageError(f"{where}: bytes (uint8) in C order are needed to read row by row")
        return rows.mapped(Path(str(array.filename)), array.offset, array.shape)
    if array.dtype == np.uint8:
        return np.divide(array, 255, dtype=np.float32)
    if array.dtype.kind != "f":
        raise UsageError(f"{where}: bytes, or numbers from 0 to 1, are needed, not {array.dtype}")
    if not (array.min() >= 0 and array.max() <= 1):  # False for nan.
        raise UsageError(
            f"{where}: numbers from 0 to 1 are needed, these reach from {array.min():g} to "
            f"{array.max():g}; divide them, or store bytes (uint8)"
        )
    return array.astype(np.float32)


def _labels(flag: str, name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 1:
        raise UsageError(f"{flag}: {name} is a column; store it flat, {name}[:, 0]")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError(f"{flag}: {name}: a whole number an image is needed, not {array.dtype}")
    return array


def arrays(
    flag: str, file: str, names: Iterable[str], mapped: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Those of the named arrays that an .npz file holds; others are not read.

    mapped: those that stay on disk, memory maps.

    Raises:
      UsageError: there is no such file, or it is damaged, holds Python objects, or does not fit
        into memory; or what is to stay on disk is compressed.
    """
    path = places.file(flag, file)
    try:
        with zipfile.ZipFile(path) as packed:
            infos = {info.filename.removesuffix(".npy"): info for info in packed.infolist()}
            wanted = {name: infos[name] for name in names if name in infos}
            read = [info.file_size for name, info in wanted.items() if name not in mapped]
            _require_memory(flag, sum(read))
            return {
                name: _map(flag, path, packed, info) if name in mapped else _array(packed, info)
                for name, info in wanted.items()
            }
    except UsageError:
        raise
    # NumPy, zipfile and zlib each raise their own types for a damaged file.
    except Exception as error:
        why = "no .npz file" if isinstance(error, zipfile.BadZipFile) else one_line(error)
        raise UsageError(f"{flag}: {shown(path.name)} cannot be read: {why}") from error


class _Header(NamedTuple):
    """Of an array: its shape, whether its order is Fortran's, its type, where its values begin."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int


def _header(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    """Raises ValueError for what the file cannot hold."""
    name, size = info.filename, info.file_size
    if size > _TIGHTEST * info.compress_size + 1024:
        raise ValueError(f"{name} claims more bytes than it can hold")
    with packed.open(info) as file:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0}
        header = readers.get(version, np.lib.format.read_array_header_2_0)(file)
        found = _Header(*header, file.tell())
    if found.dtype.hasobject or math.prod(found.shape) * found.dtype.itemsize != size - found.start:
        raise ValueError(f"{name} holds another number of bytes than its header says")
    return found


def _map(flag: str, path: Path, packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.memmap:
    """One array, which stays in its file."""
    if info.compress_type != zipfile.ZIP_STORED:
        name = info.filename.removesuffix(".npy")
        raise UsageError(f"{flag}: {name} is compressed; np.savez writes it as it is read by row")
    found = _header(packed, info)
    with path.open("rb") as file:
        # Behind 30 bytes a member has its name and a field of its own length in this place.
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<2H", file.read(4))
    start = info.header_offset + 30 + name + extra + found.start
    order = "F" if found.fortran else "C"
    return np.memmap(path, found.dtype, "r", start, found.shape, order)


def _array(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array; what its file cannot hold gets no memory."""
    _header(packed, info)
    with packed.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _require_memory(flag: str, size: int) -> None:
    from genjax.core.machine import memory_free

    # As they are, and as numbers of four bytes.
    if 5.0 * size > memory_free():
        raise UsageError(
            f"{flag}: its arrays take {size / 1e9:,.1f} GB, {memory_free() / 1e9:,.1f} GB are free"
        )
