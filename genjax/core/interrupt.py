"""Ctrl-C, SIGTERM and SIGHUP: training saves first, everything else stops at once.

Only scripts install this: in a notebook Ctrl-C stays Python's own. Signals are answered by a thread
of its own, since Python's handlers wait for a compilation to end. Files of a run are written whole,
so that stopping anywhere loses only what was not yet written. Imports nothing that takes time.
"""

import contextlib
import os
import signal
import threading

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP.


class Interrupted(BaseException):
    """Training was told to stop, and has saved. number: the signal."""

    def __init__(self, number: int):
        super().__init__(line(number))
        self.number = number


_saving = False
_asked = 0
_script = "genjax"


def line(number: int) -> str:
    """What a person is told."""
    name = signal.Signals(number).name
    return f"interrupted by {name}; the same command continues from the last checkpoint"


def install(script: str) -> None:
    """Answers the signals from now on, but for those that the caller ignores, as nohup does."""
    global _script
    _script = script
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    handler = _ignore
    if os.name == "nt":  # There asyncio takes the file descriptor of signals for itself.
        handler = _answer
    else:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _ignore(number, frame):
    pass


def _watch(reader: int) -> None:
    while number := os.read(reader, 1):
        _answer(number[0])


def _answer(number: int, frame=None) -> None:
    if _saving and not _asked:
        ask(number)
        return
    with contextlib.suppress(OSError):  # After SIGHUP there may be no terminal.
        os.write(2, f"{_script}: {line(_asked or number)}\n".encode())
    os._exit(128 + (_asked or number))


def ask(number: int) -> None:
    """Has training stop after the call that runs."""
    global _asked
    _asked = number


def asked() -> bool:
    """Whether training shall save and stop."""
    return bool(_asked)


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
