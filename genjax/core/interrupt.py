"""Training that is asked to stop saves first. Who asks, such as a signal, is the script's affair.

In a notebook nobody asks, and Ctrl-C stays Python's own. Imports nothing that takes time.
"""

import contextlib
import signal


class Interrupted(BaseException):
    """Training was told to stop, and has saved. number: the signal."""

    def __init__(self, number: int):
        super().__init__(line(number))
        self.number = number


_saving = False
_asked = 0


def line(number: int) -> str:
    """What a person is told."""
    name = signal.Signals(number).name
    return f"interrupted by {name}; the same command continues from the last checkpoint"


def saving() -> bool:
    """Whether training runs that will save before it stops."""
    return _saving


def ask(number: int) -> None:
    """Has training stop after the call that runs."""
    global _asked
    _asked = number


def asked() -> int:
    """The signal for which training shall save and stop; 0: none."""
    return _asked


@contextlib.contextmanager
def after_saving():
    """Around training, which looks at `asked` after each call. Raises Interrupted at its end."""
    global _saving, _asked
    _saving = True
    try:
        yield
        if _asked:
            raise Interrupted(_asked)
    finally:
        _saving, _asked = False, 0
