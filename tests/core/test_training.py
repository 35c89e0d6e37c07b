"""Training in a run folder that was stopped, killed or spoiled ends the same."""

import json
import random
import shutil
import signal

import numpy as np
import pytest
from run_folders import Killed, opened, there

from genjax.core import checkpoints, files, interrupt, loop, parallel, rows, training
from genjax.core.arrangement import Needs, Plan, plan
from genjax.core.errors import UsageError
from genjax.report import page


def run_steps(state, index, count):
    """A step that is arithmetic: the state's numbers tell which steps it has seen."""
    losses = np.zeros((5, 2), np.float32)
    for i in range(count):
        w = np.sin(state["params"] + np.float32(1.0) + index[i].sum(-1)[:, None], dtype=np.float32)
        state = {"params": w, "step": state["step"] + 1}
        losses[i] = w.sum(-1)
    return state, {"loss": losses}


def batches(first, count):
    return np.tile(np.arange(first, first + count, dtype=np.int32)[:, None, None], (1, 2, 4))


def train(run, arm="a", stop_at=None, stop=interrupt.Interrupted):
    """Trains an arm; stop_at: told to stop in the call after that step, or killed."""

    def reach(first, count):
        if stop_at is not None and first >= stop_at:
            if stop is Killed:
                raise Killed
            interrupt.ask(signal.SIGTERM)
        return batches(first, count)

    compiled = parallel.Compiled(run_steps, lambda state: state, Plan(1, 1, 0, 5, False))
    state = {"params": np.zeros((2, 3), np.float32), "step": np.zeros(2, np.int32)}

    def validate(state):
        name = f"snapshots/{arm}/{state['step'][0]:09d}.npz"
        run.write_arrays(name, {"w": state["params"]})
        return {"valid_loss": state["params"].mean(-1)}

    when = loop.Schedule([0, 1], 40, log_every=10, save_every=10, validate_every=20)
    found = training.train(run, arm, compiled, state, when, reach, validate=validate)
    run.write_json(f"evaluation/{arm}.json", {"w": found["params"].tolist()})
    return found["params"]


def result(path):
    """What a finished run holds, but for Orbax' own files."""
    kept = {n for n in there(path) if n.startswith(("evaluation", "snapshots"))}
    log = sorted(rows.encode(row) for row in page.read_rows(path))
    return log, {n: (path / n).read_bytes() for n in kept}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two arms."""
    run = opened(tmp_path_factory.mktemp("trained") / "run")
    train(run, "a"), train(run, "b")
    run.seal()
    run.close()
    return run.path


def trained_again(path):
    """Opened and finished, as a room does it."""
    run = opened(path)
    for arm in ("a", "b"):
        if run.read_json(f"evaluation/{arm}.json") is None:
            train(run, arm)
    run.seal()
    run.close()
    return result(path)


@pytest.mark.parametrize("stop", [interrupt.Interrupted, Killed])
@pytest.mark.parametrize("stop_at", [0, 5, 10, 25, 35])
def test_training_that_is_stopped_ends_the_same(trained, tmp_path, said, stop, stop_at):
    run = opened(tmp_path / "run")
    with pytest.raises(stop):
        train(run, stop_at=stop_at, stop=stop)
    run.close()
    assert trained_again(run.path) == result(trained)
    # One that is killed goes on from its last checkpoint, of every ten steps; one that is asked to
    # stop saves after the call, of five. Of 40 steps.
    step = stop_at + 5 if stop is interrupt.Interrupted else stop_at // 10 * 10
    assert said == ([f"a: goes on from step {step}"] if 0 < step < 40 else [])


LAST = "checkpoints/a/40"
# {what is done: part of what is said}
SPOILED = {
    "state cut": "is damaged",
    "state emptied": "is damaged",
    "state removed": "is damaged",
    "record garbage": "is damaged",
    "record nested": "is damaged",
    "folder removed": "is missing",
    "folder renamed": "is missing",
    "folder emptied": "is damaged",
    "file added": "is damaged",
    "a file in its place": "is damaged",
    "both removed": "is missing",
    "other arm": "is damaged",
    "other step": "is damaged",
    "first snapshot": "snapshots/a/000000020.npz is damaged",
    "last snapshot": "snapshots/a/000000040.npz is damaged",
    "first row": "rows of a are damaged",
    "last row": "rows of a are damaged",
    "no rows": "rows of b are damaged",
    "row of no arm": "rows of a are damaged",
    "row of step 0": "rows of a are damaged",
    "manifest and row of no arm": "rows of metrics.jsonl up to it",
    "manifest and checkpoint": "is damaged",
    "manifest and other arm": "is damaged (another arm, or another run, saved it)",
    "manifest and other step": "is damaged (it was saved at step 30)",
    "manifest and rows": "rows of metrics.jsonl up to it",
    "manifest and snapshot": "snapshots/a/000000020.npz is damaged or missing",
}


def spoil(path, how):
    last, log = path / LAST, path / "metrics.jsonl"
    parts = sorted(
        (p for p in (last / "state").rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size
    )  # noqa: E501
    record, lines = last / "record" / "metadata", log.read_bytes().splitlines(keepends=True)
    snapshots = [path / "snapshots" / "a" / f"{step:09d}.npz" for step in (20, 40)]
    if how.startswith("manifest"):
        (path / files.MANIFEST).unlink()
        (last.parent / checkpoints.SUMS).unlink()
    if "state cut" in how or "and checkpoint" in how:
        parts[0].write_bytes(parts[0].read_bytes()[:-9])
    elif how == "state emptied":
        for part in parts:
            part.write_bytes(b"")
    elif how == "state removed":
        shutil.rmtree(last / "state")
    elif how == "record garbage":
        record.write_bytes(random.Random(0).randbytes(99))
    elif how == "record nested":
        record.write_text("[" * 10**5)
    elif how == "folder removed":
        shutil.rmtree(last)
    elif how == "folder renamed":
        last.rename(last.with_name("041"))
    elif how == "folder emptied":
        shutil.rmtree(last)
        last.mkdir()
    elif how == "file added":
        (last / "thesis.tex").write_text("x")
    elif how == "a file in its place":
        shutil.rmtree(last)
        last.write_text("x")
    elif how == "both removed":
        shutil.rmtree(last.parent)
    elif "other arm" in how:
        shutil.rmtree(last)
        shutil.copytree(path / "checkpoints" / "b" / "40", last)
    elif "other step" in how:
        shutil.rmtree(last)
        shutil.copytree(last.with_name("30"), last)
    elif how in ("first snapshot", "manifest and snapshot"):
        snapshots[0].write_bytes(b"x")
    elif how == "last snapshot":
        snapshots[1].write_bytes(b"x")
    elif how == "no rows":
        log.unlink()
    elif "row of" in how:
        now = (b'"a"', b'"c"') if "no arm" in how else (b'"step": 10', b'"step": 0')
        log.write_bytes(b"".join([lines[0].replace(*now), *lines[1:]]))
    elif how == "last row":
        log.write_bytes(
            b"".join(line for line in lines if b'"a", "seed": 1, "step": 40' not in line)
        )
    else:
        log.write_bytes(b"".join(lines[1:]))


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_spoiled_in_training_is_trained_again(trained, tmp_path, said, how):
    path = tmp_path / "run"
    shutil.copytree(trained, path)
    spoil(path, how)
    assert trained_again(path) == result(trained)
    assert any(SPOILED[how] in line for line in said), said
    said.clear()
    assert trained_again(path) == result(trained) and not said


def test_a_step_that_is_restored_trains_no_more_than_it_must(trained, tmp_path, said):
    """The checkpoint before the last is whole: the arm begins there, not anew."""
    path = tmp_path / "run"
    shutil.copytree(trained, path)
    spoil(path, "last snapshot")
    asked = []
    run, real = opened(path), batches

    def counted(first, count):
        asked.append(first)
        return real(first, count)

    globals()["batches"] = counted
    train(run)
    globals()["batches"] = real
    run.close()
    assert asked == [30, 35]


@pytest.mark.parametrize("how", ["state cut", "state removed", "record garbage", "other step"])
def test_a_reader_of_parameters_is_told_in_a_line(trained, tmp_path, how):
    path = tmp_path / "run"
    shutil.copytree(trained, path)
    step, params = checkpoints.last_params(path / "checkpoints" / "a")
    assert step == 40
    assert params.tolist() == json.loads((path / "evaluation" / "a.json").read_text())["w"]
    spoil(path, how)
    with pytest.raises(UsageError, match=r"checkpoints/a/40: is damaged \("):
        checkpoints.last_params(path / "checkpoints" / "a")


def test_measures_run_beside_training_where_no_device_waits_for_another():
    def beside(devices, seeds, **needs):
        return training.apart(plan("cpu", devices, seeds, 16, Needs(**needs)))

    assert beside(1, 3) and beside(2, 4)
    assert not beside(2, 1) and not beside(2, 3) and not beside(2, 2, fsdp=2)
