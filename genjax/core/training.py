"""Training in a run folder: begins, continues from a checkpoint, logs, saves."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from genjax.core import interrupt, loop, machine, parallel, platforms, processes
from genjax.core.arrangement import Needs, Plan
from genjax.core.beside import Beside, InTurn
from genjax.core.checkpoints import Checkpoints
from genjax.core.folder import Folder
from genjax.core.loop import Hooks, Schedule
from genjax.core.progress import Progress, say
from genjax.core.training_options import Training


def schedule(config: Training, *, steps: int = 0, evaluations: int = 0) -> Schedule:
    """The schedule that a configuration asks for.

    steps: of an arm that has its own. evaluations: times that `validate` is called, spread evenly;
    0: with each checkpoint. Intervals are multiples of `log_every`.
    """
    steps = steps or config.steps
    log_every, every = config.log_every, 0
    if evaluations:
        every = max(1, steps // evaluations)
        log_every = log_every or every
        every = -(-every // log_every) * log_every
    log_every = log_every or max(1, steps // 50)
    save_every = config.checkpoint_every or max(1, steps // 10)
    save_every = -(-save_every // log_every) * log_every
    return Schedule(config.all_seeds, steps, log_every, save_every, every or save_every)


def needs(config: Training, when: Schedule, *, convolutions: bool = False, rows: int = 1) -> Needs:
    """What a configuration and a schedule ask of the devices; the rest as in `Needs`."""
    return Needs(convolutions, rows, when.log_every, config.steps_per_call)


def apart(plan: Plan) -> bool:
    """Whether other programs may run while a training call does.

    Several processes ask each other in both, and so do devices where parameters are in parts: in
    one order alone. Devices of a CPU have one pool of threads: where they share a batch, or seeds
    unevenly, each can hold threads that another waits for.
    """
    shared = (plan.parts > 1 or plan.uneven) and jax.default_backend() == "cpu"
    return processes.count() == 1 and plan.fsdp == 1 and not shared


def initial(init: Callable, seeds: list[int]):
    """The states of all seeds on the host, leaves [seeds, ...]; init: key -> state of one."""
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    made = jax.jit(jax.vmap(init), compiler_options=machine.for_one_run())
    return jax.device_get(made(keys))


def train(
    folder: Folder,
    name: str,
    compiled: parallel.Compiled,
    state,
    when: Schedule,
    batches: Callable,
    *,
    validate: Callable | None = None,
    status: Callable[[], str] = str,
):
    """Trains all seeds of one thing in a run folder, or continues it; the state on the host.

    Measures, rows and checkpoints are made beside it where they may be (`apart`).

    state: to begin with, leaves [seeds, ...], on the host or where `compiled.begin` made it.
    batches: (first, count) -> index [count, seeds, batch, ...]. validate: state -> {metric:
    [seeds]}. status: what the line of progress adds.
    """
    checkpoints = Checkpoints(folder.path / "checkpoints" / name, owner=folder.owner(name))
    start, found = checkpoints.restore(state, say, distrust=partial(folder.distrust, name))
    notes = checkpoints.notes
    folder.begin(name, start, notes, done=start == when.steps)
    if 0 < start < when.steps:
        say(f"{name}: goes on from step {start}")
    window = loop.Window.from_json(notes["window"]) if notes.get("window") else None
    if compiled.plan.devices > 1 and compiled.plan != folder.job.plan:
        say(f"{name}: {compiled.plan}")
        folder.job.plan = compiled.plan
    progress = Progress(name, when.steps, start, job=folder.job, status=status)

    def save(step, state, window):
        state = compiled.fetch(state)
        checkpoints.save(step, state, folder.notes() | {"window": window and window.to_json()})
        folder.at_checkpoint()

    def measure(state):
        # With float32 products, whatever training has. On the host: a slice of what devices share
        # would be a program of all of them.
        assert validate is not None
        with platforms.products("highest"):
            return validate(compiled.fetch(state))

    look = measure if validate else None
    hooks = Hooks(lambda rows: folder.write(name, rows), progress, save, look)
    traced = folder.path / "profile" / name
    work = Beside() if apart(compiled.plan) else InTurn()
    done = []
    try:
        with (
            interrupt.after_saving(),
            platforms.products(folder.products),
            platforms.profiled(compiled, folder.profile, when.steps - start, traced) as compiled,
        ):
            if start:
                state = found  # The first one is gone before this takes its place on the devices.
            state, found = compiled.place(state), None
            state = loop.fit(
                compiled, state, when, batches, hooks, start=start, window=window, work=work
            )
        done = [f"checkpoints/{name}/{when.steps}"]
    finally:
        checkpoints.close()
        folder.end(*done)
        folder.spent(work)
    return compiled.fetch(state)
