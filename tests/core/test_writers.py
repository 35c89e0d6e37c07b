"""Writers beside metrics.jsonl: what they get, and that none of them stops training."""

import importlib.machinery
import json
import sqlite3
import struct
import time

import pytest
import run_folders

from genjax.core import extras, writers
from genjax.core.errors import UsageError

ROWS = [{"seed": seed, "step": 20, "loss": 1.5 + seed, "modes": 3.0} for seed in (0, 7)]
TIMING = {"mode": "forward", "length": 64, "seconds": 0.5}
CURVES = {
    ("gan/seed0/loss", 20, 1.5),
    ("gan/seed7/loss", 20, 8.5),
    ("gan/seed0/modes", 20, 3.0),
    ("gan/seed7/modes", 20, 3.0),
}


class Fake:
    def __init__(self, fails=False):
        self.seen, self.closed, self.fails = [], 0, fails

    def write(self, arm, rows):
        self.seen.append((arm, rows))
        if self.fails:
            raise OSError("no route to host\nmore")

    def close(self):
        self.closed += 1
        if self.fails:
            raise OSError("gone")


def test_a_writer_gets_what_is_logged_and_one_that_fails_is_left_out_in_a_line(tmp_path, capsys):
    kept, good, bad = run_folders.opened(tmp_path / "run"), Fake(), Fake(fails=True)
    kept.writers = writers.Writers(bad=bad, good=good)
    for _ in range(2):
        kept.write("a", ROWS)
        ROWS[0]["step"] += 1
    ROWS[0]["step"] = 20
    kept.close()
    assert [[row["step"] for row in rows] for _, rows in good.seen] == [[20, 20], [21, 20]]
    assert len(bad.seen) == 1 and (good.closed, bad.closed) == (1, 0)
    assert all(arm == "a" == row["arm"] for arm, rows in good.seen for row in rows)
    said = capsys.readouterr().err
    assert said == "--writers=bad: no route to host; goes on without it\n"
    logged = [
        json.loads(line)
        for line in (tmp_path / "run/metrics.jsonl").read_text().split("\n")
        if line
    ]
    assert len(logged) == 4


def test_one_that_cannot_end_keeps_no_other_from_it(capsys):
    good, bad = Fake(), Fake(fails=True)
    every = writers.Writers(bad=bad, good=good)
    every.close()
    every.close()
    assert (good.closed, bad.closed) == (
        1,
        1,
    ) and capsys.readouterr().err == "--writers=bad: gone\n"


def test_curves_are_of_an_arm_and_a_seed_and_timings_are_none():
    rows = [{"arm": "gan"} | row for row in ROWS] + [{"arm": "gan"} | TIMING]
    assert {(tag, step, value) for step, tag, value in writers.scalars(rows)} == CURVES


@pytest.mark.parametrize("name", writers.KINDS)
def test_a_folder_of_the_name_is_no_package(name, monkeypatch):
    folder = importlib.machinery.ModuleSpec(name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda module: folder)
    line = rf"--writers={name} needs \w+: pip install 'genjax-experiments\[{name}\]'"
    with pytest.raises(UsageError, match=line):
        writers.require_installed([name])


def test_a_name_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="--writers=x: choices: tensorboard, wandb, mlflow"):
        writers.require_installed(["x"])


def begun(tmp_path):
    return writers.Begun(tmp_path, "gan", {"steps": 20, "variants": {"gan": {}}})


def written(name, tmp_path):
    """Writes what a run would; the package may be missing."""
    for module in extras.MODULES[name]:
        pytest.importorskip(module, reason=f"pip install '.[{name}]'")
    every = writers.Writers(**writers.opened([name], begun(tmp_path)))
    every.write("gan", [{"arm": "gan"} | row for row in ROWS])
    every.write("gan", [{"arm": "gan"} | TIMING])
    every.close()


def test_one_that_cannot_begin_is_refused(tmp_path, monkeypatch):
    def fail(begun):
        raise RuntimeError("not logged in")

    monkeypatch.setitem(writers.KINDS, "wandb", fail)
    with pytest.raises(UsageError, match="--writers=wandb: cannot begin: not logged in"):
        writers.opened(["wandb"], begun(tmp_path))


def test_tensorboard_gets_the_curves(tmp_path):
    written("tensorboard", tmp_path)
    from tensorboardX.proto.event_pb2 import Event

    (file,) = (tmp_path / "tensorboard").iterdir()
    content, found = file.read_bytes(), set()
    while content:  # Length, its checksum, an event, its checksum.
        (size,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + size])
        found |= {(value.tag, event.step, value.simple_value) for value in event.summary.value}
        content = content[16 + size :]
    assert found == CURVES


@pytest.mark.filterwarnings("default")
def test_mlflow_gets_the_curves_and_the_configuration(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    written("mlflow", tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as base:
        assert {*base.execute("select key, step, value from metrics")} == CURVES
        assert ("steps", "20") in [*base.execute("select key, value from params")]
        assert [*base.execute("select status from runs")] == [("FINISHED",)]


@pytest.mark.filterwarnings("default")
def test_wandb_keeps_the_curves_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    written("wandb", tmp_path)
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    wanted = {tag.encode() for tag, _, _ in CURVES} | {b"gan/step"}
    for _ in range(100):  # Another process writes it.
        if all(tag in file.read_bytes() for tag in wanted):
            return
        time.sleep(0.1)
    raise AssertionError(file.read_bytes())
