"""The loop with a step that is arithmetic: what is logged, saved, validated, and when."""

import contextlib
import json
import signal

import numpy as np
import pytest

from genjax.core import interrupt, loop, parallel, training
from genjax.core.arrangement import Plan
from genjax.core.errors import RunError
from genjax.core.training_options import Training


def fake(size, nan_at=None):
    """A `Compiled` whose state counts steps and whose loss is the step's number."""

    def run(state, index, count):
        assert index.shape == (size, 2, 4) and (index[count:] == -1).all()
        assert (index[:count, 0, 0] == np.arange(state, state + count)).all()
        losses = np.zeros((size, 2))
        losses[:count] = (state + 1 + np.arange(count))[:, None] + [0, 1000]
        if nan_at is not None:
            losses[:count, 1][state + 1 + np.arange(count) == nan_at] = np.nan
        return state + count, {"loss": losses}

    return parallel.Compiled(run, lambda state: state, Plan(1, 1, 0, size, False))


def batches(first, count):
    return np.tile(np.arange(first, first + count, dtype=np.int32)[:, None, None], (1, 2, 4))


def fit(size=3, start=0, nan_at=None, validate_every=8, stop_at=None, window=None):
    """Events of a training; stop_at: it is interrupted in the call that reaches this step."""
    events = []

    def reach(first, count):
        if stop_at is not None and first < stop_at <= first + count:
            interrupt.ask(signal.SIGTERM)
        return batches(first, count)

    hooks = loop.Hooks(
        write=lambda rows: events.append(("rows", rows)),
        progress=lambda step, metrics: events.append(("progress", step)),
        save=lambda step, state, window: events.append(("save", step, state, window)),
        validate=lambda state: {"valid_loss": [state, -state]},
    )
    when = loop.Schedule([5, 6], 22, log_every=4, save_every=8, validate_every=validate_every)
    with contextlib.suppress(interrupt.Interrupted), interrupt.after_saving():
        loop.fit(fake(size, nan_at), start, when, reach, hooks, start=start, window=window)
    return events


def test_rows_are_means_of_the_steps_since_the_last_row():
    rows = [row for kind, *rest in fit() if kind == "rows" for row in rest[0]]
    losses = [(r["seed"], r["step"], r["loss"]) for r in rows if "loss" in r]
    windows = [(1, 4), (5, 8), (9, 12), (13, 16), (17, 20), (21, 22)]
    expected = [(s, b, (a + b) / 2 + 1000 * (s == 6)) for a, b in windows for s in (5, 6)]
    assert losses == expected
    valid = [(r["seed"], r["step"], r["valid_loss"]) for r in rows if "valid_loss" in r]
    assert valid == [(s, n, n * (1 if s == 5 else -1)) for n in (8, 16, 22) for s in (5, 6)]


def test_validation_between_two_rows_is_not_left_out():
    rows = [
        row for kind, *rest in fit(size=1, validate_every=6) if kind == "rows" for row in rest[0]
    ]
    assert [row["step"] for row in rows if "valid_loss" in row][::2] == [6, 12, 18, 22]


def test_progress_is_told_last():
    """What validation found at a step is in the line of that step."""
    kinds = [event[0] for event in fit() if event[0] != "rows" or "valid_loss" in event[1][0]]
    assert kinds == ["progress", "rows", "progress", "save"] * 3


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_the_size_of_a_call_changes_nothing(size):
    assert fit(size) == fit(3)


def test_saved_states_are_those_of_their_steps():
    assert [event[1:3] for event in fit() if event[0] == "save"] == [(8, 8), (16, 16), (22, 22)]


def test_a_continued_run_ends_with_the_same_events():
    whole = fit()
    after = whole.index(("save", 8, 8, None)) + 1
    assert fit(start=8) == whole[after:]


@pytest.mark.parametrize("stop_at", [1, 6, 8, 12, 15, 22])
def test_an_interrupted_run_saves_at_once_and_continues_with_the_same_events(stop_at):
    """Also between two rows: what the next one needs is saved too, and survives JSON."""
    before = fit(stop_at=stop_at)
    kind, step, state, window = before.pop()
    assert kind == "save" and stop_at <= step == state < stop_at + 3
    if window is not None:
        window = loop.Window.from_json(json.loads(json.dumps(window.to_json())))
    after = fit(start=step, window=window)
    due = [("save", step, state, None)] if step in (8, 16, 22) else []
    assert before + due + after == fit()


def test_an_interrupted_training_says_so_at_its_end():
    with pytest.raises(interrupt.Interrupted, match="SIGTERM"), interrupt.after_saving():
        interrupt.ask(signal.SIGTERM)
    assert not interrupt.asked()


def test_looks_fall_on_logged_steps():
    def looks(steps, evaluations, log_every):
        when = training.schedule(
            Training(steps=steps, log_every=log_every), evaluations=evaluations
        )
        assert when.save_every % when.log_every == 0
        return when.log_every, when.validate_every

    assert looks(10_000, 30, 100) == (100, 400)
    assert looks(9_999, 50, 0) == (199, 199)
    assert looks(10, 50, 0) == (1, 1)


def test_a_schedule_saves_and_validates_at_its_end_alone():
    events = []
    hooks = loop.Hooks(
        save=lambda step, *_: events.append(step), validate=lambda s: events.append("look") or {}
    )
    loop.fit(fake(3), 0, loop.Schedule([5, 6], 22, log_every=4), batches, hooks)
    assert events == ["look", 22]
    assert loop.Schedule([5], 1000).log_every == 100


@pytest.mark.parametrize("step", [13, 14, 15])
def test_nan_names_step_and_seed_and_is_not_saved(step):
    events = []
    with pytest.raises(RunError, match=f"loss is nan at step {step} of seed 6"):
        loop.fit(
            fake(3, nan_at=step),
            0,
            loop.Schedule([5, 6], 22, log_every=4, save_every=8),
            batches,
            loop.Hooks(save=lambda step, state, window: events.append(step)),
        )
    assert events == [8]
