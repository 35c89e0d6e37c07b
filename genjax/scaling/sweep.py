"""The sweep of a configuration: its points, their programs, the processes that time them."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from genjax import attention
from genjax.attention import reach
from genjax.core import config as configs
from genjax.core import machine
from genjax.core.folder import Folder
from genjax.core.progress import say
from genjax.scaling import cases, children, fitting, microbenchmark, quality, variants
from genjax.scaling.config import Config
from genjax.scaling.timings import CONTROLS, MODES, PARTS, Point, Timings, name_of

HALVES = {
    "attention": cases.half_attention,
    "feedforward": cases.half_feed_forward,
    "layer": cases.layer,
}
# Processes that compile at once.
COMPILERS = 4


def settle(config: Config) -> str:
    """Threads, devices and memory of this process as a sweep needs them; says which cores.

    Before jax's first computation. Raises UsageError for a core that is not there.
    """
    machine.tune_cpu()
    # Of an accelerator each process takes what it needs.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    cores = microbenchmark.reserve(config.cores)
    if config.shards:
        microbenchmark.make_devices(config.shards)
    if config.tasks and not config.cores:
        machine.split_cpu(config.seeds, config.batch_size)
    return cores


def points(config: Config) -> list[Point]:
    """Calibration rows, the variants, controls and parts of `full`, and a layer with its halves."""
    machine = {"matmul": fitting.SQUARE, "copy": fitting.COPIED}
    made = [Point(name, "forward", size) for name, size in machine.items()]
    for name in config.variants:
        made += [
            Point(name, mode, n)
            for mode in MODES
            for n in config.lengths
            if mode == "forward" or n <= config.both_to
        ]
    for name in (*CONTROLS, *(PARTS if "full" in config.variants else ())):
        made += [Point(name, "forward", n) for n in config.lengths]
    for width in config.widths:
        # Around where the count puts the crossing: 4 d, or 6 d with the projections.
        around = [n for n in (width * 2**i for i in range(5)) if n <= config.lengths[-1]]
        for part in HALVES:
            made += [Point(f"{part}@{width}", "forward", n) for n in around]
    return made


def program(config: Config, point: Point) -> microbenchmark.Program:
    """What a point runs."""
    if point.arm == "matmul":
        return cases.product(point.length)
    if point.arm == "copy":
        return cases.copy(point.length)
    if "@" in point.arm:
        part, width = point.arm.split("@")
        return HALVES[part](int(width), point.length, config.head_dim)
    shape = (config.batch, point.length, config.heads, config.head_dim)
    if point.arm in PARTS:
        return cases.parts_of_full(shape, config.dtype)[point.arm]
    if point.arm in CONTROLS:
        return cases.controls(shape, config.dtype)[point.arm]
    variant = variants.build(config, point.arm, point.length)
    return cases.of_variant(variant, point.mode, shape, config.dtype, point.arm)


def measure(config: Config, folder: Folder, clock) -> None:
    """Compiles the points, and has as many fresh processes as asked measure them.

    What each measures is evaluation/process-<i>.json, written whole when it has ended.
    """
    known = Timings(folder.keep(lambda row: True), {})
    wanted = points(config)
    told = {*known.facts, *known.skipped}
    missing = [i for i in range(config.processes) if folder.read_json(_file(i)) is None]
    if not missing and told.issuperset(wanted):
        return
    with _store() as place:
        with clock.part("compile"):
            rows = compiled(config, wanted, place)
        allowed = config.memory * 1e9 or 0.75 * machine.memory_free()
        fitting_ = []
        for row in rows:
            point = Point(*row["point"])
            reason = microbenchmark.too_large(row["facts"], allowed)
            if reason and point not in known.skipped:
                say(f"{point}: skipped, {reason}")
            if not reason:
                fitting_.append(row)
            if point not in told:
                about = {"skipped": reason} if reason else row["facts"]
                folder.write(point.arm, [{"mode": point.mode, "length": point.length} | about])
        with clock.part("processes"):
            for i in missing:
                folder.write_json(_file(i), _one(config, folder, fitting_, i))
                say(f"process {i + 1} of {config.processes}")


def compiled(config: Config, wanted: list[Point], place: str) -> list[dict]:
    """The rows of `compiling`, in the order of the points."""
    have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = min(have or 1, COMPILERS) if jax.default_backend() == "cpu" else 1
    say(f"compiling {len(wanted)} programs")
    asked = {"config": configs.to_json(config), "folder": place}
    shares = [wanted[i::count] for i in range(count)]
    answers = children.ask("compiling", [asked | {"points": share} for share in shares if share])
    rows = {Point(*row["point"]): row for answer in answers for row in answer["points"]}
    return [rows[point] for point in wanted]


def _one(config: Config, folder: Folder, rows: list[dict], i: int) -> dict:
    """What process `i` measured, and the share of its look-ups that each pattern reaches."""
    # What the first left out as too long, the others leave out.
    first = folder.read_json(_file(0)) or {"skipped": {}}
    rows = [row for row in rows if str(Point(*row["point"])) not in first["skipped"]]
    about = {
        name: {
            "causal": config.causal or attention.find(name).must_be_causal,
            "shared_qk": variants.build(config, name, config.lengths[0]).shared_qk,
        }
        for name in config.variants
    }
    asked = {"points": rows, "variants": about, "seed": config.seed + i, "all_peaks": i == 0}
    asked |= {key: getattr(config, key) for key in ("rounds", "seconds", "longest", "cores")}
    (found,) = children.ask("replicate", [asked])
    for name, row in found["quality"].items():
        share = reached(config, name, row["length"], config.seed + i, **about[name])
        if share is not None:
            row["reached"] = share
    return found


def reached(
    config: Config, name: str, length: int, seed: int, *, causal: bool, shared_qk: bool
) -> float | None:
    """Of a replicate's look-ups, the share that a variant's pattern holds; None without one."""
    pattern = variants.build(config, name, length).pattern
    if pattern is None:
        return None
    rows, partner = quality.asked(length, seed, causal=causal, pairs=shared_qk)
    return float(np.mean(reach.holds(pattern, rows, partner[rows])))


@contextlib.contextmanager
def _store() -> Iterator[str]:
    """The folder of compiled programs: within the cache where there is one, else a passing one."""
    # jax adds its options to the object while it starts.
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if cache and os.access(cache, os.W_OK):
        yield str(Path(cache) / "programs")
        return
    with tempfile.TemporaryDirectory(prefix="genjax-") as place:
        yield place


def _file(i: int) -> str:
    return f"evaluation/{name_of(i)}.json"
