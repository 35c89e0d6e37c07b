"""Tries of published verdicts."""

import pytest

from genjax.claims import replication


@pytest.mark.parametrize(
    ("published", "found", "outcome"),
    [
        ("supported", "supported", "repeated"),
        ("supported", "refuted", "contradicted"),
        ("supported", "equivalent", "contradicted"),
        ("equivalent", "equivalent", "repeated"),
        ("refuted", "undetermined", "not decided"),
    ],
)
def test_outcomes(published, found, outcome):
    assert replication.outcome(published, found) == outcome
