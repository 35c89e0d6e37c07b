"""An experiment's run: from a configuration to a folder, and from a folder to what it found.

`execute` is the one path of all experiments; a room hands it an `Experiment`. `Run` reads a
finished or half-finished one; nothing here knows which experiments there are.
"""

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from genjax.core import config as configs
from genjax.core.errors import UsageError
from genjax.core.folder import Folder, read_config
from genjax.core.progress import say
from genjax.report import page


class Experiment(NamedTuple):
    """What a room hands over.

    name: of the script, and of runs/<name>/. title: of the page. config: the dataclass.
    prepare: config -> job; reads the data and refuses what does not fit them; writes nothing.
    disk_needed: job -> bytes. work: (job, folder, clock), trains and measures what the folder does
    not hold yet. summarize: (files, config) -> the parts of summary.json that are the room's own,
    from files alone. figures: {name: (files) -> (caption, figure) or None}. load: (run, arm, seed)
    -> a trained model as plain functions.
    """

    name: str
    title: str
    config: type
    prepare: Callable
    disk_needed: Callable
    work: Callable
    summarize: Callable
    figures: dict[str, Callable]
    load: Callable


class Run:
    """A run folder as one reads it, finished or not."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        asked = read_config(self.folder)
        if asked is None:
            raise UsageError(f"{folder}: no run, config.json is missing")
        self.experiment = experiment_of(self.folder, asked)
        self.config = configs.from_json(self.experiment.config, asked["config"])

    def __repr__(self):
        state = "finished" if self.summary else "not finished"
        return f"Run({str(self.folder)!r}, {self.experiment.name}, {state})"

    @property
    def summary(self) -> dict | None:
        """What summary.json holds; None where the run is not finished."""
        return page.read_json(self.folder, "summary.json")

    @property
    def metrics(self) -> list[dict]:
        """The rows of metrics.jsonl: {"arm", "seed", "step", metric: value}."""
        return page.read_rows(self.folder)

    @property
    def claims(self) -> list[dict]:
        """The verdicts of a finished run; [] before."""
        return (self.summary or {}).get("claims", [])

    def judge(self) -> list[dict]:
        """The verdicts anew, from the files of a finished run; nothing is written."""
        return self.experiment.summarize(page.read(self.folder), self.config)["claims"]

    def facts(self) -> dict:
        """What data.json holds: shapes that networks are built from."""
        found = page.read_json(self.folder, "data.json")
        if found is None:
            raise UsageError(f"{self.folder}: nothing was trained yet")
        return found

    def figures(self) -> dict[str, tuple[str, Any]]:
        """{name: (caption, matplotlib figure, or the bytes of a GIF)} of a finished run."""
        return page.draw(self.folder, self.experiment.figures)

    def model(self, arm: str | None = None, seed: int | None = None):
        """A trained arm's functions and parameters, at its last checkpoint.

        arm: by default the first. seed: by default the first. Raises UsageError where there is
        none.
        """
        names: list[str] = list(self.config.arms())
        if not names:
            raise UsageError(f"{self.folder}: no model, this run trains none")
        wanted = names[0] if arm is None else arm
        seed = self.config.seed if seed is None else seed
        if wanted not in names:
            near = configs.nearest(wanted, names)
            raise UsageError(f"{self.folder}: no arm {wanted!r}{near}")
        if seed not in self.config.all_seeds:
            choices = ", ".join(map(str, self.config.all_seeds))
            raise UsageError(f"{self.folder}: no seed {seed}; choices: {choices}")
        return self.experiment.load(self, wanted, seed)


def experiment_of(folder: Path, asked: dict) -> Experiment:
    """The experiment that made a folder, found by the room that config.json names."""
    room = asked.get("room")
    if isinstance(room, str) and room.isidentifier():
        with contextlib.suppress(ModuleNotFoundError):
            found = importlib.import_module(f"genjax.{room}.experiment")
            return found.EXPERIMENT
    raise UsageError(f"{folder / 'config.json'}: no experiment {configs.shown(room)}")


def execute(
    experiment: Experiment,
    config,
    folder: str | Path,
    *,
    resume: bool = True,
    tensorboard: bool = False,
    compile_cache: str = "",
) -> Run:
    """Trains and measures what a configuration asks for, or continues; writes the page.

    resume: whether a folder that holds this very run is continued, or refused. compile_cache: a
    folder of compiled programs; '': genjax's in the user's cache directory; 'off': none. Raises
    UsageError for what cannot be done, before anything is written, and RunError where a run fails.
    """
    from genjax.core import environment, parallel

    parallel.tune_cpu()
    with environment.compile_cache(compile_cache), contextlib.closing(environment.Clock()) as clock:
        job = experiment.prepare(config)
        room = type(config).__module__.split(".")[1]
        kept = Folder(
            folder,
            config,
            experiment=experiment.name,
            room=room,
            resume=resume,
            needed_bytes=experiment.disk_needed(job),
        )
        with contextlib.closing(kept):
            if tensorboard:
                kept.open_tensorboard()
            if kept.read_json("summary.json") is None:
                clock.keep(kept)
                experiment.work(job, kept, clock)
                kept.seal()
                kept.write_json("summary.json", _summary(experiment, config, kept, clock))
            else:
                say(f"{kept.path} holds this very run, finished; nothing is computed again")
            path = page.write(kept.path, experiment.figures)
    run = Run(kept.path)
    for claim in run.claims:
        say(f"{claim['id']} {claim['verdict']}: {claim['statement']}")
    say(f"report: {path}")
    return run


def _summary(experiment: Experiment, config, kept: Folder, clock) -> dict:
    from genjax.core import environment

    made = {"experiment": experiment.name, "title": experiment.title}
    made |= experiment.summarize(page.read_files(kept.path), config)
    clock.save()
    made |= {"flags": configs.to_json(config), "timing": clock.timing()}
    return made | environment.describe()
