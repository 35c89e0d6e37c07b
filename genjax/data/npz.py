"""Arrays of an .npz file: labelled images, read for no more than the file holds."""

import math
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from genjax.core.config import shown
from genjax.core.errors import UsageError, one_line

KEYS = "x_train and x_test with y_train and y_test, or images with labels; labels may be missing"
# Deflate packs no tighter.
_TIGHTEST = 1032


def read(file: str) -> tuple[dict, dict | None]:
    """(train, test) of x_train, y_train, x_test and y_test; or (all, None) of images and labels.

    Each is {"image": float32 [n, h, w, c] in [0, 1], "label": int32 [n]}, of arrays [n, h, w] or
    [n, h, w, 1 or 3] of bytes, or of numbers from 0 to 1. Without labels all are 0. Labels are
    numbered in the order of their values.

    Raises:
      UsageError: there is no such file, or it is damaged, or holds no images.
    """
    flag = f"--data=npz:{shown(file)}"
    found = arrays(flag, file, ("x_train", "y_train", "x_test", "y_test", "images", "labels"))
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


def _images(flag: str, name: str, array: np.ndarray) -> np.ndarray:
    where = f"{flag}: {name}"
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or not array.size:
        shape = " x ".join(map(str, array.shape))
        raise UsageError(
            f"{where}: images n x h x w, or n x h x w x 1 or 3, are needed, not {shape}"
        )
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


def arrays(flag: str, file: str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that an .npz file holds; others are not read.

    Raises:
      UsageError: there is no such file, or it is damaged, holds Python objects, or does not fit
        into memory.
    """
    path = Path(os.path.expanduser(file))
    if not os.path.isfile(path):
        raise UsageError(f"{flag}: there is no such file")
    try:
        with zipfile.ZipFile(path) as packed:
            infos = {info.filename.removesuffix(".npy"): info for info in packed.infolist()}
            wanted = [infos[name] for name in names if name in infos]
            _require_memory(flag, sum(info.file_size for info in wanted))
            return {info.filename.removesuffix(".npy"): _array(packed, info) for info in wanted}
    except UsageError:
        raise
    # NumPy, zipfile and zlib each raise their own types for a damaged file.
    except Exception as error:
        why = "no .npz file" if isinstance(error, zipfile.BadZipFile) else one_line(error)
        raise UsageError(f"{flag}: {shown(path.name)} cannot be read: {why}") from error


def _array(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array; what its file cannot hold gets no memory."""
    name, size = info.filename, info.file_size
    if size > _TIGHTEST * info.compress_size + 1024:
        raise ValueError(f"{name} claims more bytes than it can hold")
    with packed.open(info) as file:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0}
        shape, _, dtype = readers.get(version, np.lib.format.read_array_header_2_0)(file)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != size - file.tell():
            raise ValueError(f"{name} holds another number of bytes than its header says")
    with packed.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _require_memory(flag: str, size: int) -> None:
    from genjax.core.machine import memory_free

    # As they are, and as numbers of four bytes.
    if 5.0 * size > memory_free():
        raise UsageError(
            f"{flag}: its arrays take {size / 1e9:,.1f} GB, {memory_free() / 1e9:,.1f} GB are free"
        )
