"""fit(): the only training loop. It is given a compiled step and knows no model."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from genjax.core import interrupt, processes
from genjax.core.beside import InTurn
from genjax.core.errors import NotFinite
from genjax.core.parallel import Compiled


class Schedule(NamedTuple):
    """When something happens, in steps.

    log_every: a row of means. save_every, validate_every: multiples of it, so that a continued run
    logs the same windows; 0: at the end alone.
    """

    seeds: list[int]
    steps: int
    log_every: int = 100
    save_every: int = 0
    validate_every: int = 0


class Window(NamedTuple):
    """Metrics since the last row, of steps first + 1 to first + steps: {metric: [steps, seeds]}."""

    first: int
    steps: int
    metrics: dict

    def to_json(self) -> list:
        """What `from_json` takes; float32 survives."""
        metrics = {name: [v.dtype.name, v.tolist()] for name, v in self.metrics.items()}
        return [self.first, self.steps, metrics]

    @classmethod
    def from_json(cls, found: list):
        """The window that `to_json` wrote."""
        first, count, metrics = found
        return cls(first, count, {name: np.array(v, dtype) for name, (dtype, v) in metrics.items()})


class Hooks(NamedTuple):
    """What the loop calls.

    write: takes rows {"seed", "step", metric: mean since the last row}, one a seed.
    progress: takes the step and {metric: mean since the last row [seeds]}, after `validate`.
    save: (step, state, window), every `save_every` steps and at the end, after the losses so far
        were seen finite; and where training is interrupted, which may be between two rows: then
        `window` is what the next row needs, else None.
    validate: state -> {metric: [seeds]}, every `validate_every` steps and at the end.
    """

    write: Callable = lambda rows: None
    progress: Callable = lambda step, metrics: None
    save: Callable = lambda step, state, window: None
    validate: Callable | None = None


def fit(
    compiled: Compiled,
    state,
    when: Schedule,
    batches: Callable,
    hooks: Hooks,
    *,
    start: int = 0,
    window: Window | None = None,
    work: InTurn | None = None,
):
    """Trains from `start` to the schedule's end and returns the state, leaves [seeds, ...].

    batches: (first, count) -> index [count, seeds, batch], a function of its arguments alone.
    window: what was saved with the state, where training was interrupted between two rows.
    work: who calls the hooks; by default each is waited for.

    Metrics are fetched one call after they are due, and only where they are logged, so that the
    device never waits for the host. Raises NotFinite at the first loss, or other metric, that is
    not finite, with step and seed. Where a script was told to stop (`interrupt`), it ends after the
    call that runs, and a save.
    """
    seeds, steps, log_every, save_every, validate_every = when
    size, work = compiled.plan.steps_per_call, work or InTurn()
    group, late, step = [window] if window else [], [], start
    run, fetch = work.pace.calls(compiled.run), work.pace.waits(compiled.fetch)

    def look(step, state):
        assert hooks.validate is not None
        hooks.write(_rows(step, seeds, hooks.validate(state)))

    def drain(calls, kept=None):
        end, means = step, {}
        if calls:
            end, metrics = calls[-1].first + calls[-1].steps, _joined(calls, seeds, fetch)
            means = {name: values.mean(0) for name, values in metrics.items()}
            work.do(hooks.write, _rows(end, seeds, means))
        if kept is not None:
            work.measure(look, step, kept)
        if calls:
            work.do(hooks.progress, end, means)
        return []

    with work:
        while step < steps:
            before = step % log_every
            end = step - before + min(log_every, (before // size + 1) * size)
            end = min(steps, end)
            index = batches(step, end - step)
            if len(index) < size:
                padding = np.full((size - len(index), *index.shape[1:]), -1).astype(index.dtype)
                index = np.concatenate([index, padding])
            state, metrics = run(state, index, end - step)
            late = drain(late)
            group.append(Window(step, end - step, metrics))
            step = end
            kept = None
            if step % log_every == 0 or step == steps:
                group, late = [], group
            if hooks.validate and (step == steps or validate_every and step % validate_every == 0):
                kept = work.kept(state)
                late = drain(late, kept)
            due = step == steps or (save_every and step % save_every == 0)
            stop = processes.most(interrupt.asked())
            if due or stop:
                late = drain(late)
                rest = _rest(group, step, seeds, fetch) if group else None
                work.save(hooks.save, step, work.kept(state) if kept is None else kept, rest)
            if stop:
                interrupt.ask(stop)  # Where another process was told.
                break
    return state


def _joined(calls: list[Window], seeds, fetch: Callable) -> dict[str, np.ndarray]:
    """{metric: [steps, seeds]} of calls, on the host, seen finite."""
    parts = [jax.tree.map(lambda m, c=c: m[: c.steps], fetch(c.metrics)) for c in calls]
    metrics = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name, values in metrics.items():
        _require_finite(name, values, calls[0].first, seeds)
    return metrics


def _rest(calls: list[Window], step: int, seeds, fetch: Callable) -> Window:
    return Window(calls[0].first, step - calls[0].first, _joined(calls, seeds, fetch))


def _rows(step, seeds, metrics):
    return [
        {"seed": seed, "step": step} | {name: float(v[i]) for name, v in metrics.items()}
        for i, seed in enumerate(seeds)
    ]


def _require_finite(name: str, values: np.ndarray, first: int, seeds: list[int]):
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        step, seed = first + int(bad[0][0]) + 1, seeds[int(bad[0][1])]
        value = values[tuple(bad[0])]
        raise NotFinite(f"{name} is {value} at step {step} of seed {seed}")
