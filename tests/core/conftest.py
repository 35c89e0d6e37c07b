"""What the tests of run folders share."""

import pytest

from genjax.core import folder, training


@pytest.fixture
def said(monkeypatch):
    """The lines that a person is told."""
    lines = []
    monkeypatch.setattr(folder, "say", lines.append)
    monkeypatch.setattr(training, "say", lines.append)
    return lines
