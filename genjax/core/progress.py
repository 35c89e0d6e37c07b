"""What a person sees who waits: a bar on a terminal, elsewhere a line every few seconds."""

import contextlib
import sys
import time
from collections.abc import Callable

import numpy as np
from tqdm import tqdm


class Progress:
    """A bar on a terminal; elsewhere a line every few seconds: steps, rate, time left, loss."""

    def __init__(
        self,
        label: str,
        steps: int,
        start: int = 0,
        every: float = 5.0,
        status: Callable[[], str] = str,
    ):
        self.label, self.steps, self.start, self.every = label, steps, start, every
        self.status = status
        self.begun = self.last = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            self.bar = tqdm(total=steps, initial=start, desc=label, unit="step", leave=True)

    def __call__(self, step: int, metrics: dict[str, np.ndarray]) -> None:
        loss = float(np.mean(metrics["loss"]))
        if self.bar is not None:
            with contextlib.suppress(OSError):  # The terminal is gone: SIGHUP comes next.
                self.bar.set_postfix_str(f"loss={loss:.4g}{self._more()}", refresh=False)
                self.bar.update(step - self.bar.n)
            return
        now = time.monotonic()
        if now - self.last >= self.every or step == self.steps:
            self.last = now
            rate = (step - self.start) / max(now - self.begun, 1e-9)
            left = (self.steps - step) / max(rate, 1e-9)
            say(
                f"{self.label}: step {step}/{self.steps}, {rate:.0f}/s, {left:.0f} s left, "
                f"loss {loss:.4g}{self._more()}"
            )

    def _more(self):
        text = self.status()
        return f", {text}" if text else ""

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            with contextlib.suppress(OSError):
                self.bar.close()


def say(text: str) -> None:
    """A line for the person who waits, on stderr, out of the way of a progress bar."""
    with contextlib.suppress(OSError):
        tqdm.write(text, file=sys.stderr)
