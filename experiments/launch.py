"""What every script does: reads its flags, runs its experiment, and ends with an exit code.

0 done; 2 bad input, 1 a failed run, each with one line; 130, 143 or 129 after Ctrl-C, SIGTERM or
SIGHUP, with one line too.
"""

import contextlib
import errno
import importlib
import os
import sys
from pathlib import Path

import missing  # noqa: F401 - First.
import signals

from genjax.core import interrupt


def launch(room: str, about: str, arguments: list[str] | None = None) -> None:
    """Runs the experiment of a room of genjax as the command line asks; does not return."""
    script = Path(sys.argv[0])
    signals.install(script.name)  # First of all: importing the rest takes seconds.
    place = None
    try:
        from genjax.core import flags
        from genjax.core.errors import RunError, UsageError

        try:
            kind = importlib.import_module(f"genjax.{room}.config").Config
            arguments = sys.argv[1:] if arguments is None else arguments
            asked = flags.parse(kind, script.stem, arguments)
            if asked.help:
                full = asked.help == "helpfull"
                print(flags.help_text(kind, f"experiments/{script.name}", about, full=full), end="")
                raise SystemExit(0)
            place = asked.place
            _run(room, asked)
        except UsageError as error:
            _die(script, 2, str(error))
        except RunError as error:
            _die(script, 1, str(error))
        except Exception as error:
            if place is None or not _storage_failed(error):
                raise
            said = str(error).strip().split("\n")[0][:200]
            _die(script, 2, f"--workdir={place.workdir}: cannot be written: {said}")
    except interrupt.Interrupted as stopped:
        _die(script, 128 + stopped.number, str(stopped))


def _run(room, asked):
    from absl import logging

    logging.set_verbosity(logging.FATAL)  # What matters is raised, and said in one line.
    run = importlib.import_module(f"genjax.{room}.experiment").run
    place = asked.place
    run(
        asked.config,
        place.workdir,
        resume=place.resume,
        tensorboard=place.tensorboard,
        compile_cache=place.compile_cache,
    )


def _die(script: Path, code: int, message: str):
    with contextlib.suppress(OSError):  # After SIGHUP there may be no terminal.
        print(f"{script.name}: {message}", file=sys.stderr)
    raise SystemExit(code) from None


def _storage_failed(error: BaseException) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
    if isinstance(error, OSError):
        return error.errno in codes
    # Orbax and tensorstore report the system's error as text.
    return any(os.strerror(code) in str(error) for code in codes)
