"""How every command ends: 0 done; 2 bad input, 1 a failed run, 130, 143 or 129 after Ctrl-C,
SIGTERM or SIGHUP, each with one line."""

import contextlib
import os
import sys
from collections.abc import Iterator

from genjax.core import interrupt
from genjax.core.errors import RunError, UsageError
from genjax_cli import signals

# What a shell says of a process that SIGPIPE ended.
PIPE_CLOSED = 141


@contextlib.contextmanager
def ending(called: str) -> Iterator[None]:
    """Answers signals, and ends the process where the work inside does, in a line of `called`."""
    signals.install(called)
    try:
        yield
    except UsageError as error:
        die(called, 2, str(error))
    except RunError as error:
        die(called, 1, str(error))
    except interrupt.Interrupted as stopped:
        die(called, 128 + stopped.number, str(stopped))


def read(
    kind, arguments: list[str], command: str, about: str, *, words: bool = False, full: bool = True
):
    """What a tool's command line asks for (core.flags.Asked); help is answered, and ends it.

    kind: its options. about: what its help begins with. words: whether it may hold others than
    flags. full: whether --help shows rare options too. Raises UsageError as `flags.read`.
    """
    from genjax.core import flags

    asked = flags.read(kind, arguments, words=words)
    if asked.help:
        full = full or asked.help == "helpfull"
        put(flags.help_text(kind, command, about.format(command=command), full=full, place=False))
        raise SystemExit(0)
    return asked


def die(called: str, code: int, message: str) -> None:
    """Ends the process with a line; does not return."""
    with contextlib.suppress(OSError):  # After SIGHUP there may be no terminal.
        print(f"{called}: {message}", file=sys.stderr)
    raise SystemExit(code) from None


def put(text: str) -> None:
    """Prints a text; ends the process where nobody reads on, as behind `| head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(PIPE_CLOSED) from None
