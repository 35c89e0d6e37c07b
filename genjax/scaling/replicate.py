"""One replicate of a sweep: `python -m genjax.scaling.replicate`, a fresh process.

Loads compiled programs, measures the memory of each one's first call, times all of them round after
round while the processes beside it wait, and asks each variant for needles at the longest length
that all have reached. Compiles nothing, and knows nothing of attention.
"""

import ctypes
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import serialize_executable

from genjax.core import machine
from genjax.core.errors import RunError
from genjax.scaling import children, quality
from genjax.scaling.microbenchmark import bound, measure, peak_growth
from genjax.scaling.timings import Point

# malloc.h: what is larger goes to the kernel and back, call by call.
_M_MMAP_THRESHOLD, RETURNED = -3, 2**16
# A point whose two fastest rounds differ by less is timed no more (K-best, Bryant and O'Hallaron
# 2003, chapter 9). Over two octaves 5% of time is 0.035 powers: below the claims' margin of 0.05.
AGREE = 0.05


def replicate(asked: dict) -> dict:
    """What one process measures of the points that it is asked for.

    asked: {"points": rows of `compiling`, lengths ascending within a curve; "seed": of inputs and
    orders; "rounds", "seconds", "longest", "cores": as in the configuration; "peaks": arms whose
    memory is measured, forward; "first": whether it leaves out what takes too long, and measures
    the memory of all; "variants": {name: {"causal", "shared_qk"}}, whose quality is asked}.
    """
    # LAPACK's routines are found once something that calls them is lowered.
    jax.jit(jnp.linalg.qr).lower(jax.ShapeDtypeStruct((2, 2), jnp.float32))
    loaded = _Loaded(asked["seed"])
    rows = {Point(*row["point"]): row for row in asked["points"]}
    for point, row in rows.items():
        loaded.load(point, row)
    _return_memory()
    found, skipped = {}, {}
    for point in rows:
        _stop_if_alone(asked["parent"])
        reason = asked["first"] and _too_long(point, rows, found, skipped, asked["longest"])
        if reason:
            skipped[str(point)] = reason
            continue
        row = found[str(point)] = {"first_s": None, "peak_bytes": None, "seconds": [], "least": []}
        if asked["first"] or (point.mode == "forward" and point.arm in asked["peaks"]):
            call, begun = loaded.call(point), time.perf_counter()
            row["peak_bytes"] = peak_growth(call)
            row["first_s"] = time.perf_counter() - begun
    points = [point for point in rows if str(point) in found]
    machine.keep_buffers()
    # What takes most has the memory of all the others ready.
    loaded.call(max(points, key=lambda p: rows[p]["facts"]["temp_bytes"]))()
    with children.turn(asked), bound(asked["cores"]):
        _time(asked, loaded, points, found)
    return {
        "seed": asked["seed"],
        "points": found,
        "skipped": skipped,
        "quality": _quality(asked, loaded, points),
    }


def _time(asked: dict, loaded: "_Loaded", points: list[Point], found: dict) -> None:
    """Enters each round's times of the points, in a random order, until they are `settled`."""
    for round_ in range(asked["rounds"]):
        order = np.random.default_rng([asked["seed"], round_]).permutation(len(points))
        for point in (points[i] for i in order):
            _stop_if_alone(asked["parent"])
            row = found[str(point)]
            if settled(row["least"]):
                continue
            timed = measure(loaded.call(point), asked["seconds"])
            for name in ("seconds", "least"):
                row[name].append(timed[name])


def settled(least: list[float]) -> bool:
    """Whether two rounds found the same fastest call, within AGREE.

    Other work only ever adds to a time: one long call is no sign of a slow program.
    """
    fastest = sorted(least)[:2]
    return len(fastest) == 2 and fastest[1] <= (1 + AGREE) * fastest[0]


class _Loaded:
    """Programs of a replicate, and their arguments, each made once."""

    def __init__(self, seed: int):
        self._seed = np.uint32(seed % 2**32)
        self._programs: dict[Point, Callable] = {}
        self._inputs: dict[Point, list[str]] = {}
        self._made: dict[str, tuple] = {}

    def load(self, point: Point, row: dict) -> None:
        self._programs[point] = _program(row["file"])
        self._inputs[point] = row["inputs"]

    def arguments(self, point: Point) -> tuple:
        made = []
        for file in self._inputs[point]:
            if file not in self._made:
                program = _program(file)  # Kept until it is done: it runs beside this thread.
                self._made[file] = jax.block_until_ready(program(self._seed))
            made += self._made[file]
        return tuple(made)

    def call(self, point: Point, arguments: tuple = ()) -> Callable:
        program, given = self._programs[point], arguments or self.arguments(point)
        return lambda: jax.block_until_ready(program(*given))


def _program(file: str) -> Callable:
    executable, _, devices = pickle.loads(Path(file).read_bytes())
    here = jax.local_devices()[:devices]
    return serialize_executable.deserialize_and_load(*executable, execution_devices=here)


def _return_memory():
    """Has glibc give back what is freed, so that a first call shows all that it takes."""
    try:
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, RETURNED)
    except (OSError, AttributeError):
        return


def _stop_if_alone(parent: int):
    """Raises RunError where nobody waits for this process: it would disturb the next."""
    if os.getppid() != parent:
        raise RunError("the run that asked has ended")


def _too_long(point, rows, found, skipped, longest) -> str:
    """Why a point is not tried: by the next shorter one, and the ratio of FLOPs."""
    shorter = [p for p in rows if p[:2] == point[:2] and p.length < point.length]
    if not shorter:
        return ""
    before = max(shorter, key=lambda p: p.length)
    if str(before) in skipped:
        return "a shorter one was skipped"
    ratio = rows[point]["facts"]["flops"] / max(rows[before]["facts"]["flops"], 1.0)
    predicted = found[str(before)]["first_s"] * ratio
    return f"about {predicted:.1f} s a call, {longest:g} s allowed" if predicted > longest else ""


def _quality(asked: dict, loaded: _Loaded, points: list[Point]) -> dict:
    """{variant: {measure: value}} at the longest length that all variants have reached."""
    reached = [
        {p.length for p in points if (p.arm, p.mode) == (name, "forward")}
        for name in asked["variants"]
    ]
    common = set.intersection(*reached) if reached else set()
    if not common:
        return {}
    found = {}
    for name, about in asked["variants"].items():
        point = Point(name, "forward", max(common))
        arguments = loaded.arguments(point)

        def attend(q, k, v, point=point, arguments=arguments):
            """Of [length, head_dim], in every row and head of what the program was made for."""
            shape, dtype = arguments[0].shape, arguments[0].dtype
            whole = [np.broadcast_to(x[None, :, None], shape).astype(dtype) for x in (q, k, v)]
            same = jax.device_put(whole, arguments[0].sharding)
            out = loaded.call(point, (*same, *arguments[3:]))()
            return np.asarray(out, np.float32)[0, :, 0]

        found[name] = {"length": point.length} | quality.of(
            attend, point.length, arguments[0].shape[-1], asked["seed"], **about
        )
    return found


if __name__ == "__main__":
    children.answer(replicate)
