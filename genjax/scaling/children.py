"""Processes of their own, asked and answered in JSON: `python -m genjax.scaling.<name>`."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import genjax
from genjax.core.errors import RunError, one_line


def ask(name: str, questions: Sequence[dict]) -> list[dict]:
    """The answers of as many fresh processes, all at once; what they say on stderr is shown.

    None of them outlives this call. Raises RunError with what the first that failed said.
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
            json.dump(question | {"parent": os.getpid()}, asked)
            asked.seek(0)
            answer = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen(
                [sys.executable, "-m", f"genjax.scaling.{name}"],
                stdin=asked,
                stdout=answer,
                env=os.environ | more,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append((process, answer))
        found = []
        for process, answer in started:
            code = process.wait()
            answer.seek(0)
            lines = answer.read().splitlines()
            told = json.loads(lines[-1]) if lines else {}
            if code:
                raise RunError(told.get("error") or f"{name}: its process ended with code {code}")
            found.append(told)
    return found


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
