"""The curve of cost: what a run takes in time and memory as one thing about it grows.

Each point is a process of its own, so that its memory is its own. The first of a point compiles,
and leaves its programs to the others; these are measured, in rounds over all values, each in a
random order.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import genjax
from genjax import claims
from genjax.core.errors import RunError

# What a process runs: says its largest resident memory, in kB (Linux).
CODE = """
import importlib, json, resource, sys
room, options, folder, cache = json.load(sys.stdin)
module = importlib.import_module(f"genjax.{room}")
module.run(module.Config(**options), folder, compile_cache=cache)
sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""
# {figure: what it is, with its unit}
FIGURES = {
    "wait": "all that one waits, s", "train": "training, s", "evaluate": "measuring, s",
    "memory": "memory, MB",
}  # fmt: skip


class Axis(NamedTuple):
    """What grows, in words; the room, and what its configuration has at each value."""

    title: str
    room: str
    options: Callable[[int], dict[str, Any]]
    values: tuple[int, ...]


def _vae(**more) -> dict[str, Any]:
    return {"model": "vae", "steps": 2000, "seeds": 1, "nll_samples": 100} | more


def _gan(**more) -> dict[str, Any]:
    return {"steps": 2000, "seeds": 2, "evaluations": 10} | more


def _lm(**more) -> dict[str, Any]:
    options = {"steps": 100, "seeds": 1, "shots": (), "documents": 8, "evaluations": 2}
    return options | {"attention": "flash"} | more


SEEDS = (1, 2, 3, 5, 10, 20, 40)
AXES = {
    "vae_seeds": Axis("seeds of a VAE", "vae", lambda n: _vae(seeds=n), SEEDS),
    "gan_seeds": Axis("seeds of a GAN", "gan", lambda n: _gan(seeds=n), SEEDS),
    "batch": Axis(
        "examples a step of a VAE", "vae", lambda n: _vae(batch_size=n), (16, 64, 256, 1024)
    ),
    "width": Axis(
        "units of a VAE's hidden layer", "vae", lambda n: _vae(hidden=(n,)), (64, 256, 1024, 4096)
    ),
    "data": Axis(
        "points a GAN trains on", "gan", lambda n: _gan(points=n), (10**3, 10**4, 10**5, 10**6)
    ),
    "modes": Axis("modes of a ring", "gan", lambda n: _gan(data=f"ring{n}"), (2, 8, 32, 128)),
    "context": Axis(
        "tokens of a language model's window", "domains", lambda n: _lm(context=n),
        (64, 128, 256, 512, 1024),
    ),
    "arms": Axis(
        "arms of a GAN that differ in a rate", "gan",
        lambda n: _gan(variants={f"a{i}": {"learning_rate": 1e-4 * (1 + i)} for i in range(n)}),
        (1, 2, 4, 8, 16),
    ),
}  # fmt: skip


def measure(name: str, processes: int, rng: np.random.Generator) -> Iterator[dict]:
    """The points of an axis as they come: `process` 0 of each value compiles, the others do not.

    Raises RunError with the last line of a run that failed.
    """
    axis = AXES[name]
    with tempfile.TemporaryDirectory() as cache:
        for process in range(processes + 1):
            for value in map(int, rng.permutation(axis.values)):
                found = point(axis.room, axis.options(value), cache)
                yield {"axis": name, "value": value, "process": process} | found


def point(room: str, options: dict[str, Any], cache: str) -> dict[str, float]:
    """{figure: of a run in a process of its own}; `compile` too, in seconds.

    cache: a folder of compiled programs.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = json.dumps([room, options, f"{folder}/run", cache])
        paths = str(Path(genjax.__file__).parents[1]), os.environ.get("PYTHONPATH")
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", CODE], input=asked, capture_output=True, text=True, env=env
        )
        wait = time.perf_counter() - begun
        if done.returncode:
            raise RunError(f"a run of {room} failed: {done.stderr.strip().splitlines()[-1:]}")
        timing = json.loads(Path(folder, "run", "timing.json").read_text())
    return {
        "wait": wait, "train": timing["train_s"], "evaluate": timing["evaluate_s"],
        "compile": timing["compile_s"], "memory": int(done.stdout) * 1024 / 1e6,
    }  # fmt: skip


def curves(rows: Sequence[dict], name: str, figure: str) -> tuple[list[int], np.ndarray]:
    """(values, a figure of the measured processes at each [processes, values]) of an axis."""
    own = [row for row in rows if row["axis"] == name and row["process"]]
    values = sorted({row["value"] for row in own})
    by_value = [[row[figure] for row in own if row["value"] == value] for value in values]
    whole = min(map(len, by_value), default=0)  # An axis that was cut off ends with whole rounds.
    return values, np.array([found[:whole] for found in by_value]).T


def exponents(values: Sequence[int], found: np.ndarray) -> np.ndarray:
    """The power with which each process's figure grows, over all values: a line in log-log."""
    return np.polyfit(np.log(values), np.log(found).T, 1)[0]


def page(rows: Sequence[dict], about: str) -> str:
    """A table an axis: medians with ranges; the power from the value before; that of all, fitted.

    about: the machine.
    """
    said = [
        "# What a run costs as it grows\n",
        f"Made by `python experiments/costs.py` on {about}. Each point is a process of its own,"
        " with programs that an earlier one compiled (its seconds: **compiling**); medians of"
        f" {max((row['process'] for row in rows), default=0)} processes with their ranges. **^**:"
        " the power of growth from the value before; 1 is linear. Below each table the powers over"
        " all values, with 95% intervals over processes.\n",
    ]
    for name, axis in AXES.items():
        if not any(row["axis"] == name and row["process"] for row in rows):
            continue
        tables = {figure: curves(rows, name, figure) for figure in FIGURES}
        first = {row["value"]: row["compile"] for row in rows
                 if row["axis"] == name and not row["process"]}  # fmt: skip
        said.append(f"## {axis.title[0].upper()}{axis.title[1:]}\n")
        heads = [axis.title, *(f"{title} | ^" for title in FIGURES.values()), "compiling, s"]
        said += ["| " + " | ".join(heads) + " |", "|" + " --- |" * (2 * len(FIGURES) + 2)]
        for i, value in enumerate(tables["wait"][0]):
            cells = [cell for values, found in tables.values() for cell in _cells(values, found, i)]
            said.append(f"| {value:,} | " + " | ".join(cells) + f" | {first[value]:.1f} |")
        fits = []
        for figure, (values, found) in tables.items():
            middle, low, high = claims.interval(exponents(values, found).tolist())
            title = FIGURES[figure].split(",")[0]
            fits.append(f"{title} ^{middle:.2f} ({low:.2f} to {high:.2f})")
        said.append(f"\nOver all values: {'; '.join(fits)}.\n")
    return "\n".join(said).rstrip() + "\n"


def _cells(values: Sequence[int], found: np.ndarray, i: int) -> list[str]:
    middle = np.median(found, 0)
    shown = f"{middle[i]:,.1f} ({found[:, i].min():,.1f} to {found[:, i].max():,.1f})"
    if not i:
        return [shown, ""]
    power = np.log(middle[i] / middle[i - 1]) / np.log(values[i] / values[i - 1])
    return [shown, f"{power:.2f}"]
