"""What is done beside training: the same calls in the same order, of the states of their steps."""

import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import beside, interrupt, loop, parallel, training
from genjax.core.arrangement import Plan
from genjax.core.beside import Beside, InTurn, at_once, on_cores
from genjax.core.errors import RunError

WHEN = loop.Schedule([5, 6], 24, log_every=4, save_every=8, validate_every=6)
LIMIT = 20.0


def overwriting(reached=lambda step: None, nan_at=None):
    """A `Compiled` whose calls, of two steps, overwrite the state that they are given."""

    def run(state, index, count):
        state += count
        reached(int(state[0]))
        losses = np.repeat(np.arange(1.0, 3.0)[:, None] + state[0] - count, 2, 1)
        return state, {"loss": np.where(losses == nan_at, np.nan, losses)}

    return parallel.Compiled(run, lambda state: state, Plan(1, 1, 0, 2, False))


def fit(work, validate=lambda state: {"valid": state * 1.0}, **how):
    """(events, the error) of a training."""
    events = []
    hooks = loop.Hooks(
        write=lambda rows: events.extend(rows),
        progress=lambda step, metrics: events.append(("progress", step)),
        save=lambda step, state, window: events.append(("save", step, state.tolist(), window)),
        validate=validate,
    )
    index = np.zeros((1, 2, 4), np.int32)
    state = np.zeros(2, np.int64)
    try:
        loop.fit(overwriting(**how), state, WHEN, lambda i, n: index.repeat(n, 0), hooks, work=work)
    except RunError as error:
        return events, error
    return events, None


def slowly(state):
    """Measures that end long after training could have gone on."""
    threading.Event().wait(0.02)
    return {"valid": state * 1.0}


def test_what_is_done_beside_training_is_what_is_done_in_turn():
    """A measure of a state that the next call overwrites, and all that comes behind it."""
    assert fit(Beside(), slowly) == fit(InTurn()) and len(fit(InTurn())[0]) == 29


def test_training_goes_on_while_it_is_measured():
    """Each measure but the last ends only once another step was reached."""
    steps, more = [], threading.Condition()

    def reached(step):
        with more:
            steps.append(step)
            more.notify()

    def validate(state):
        with more:
            last = state[0] == WHEN.steps
            assert last or more.wait_for(lambda: steps[-1] > state[0], LIMIT), "training waits"
        return {"valid": state * 1.0}

    assert fit(Beside(), validate, reached=reached) == fit(InTurn())


def test_however_slow_measures_are_three_states_are_kept(monkeypatch):
    """Copies that were made and whose measure, or checkpoint, is not done."""
    kept, most = [], []
    real = Beside.kept

    def copied(self, state):
        kept.append(int(state[0]))
        return real(self, state)

    def validate(state):
        found = slowly(state)
        most.append(len([step for step in kept if step >= state[0]]))
        return found

    monkeypatch.setattr(Beside, "kept", copied)
    fit(Beside(), validate)
    # Of the steps 6, 8, 12, 16, 18 and 24, one of which waits for its turn.
    assert len(most) == 4 and max(most) == beside.AHEAD + 1


def failing(at):
    def validate(state):
        found = slowly(state)
        if state[0] == at:
            raise RunError(f"samples are not finite at {at}")
        return found

    return validate


@pytest.mark.parametrize("at", [6, 12, 24])
def test_an_error_beside_training_is_the_one_of_in_turn(at):
    """Nothing behind it is written or saved, however far training was."""
    (left, error), (right, same) = fit(Beside(), failing(at)), fit(InTurn(), failing(at))
    assert left == right and str(error) == str(same) == f"samples are not finite at {at}"


@pytest.mark.parametrize("nan_at", [7, 8, 13, 24])
def test_a_loss_that_is_not_finite_comes_after_what_was_asked_before_it(nan_at):
    (left, error), (right, same) = (fit(w, slowly, nan_at=nan_at) for w in (Beside(), InTurn()))
    assert left == right and str(error) == str(same)
    assert f"loss is nan at step {nan_at} of seed 5" in str(error)


@pytest.mark.parametrize("nan_at", [13, 14])
def test_of_two_errors_the_first_one_is_raised(nan_at):
    """Training notices a loss while it still measures an earlier step."""
    assert "samples" in str(fit(Beside(), failing(12), nan_at=nan_at)[1])


@pytest.mark.parametrize("at", [2, 6, 8, 12, 14])
def test_a_stop_waits_for_what_was_asked_before_it(at):
    def reached(step):
        if step == at:
            interrupt.ask(signal.SIGTERM)

    found = []
    for work in (Beside(), InTurn()):
        with pytest.raises(interrupt.Interrupted), interrupt.after_saving():
            found.append(fit(work, slowly, reached=reached))
    left, right = found
    assert left[0][-1][:3] == ("save", at, [at, at])
    assert [str(event) for event in left[0]] == [str(event) for event in right[0]]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_a_copy_outlives_the_state_that_a_call_is_given(backend, monkeypatch):
    """On the device, or, where that may have no room, on the host."""
    add, state = jax.jit(lambda state: state + 1, donate_argnums=0), {"w": jnp.zeros((2, 3))}
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    with Beside() as work:
        kept = work.kept(state)
        jax.block_until_ready(jax.tree.map(add, state))
    assert kept["w"].tolist() == np.zeros((2, 3)).tolist()
    assert isinstance(kept["w"], jax.Array if backend == "cpu" else np.ndarray)
    with pytest.raises(RuntimeError, match="deleted"):
        state["w"].tolist()


def test_an_interpreter_that_is_interrupted_does_not_begin_what_waits():
    begun, go, done = threading.Event(), threading.Event(), []

    def first():
        begun.set()
        go.wait(LIMIT)
        done.append(1)

    with pytest.raises(KeyboardInterrupt), Beside() as work:
        work.do(first)
        work.do(done.append, 2)
        begun.wait(LIMIT)
        threading.Timer(0.05, go.set).start()
        raise KeyboardInterrupt
    assert done == [1]


def test_what_training_waits_for_is_counted():
    """In turn each measure; beside training the wait at its end, and no measure."""
    turn, aside = InTurn(), Beside()
    fit(turn, slowly), fit(aside, slowly)
    assert turn.measured >= 4 * 0.02 and turn.beside == 0 and turn.pace.longest >= 0.02
    assert aside.beside >= 4 * 0.02 and aside.measured > 0


@pytest.mark.parametrize(
    ("plan", "processes", "beside"),
    [
        (Plan(2, 1, 0, 100, False), 1, True),
        (Plan(2, 1, 0, 100, False), 2, False),
        # Devices of one CPU that share a batch, or seeds unevenly, or parameters.
        (Plan(1, 2, 0, 100, False), 1, False),
        (Plan(2, 1, 0, 100, False, turns=True), 1, True),
        (Plan(2, 1, 0, 100, False, turns=True, uneven=True), 1, False),
        (Plan(1, 1, 0, 100, False, fsdp=2), 1, False),
    ],
)
def test_programs_that_wait_for_each_other_run_alone(plan, processes, beside, monkeypatch):
    monkeypatch.setattr(training.processes, "count", lambda: processes)
    assert training.apart(plan) == beside


def test_items_are_done_on_all_cores_and_found_in_their_order(monkeypatch):
    """Two wait for each other; both compute as the thread that asked does."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    both = threading.Barrier(2, timeout=LIMIT)

    def precision(item):
        both.wait()
        return item, jax.make_jaxpr(lambda x: x @ x)(np.eye(2)).eqns[0].params["precision"]

    with jax.default_matmul_precision("highest"):
        found = on_cores(precision, [4, 3, 2, 1])
    assert [item for item, _ in found] == [4, 3, 2, 1]
    assert all(p == (jax.lax.Precision.HIGHEST,) * 2 for _, p in found)


def test_items_that_wait_for_a_device_wait_together(monkeypatch):
    """However few cores there are."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    every = threading.Barrier(20, timeout=LIMIT)
    assert at_once(lambda item: every.wait() >= 0 and item, range(20)) == [*range(20)]
    assert (
        on_cores(lambda item: threading.current_thread(), range(3)) == [threading.main_thread()] * 3
    )


def test_of_errors_on_several_cores_the_first_item_s_is_raised(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    done = []

    def fail(item):
        slowly(np.zeros(1))
        if item < 2:
            raise RunError(f"item {item}")
        done.append(item)

    with pytest.raises(RunError, match="item 0"):
        on_cores(fail, range(400))
    assert len(done) < 398
