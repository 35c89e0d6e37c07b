"""An experiment's run: from a configuration to a folder, and from a folder to what it found.

`execute` is the one path of all experiments; a room hands it an `Experiment`. `Run` reads a
finished or half-finished one; nothing here knows which experiments there are.
"""

import contextlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genjax.core import config as configs
from genjax.core.errors import UsageError
from genjax.core.folder import Folder, read_config
from genjax.core.progress import Job, held, say
from genjax.core.writers import Begun, Writers, opened, require_installed
from genjax.report import blocks, claim_rows, page
from genjax.report.about import About
from genjax.report.live import Live


class Experiment(NamedTuple):
    """What a room hands over.

    name: of the script, and of runs/<name>/. title: of the page. config: the dataclass.
    prepare: config -> job; reads the data and refuses what does not fit them; writes nothing. A job
    may have a `checksum` of the data, which work enters in data.json.
    disk_needed: job -> bytes. work: (job, folder, clock), trains and measures what the folder does
    not hold yet. summarize: (files, config) -> the parts of summary.json that are the room's own,
    from files alone. figures: {name: (files) -> (caption, figure) or None}. load: (run, arm, step,
    params) -> a trained model as plain functions, from config and facts. trained: (run, arm, seed)
    -> (step, params); by default those of the last checkpoint. beside: files of a run that `load`
    reads besides data.json. samples: (model, key, n or None) -> images [n, h, w, c] in [0, 1] or
    points [n, d]. texts: (model, key, n or None, prompt, tokens or None) -> texts. about: words for
    the page.
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
    about: About = page.NOTHING
    trained: Callable | None = None
    beside: tuple[str, ...] = ()
    samples: Callable | None = None
    texts: Callable | None = None


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
        if blocks.paths(self.folder):
            return page.read_files(self.folder)["rows"]
        return page.read_rows(self.folder)

    @property
    def claims(self) -> list[dict]:
        """The verdicts of a finished run; [] before."""
        return (self.summary or {}).get("claims", [])

    def judge(self) -> list[dict]:
        """The verdicts anew, from the files of a finished run; nothing is written."""
        files = page.read(self.folder)
        config = _with_seeds(self.config, len(files["summary"].get("seeds", ())))
        return self.experiment.summarize(files, config)["claims"]

    def facts(self) -> dict:
        """What data.json holds: shapes that networks are built from."""
        found = page.read_json(self.folder, "data.json")
        if found is None:
            raise UsageError(f"{self.folder}: nothing was trained yet")
        return found

    def figures(self, *names: str) -> dict[str, tuple[str, Any]]:
        """{name: (caption, matplotlib figure, the bytes of a GIF, or Texts)} of a finished run.

        names: of those to draw; without any, all. One for which a run has no data is left out.
        Raises UsageError for a name that there is not.
        """
        known = self.experiment.figures
        for name in names:
            if name not in known:
                raise UsageError(f"no figure {name!r}{configs.nearest(name, known)}")
        return page.draw(self.folder, {name: known[name] for name in names or known})

    def model(self, arm: str | None = None, seed: int | None = None):
        """A trained arm's functions and parameters, at its last checkpoint.

        arm: by default the first. seed: by default the first. Raises UsageError where there is
        none.
        """
        from genjax.core import checkpoints

        run, arm, seed = self.trained(arm, seed)
        step, params = (self.experiment.trained or checkpoints.trained)(run, arm, seed)
        return self.experiment.load(run, arm, step, params)

    def trained(self, arm: str | None = None, seed: int | None = None) -> "tuple[Run, str, int]":
        """(the run, or its block, that trained them; arm; seed), by default the first of both.

        Raises UsageError where there is no such arm or seed.
        """
        names: list[str] = list(self.config.arms())
        if not names:
            raise UsageError(f"{self.folder}: no model, this run trains none")
        wanted = names[0] if arm is None else arm
        chosen: int = self.config.seed if seed is None else seed
        if wanted not in names:
            near = configs.nearest(wanted, names)
            raise UsageError(f"{self.folder}: no arm {wanted!r}{near}")
        for path in blocks.paths(self.folder):
            if int(path.name) <= chosen < int(path.name) + self.config.seeds:
                return Run(path), wanted, chosen
        if chosen not in self.config.all_seeds:
            choices = ", ".join(map(str, self.config.all_seeds))
            raise UsageError(f"{self.folder}: no seed {chosen}; choices: {choices}")
        return self, wanted, chosen


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
    writers: Sequence[str] = (),
    live: int | None = None,
    compile_cache: str = "",
    platform: str = "auto",
    profile: int = 0,
    distributed: str = "off",
) -> Run:
    """Trains and measures what a configuration asks for, or continues; writes the page.

    resume: whether a folder that holds this very run is continued, or refused. writers: names of
    `core.writers.KINDS` that get the curves too. live: a port of this machine on which the page is
    served while it trains; 0: a free one. compile_cache: a folder of compiled programs; '':
    genjax's in the user's cache directory; 'off': none. platform: auto, cpu, gpu or tpu. profile:
    training steps of each arm that are traced. distributed: 'off', 'auto' or
    '<host>:<port>,<processes>,<rank>'; of several processes the first keeps the folder, and the
    others return a copy that is gone at their end. Raises UsageError for what cannot be done,
    before anything is written, and RunError where a run fails.
    """
    from genjax.core import environment, machine, platforms, processes

    require_installed(writers)
    machine.tune_cpu()
    machine.share_arenas()
    with (
        processes.joined(distributed),
        platforms.chosen(platform),
        environment.compile_cache(compile_cache),
        environment.blas_on_one_thread(),
        contextlib.closing(environment.Clock()) as clock,
        _served(live, experiment, config, Path(folder)) as shown,
    ):
        way = _Way(experiment, clock, resume, tuple(writers), shown, profile)
        path = (_until_decided if in_blocks(config) else _train)(way, config, Path(folder))
        run = Run(path)
        if not processes.rank():
            page_path = page.write(path, experiment.figures, experiment.about)
            for claim in run.claims:
                say(f"{claim['id']} {claim['verdict']}: {claim['statement']}")
            if not run.claims:
                say("no claim is about these models and these data")
            for why in sorted({claim_rows.too_few(claim) for claim in run.claims} - {""}):
                say(why)
            say(f"report: {page_path}")
    return run


@contextlib.contextmanager
def _served(port: int | None, experiment: Experiment, config, folder: Path):
    """The page of the run as it grows, or None where no port is named; gone with the run."""
    from genjax.core import processes

    if port is None or processes.rank():
        yield None
        return
    shown = Live(port, folder, experiment.title, experiment.about, list(config.arms()))
    done = False
    try:
        say(f"--live: {shown.address}")
        yield shown
        done = True
    finally:
        shown.stop(done=done)


def in_blocks(config) -> bool:
    """Whether blocks of seeds are added until every claim is decided."""
    return getattr(config, "max_seeds", 0) > 0


def _with_seeds(config, seeds: int):
    """The configuration of all blocks together; one without blocks as it is."""
    return config.replace(seeds=seeds, max_seeds=seeds) if in_blocks(config) else config


class _Way(NamedTuple):
    """How a run goes about it."""

    experiment: Experiment
    clock: Any
    resume: bool
    writers: tuple[str, ...]
    live: Live | None
    profile: int

    def open(self, config, folder: Path, needed_bytes: float = 0) -> Folder:
        from genjax.core import mirror

        room = type(config).__module__.split(".")[1]

        def here(path: Path, needed_bytes: float = 0) -> Folder:
            return Folder(
                path,
                config,
                experiment=self.experiment.name,
                room=room,
                resume=self.resume,
                needed_bytes=needed_bytes,
            )

        return mirror.opened(here, folder, needed_bytes)

    def writers_of(self, kept: Folder, config) -> Writers:
        """What gets the rows of a run that begins, or goes on: of several processes the first's."""
        from genjax.core import processes

        if processes.rank():
            return Writers()
        begun = Begun(kept.path, self.experiment.name, configs.to_json(config))
        made = opened(self.writers, begun)
        if self.live:
            self.live.begin(kept.job)
            made["live"] = self.live
        return Writers(**made)


def _train(way: _Way, config, folder: Path, parent: Folder | None = None) -> Path:
    """Trains, measures and judges what a folder does not hold yet; returns its path.

    parent: the run that the folder is a block of, whose timing.json counts the time.
    """
    from genjax.core import platforms

    experiment, clock = way.experiment, way.clock
    with contextlib.ExitStack() as open_:
        with held():
            job = experiment.prepare(config)
            kept = way.open(config, folder, experiment.disk_needed(job))
            open_.enter_context(contextlib.closing(kept))
            _require_same_data(kept, getattr(job, "checksum", None))
        if kept.read_json("summary.json") is None:
            if parent:
                kept.at_checkpoint, kept.spent = parent.at_checkpoint, parent.spent
            else:
                clock.keep(kept)
            kept.job = Job({name: steps_of(config, arm) for name, arm in config.arms().items()})
            kept.products = getattr(config, "matmul_precision", "highest")
            kept.profile = way.profile
            kept.writers = way.writers_of(kept, config)
            say(plan(experiment, config, kept.path))
            with platforms.products("highest"):
                experiment.work(job, kept, clock)
            kept.seal()
            kept.write_json("summary.json", _summary(experiment, config, kept.path, clock))
        elif not parent:
            say(f"{kept.path} holds this very run, finished; nothing is computed again")
    return kept.path


def steps_of(config, arm) -> int:
    """Training steps of an arm, which may have its own."""
    return getattr(arm, "steps", 0) or config.steps


def plan(experiment: Experiment, config, folder: Path) -> str:
    """What a run is about to do, in a line: arms, steps, seeds, devices, folder."""
    from genjax.core import environment, processes

    device = environment.device()
    arms = config.arms()
    said = [f"{_count(len(arms), 'arm')} ({', '.join(arms)})"] if arms else []
    steps = sorted({steps_of(config, arm) for arm in arms.values()})
    if steps:
        said.append(" to ".join(f"{n:,}" for n in dict.fromkeys((steps[0], steps[-1]))) + " steps")
        said.append(f"{_count(config.seeds, 'seed')} from {config.seed}")
    devices = _count(int(device["count"]), "device")
    if processes.count() > 1:
        devices += f" of {processes.count()} processes"
    said.append(f"{device['backend']}: {devices} ({device['kind']}, {device['cores']} cores)")
    if device["backend"] != "cpu":
        said.append(f"float32 products: {getattr(config, 'matmul_precision', 'highest')}")
    return f"{experiment.name}: {'; '.join(said)}; into {folder}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _require_same_data(kept: Folder, checksum: str | None) -> None:
    """Raises UsageError where a run began with other data of the same name, or processes read
    other data."""
    from genjax.core import processes

    sums = processes.gather(checksum)
    others = [i for i, own in enumerate(sums) if own != sums[0]]
    if others:
        raise UsageError(f"process {others[0]} reads other data than process 0 under the same name")
    known = (kept.read_json("data.json") or {}).get("checksum")
    if known and known != checksum:
        raise UsageError(
            f"--workdir={kept.path}: the run in it began with other data than its flags name now: "
            "their files have changed; name a new folder, or bring the files back"
        )


def _until_decided(way: _Way, config, folder: Path) -> Path:
    """Adds blocks of `seeds` seeds until every claim is decided, or `max_seeds` are trained.

    The claims' intervals hold at every look. A block is a run folder of its own.
    """
    kept = way.open(config, folder)
    with contextlib.closing(kept):
        summary = kept.read_json("summary.json")
        if summary is None:
            way.clock.keep(kept)
        last = config.seed + (len(summary["seeds"]) if summary else config.max_seeds)
        for first in range(config.seed, last, config.seeds):
            block = config.replace(max_seeds=0, seed=first)
            path = _train(way, block, kept.path / blocks.FOLDER / str(first), kept)
            if summary is None:
                facts = page.read_json(path, "data.json")
                kept.write_json("data.json", facts or {})
                whole = _with_seeds(config, first + config.seeds - config.seed)
                found = _summary(way.experiment, whole, kept.path, way.clock)
                open_ = [one["id"] for one in found["claims"] if one["verdict"] == "undetermined"]
                said = ", ".join(open_) or "none"
                say(f"{whole.seeds} seeds: of {len(found['claims'])} claims undetermined: {said}")
                if not open_ or first + config.seeds >= last:
                    kept.write_json("summary.json", found)
                    break
    return kept.path


def _summary(experiment: Experiment, config, folder: Path, clock) -> dict:
    from genjax.core import environment

    made = {"experiment": experiment.name, "title": experiment.title}
    made |= experiment.summarize(page.read_files(folder), config)
    clock.save()
    made |= {"flags": configs.to_json(config), "timing": clock.timing()}
    return made | environment.describe()
