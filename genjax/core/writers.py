"""Where the rows of training go besides metrics.jsonl: TensorBoard, Weights & Biases, MLflow.

Another one is a class with `write` and `close`, and an entry in KINDS. No jax in here.
"""

import importlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from genjax.core import extras
from genjax.core.errors import UsageError, one_line
from genjax.core.progress import say


class Writer(Protocol):
    """What takes the rows of a run as they are logged."""

    def write(self, arm: str, rows: Sequence[dict]) -> None:
        """Rows {"arm", "seed", "step", metric: value} of an arm; those of timings have no seed."""

    def close(self) -> None:
        """The run is over, or was stopped."""


class Begun(NamedTuple):
    """A run that begins. folder: its own. name: of its experiment. config: as JSON can hold it."""

    folder: Path
    name: str
    config: dict


class Writers:
    """Several as one. One that fails is named in a line and left out: training goes on, and what it
    did not take is in metrics.jsonl."""

    def __init__(self, **writers: Writer):
        self._writers = writers

    def write(self, arm: str, rows: Sequence[dict]) -> None:
        """Hands rows to each."""
        for name, writer in [*self._writers.items()]:
            try:
                writer.write(arm, rows)
            except Exception as error:
                say(f"--writers={name}: {one_line(error)}; goes on without it")
                del self._writers[name]

    def close(self) -> None:
        """Closes each."""
        for name, writer in self._writers.items():
            try:
                writer.close()
            except Exception as error:
                say(f"--writers={name}: {one_line(error)}")
        self._writers = {}


def scalars(rows: Sequence[dict]) -> Iterator[tuple[int, str, float]]:
    """(step, "<arm>/seed<seed>/<metric>", value) of each number that was logged at a step."""
    for row in rows:
        if "seed" in row:  # Others are timings: no curve over steps.
            for name, value in row.items():
                if name not in ("arm", "seed", "step"):
                    yield row["step"], f"{row['arm']}/seed{row['seed']}/{name}", value


class _TensorBoard:
    """Event files in tensorboard/ of the run's folder."""

    def __init__(self, begun: Begun):
        from tensorboardX import SummaryWriter

        self._events = SummaryWriter(str(begun.folder / "tensorboard"))

    def write(self, arm: str, rows: Sequence[dict]) -> None:
        for step, tag, value in scalars(rows):
            self._events.add_scalar(tag, value, step)

    def close(self) -> None:
        self._events.close()


class _WandB:
    """A run of W&B for each attempt, in a group of the folder's; reads WANDB_* as W&B does."""

    def __init__(self, begun: Begun):
        wandb: Any = importlib.import_module("wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "genjax"),
            group=f"{begun.name}-{begun.folder.name}",
            dir=str(begun.folder),
            config=begun.config,
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._arms = set()

    def write(self, arm: str, rows: Sequence[dict]) -> None:
        if arm not in self._arms:  # W&B counts calls; an arm has steps of its own.
            self._arms.add(arm)
            self._run.define_metric(f"{arm}/step", hidden=True)
            self._run.define_metric(f"{arm}/*", step_metric=f"{arm}/step")
        found = {}
        for step, tag, value in scalars(rows):
            found.setdefault(step, {f"{arm}/step": step})[tag] = value
        for values in found.values():
            self._run.log(values)

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    """A run of MLflow for each attempt: at MLFLOW_TRACKING_URI, else in mlflow.db of the folder."""

    # What MLflow takes in one call.
    PARAMETERS, METRICS, LONGEST = 100, 1000, 6000

    def __init__(self, begun: Begun):
        mlflow: Any = importlib.import_module("mlflow")
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._entities = mlflow.entities
        place = os.environ.get("MLFLOW_TRACKING_URI")
        place = place or f"sqlite:///{(begun.folder / 'mlflow.db').absolute()}"
        self._client = mlflow.MlflowClient(tracking_uri=place)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "genjax")
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        title = f"{begun.name}-{begun.folder.name}"
        self._id = self._client.create_run(experiment, run_name=title).info.run_id
        asked = [
            mlflow.entities.Param(key, str(value)[: self.LONGEST])
            for key, value in begun.config.items()
        ]
        for i in range(0, len(asked), self.PARAMETERS):
            self._client.log_batch(self._id, params=asked[i : i + self.PARAMETERS])

    def write(self, arm: str, rows: Sequence[dict]) -> None:
        now = int(1000 * time.time())
        found = [self._entities.Metric(tag, value, now, step) for step, tag, value in scalars(rows)]
        for i in range(0, len(found), self.METRICS):
            self._client.log_batch(self._id, metrics=found[i : i + self.METRICS])

    def close(self) -> None:
        self._client.set_terminated(self._id)


# {name, and extra of pyproject.toml that brings its packages: what makes one of a `Begun`}
KINDS = {"tensorboard": _TensorBoard, "wandb": _WandB, "mlflow": _MLflow}


def require_installed(names: Sequence[str]) -> None:
    """Raises UsageError for a name that there is not, and one whose package is not installed."""
    for name in names:
        if name not in KINDS:
            raise UsageError(f"--writers={name}: choices: {', '.join(KINDS)}")
        extras.require(name, f"--writers={name}")


def opened(names: Sequence[str], begun: Begun) -> dict[str, Writer]:
    """The writers of these names. Raises UsageError where one cannot begin."""
    made = {}
    for name in names:
        try:
            made[name] = KINDS[name](begun)
        except Exception as error:
            raise UsageError(f"--writers={name}: cannot begin: {one_line(error)}") from error
    return made
