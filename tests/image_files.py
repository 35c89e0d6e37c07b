"""What the tests of image sets share."""

import gzip
import struct

import numpy as np
import pytest
import texts

from genjax import data

REAL = texts.ROOT.parent / "shared" / "datasets"


def fails(pattern, spec, **options):
    """The one line that `load` gives for bad input."""
    return texts.fails(pattern, data.load, spec, **options)


def rows(*examples):
    """The examples in an order of their own: image bytes, then label."""
    pairs = [
        (image.tobytes(), int(label))
        for part in examples
        for image, label in zip(part["image"], part["label"], strict=True)
    ]
    return sorted(pairs)


def real(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"../shared/datasets/{name} not present")
    return REAL / name


def idx_bytes(array):
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape)
    return header + array.tobytes()


def write_folder(folder, train, test, dot="-", zipped=False, classes=10):
    """Writes four IDX files, label i % classes for image i."""
    for part, image in (("train", train), ("t10k", test)):
        label = np.arange(len(image), dtype=np.uint8) % classes
        for kind, axes, array in (("images", 3, image), ("labels", 1, label)):
            name = f"{part}-{kind}{dot}idx{axes}-ubyte"
            content = idx_bytes(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
