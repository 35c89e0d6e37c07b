"""fit(): the only training loop. It is given a compiled step and knows no model."""

from collections.abc import Callable

import jax
import numpy as np

from genjax.core.errors import RunError
from genjax.core.parallel import Compiled


def fit(
    compiled: Compiled,
    state,
    *,
    steps: int,
    seeds: list[int],
    batches: Callable,
    start: int = 0,
    log_every: int = 100,
    write: Callable = lambda rows: None,
    progress: Callable = lambda step, metrics: None,
    save_every: int = 0,
    save: Callable = lambda step, state: None,
    validate_every: int = 0,
    validate: Callable | None = None,
):
    """Trains from `start` to `steps` and returns the state, leaves [seeds, ...].

    batches: (first, count) -> index [count, seeds, batch], a function of its arguments alone.
    write: takes rows {"seed", "step", metric: mean since the last row}, one a seed.
    save: called every `save_every` steps and at the end, after the losses so far were seen finite.
    validate: state -> {metric: [seeds]}, every `validate_every` steps and at the end.
    progress: takes the step and {metric: mean since the last row [seeds]}, after `validate`.
    save_every and validate_every are multiples of log_every, so that a continued run logs the
    same windows.

    Metrics are fetched one call after they are due, and only where they are logged, so that the
    device never waits for the host. Raises RunError at the first loss, or other metric, that is not
    finite, with step and seed.
    """
    size = compiled.plan.steps_per_call
    group, late, step = [], [], start

    def drain(calls, look=None):
        if calls:
            parts = [jax.tree.map(lambda m, n=n: m[:n], jax.device_get(m)) for _, n, m in calls]
            metrics = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            for name, values in metrics.items():
                _require_finite(name, values, calls[0][0], seeds)
            means = {name: values.mean(0) for name, values in metrics.items()}
            end = calls[-1][0] + calls[-1][1]
            write(_rows(end, seeds, means))
        if look:
            write(_rows(step, seeds, look(state)))
        if calls:
            progress(end, means)
        return []

    while step < steps:
        end = min(steps, (step // size + 1) * size, (step // log_every + 1) * log_every)
        index = batches(step, end - step)
        padding = np.full((size - len(index), *index.shape[1:]), -1, np.int32)
        state, metrics = compiled.run(state, np.concatenate([index, padding]), end - step)
        late = drain(late)
        group.append((step, end - step, metrics))
        step = end
        if step % log_every == 0 or step == steps:
            group, late = [], group
        if validate and (step == steps or (validate_every and step % validate_every == 0)):
            late = drain(late, validate)
        if step == steps or (save_every and step % save_every == 0):
            late = drain(late)
            save(step, state)
    return state


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
        raise RunError(f"{name} is {value} at step {step} of seed {seed}")
