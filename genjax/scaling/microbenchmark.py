"""Compiled programs of a sweep: their arguments, what compiling says of them, how they are timed.

A point is (arm, mode, length). Its program is compiled once and written to a file; every replicate
is a fresh process (`replicate`) that loads the file, and so times what all the others time.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import NamedSharding

from genjax.core.errors import UsageError


class Inputs(NamedTuple):
    """Arguments of a program. name: what they are: two of one name are the same arrays.

    make: seed -> a tuple of pytrees of arrays; also of a traced seed.
    sharding: of all of them; None: they are one device's.
    """

    name: str
    make: Callable
    sharding: NamedSharding | None = None

    @property
    def devices(self) -> int:
        return len(self.sharding.device_set) if self.sharding else 1

    def shapes(self) -> tuple:
        """What `make` gives, without making it."""
        found = jax.eval_shape(self.make, jax.ShapeDtypeStruct((), "uint32"))
        return jax.tree.map(lambda x: x.update(sharding=self.sharding), found)

    def lower(self):
        """The program that makes them of a seed."""
        program = jax.jit(self.make, out_shardings=self.sharding)
        return program.lower(jax.ShapeDtypeStruct((), "uint32"))


class Program(NamedTuple):
    """What a point runs: flops and bytes are counts from shapes, bytes without arguments."""

    function: Callable
    inputs: tuple[Inputs, ...]
    flops: float
    bytes: float
    note: str = ""

    @property
    def devices(self) -> int:
        return max(part.devices for part in self.inputs)

    @property
    def platform(self) -> str:
        """Of its devices, which need not be this machine's."""
        spread = [part.sharding.device_set for part in self.inputs if part.sharding]
        return next(iter(spread[0])).platform if spread else jax.default_backend()

    def arguments(self, seed: int = 0) -> tuple:
        """What the function is given."""
        return tuple(argument for part in self.inputs for argument in part.make(seed))


def lower(program: Program):
    """The program for the shapes of its arguments, which are not made."""
    shapes = [shape for part in program.inputs for shape in part.shapes()]
    return jax.jit(program.function).lower(*shapes)


def facts_of(program: Program, compiled) -> dict:
    """XLA's bytes of arguments, result and temporary memory, its FLOPs (loops once), and counts.

    Bytes of one of several devices; of the CPU's, whose memory is one, of all.
    """
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    assert memory is not None  # Told by XLA on CPU, GPU and TPU.
    parts = program.devices if program.platform == "cpu" else 1
    return {
        "temp_bytes": parts * int(memory.temp_size_in_bytes),
        "argument_bytes": parts * int(memory.argument_size_in_bytes),
        "result_bytes": parts * int(memory.output_size_in_bytes),
        "xla_flops": float(cost.get("flops", 0.0)),
        **told(program),
    }


def told(program: Program) -> dict:
    """What is known without a compiler; programs that compile to the same may differ in it."""
    return {"flops": program.flops, "count_bytes": program.bytes, "note": program.note}


def compile_program(program: Program) -> tuple[jax.stages.Compiled, dict]:
    """The compiled program, and what compiling says of it."""
    compiled = lower(program).compile()
    return compiled, facts_of(program, compiled)


def too_large(facts: dict, allowed: float) -> str:
    """Why a compiled program is not run: what it needs by its own account; '' where it fits."""
    needed = facts["temp_bytes"] + facts["argument_bytes"] + facts["result_bytes"]
    if needed <= allowed:
        return ""
    return f"{needed / 1e9:.2g} GB by the compiled program, {allowed / 1e9:.2g} GB allowed"


def measure(call: Callable, seconds: float) -> dict:
    """Median, minimum and number of calls within `seconds`; one of thrice that is not repeated.

    Short calls warm up: the first after another program finds cold caches and pages.
    """
    begun = time.perf_counter()
    call()
    times = [time.perf_counter() - begun]
    if times[0] < seconds:
        times = []
    end = time.perf_counter() + seconds
    while not times or (times[0] < 3 * seconds and time.perf_counter() < end):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(times), "least": min(times), "calls": len(times)}


def peak_growth(call: Callable) -> int | None:
    """By how many bytes a call raises this process's peak resident memory; None but on Linux.

    For a process whose allocator returns what it frees: what it keeps would hide it.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        call()
        return None
    # What an earlier call took is given back a moment after it, by another thread.
    time.sleep(0.01)
    # The mark is set back to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident(status, "VmRSS")
    call()
    return _resident(status, "VmHWM") - before


def _resident(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def reserve(cores: str) -> str:
    """Has XLA compute on as many threads as there are cores ("0" or "0,1"; empty: all); says which.

    Before jax starts. Raises UsageError for a core that is not there.
    """
    have = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not cores:
        return f"all {len(have) or os.cpu_count()} cores"
    wanted = cores.split(",")
    if not set(wanted) <= set(map(str, have)):
        may = f"this process may run on cores {', '.join(map(str, have))}"
        raise UsageError(f"--cores={cores}: {may if have else 'this system binds to none'}")
    os.environ["NPROC"] = str(len(wanted))
    return f"core {cores}" if len(wanted) == 1 else f"cores {cores}"


def make_devices(count: int) -> None:
    """Has the CPU pass for so many devices, where XLA_FLAGS does not say how many; before jax."""
    given, flag = os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count"
    if flag not in given:
        os.environ["XLA_FLAGS"] = f"{given} {flag}={count}".strip()


def bind(cores: str) -> None:
    """Binds all threads of this process to the cores; compiling before may use them all. Linux."""
    if cores:
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # One that has just ended.
                os.sched_setaffinity(int(thread.name), [int(core) for core in cores.split(",")])


@contextlib.contextmanager
def bound(cores: str):
    """`bind` for what is inside; who called goes on with the cores of before."""
    before = os.sched_getaffinity(0) if cores else set()
    bind(cores)
    try:
        yield
    finally:
        bind(",".join(map(str, before)))
