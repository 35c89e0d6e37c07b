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


def test_the_rate_says_on_how_many_machines():
    claim = {"id": "L1", "seal": "a", "replicates": 10}
    made = {"flagfile": "line", "claim": "L1", "seal": "a", "replicates": 10}
    tries = [
        made | {"outcome": "repeated", "device": {"kind": "one", "cores": "2"}},
        made | {"outcome": "not decided", "device": {"kind": "one", "cores": "4"}},
    ]
    assert replication.rate(tries, "line", claim) == "1 of 2"
    other = made | {"outcome": "contradicted", "device": {"kind": "other"}}
    assert replication.rate([*tries, other], "line", claim) == "1 of 3 on 2 machines, 1 against"
    # One name, two processors; of older tries nobody knows which.
    named = [
        made | {"outcome": "repeated", "device": {"kind": "one", "processor": processor}}
        for processor in ("family 25, model 17", "family 26, model 2")
    ]
    assert replication.rate([*tries, named[0]], "line", claim) == "2 of 3"
    assert replication.rate([*tries, *named], "line", claim) == "3 of 4 on 2 machines"
