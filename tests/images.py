"""What the tests of image sets share."""

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
