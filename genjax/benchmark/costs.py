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
# Medians that are farther from a line, as a share, follow none.
CROOKED = 0.2


class Axis(NamedTuple):
    """What grows, in words; the room, and what its configuration has at each value.

    why: where the measured curve stops being linear, and why.
    """

    title: str
    room: str
    options: Callable[[int], dict[str, Any]]
    values: tuple[int, ...]
    why: str


def _vae(**more) -> dict[str, Any]:
    return {"model": "vae", "steps": 2000, "seeds": 1, "nll_samples": 100} | more


def _gan(**more) -> dict[str, Any]:
    return {"steps": 2000, "seeds": 2, "evaluations": 10} | more


def _lm(**more) -> dict[str, Any]:
    options = {"steps": 100, "seeds": 1, "shots": (), "documents": 8, "evaluations": 2}
    return options | {"attention": "flash"} | more


SEEDS = (1, 2, 3, 5, 10, 20, 40)
AXES = {
    "vae_seeds": Axis(
        "seeds of a VAE", "vae", lambda n: _vae(seeds=n), SEEDS,
        "Imports, the page and, in training, the classifier of the features are there once. What a "
        "seed adds stays the same: two cores share them.",
    ),
    "gan_seeds": Axis(
        "seeds of a GAN", "gan", lambda n: _gan(seeds=n), SEEDS,
        "As above, without a classifier.",
    ),
    "batch": Axis(
        "examples a step of a VAE", "vae", lambda n: _vae(batch_size=n), (16, 64, 256, 1024),
        "Linear, and little: that a step is called, and Adam's pass over the parameters, cost the "
        "same whatever its batch, and larger products use the cores better.",
    ),
    "width": Axis(
        "units of a VAE's hidden layer", "vae", lambda n: _vae(hidden=(n,)), (64, 256, 1024, 4096),
        "Of one hidden layer the parameters and products grow as the width, not as its square.",
    ),
    "data": Axis(
        "points a GAN trains on", "gan", lambda n: _gan(points=n), (10**3, 10**4, 10**5, 10**6),
        "Steps are as many whatever the data; their bytes alone grow.",
    ),
    "modes": Axis(
        "modes of a ring", "gan", lambda n: _gan(data=f"ring{n}"), (2, 8, 32, 128),
        "Training sees no mode; measures compare each sample with all of them.",
    ),
    "context": Axis(
        "tokens of a language model's window", "domains", lambda n: _lm(context=n),
        (64, 128, 256, 512, 1024),
        "Sixteen windows a step, so twice the window is twice the tokens. Attention's products, "
        "which grow as the square, are as many as all others at twelve times the width, 768: there "
        "training leaves the line.",
    ),
    "arms": Axis(
        "arms of a GAN that differ in a rate", "gan",
        lambda n: _gan(variants={f"a{i}": {"learning_rate": 1e-4 * (1 + i)} for i in range(n)}),
        (1, 2, 4, 8, 16),
        "Arms are trained one after the other. A rate is part of the state, so all of these are "
        "one program, compiled once.",
    ),
}  # fmt: skip
FINDING = (
    "Time is a part that is there once and a part that grows as a line: with seeds, batch, width, "
    "modes and arms. More points to train on cost nothing, and a language model's window, once "
    "attention outweighs the rest, more than its length. Memory grows slower than any of them."
)


def measure(name: str, processes: int, rng: np.random.Generator) -> Iterator[dict]:
    """The points of an axis as they come: `process` 0 of each value compiles, the others do not.

    Raises RunError with the last line of a run that failed.
    """
    axis, here = AXES[name], machine()
    with tempfile.TemporaryDirectory() as cache:
        for process in range(processes + 1):
            for value in map(int, rng.permutation(axis.values)):
                found = point(axis.room, axis.options(value), cache)
                yield {"axis": name, "value": value, "process": process, "machine": here} | found


def machine() -> str:
    """The device in words: its name, its cores, the processor's family and model where known."""
    from genjax.core import environment  # What is refused waits for no jax.

    device = environment.device()
    parts = device["kind"], f"{device['cores']} cores", device.get("processor")
    return ", ".join(filter(None, parts))


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


def line(values: Sequence[int], found: np.ndarray) -> tuple[float, float, float]:
    """(what there is at 0, what each adds, the largest error as a share) of a line by the medians.

    The relative errors count, so that small values do as much as large ones.
    """
    middle = np.median(found, 0)
    each, fixed = np.polyfit(values, middle, 1, w=1 / middle)
    return fixed, each, abs(np.polyval([each, fixed], values) / middle - 1).max()


def page(rows: Sequence[dict]) -> str:
    """A table an axis: medians with ranges; the power from the value before; powers and lines of
    all values."""
    machines = "; ".join(dict.fromkeys(row["machine"] for row in rows))
    said = [
        "# What a run costs as it grows\n",
        f"**Finding.** {FINDING}\n",
        f"Made by `python experiments/costs.py` on {machines}. Each point is a process of its own,"
        " with programs that an earlier one compiled (its seconds, few where those of another value"
        " serve: **compiling**); medians of"
        f" {max((row['process'] for row in rows), default=0)} processes with their ranges. **^**:"
        " the power of growth from the value before; 1 is linear. Below each table the powers over"
        " all values, with 95% intervals over processes, and a line by the medians (least relative"
        " squares): a part that is there once, and one that grows.\n",
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
        lines = "; ".join(_line(figure, *tables[figure]) for figure in ("wait", "train"))
        said.append(f"\nOver all values: {'; '.join(fits)}. As a line: {lines}.")
        said.append(f"{axis.why}\n")
    return "\n".join(said).rstrip() + "\n"


def _line(figure: str, values: Sequence[int], found: np.ndarray) -> str:
    fixed, each, off = line(values, found)
    title = FIGURES[figure].split(",")[0]
    if off > CROOKED:
        return f"{title} follows none (off by {off:.0%})"
    if each * max(values) < 0.1 * fixed:
        return f"{title} {fixed:.1f} s once, and not a tenth more for the largest"
    alike = f"alike at {fixed / each:,.0f}, off by {off:.0%} at most"
    return f"{title} {fixed:.1f} s once and {each:.2g} s for each ({alike})"


def _cells(values: Sequence[int], found: np.ndarray, i: int) -> list[str]:
    middle = np.median(found, 0)
    shown = f"{middle[i]:,.1f} ({found[:, i].min():,.1f} to {found[:, i].max():,.1f})"
    if not i:
        return [shown, ""]
    power = np.log(middle[i] / middle[i - 1]) / np.log(values[i] / values[i - 1])
    return [shown, f"{power:.2f}"]
