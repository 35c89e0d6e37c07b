"""What is looked at along training: measures, snapshots, the alarm; and what is left at its end.

An arm's figures are means over the evaluations of a final window, whose length was fixed before.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from genjax.core import parallel, processes
from genjax.core.beside import at_once, on_cores
from genjax.core.errors import RunError
from genjax.gan import evaluate
from genjax.gan.config import Config
from genjax.gan.data import Task
from genjax.gan.method import Method
from genjax.gan.mixtures import Mixture

# Snapshots for the pictures, spread evenly over training; samples in each, points or images.
SNAPSHOTS, SHOWN, SHOWN_IMAGES = 24, 512, 36
# How often measures of neighbours are taken along training; in the final window at least, or as
# often as there is an evaluation; and there those that take long.
NEAR_ALONG, NEAR_FINAL, SLOW_FINAL = 5, 4, 2
# What is added to an arm's name where every second of its samples is noise.
NOISED = "@noised"
# Latents of which slopes are pictured: of images they take long, and a hundred fill a histogram.
SLOPES = 100


class Windows(NamedTuple):
    """At which steps of training samples are measured, and by what.

    final: the evaluations of the final window, the last step among them. early: those that claims
    call early. near: those with measures of neighbours, too. slow: with all measures.
    """

    final: list[int]
    early: list[int]
    near: set[int]
    slow: set[int]


def windows(config: Config, every: int) -> Windows:
    """The evaluations of a run that has one every so many steps, and at the end."""
    steps = config.steps
    evaluated = sorted({*range(every, steps + 1, every), steps})
    final = [step for step in evaluated if step > (1 - config.window) * steps] or [steps]
    early = [step for step in evaluated if config.early / 2 <= step / steps <= config.early]
    first = [step for step in evaluated if step >= config.early * steps][:1]
    every_near = every * -(-(steps // every) // NEAR_ALONG)
    along = {step for step in evaluated if step % every_near == 0}

    def some(count):
        return {*final[::-1][:: -(-len(final) // count)]}

    slow = some(SLOW_FINAL)
    return Windows(final, early or first, along | slow | some(NEAR_FINAL), slow)


class Look:
    """What is measured of a sampler: its samples, and how they move with their latents."""

    def __init__(self, method: Method, task: Task, samples: int):
        self.task, self.sample = task, evaluate.sampler(method, samples)
        self.log_slopes = evaluate.sensitivity(method, task, evaluate.log_norm)
        # Of images one seed's are as many as memory should hold.
        self._each = at_once if len(task.shape) == 1 else processes.in_turn

    def samples(self, params) -> list[np.ndarray]:
        """Of each seed; params: a tree a seed."""
        return processes.map_shared(self.sample, params, self._each)

    def measures(
        self, params, found, seeds, *, near: bool = True, slow: bool = True
    ) -> dict[str, list[float]]:
        """{measure: [seeds]} of the samples found; near, slow: those of neighbours, slow ones."""
        slopes = processes.map_shared(self.log_slopes, params, self._each) if near else params

        def of_seed(case):
            x, of_generator, seed = case
            row = self.task.quick(x)
            if near:
                row |= self.task.near(x) | {"log_jacobian": float(of_generator.mean())}
            if slow:
                row |= self.task.slow(x, seed) | {"contrast": evaluate.contrast(self.task, x)}
            return row

        cases = list(zip(found, slopes, seeds, strict=True))
        rows = processes.map_shared(of_seed, cases, on_cores)
        return {name: [row[name] for row in rows] for name in rows[0]}

    def untrained(self, params, seeds) -> dict[str, list[float]]:
        """{measure: [seeds]} before the first step; params: a tree a seed. Without slow ones."""
        found = [self.sample(one) for one in params]
        return self.measures(params, found, seeds, slow=False)


class Watch:
    """Measures every seed along training, keeps snapshots, and sounds the alarm.

    every: steps between two calls. Raises RunError where samples are not finite.
    """

    def __init__(self, folder, arm: str, method: Method, task: Task, config: Config, *, every: int):
        self.folder, self.arm, self.task = folder, arm, task
        self.seeds, self.steps = config.all_seeds, config.steps
        self.look = Look(method, task, config.eval_samples)
        # A flow has no game that takes modes away; early its samples are noise, which finds modes.
        self.plays = config.arms()[arm].method == "gan"
        # Other samplers with the same params are looked at in the final window alone.
        self.more = {
            suffix: Look(other, task, config.eval_samples) for suffix, other in method.more.items()
        }
        self.windows = windows(config, every)
        self.every_snapshot = every * max(1, config.steps // every // SNAPSHOTS)
        self.text = ""

    def __call__(self, state) -> dict[str, list[float]]:
        """{measure: [seeds]}."""
        measures = self.measure(state)
        now = dict(zip(self.seeds, measures["modes"], strict=True))
        lost = evaluate.fallen(evaluations(self.folder, self.arm), now, self.task.modes)
        self.text = f"modes {np.mean(list(now.values())):.1f} of {self.task.modes}"
        if lost and self.plays:
            self.text += f", COLLAPSE: seed {', '.join(map(str, lost))} lost modes"
        return measures

    def measure(self, state) -> dict[str, list[float]]:
        """{measure: [seeds]}, the slow ones now and then; snapshots on the way.

        Those of other samplers are called `<suffix>/<measure>`.
        """
        params = parallel.each(state.params, len(self.seeds))
        samples = self.look.samples(params)
        step = int(state.step[0])
        for x, seed in zip(samples, self.seeds, strict=True):
            if not np.isfinite(x).all():
                raise RunError(f"{self.arm}: samples are not finite after step {step}, seed {seed}")
        if step % self.every_snapshot == 0 or step == self.steps:
            shown = SHOWN if len(self.task.shape) == 1 else SHOWN_IMAGES
            self.folder.write_arrays(
                f"snapshots/{self.arm}/{step:09d}.npz",
                {"samples": np.stack([x[:shown] for x in samples])},
            )
        near, slow = step in self.windows.near, step in self.windows.slow
        measures = self.look.measures(params, samples, self.seeds, near=near, slow=slow)
        if step in self.windows.final:
            for suffix, look in self.more.items():
                found = look.samples(params)
                others = look.measures(params, found, self.seeds, near=near, slow=False)
                measures |= {f"{suffix}/{name}": values for name, values in others.items()}
            if self.plays:
                rows = [self.task.quick(noised(self.task, x)) for x in samples]
                measures |= {f"{NOISED}/{name}": [row[name] for row in rows] for name in rows[0]}
        return measures

    def status(self) -> str:
        """What the line of progress adds."""
        return self.text


def noised(task: Task, samples: np.ndarray) -> np.ndarray:
    """Samples, every second one replaced by noise of the task's: what finds modes by chance."""
    mixed = np.array(samples)
    mixed[::2] = task.controls["noise"](len(mixed[::2]), np.random.default_rng(11))
    return mixed


def evaluations(folder, arm: str) -> list[dict]:
    """The rows of metrics.jsonl in which an arm's samples were measured."""
    return [row for row in folder.rows() if row["arm"] == arm and "modes" in row]


def means(rows: list[dict], steps: list[int], suffix: str = "") -> dict[str, list[float]]:
    """{measure: [seeds]}: the mean over the evaluations at these steps, or those that have it.

    rows: an arm's, as `evaluations` gives them. What is not a number at one evaluation is left out;
    nan where it is at all. suffix: of the sampler whose measures they are.
    """
    start = f"{suffix}/" if suffix else ""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row["step"] in steps:
            for name, value in row.items():
                own = name.startswith(start) and "/" not in name[len(start) :]
                if own and name not in ("arm", "seed", "step"):
                    by_seed = found.setdefault(name[len(start) :], {})
                    by_seed.setdefault(row["seed"], []).append(value)
    return {
        name: [_mean(by_seed[seed]) for seed in sorted(by_seed)] for name, by_seed in found.items()
    }


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def figures_of(
    folder, arm: str, looking: Watch, begun: list, more: Iterable[str]
) -> dict[str, dict[str, list[float]]]:
    """{suffix of a row: {measure: [seeds]}} of a trained arm.

    '': means over the final window, and of the samplers `more` likewise; '@last', '@early': the
    last step, and what claims call early; '@untrained': before the first step, behind a sampler's
    suffix too. begun: params of that, a tree a seed. '@noised': of an arm that plays a game.
    """
    rows, spans = evaluations(folder, arm), looking.windows
    noise = [NOISED] if looking.plays else []
    return {
        "": means(rows, spans.final),
        **{suffix: means(rows, spans.final, suffix) for suffix in (*more, *noise)},
        "@last": means(rows, spans.final[-1:]),
        "@early": means(rows, spans.early),
        "@untrained": looking.look.untrained(begun, looking.seeds),
        **{
            f"{suffix}@untrained": look.untrained(begun, looking.seeds)
            for suffix, look in looking.more.items()
        },
    }


def snapshots(folder, arm: str) -> dict[str, np.ndarray]:
    """{"snapshot_steps" [t], "snapshots" [t, seeds, shown, *shape]} of a trained arm."""
    paths = sorted((folder.path / "snapshots" / arm).glob("*.npz"))
    return {
        "snapshot_steps": np.array([int(path.stem) for path in paths]),
        "snapshots": np.stack([np.load(path)["samples"] for path in paths]),
    }


def pictured(
    method: Method, sample: Callable, params: list, task: Task, mixture: Mixture | None
) -> dict[str, np.ndarray]:
    """Arrays of the pictures: samples, their modes, slopes of G, D's landscape.

    sample: params -> samples, of which SHOWN are kept. params: a tree a seed.
    """
    singular_values = partial(jnp.linalg.svd, compute_uv=False)
    slopes = evaluate.sensitivity(method, task, singular_values, count=SLOPES)
    arrays = {}
    for one in params:
        found = sample(one)
        arrays.setdefault("samples", []).append(found[:SHOWN])
        arrays.setdefault("singular_values", []).append(slopes(one))
        if mixture is None:
            arrays.setdefault("mode", []).append(task.names(found))
    arrays = {name: np.stack(values) for name, values in arrays.items()}
    if mixture is not None and method.landscape:
        arrays |= method.landscape(params[0], task, mixture)
    return arrays
