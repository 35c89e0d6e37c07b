"""Processes of their own, asked and answered in JSON: `python -m genjax.scaling.<name>`.

All that are asked at once run at once, but for what they do in their `turn`.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import genjax
from genjax.core.errors import RunError, one_line


def ask(name: str, questions: Sequence[dict]) -> list[dict]:
    """The answers of as many fresh processes, all at once; what they say on stderr is shown.

    Turns come in the order of the questions, once all have asked for theirs; none goes on before
    the last has had its own. None of them outlives this call. Raises RunError with what the first
    that failed said.
    """
    # The package is found there as it was here, wherever a notebook runs. jax's own cache gives
    # programs that cannot be written to files again.
    places = (str(Path(genjax.__file__).parents[1]), os.environ.get("PYTHONPATH"))
    more = {
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        "JAX_ENABLE_COMPILATION_CACHE": "0",
        # glibc's other arenas end at 64 MB: what is larger would be fresh pages in every call.
        "MALLOC_ARENA_MAX": "1",
    }
    with contextlib.ExitStack() as stack:
        started = []
        for question in questions:
            asked = stack.enter_context(tempfile.TemporaryFile("w+"))
            ours, its = (stack.enter_context(end) for end in socket.socketpair())
            json.dump(question | {"parent": os.getpid(), "line": its.fileno()}, asked)
            asked.seek(0)
            answer = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen(
                [sys.executable, "-m", f"genjax.scaling.{name}"],
                stdin=asked,
                stdout=answer,
                env=os.environ | more,
                pass_fds=[its.fileno()],
            )
            its.close()  # So that the line ends where the process does.
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append((process, answer, ours))
        _give_turns([ours for _, _, ours in started])
        found = []
        for process, answer, _ in started:
            code = process.wait()
            answer.seek(0)
            lines = answer.read().splitlines()
            told = json.loads(lines[-1]) if lines else {}
            if code:
                raise RunError(told.get("error") or f"{name}: its process ended with code {code}")
            found.append(told)
    return found


def _give_turns(lines: Sequence[socket.socket]) -> None:
    """One after the other; what has ended, or ends without a turn, is waited for no longer."""
    for line in lines:
        _hear(line)
    for line in lines:
        _tell(line)
        _hear(line)
    for line in lines:
        _tell(line)


def _tell(line: socket.socket) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        line.send(b".")


def _hear(line: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):  # Ended, and did not read what it was told.
        line.recv(1)


@contextlib.contextmanager
def turn(question: dict) -> Iterator[None]:
    """What is inside runs while all that were asked with this process wait; once a process.

    Raises RunError where nobody asks any more. Nobody is waited for where none was asked beside.
    """
    _wait(question)
    yield
    _wait(question)


def _wait(question: dict) -> None:
    line = question.get("line")
    if line is None:
        return
    told = b""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        os.write(line, b".")
        told = os.read(line, 1)
    if not told:
        raise RunError("the run that asked has ended")


def answer(function: Callable[[dict], dict]) -> None:
    """Has this process answer the question on stdin, or say in one line why it cannot."""
    question = json.load(sys.stdin)
    try:
        told, code = function(question), 0
    except KeyboardInterrupt:
        told, code = {"error": "interrupted"}, 130
    except Exception as error:
        told, code = {"error": f"{type(error).__name__}: {one_line(error)}"}, 1
    sys.stdout.write(f"\n{json.dumps(told)}\n")
    sys.stdout.flush()
    if code:
        os._exit(code)
