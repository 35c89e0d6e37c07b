"""Published verdicts, repeated: on fresh seeds, within the time, each try kept."""

import dataclasses
import json
import sys
import types

import pytest

from genjax import verify
from genjax.core.errors import UsageError
from genjax.core.training_options import Training


def claim(id, verdict, seal="s"):
    return {"id": id, "verdict": verdict, "seal": seal, "estimate": 1.0, "replicates": 4}


@dataclasses.dataclass(frozen=True)
class Asked(Training):
    """What the room of this test is asked."""


@pytest.fixture
def room(monkeypatch, tmp_path):
    """A room whose runs come out as `verdicts` says, and two published runs of it."""
    seen, verdicts = [], {"X1": "supported", "X2": "undetermined", "Y1": "refuted"}

    def run(config, folder):
        seen.append(config)
        made = [claim(id, verdict) for id, verdict in verdicts.items()]
        about = {"device": {}, "versions": {}, "commit": "c"}
        return types.SimpleNamespace(summary={"claims": made} | about)

    module = types.ModuleType("genjax.fake.experiment")
    module.run, module.EXPERIMENT = run, types.SimpleNamespace(config=Asked)
    monkeypatch.setitem(sys.modules, "genjax.fake", types.ModuleType("genjax.fake"))
    monkeypatch.setitem(sys.modules, "genjax.fake.experiment", module)
    for name, minutes, made in (
        ("short", 1, {"X1": "supported", "X2": "equivalent", "X3": "undetermined"}),
        ("long", 30, {"Y1": "supported", "Y2": "undetermined"}),
    ):
        found = {"flagfile": name, "room": "fake", "minutes": minutes}
        found["claims"] = [claim(id, verdict) for id, verdict in made.items()]
        found["flags"] = {"seeds": 4, "seed": 0, "steps": 7}
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    return types.SimpleNamespace(seen=seen, results=str(tmp_path), path=tmp_path)


def tries(room, **asked):
    found = verify.run(verify.Config(results=room.results, **asked))
    return {(one["flagfile"], one["claim"]): one["outcome"] for one in found}


def test_every_decided_claim_is_repeated_on_fresh_seeds(room):
    assert tries(room) == {
        ("long", "Y1"): "contradicted",
        ("short", "X1"): "repeated",
        ("short", "X2"): "not decided",
    }
    assert tries(room, claims=("X1",)) == {("short", "X1"): "repeated"}
    configs = room.seen
    assert len(configs) == 3 and {config.steps for config in configs} == {7}
    assert len({config.seed for config in configs} | {0}) == 4
    lines = (room.path / "replications.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in lines]
    assert [one["claim"] for one in kept] == ["Y1", "X1", "X2", "X1"]
    assert kept[1]["seeds"] == configs[1].all_seeds and kept[1]["published"] == "supported"
    assert {one["replicates"] for one in kept} == {4}


def test_nothing_is_begun_that_takes_longer_than_is_left(room):
    assert tries(room, budget="20m").keys() == {("short", "X1"), ("short", "X2")}
    with pytest.raises(UsageError, match="--budget=59s: the shortest of what is asked took 1 min"):
        tries(room, budget="59s")


def test_another_wording_is_no_repetition(room, capsys):
    path = room.path / "short.json"
    path.write_text(path.read_text().replace('"seal": "s"', '"seal": "other"'))
    assert tries(room, flagfiles=("short",)) == {}
    assert "X1 was published in another wording" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"claims": ("X7",)}, "--claims=X7: no such claim; choices: X1, X2, X3, Y1, Y2"),
        ({"flagfiles": ("shrt",)}, "--flagfiles=shrt: not published; did you mean short"),
        ({"claims": ("X3",)}, "--claims=X3: nothing decided was published"),
        ({"results": "/nowhere"}, "--results=/nowhere: nothing published there"),
    ],
)
def test_what_is_not_there_is_refused(room, asked, said):
    with pytest.raises(UsageError, match=said):
        list(verify.run(verify.Config(**{"results": room.results} | asked)))


@pytest.mark.parametrize("budget", ["20", "m", "-1m", "0s", "1e9h", "nan", "20 m", "9999999s"])
def test_a_time_that_is_none_is_refused(budget):
    with pytest.raises(UsageError, match="--budget=.*such as 90s, 20m or 2h"):
        verify.Config(budget=budget)
