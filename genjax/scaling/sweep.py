"""The sweep of a configuration: its points, the program of each, and how they are measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax

import genjax
from genjax.core import config as configs
from genjax.core import parallel
from genjax.core.errors import RunError
from genjax.core.folder import Folder
from genjax.core.progress import say
from genjax.scaling import cases, fitting, microbenchmark, variants
from genjax.scaling.config import Config
from genjax.scaling.timings import MODES, Point, Timings

HALVES = {
    "attention": cases.half_attention,
    "feedforward": cases.half_feed_forward,
    "layer": cases.layer,
}


def settle(config: Config) -> str:
    """Threads, devices and memory of this process as a sweep needs them; says which cores.

    Before jax's first computation. Raises UsageError for a core that is not there.
    """
    parallel.tune_cpu()
    cores = microbenchmark.reserve(config.cores)
    if config.tasks and not config.cores:
        parallel.split_cpu(config.seeds, config.batch_size)
    parallel.keep_buffers()
    return cores


def points(config: Config) -> list[Point]:
    """Calibration rows, the variants, and layers and their halves for A6."""
    machine = {"matmul": fitting.SQUARE, "copy": fitting.COPIED}
    made = [Point(name, "forward", size) for name, size in machine.items()]
    for name in config.variants:
        made += [Point(name, mode, n) for mode in MODES for n in config.lengths]
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
    variant = variants.build(config, point.arm, point.length)
    return cases.of_variant(variant, point.mode, shape, config.dtype)


def prepared(config: Config, folder: Folder) -> microbenchmark.Sweep:
    """The sweep, compiled, with what a folder's rows hold of it, and its peaks of memory."""
    sweep = microbenchmark.Sweep(
        lambda point: program(config, point),
        folder.write,
        Timings(folder.keep(lambda row: True)),
        memory=config.memory * 1e9 or 0.75 * parallel.memory_free(),
        longest=config.longest,
    )
    sweep.prepare(points(config), say)
    if config.peaks:
        sweep.peaks_of(largest(config, sweep.known), lambda point: fresh_peak(config, point), say)
    return sweep


def largest(config: Config, known: Timings) -> list[Point]:
    """The largest measured lengths of every variant, forward and backward."""
    found = []
    for name in config.variants:
        measured = sorted(p for p in known.facts if p[:2] == (name, "both"))
        found += measured[-config.peaks :]
    return found


def fresh_peak(config: Config, point: Point) -> int:
    """Bytes by which a point raises the peak memory of a process of its own.

    Raises RunError with the last line that the process said.
    """
    # jax adds its options to the object while it starts.
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    asked = {"config": configs.to_json(config), "point": point, "compile_cache": cache or "off"}
    # The package is found there as it was here, wherever a notebook runs.
    places = (str(Path(genjax.__file__).parents[1]), os.environ.get("PYTHONPATH"))
    done = subprocess.run(
        [sys.executable, "-m", "genjax.scaling.peak"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))},
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RunError(said[-1])
    return int(done.stdout.splitlines()[-1])
