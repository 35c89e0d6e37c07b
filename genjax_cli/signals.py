"""Ctrl-C, SIGTERM and SIGHUP: training saves first, everything else stops at once, with one line.

Signals are answered by a thread of its own, since Python's handlers wait for a compilation to end.
Files of a run are written whole, so that stopping anywhere loses only what was not yet written.
"""

import contextlib
import os
import signal
import threading

from genjax.core import interrupt

LATER = "stops after the present call, or what compiles now; Ctrl-C again ends at once"
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP.


def install(script: str) -> None:
    """Answers the signals from now on, but for those that the caller ignores, as nohup does."""

    def answer(number: int, frame=None) -> None:
        del frame
        before = interrupt.asked()
        if interrupt.saving() and not before:
            interrupt.ask(number)
            with contextlib.suppress(OSError):
                start = "\n" if os.isatty(2) else ""  # Below the bar of progress.
                os.write(2, f"{start}{script}: {LATER}\n".encode())
            return
        with contextlib.suppress(OSError):  # After SIGHUP there may be no terminal.
            os.write(2, f"{script}: {interrupt.line(before or number)}\n".encode())
        os._exit(128 + (before or number))

    def watch(reader: int) -> None:
        while number := os.read(reader, 1):
            answer(number[0])

    handler = _ignore
    if os.name == "nt":  # There asyncio takes the file descriptor of signals for itself.
        handler = answer
    else:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=watch, args=(reader,), daemon=True).start()
    for name in NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _ignore(number, frame):
    pass
