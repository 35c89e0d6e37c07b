"""Which platform computes, how exactly it multiplies, and what it did in a few steps."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from genjax.core import plugins
from genjax.core.errors import UsageError
from genjax.core.parallel import Compiled
from genjax.core.progress import say

PLATFORMS = ("auto", "cpu", "gpu", "tpu")


class _Heard(logging.Handler):
    """Says what JAX warns of as it looks for devices, once, and keeps it."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record):
        line = " ".join(record.getMessage().split())
        if line not in self.lines:
            self.lines.append(line)
            say(f"JAX: {line}")


@contextlib.contextmanager
def chosen(name: str) -> Iterator[None]:
    """Has what is inside computed by a platform; JAX's warnings about devices are shown.

    To be entered before the first computation. Raises UsageError for a GPU or a TPU that JAX does
    not find, with its reason, where it would go on with the CPU.
    """
    if name not in PLATFORMS:
        raise UsageError(f"--platform={name}: choose from {', '.join(PLATFORMS)}")
    if name == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"  # For the processes that this one starts.
        jax.config.update("jax_platforms", "cpu")
    logger, heard = logging.getLogger("jax._src.xla_bridge"), _Heard()
    level, up = logger.level, logger.propagate
    logger.addHandler(heard)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        if name in plugins.INSTALL:
            require(name, heard.lines)
        yield
    finally:
        logger.removeHandler(heard)
        logger.setLevel(level)
        logger.propagate = up


def require(name: str, reasons: list[str]) -> None:
    """Raises UsageError where devices are of another platform, with the reasons that JAX gave."""
    try:
        found = jax.devices()[0].platform
    except RuntimeError as error:  # JAX_PLATFORMS names one that is not there.
        found, reasons = "nothing", [*reasons, str(error).strip().split("\n")[0]]
    if found != name:
        if asked := os.environ.get("JAX_PLATFORMS"):
            remedy = f"JAX_PLATFORMS={asked} is set"
        else:  # Which brings a plugin that fits jax in place of one that does not.
            remedy = plugins.remedy(name)
        why = "; ".join([*reasons, remedy])
        raise UsageError(f"--platform={name}: JAX computes on {found}: {why}")


def products(precision: str) -> contextlib.AbstractContextManager:
    """Compiles what is inside with float32 products of a precision: default, high or highest.

    A TPU's are bfloat16 unless asked, a GPU's TF32. On a CPU all are float32, and nothing is set.
    """
    if jax.devices()[0].platform == "cpu":
        return contextlib.nullcontext()
    return jax.default_matmul_precision(precision)


@contextlib.contextmanager
def profiled(compiled: Compiled, asked: int, steps: int, folder: Path) -> Iterator[Compiled]:
    """A step of which calls of `asked` steps or more, together, are written to a folder as a trace.

    steps: that training takes from here on. The trace begins with the second call, behind
    compiling, where there is one. 0 asked: none.
    """
    traced, calls, open_ = 0, 0, False

    def run(state, index, count):
        nonlocal traced, calls, open_
        calls += 1
        if traced >= asked or (calls == 1 and count < steps):
            return compiled.run(state, index, count)
        if not open_:
            jax.block_until_ready(state)
            jax.profiler.start_trace(folder)
            open_ = True
        found = jax.block_until_ready(compiled.run(state, index, count))
        traced += int(count)
        if traced >= asked:
            end()
        return found

    def end():
        nonlocal open_
        open_ = False
        jax.profiler.stop_trace()
        say(f"--profile: {traced:,} steps; pip install xprof && xprof --port 8791 {folder}")

    try:
        yield compiled._replace(run=run) if asked else compiled
    finally:
        if open_:
            end()
