"""What a person sees who waits: a bar on a terminal, elsewhere a line every few seconds."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import numpy as np
from tqdm import tqdm


class Job:
    """All trainings of a run: how much is done, and how long the rest takes.

    planned: {name: steps}, in their order, each measured behind its training; what comes up besides
    is added when it begins. clock: in seconds.
    """

    def __init__(self, planned: dict[str, int], clock: Callable[[], float] = time.monotonic):
        self._steps, self._planned, self._clock = dict(planned), [*planned], clock
        self._done = dict.fromkeys(planned, 0)
        # Of each the steps and seconds of its first stretch, which compiles, and of the others.
        self._first: dict[str, tuple[int, float]] = {}
        self._rest: dict[str, tuple[int, float]] = {}
        self._unmeasured = [*planned]
        self._ended: float | None = None  # When a planned training did that is measured now.
        self._measured: list[float] = []
        self.bar: tqdm | None = None
        self.plan: object = None  # Of the devices; the last one that was said.

    def begin(self, name: str, steps: int, start: int) -> None:
        """A training begins, or goes on; what was planned before it needed none."""
        if name in self._unmeasured:
            if self._ended is not None:
                self._measured.append(self._clock() - self._ended)
            self._ended = None
            for before in self._unmeasured[: self._unmeasured.index(name)]:
                self._steps[before] = self._done[before]
                self._unmeasured.remove(before)
        self._steps[name], self._done[name] = steps, start
        if self.bar is None and _speaks and sys.stderr.isatty():
            self.bar = tqdm(total=self.total, unit="step", leave=True)
        if self.bar is not None:
            self.bar.set_description(name, refresh=False)
            self.bar.total = self.total
            # Steps of an earlier attempt say nothing about the pace of this one.
            self.bar.initial += self.done - self.bar.n
            self.bar.n = self.done

    def reach(self, name: str, step: int, seconds: float) -> None:
        """A training reached a step; seconds: that it took since the last time."""
        steps, into = step - self._done[name], self._rest if name in self._first else self._first
        before = into.get(name, (0, 0.0))
        into[name] = before[0] + steps, before[1] + seconds
        self._done[name] = step
        if step == self._steps[name] and name in self._unmeasured:
            self._ended = self._clock()

    @property
    def total(self) -> int:
        """Steps of all trainings."""
        return sum(self._steps.values())

    @property
    def done(self) -> int:
        """Steps that are trained."""
        return sum(self._done.values())

    @property
    def left(self) -> float:
        """Seconds that the rest takes, at least 0: training, each at its own pace or, before that
        is known, at the mean of the others', and measuring, as long as it took so far."""
        paces = {name: took / steps for name, (steps, took) in self._rest.items() if steps}
        firsts = {name: took / max(steps, 1) for name, (steps, took) in self._first.items()}
        alike = [pace for name, pace in paces.items() if name in self._planned]
        mean = np.mean(alike or [*paces.values()] or [*firsts.values()] or [0.0])
        training = sum(
            (steps - self._done[name]) * paces.get(name, mean)
            for name, steps in self._steps.items()
        )
        return float(training + len(self._unmeasured) * np.mean(self._measured or [0.0]))

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            with contextlib.suppress(OSError):
                self.bar.close()


class Progress:
    """A bar of the whole job on a terminal; elsewhere a line every few seconds.

    status: what to say besides the mean loss of the seeds.
    """

    def __init__(
        self,
        name: str,
        steps: int,
        start: int = 0,
        *,
        job: Job | None = None,
        every: float = 5.0,
        status: Callable[[], str] = str,
    ):
        self.name, self.steps, self.every, self.status = name, steps, every, status
        self.job = job or Job({})
        self.job.begin(name, steps, start)
        self.said = self.reached = time.monotonic()

    def __call__(self, step: int, metrics: dict[str, np.ndarray]) -> None:
        now = time.monotonic()
        self.job.reach(self.name, step, now - self.reached)
        self.reached = now
        figures = f"loss {float(np.mean(metrics['loss'])):.4g}"
        if text := self.status():
            figures += f", {text}"
        if self.job.bar is not None:
            with contextlib.suppress(OSError):  # The terminal is gone: SIGHUP comes next.
                self.job.bar.set_postfix_str(figures, refresh=False)
                self.job.bar.update(self.job.done - self.job.bar.n)
        elif now - self.said >= self.every or step == self.steps:
            self.said = now
            share = self.job.done / self.job.total
            say(
                f"{self.name}: step {step}/{self.steps}, {figures}; training {share:.0%} done, "
                f"{self.job.left:.0f} s left"
            )


def say(text: str) -> None:
    """A line for the person who waits, on stderr, out of the way of a progress bar."""
    if (lines := _held.get()) is not None:
        lines.append(text)
    elif _speaks:
        with contextlib.suppress(OSError):
            tqdm.write(text, file=sys.stderr)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Inside, what is said waits for the end, and is dropped where that is an error: a refusal is
    one line."""
    lines: list[str] = []
    before = _held.set(lines)
    try:
        yield
    finally:
        _held.reset(before)
    for line in lines:
        say(line)


_held: ContextVar[list[str] | None] = ContextVar("held", default=None)
_speaks = True


def silence() -> None:
    """Of several processes one speaks."""
    global _speaks
    _speaks = False
