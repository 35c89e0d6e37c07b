"""What is looked at along training: measures, snapshots, the alarm; and what is left at its end."""

import time
from functools import partial

import jax.numpy as jnp
import numpy as np

from genjax.core import parallel
from genjax.core.errors import RunError
from genjax.gan import evaluate
from genjax.gan.data import Task
from genjax.gan.method import Method
from genjax.gan.mixtures import Mixture

# Snapshots for the pictures, spread evenly over training; samples in each, points or images.
SNAPSHOTS, SHOWN, SHOWN_IMAGES = 24, 512, 36
# How often the measures that take long are taken, besides at the end.
WHOLE_EVALUATIONS = 5
# Latents of which slopes are pictured: of images they take long, and a hundred fill a histogram.
SLOPES = 100


class Look:
    """What is measured of a sampler: its samples, and how they move with their latents."""

    def __init__(self, method: Method, task: Task, samples: int):
        self.task, self.sample = task, evaluate.sampler(method, samples)
        self.log_slopes = evaluate.sensitivity(method, task, evaluate.log_norm)

    def measures(self, params, found, seeds, *, whole: bool) -> dict[str, list[float]]:
        """{measure: [seeds]} of the samples found; whole: the slow ones too."""
        rows = [self.task.quick(x) for x in found]
        if whole:
            for row, x, one, seed in zip(rows, found, params, seeds, strict=True):
                row |= self.task.slow(x, seed) | {"contrast": evaluate.contrast(self.task, x)}
                row["log_jacobian"] = float(self.log_slopes(one).mean())
        return {name: [row[name] for row in rows] for name in rows[0]}


class Watch:
    """Measures every seed along training, keeps snapshots, and sounds the alarm.

    steps: of the training; every: steps between two calls; samples: how many are measured.
    Raises RunError where samples are not finite.
    """

    def __init__(
        self,
        folder,
        arm: str,
        method: Method,
        task: Task,
        seeds: list[int],
        *,
        steps: int,
        every: int,
        samples: int,
    ):
        self.folder, self.arm, self.task, self.seeds, self.steps = folder, arm, task, seeds, steps
        self.look = Look(method, task, samples)
        self.every_snapshot = every * max(1, steps // every // SNAPSHOTS)
        self.every_whole = every * -(-(steps // every) // WHOLE_EVALUATIONS)
        self.text, self.seconds, self.cpu_seconds = "", 0.0, 0.0

    def __call__(self, state) -> dict[str, list[float]]:
        """{measure: [seeds]}."""
        started, cpu = time.monotonic(), time.process_time()
        measures = self.measure(state)
        now = dict(zip(self.seeds, measures["modes"], strict=True))
        lost = evaluate.fallen(evaluations(self.folder, self.arm), now, self.task.modes)
        self.text = f"modes {np.mean(list(now.values())):.1f} of {self.task.modes}"
        if lost:
            self.text += f", COLLAPSE: seed {', '.join(map(str, lost))} lost modes"
        self.seconds += time.monotonic() - started
        self.cpu_seconds += time.process_time() - cpu
        return measures

    def measure(self, state) -> dict[str, list[float]]:
        """{measure: [seeds]}, the slow ones now and then; snapshots on the way."""
        params = parallel.each(state.params, len(self.seeds))
        found = [self.look.sample(one) for one in params]
        step = int(state.step[0])
        for x, seed in zip(found, self.seeds, strict=True):
            if not np.isfinite(x).all():
                raise RunError(f"{self.arm}: samples are not finite after step {step}, seed {seed}")
        whole = step % self.every_whole == 0 or step == self.steps
        if step % self.every_snapshot == 0 or step == self.steps:
            shown = SHOWN if len(self.task.shape) == 1 else SHOWN_IMAGES
            self.folder.write_arrays(
                f"snapshots/{self.arm}/{step:09d}.npz",
                {"samples": np.stack([x[:shown] for x in found])},
            )
        return self.look.measures(params, found, self.seeds, whole=whole)

    def status(self) -> str:
        """What the line of progress adds."""
        return self.text


def evaluations(folder, arm: str) -> list[dict]:
    """The rows of metrics.jsonl in which an arm's samples were measured."""
    return [row for row in folder.rows() if row["arm"] == arm and "modes" in row]


def last_evaluation(folder, arm: str, step: int) -> dict[str, list[float]]:
    """{measure: [seeds]} at the last step."""
    rows = sorted(
        (row for row in evaluations(folder, arm) if row["step"] == step),
        key=lambda row: row["seed"],
    )
    names = [name for name in rows[0] if name not in ("arm", "seed", "step")]
    return {name: [row[name] for row in rows] for name in names}


def last_measures(
    method: Method, params: list, task: Task, seeds: list[int], samples: int
) -> dict[str, list[float]]:
    """{measure: [seeds]} of trained params, a tree a seed."""
    look = Look(method, task, samples)
    found = [look.sample(one) for one in params]
    return look.measures(params, found, seeds, whole=True)


def snapshots(folder, arm: str) -> dict[str, np.ndarray]:
    """{"snapshot_steps" [t], "snapshots" [t, seeds, shown, *shape]} of a trained arm."""
    paths = sorted((folder.path / "snapshots" / arm).glob("*.npz"))
    return {
        "snapshot_steps": np.array([int(path.stem) for path in paths]),
        "snapshots": np.stack([np.load(path)["samples"] for path in paths]),
    }


def pictured(
    method: Method, params: list, task: Task, mixture: Mixture | None, *, samples: int
) -> dict[str, np.ndarray]:
    """Arrays of the pictures: samples, their modes, slopes of G, D's landscape.

    params: a tree a seed. samples: how many are made, of which SHOWN are kept.
    """
    sample = evaluate.sampler(method, samples)
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
