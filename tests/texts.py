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
