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
from genjax.core.errors import UsageError
from genjax.core.folder import Folder
from genjax.core.progress import say
from genjax.scaling import cases, children, fitting, microbenchmark, quality, variants
from genjax.scaling.config import Config
from genjax.scaling.timings import CONTROLS, MODES, PARTS, PEAKS, Point, Timings, name_of

HALVES = {
    "attention": cases.half_attention,
    "feedforward": cases.half_feed_forward,
}
# Processes that compile at once, and that load programs and measure memory beside each other.
COMPILERS, SIDE_BY_SIDE = 4, 2


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
    """Calibration rows, the variants, controls and parts of `full`, and the halves of a layer."""
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
        reasons = [microbenchmark.too_large(row["facts"], allowed) for row in rows]
        of_variants = [
            (point, reason)
            for point, reason in zip(wanted, reasons, strict=True)
            if point.arm in config.variants
        ]
        if all(reason for _, reason in of_variants):
            point, reason = of_variants[0]
            raise UsageError(
                f"--memory={config.memory:g}: no variant fits, {point} takes {reason}; shorter "
                "--lengths, fewer --heads or a smaller --batch take less"
            )
        fitting_ = []
        for row, point, reason in zip(rows, wanted, reasons, strict=True):
            if reason and point not in known.skipped:
                say(f"{point}: skipped, {reason}")
            if not reason:
                fitting_.append(row)
            if point not in told:
                about = {"skipped": reason} if reason else row["facts"]
                folder.write(point.arm, [{"mode": point.mode, "length": point.length} | about])
        with clock.part("processes"):
            for some in _groups(missing, _at_once(fitting_, allowed)):
                for i, found in zip(some, _asked(config, folder, fitting_, some), strict=True):
                    folder.write_json(_file(i), found)
                    say(f"process {i + 1} of {config.processes}")


def compiled(config: Config, wanted: list[Point], place: str) -> list[dict]:
    """The rows of `compiling`, in the order of the points."""
    have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = min(have or 1, COMPILERS) if jax.default_backend() == "cpu" else 1
    say(f"compiling {len(wanted)} programs")
    with tempfile.TemporaryDirectory(prefix="genjax-") as taken:
        asked = {"config": configs.to_json(config), "points": wanted, "folder": place}
        answers = children.ask("compiling", [asked | {"taken": taken}] * count)
    rows = {Point(*row["point"]): row for answer in answers for row in answer["points"]}
    return [rows[point] for point in wanted]


def _at_once(rows: list[dict], allowed: float) -> int:
    """Processes that are asked at once: on CPU several, where each may take its largest program."""
    sizes = ("temp_bytes", "argument_bytes", "result_bytes")
    most = max((sum(row["facts"][size] for size in sizes) for row in rows), default=0)
    several = jax.default_backend() == "cpu" and SIDE_BY_SIDE * most <= allowed
    return SIDE_BY_SIDE if several else 1


def _groups(missing: list[int], size: int) -> list[list[int]]:
    """Processes that are asked together; the first, which says what all leave out, alone."""
    alone, others = [i for i in missing if i == 0], [i for i in missing if i > 0]
    made = [others[i : i + size] for i in range(0, len(others), size)]
    return [alone, *made] if alone else made


def _asked(config: Config, folder: Folder, rows: list[dict], some: list[int]) -> list[dict]:
    """What processes measured, and how their look-ups lie to what each pattern reaches."""
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
    asked = {"points": rows, "variants": about, "peaks": PEAKS}
    asked |= {key: getattr(config, key) for key in ("rounds", "seconds", "longest", "cores")}
    told = children.ask(
        "replicate", [asked | {"seed": config.seed + i, "first": i == 0} for i in some]
    )
    for found in told:
        for name, row in found["quality"].items():
            hits = row.pop("hits")
            holds = reached(config, name, row["length"], found["seed"], **about[name])
            if holds is not None:
                row |= quality.within(quality.unpack(hits, len(holds)), holds)
    return told


def reached(
    config: Config, name: str, length: int, seed: int, *, causal: bool, shared_qk: bool
) -> np.ndarray | None:
    """Which of a replicate's look-ups a variant's pattern holds, [rows]; None without one."""
    pattern = variants.build(config, name, length).pattern
    if pattern is None:
        return None
    rows, partner = quality.asked(length, seed, causal=causal, pairs=shared_qk)
    return reach.holds(pattern, rows, partner[rows])


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
