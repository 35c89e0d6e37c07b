"""What the tests of image sets share."""

from pathlib import Path

import pytest

from genjax import data
from genjax.errors import UsageError

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "datasets"


def fails(pattern, spec, **options):
    """The one line that `load` gives for bad input."""
    with pytest.raises(UsageError, match=pattern) as caught:
        data.load(spec, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
