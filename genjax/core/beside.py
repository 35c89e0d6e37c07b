"""What threads do: what training hands over between two calls, in its order, and independent tasks.

`InTurn` does rows, measures and checkpoints at once, and training waits. `Beside` does them in one
thread while training goes on: the same calls in the same order, and so the same rows and files.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import jax
import numpy as np

# Measures and checkpoints that are asked for and not done, at most: of each a state is kept.
AHEAD = 3


class Pace:
    """How long training stood still between two calls, in seconds.

    What it waits for the device counts for nothing: the device is at work. So the device itself
    stood still no longer than `longest`.
    """

    def __init__(self):
        self.longest = 0.0
        self._since: float | None = None

    def calls(self, function: Callable) -> Callable:
        """The function, between whose calls the time counts."""

        def run(*args):
            if self._since is not None:
                self.longest = max(self.longest, time.monotonic() - self._since)
            found = function(*args)
            self._since = time.monotonic()
            return found

        return run

    def waits(self, function: Callable) -> Callable:
        """The function, whose own time does not count."""

        def run(*args):
            began = time.monotonic()
            try:
                return function(*args)
            finally:
                if self._since is not None:
                    self._since += time.monotonic() - began

        return run


class InTurn:
    """Does what it is asked at once.

    measured, measured_cpu: seconds, and the processor's, in which training waited for measures.
    beside: seconds of measures beside training.
    """

    def __init__(self):
        self.pace = Pace()
        self.measured = self.measured_cpu = self.beside = 0.0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def kept(self, state):
        """A state of the device, which the next call may overwrite, once it is there."""
        return self.pace.waits(jax.block_until_ready)(state)

    def do(self, task: Callable, *args) -> None:
        """Does a task after those before it."""
        task(*args)

    def save(self, task: Callable, *args) -> None:
        """The same of a task that keeps a state."""
        self.do(task, *args)

    def measure(self, task: Callable, *args) -> None:
        """The same of one whose time is counted."""
        began, cpu = time.monotonic(), time.process_time()
        try:
            task(*args)
        finally:
            self.measured += time.monotonic() - began
            self.measured_cpu += time.process_time() - cpu


class Beside(InTurn):
    """Does what it is asked in a thread of its own; at its end all is done.

    With `AHEAD` measures or checkpoints undone it waits. An error in a task is raised where the
    next is asked for, or at the end; what was asked behind it is left undone.
    """

    def __init__(self):
        super().__init__()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._last: Future | None = None
        self._states: list[Future] = []
        self._failed: BaseException | None = None

    def __exit__(self, kind, error, trace):
        # What was asked before an error of training comes before it.
        if self._last is not None and (kind is None or issubclass(kind, Exception)):
            self._wait(self._last)
        self._pool.shutdown(cancel_futures=True)
        if self._failed is not None and self._failed is not error:
            raise self._failed

    def kept(self, state):
        """A copy in the host's memory: the next call overwrites the state."""
        if jax.default_backend() == "cpu":
            return jax.tree.map(_copied, state)  # Training does not wait for it.
        # A device may have no room for a second one.
        return jax.tree.map(np.array, jax.device_get(super().kept(state)))

    def do(self, task: Callable, *args) -> None:
        if self._failed is not None:
            raise self._failed
        self._last = self._pool.submit(self._one, task, *args)

    def measure(self, task: Callable, *args) -> None:
        self.save(self._timed, task, *args)

    def save(self, task: Callable, *args) -> None:
        if len(self._states) == AHEAD:
            self._wait(self._states.pop(0))
        self.do(task, *args)
        self._states.append(cast(Future, self._last))

    def _wait(self, future):
        """Training stands still, for measures most of all."""
        super().measure(future.result)

    def _one(self, task, *args):
        if self._failed is None:
            try:
                task(*args)
            except BaseException as error:  # Raised again where training goes on.
                self._failed = error

    def _timed(self, task, *args):
        began = time.monotonic()
        try:
            task(*args)
        finally:
            self.beside += time.monotonic() - began


def _copied(leaf):
    if isinstance(leaf, jax.Array):  # No program is compiled for it.
        return jax.device_put(leaf, leaf.sharding, may_alias=False)
    return np.array(leaf)


def on_cores(function: Callable, items: Sequence) -> list:
    """[function(item) for item in items], as many at a time as there are cores.

    The first error, in their order, is raised; what has not begun then never does.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return _in_threads(function, items, cores or 1)


def at_once(function: Callable, items: Sequence) -> list:
    """The same of items that wait for a device, up to 32 at a time.

    Each call of a program waits for the training call that is under way; so all wait for one.
    """
    return _in_threads(function, items, 32)


def _in_threads(function, items, most):
    if len(items) < 2 or most < 2:
        return [function(item) for item in items]
    # What `with` sets of JAX is the thread's own.
    precision = cast(Any, jax.config).jax_default_matmul_precision

    def one(item):
        with jax.default_matmul_precision(precision):
            return function(item)

    pool = ThreadPoolExecutor(min(len(items), most), thread_name_prefix="beside")
    try:
        return [found.result() for found in [pool.submit(one, item) for item in items]]
    finally:
        pool.shutdown(cancel_futures=True)
