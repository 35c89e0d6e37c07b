"""Time and memory of compiled programs over lengths: interleaved, predicted first, resumable.

A point is (arm, mode, length). Everything about it is a row of metrics.jsonl: what compiling said,
one timing a round, the peak memory of a fresh process, or why it was skipped. A sweep that is
started again reads its rows and measures what is missing.
"""

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from genjax.core.errors import RunError, UsageError
from genjax.scaling.timings import Point, Timings


class Program(NamedTuple):
    """What a point runs: flops and bytes are counts from shapes, bytes without arguments.

    arguments: makes them; shapes are asked for before, so that what does not fit is never made.
    """

    function: Callable
    arguments: Callable
    flops: float
    bytes: float
    note: str = ""


def compile_program(program: Program) -> tuple[Callable, dict]:
    """The compiled program, and seconds, XLA's temporary bytes and FLOPs (loops once)."""
    begun = time.perf_counter()
    shapes = jax.eval_shape(program.arguments)
    compiled = jax.jit(program.function).lower(*shapes).compile()
    seconds = time.perf_counter() - begun
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    assert memory is not None  # Told by XLA on CPU, GPU and TPU.
    facts = {
        "compile_s": seconds,
        "temp_bytes": int(memory.temp_size_in_bytes),
        "xla_flops": float(cost.get("flops", 0.0)),
        "flops": program.flops,
        "count_bytes": program.bytes,
        "note": program.note,
    }
    return compiled, facts


def measure(call: Callable, seconds: float) -> dict:
    """Median, minimum and number of calls within `seconds`; one of ten times that is not repeated.

    Short calls warm up: the first after another program finds cold caches and pages.
    """
    begun = time.perf_counter()
    call()
    times = [time.perf_counter() - begun]
    if times[0] < seconds:
        times = []
    end = time.perf_counter() + seconds
    while not times or (times[0] < 10 * seconds and time.perf_counter() < end):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(times), "least": min(times), "calls": len(times)}


class Sweep:
    """The points of a run, and what is known of each.

    program: Point -> Program. write: takes (arm, rows). known: what earlier starts measured.
    memory: bytes that may be used; longest: seconds that one call may take.
    """

    def __init__(
        self,
        program: Callable,
        write: Callable,
        known: Timings,
        *,
        memory: float,
        longest: float,
    ):
        self.program, self.write, self.memory, self.longest = program, write, memory, longest
        self.known = known
        self.calls: dict[Point, Callable] = {}
        self._lock, self._alone = threading.Lock(), threading.Lock()

    def _record(self, point: Point, row: dict):
        row = {"mode": point.mode, "length": point.length} | row
        with self._lock:
            self.write(point.arm, [row])
            self.known.add({"arm": point.arm} | row)

    def prepare(self, points: list[Point], say: Callable) -> None:
        """Compiles what fits and warms it up; lengths ascend within an arm and mode.

        A point is skipped where the count of bytes, or the time of the length before times the
        ratio of FLOPs, is too large: it is never tried to death. Several arms compile at once.
        """
        curves = {}
        for point in points:
            curves.setdefault(point[:2], []).append(point)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for name in pool.map(lambda curve: self._prepare_curve(curve, say), curves.values()):
                say(f"compiled {name}")
        # The order of the threads is no order of the points.
        self.calls = {point: self.calls[point] for point in points if point in self.calls}

    def _prepare_curve(self, points: list[Point], say: Callable) -> str:
        for point in points:
            if point in self.known.skipped:
                continue
            program = self.program(point)
            # What was timed fits, though its facts may have been lost.
            fits = point in self.known.facts or point in self.known.times
            reason = "" if fits else self._too_much(point, program)
            if reason:
                self._record(point, {"skipped": reason})
                say(f"{point}: skipped, {reason}")
                continue
            compiled, facts = compile_program(program)
            # One at a time: each was judged as if it had the memory, and the time, to itself.
            with self._alone:
                call = _bound(compiled, program.arguments())
                self.calls[point] = call
                begun = time.perf_counter()
                call()
                first = time.perf_counter() - begun
            if point not in self.known.facts:
                self._record(point, facts | {"first_s": first})
        return f"{points[0].arm} {points[0].mode}"

    def _too_much(self, point: Point, program: Program) -> str:
        shapes = jax.tree.leaves(jax.eval_shape(program.arguments))
        needed = program.bytes + sum(x.size * x.dtype.itemsize for x in shapes)
        if needed > self.memory:
            return f"about {needed / 1e9:.1f} GB needed, {self.memory / 1e9:.1f} GB allowed"
        same = [p for p in list(self.known.facts) if p[:2] == point[:2] and p.length < point.length]
        if same:
            before = self.known.facts[max(same, key=lambda p: p.length)]
            predicted = before["first_s"] * program.flops / before["flops"]
            if predicted > self.longest:
                return f"about {predicted:.0f} s a call predicted, {self.longest:g} s allowed"
        elif any(p[:2] == point[:2] and p.length < point.length for p in list(self.known.skipped)):
            return "a shorter one was skipped"
        return ""

    def rounds(self, count: int, seconds: float, say: Callable) -> None:
        """Times every prepared point once a round, in an order drawn anew for each round."""
        points = list(self.calls)
        for round_ in range(count):
            for i in np.random.default_rng(round_).permutation(len(points)):
                point = points[i]
                if round_ not in self.known.times.get(point, {}):
                    found = measure(self.calls[point], seconds)
                    self._record(point, {"round": round_} | found)
            say(f"round {round_ + 1} of {count}")

    def peaks_of(self, points: list[Point], fresh: Callable, say: Callable) -> None:
        """Peak memory of points, each in a process of its own: fresh(point) -> bytes.

        Where `fresh` raises RunError, the point stays without.
        """

        def measure_one(point):
            try:
                found = fresh(point)
            except RunError as error:
                say(f"{point}: no peak memory: {error}")
                return
            self._record(point, {"rss_bytes": found})
            say(f"peak memory of {point}: {found / 1e6:.0f} MB")

        facts = self.known.facts
        missing = [p for p in points if p in facts and p not in self.known.peaks]
        # Two at once where both are sure to fit; an accelerator holds one process.
        small = all(4 * facts[p]["count_bytes"] < self.memory for p in missing)
        on_cpu = jax.default_backend() == "cpu"
        with ThreadPoolExecutor(2 if small and on_cpu else 1) as pool:
            list(pool.map(measure_one, missing))


def _bound(compiled, arguments) -> Callable:
    return lambda: jax.block_until_ready(compiled(*arguments))


def peak_growth(program: Program) -> int:
    """By how many bytes one call raises this process's peak resident memory. Linux; else 0.

    For a fresh process: memory that an earlier call has freed, but not returned, would hide it.
    On accelerators the device's own count of its peak.
    """
    device = jax.local_devices()[0]
    compiled, _ = compile_program(program)
    call = _bound(compiled, jax.block_until_ready(program.arguments()))
    if device.platform != "cpu":
        before = device.memory_stats()["bytes_in_use"]
        call()
        return int(device.memory_stats()["peak_bytes_in_use"] - before)
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    # Compiling has peaked before: the mark is set back to what is resident now.
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
