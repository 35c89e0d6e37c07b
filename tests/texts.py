"""What the tests of text share."""

from pathlib import Path

import numpy as np
import pytest

from genjax.core.errors import UsageError

ROOT = Path(__file__).parents[1]
SAMPLE = "Größe — naïve “λόγος”, 日本 🙂\n\n  it's x=1;\ty  \n" * 5


def fails(pattern, function, *args, **options):
    """The one line that bad input gives."""
    with pytest.raises(UsageError, match=pattern) as caught:
        function(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def array(content):
    content = content.encode() if isinstance(content, str) else content
    return np.frombuffer(content, np.uint8)


def write_corpus(folder, texts):
    """A folder a domain: {name: size -> bytes} in three splits."""
    for name, make in texts.items():
        place = folder / name
        place.mkdir(parents=True)
        for split, size in (("train", 3000), ("valid", 600), ("test", 900)):
            (place / f"{split}.txt").write_bytes(make(size))


def letters(rng, few=26):
    """Text of the first few letters."""
    return lambda size: bytes(rng.integers(97, 97 + few, size).astype(np.uint8))
