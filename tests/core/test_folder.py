"""A run folder: one process, nothing half written, damage that is named and mended."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scripts
from run_folders import CONFIG, Killed, opened, there

from genjax.core import files, folder, interrupt, rows
from genjax.core.config import option
from genjax.core.errors import UsageError
from genjax.core.training_options import Training
from genjax.report import page

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Arms(Training):
    """A configuration that has arms."""

    variants: dict = option({}, "An arm.", flag="arm")


def write_all(run):
    """What a room writes, without training."""
    run.write_json("data.json", {"shape": [2]})
    for arm in ("a", "b"):
        (run.path / "checkpoints" / arm).mkdir(parents=True, exist_ok=True)
        run.write(arm, [{"seed": s, "step": t, "loss": s + t} for t in (10, 20) for s in (0, 1)])
        run.write("sweep", [{"mode": f"th {arm}", "length": 8, "round": t} for t in range(3)])
        run.write_arrays(f"arrays/{arm}.npz", {"x": np.arange(3)})
        run.write_json(f"evaluation/{arm}.json", {"mse": [0.5, 0.25]})
    run.seal()
    run.write_json("summary.json", {"claims": []})


@pytest.fixture
def finished(tmp_path):
    run = opened(tmp_path / "run")
    write_all(run)
    run.close()
    return run.path


def test_what_was_written_is_opened_without_a_word(finished, said):
    before = {name: (finished / name).read_bytes() for name in there(finished)}
    opened(finished).close()
    assert not said
    assert {name: (finished / name).read_bytes() for name in there(finished)} == before


# --- One process ---------------------------------------------------------------------------------

HOLD = """
import sys, time
from genjax.core.folder import Folder
from genjax.core.training_options import Training
kept = Folder(sys.argv[1], Training(seeds=2, steps=40, log_every=10, checkpoint_every=10),
              experiment="vae", room="vae")
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_process_is_refused_by_the_pid_of_the_first(finished):
    command = [sys.executable, "-c", HOLD, str(finished)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"--workdir={finished}: process {first.pid} is work"):
            opened(finished)
        assert page.read_files(finished)["evaluation"].keys() == {"a", "b"}  # Reading needs none.
        first.send_signal(signal.SIGKILL)
        first.wait()
    opened(finished).close()  # The dead one's lock is none.


def test_a_second_run_in_this_process_is_refused_too(finished):
    kept = opened(finished)
    with pytest.raises(UsageError, match=f"process {os.getpid()} is working in this folder"):
        opened(finished)
    for content in (b"", b"\xff\n", None):
        path = finished / folder.PID
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(UsageError, match="another process is working in this folder"):
            opened(finished)
    kept.close()
    opened(finished).close()


# --- Kills between two renames -------------------------------------------------------------------


def test_a_kill_before_any_rename_is_no_damage(tmp_path, monkeypatch, said):
    """All renames of a folder's life, one after the other the last that happens."""
    real, done = os.replace, [0, 0]

    def replace(source, target):
        if done[0] == done[1]:
            raise Killed
        done[0] += 1
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for limit in range(1000):
        done[:] = 0, limit
        path = tmp_path / str(limit)
        whole = True
        try:
            run = opened(path)
            write_all(run)
        except Killed:
            whole = False
        # A killed process holds no lock.
        shutil.copytree(path, tmp_path / f"{limit}+")
        done[1] = -1
        again = opened(tmp_path / f"{limit}+")
        assert not said, (limit, said)
        write_all(again)
        again.close()
        if whole:
            break
    assert limit > 20


# --- Damage --------------------------------------------------------------------------------------

DAMAGED = {
    "data.json": [],
    "arrays/a.npz": ["evaluation/a.json"],
    "evaluation/b.json": [],
    "summary.json": [],
}


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete", "garbage"])
@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_and_set_aside_with_what_depends_on_it(finished, said, name, how):
    before, path = there(finished), finished / name
    content = path.read_bytes()
    middle = len(content) // 2
    if how == "delete":
        path.unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(
            {"flip": flipped, "truncate": content[:-1], "empty": b"", "garbage": b"\xff\0x"}[how]
        )
    damaged = path.read_bytes() if path.exists() else None
    state = "is missing" if how == "delete" else "is damaged"
    with pytest.raises(UsageError, match=f"{name}: {state}"):
        files.read(finished, name)
    if name.startswith("evaluation"):
        with pytest.raises(UsageError, match=f"{name}: {state}"):
            page.read_files(finished)
    opened(finished).close()
    assert f"{path} {state}; computed again" in said
    assert there(finished) == before - {name, *DAMAGED[name], "summary.json"}
    if damaged is not None:
        assert (finished / "damaged" / name.replace("/", "-")).read_bytes() == damaged


def test_arms_that_differ_are_named_as_they_are_typed(tmp_path):
    two = Arms(variants={"a": {"steps": 5}, "b": {}})
    opened(tmp_path / "two", two).close()
    with pytest.raises(UsageError, match="another configuration \\(no --arm\\); name a new"):
        opened(tmp_path / "two", Arms())
    opened(tmp_path / "none", Arms()).close()
    with pytest.raises(UsageError, match="\\(--arm=a:steps=5 --arm=b\\); name a new"):
        opened(tmp_path / "none", two)


def test_flags_and_config_are_written_again(finished, said):
    before = {n: (finished / n).read_bytes() for n in there(finished)}
    (finished / "flags.txt").write_text("--steps=50\n")
    (finished / "config.json").unlink()
    with pytest.raises(UsageError, match=r"config\.json: is missing"):
        folder.read_config(finished)
    opened(finished).close()
    assert len(said) == 2 and all("; written again" in line for line in said)
    assert {n: (finished / n).read_bytes() for n in there(finished)} == before


def test_a_damaged_config_of_other_flags_is_one_line(finished):
    path = finished / "config.json"
    path.write_bytes(path.read_bytes().replace(b'"steps": 40', b'"steps": 50'))
    with pytest.raises(UsageError, match=r"config\.json: is damaged"):
        opened(finished, CONFIG.replace(steps=50))
    path.unlink()
    with pytest.raises(UsageError, match="no run"):
        opened(finished, CONFIG.replace(steps=50))
    assert not (finished / "damaged").exists()


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"files": {}, "rows": {}, "crc32": "0"}'])
def test_without_a_manifest_everything_measured_is_computed_again(finished, said, content):
    path = finished / files.MANIFEST
    path.unlink() if content is None else path.write_bytes(content)
    opened(finished).close()
    assert f"{path}: is {'damaged' if content is not None else 'missing'}; everything" in said[0]
    measured = {"data.json", "evaluation/a.json", "evaluation/b.json", "summary.json"}
    assert not measured & there(finished)
    assert folder.read_config(finished)["config"]["steps"] == 40


# --- Rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ["a", "sweep"])
@pytest.mark.parametrize("how", ["lost", "doubled", "changed", "garbage"])
def test_rows_that_are_not_as_they_were_written_are_noticed(finished, said, how, arm):
    path = finished / "metrics.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    i = next(i for i, line in enumerate(lines) if json.loads(line)["arm"] == arm)
    lines[i : i + 1] = {
        "lost": [],
        "doubled": [lines[i]] * 2,
        "changed": [lines[i].replace(b'"step": 10', b'"step": 11').replace(b"th", b"ht")],
        "garbage": [b"\xff{\n"],
    }[how]
    path.write_bytes(b"".join(lines))
    with pytest.raises(UsageError, match=r"metrics\.jsonl: rows are damaged"):
        page.read_rows(finished)
    run = opened(finished)
    if how == "doubled":
        assert path.read_bytes() == whole and "summary.json" in there(finished)
    else:
        assert f"{path}: rows of {arm} are damaged or missing; computed again" in said
        assert "summary.json" not in there(finished)
        assert ("evaluation/a.json" in there(finished)) == (arm == "sweep")
        # What is left of others can be trusted; training looks at its own again.
        left = [row for row in run.rows() if arm == "sweep" or row["arm"] != arm]
        assert left and {rows.encode(row) for row in left} <= set(whole.splitlines(keepends=True))
    run.close()
    said.clear()
    opened(finished).close()
    assert not said  # Once is enough, where the run is killed before it mends them.


def test_a_last_line_cut_short_is_what_a_kill_leaves(tmp_path, said):
    run = opened(tmp_path / "run")
    (run.path / "checkpoints" / "a").mkdir(parents=True)
    run.write("a", [{"seed": 0, "step": 10, "loss": 1.0}])
    run.close()
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"arm": "a", "se')
    again = opened(run.path)
    assert again.rows() == [{"arm": "a", "seed": 0, "step": 10, "loss": 1.0}] and not said
    again.close()


# --- Stopped by a signal -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_while_importing_a_signal_is_one_line(tmp_path, name):
    code = (
        "import sys, time, signal; from genjax_cli import launch;"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL);"  # Ignored, as under nohup, it stays so.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from genjax.core import flags;"  # What launch imports first takes its time.
        "flags.parse = lambda *a: (print('importing', flush=True), time.sleep(600));"
        "launch.script('vae')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=-1, stderr=-1, text=True,
        env=scripts.environment(),
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "importing\n"
        process.send_signal(getattr(signal, name))
        _, error = process.communicate(timeout=60)
    number = int(getattr(signal, name))
    assert process.returncode == 128 + number
    assert error == f"-c: {interrupt.line(number)}\n"
