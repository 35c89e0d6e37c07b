"""Which modes does a GAN lose, and which remedy keeps them?

Trains one or several recipes ("arms") that differ in the switches named, all seeds of an arm as one
program, watches the modes of a known distribution along training, and holds every measure against
the floor, perfect samples through the same measures.
"""

import math
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from genjax import claims, data
from genjax.core import machine, order, parallel, training
from genjax.core.config import shown
from genjax.core.errors import UsageError
from genjax.core.progress import say
from genjax.data import points
from genjax.gan import evaluate, flow, game, limits, load, mixtures, watch
from genjax.gan.about import ABOUT
from genjax.gan.claims import judge
from genjax.gan.config import ROWS, Config
from genjax.gan.data import Task, mixture_task, stacked_task
from genjax.gan.figures import FIGURES
from genjax.gan.method import Method
from genjax.gan.mixtures import Mixture
from genjax.gan.modes import RADIUS
from genjax.images import classifier, stored
from genjax.report import page
from genjax.run import Experiment, Run, execute

# A new method is an entry here and in config.METHODS.
METHODS = {"gan": game.method, "flow": flow.method}
# Of images that are stacked: 125,000 modes, with which each measured sample is compared.
MOST_CLASSES = 50


class Job(NamedTuple):
    """What is trained on: a mixture, or the images to stack as (train, valid, test).

    train: of the images those to train on, which may stay in their files; splits: all as measures
    see them. points: of a file, which is taken for the mixture. checksum: of images and of a file's
    points.
    """

    config: Config
    mixture: Mixture | None
    splits: dict | None
    points: np.ndarray | None = None
    checksum: str | None = None
    train: dict | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return (*self.splits["train"]["image"].shape[1:3], 3) if self.splits else (2,)


def run(config: Config, folder: str | Path, **how) -> Run:
    """Trains and measures what `config` asks for in a folder, or continues there.

    how: `resume`, `writers`, `live`, `compile_cache`, `platform` and `profile` of
    `genjax.run.execute`, which says what is raised.
    """
    return execute(EXPERIMENT, config, folder, **how)


def prepare(config: Config) -> Job:
    """Reads the data. Raises UsageError where samples, batch or memory do not fit them."""
    # Both before the first computation.
    # Seeds alone: a batch norm would wait for the other core at every layer.
    machine.split_cpu(config.seeds, batch_size=1)
    job = read_points(config) if config.is_points else None
    if job is None:
        mixture = config.mixture() if config.is_plane else None
        train, splits = (None, None) if mixture else read_images(config)
        images = (array for part in (splits or {}).values() for array in part.values())
        sums = data.checksum(images) if splits else None
        job = Job(config, mixture, splits, checksum=sums, train=train)
    config, modes = job.config, 0 if job.mixture is None else len(job.mixture.means)
    evaluate.check_count(config.eval_samples, config.points, modes)
    machine.check_batch(config.parallel, config.batch_size)
    for name, arm in config.arms().items():
        limits.check(config, arm, job.shape, method_of(config, name, job.shape))
    return job


def read_points(config: Config) -> Job:
    """A file's points and the mixture that they are taken for; says what that is."""
    flag = f"--data={shown(config.data)}"
    found, labels = points.read(config.data)
    count = len(found)
    if count > config.points:
        chosen = np.random.default_rng([config.data_seed, 5]).choice(count, config.points, False)
        found, labels = found[chosen], labels if labels is None else labels[chosen]
        labels = labels if labels is None else np.unique(labels, return_inverse=True)[1]
    mixture = mixtures.of_points(config.data, found, labels, modes=config.modes, sigma=config.sigma)
    try:
        config = config.replace(points=len(found))
    except UsageError as error:
        raise UsageError(f"{flag}: {len(found):,} points; {error}") from error
    how = "given" if labels is None else "estimated from its labels"
    of_all = f" of its {count:,}" if count > len(found) else ""
    say(
        f"{flag}: {len(found):,}{of_all} points, {len(mixture.means):,} modes; means and sigma "
        f"{mixture.sigma:.3g} {how}; {mixtures.within(found, mixture, RADIUS):.1%} within 3 sigma "
        "of a mode, of Gaussians 98.9%"
    )
    if not 0.1 <= mixture.spread <= 10:
        say(f"{flag}: a spread of {mixture.spread:.3g}; networks learn best where it is about 1")
    own = found.astype(np.float32)
    arrays = [own] if labels is None else [own, labels]
    return Job(config, mixture, None, own, data.checksum(arrays))


def read_images(config: Config) -> tuple[dict, dict]:
    """The grey images that are stacked: those to train on, and (train, valid, test) to measure."""
    rest = config.data.partition(":")[2]
    parts = data.load(
        rest or "digits",
        seed=config.split_seed,
        tfds_dir=config.tfds_dir,
        tfds_manual_dir=config.tfds_manual_dir,
        image_size=config.image_size,
        colour="grey" if rest.startswith(("folder:", "hf:")) else None,
        input=config.input,
    )
    train, splits = parts["train"], data.measured(parts)
    channels = splits["train"]["image"].shape[-1]
    if channels != 1:
        raise UsageError(
            f"--data={config.data}: stacks grey images, these have {channels} channels"
        )
    if not (train["label"] > 0).any():
        raise UsageError(f"--data={config.data}: without labels no mode has a name")
    classes = int(train["label"].max()) + 1
    if classes > MOST_CLASSES:
        raise UsageError(
            f"--data={config.data}: {classes} classes, {classes**3:,} modes of three images; at "
            f"most {MOST_CLASSES} classes"
        )
    return train, splits


def method_of(config: Config, name: str, shape: tuple[int, ...], spread: float = 1.0) -> Method:
    """The method of an arm, for samples of a shape and a spread."""
    arm = config.arms()[name]
    return METHODS[arm.method](config, arm, shape, spread)


def disk_needed(job: Job) -> float:
    """Bytes for checkpoints (three of params and two moments for all seeds) and 100 MB."""
    methods = [method_of(job.config, name, job.shape) for name in job.config.arms()]
    total = sum(map(limits.parameters, methods))
    return 1e8 + 4.0 * 9 * job.config.seeds * total


# --- Training ------------------------------------------------------------------------------------


def work(job: Job, folder, clock) -> None:
    """Trains and measures what the folder does not hold yet."""
    config, arms = job.config, job.config.arms()
    tasks = tasks_of(job, folder)
    task = next(iter(tasks.values()))
    folder.write_json("data.json", facts(job, task))
    if folder.read_json("evaluation/truth.json") is None:
        say(f"the floor: measures of {config.eval_samples} perfect samples, and of wrong ones")
        with clock.part("evaluate"):
            found = evaluate.floor(task, config.eval_samples, config.data_seed)
            folder.write_json("evaluation/truth.json", found)
    for name, arm in arms.items():
        method = method_of(config, name, task.shape, task.spread)
        if folder.read_json(f"evaluation/{name}.json") is not None:
            continue
        with clock.part("train"):
            begun = begin(config, method)
            params, looking = train(config, folder, name, method, begun, tasks[arm.pack])
        with clock.part("evaluate"):
            untrained = parallel.each(begun.params, config.seeds)
            found = watch.figures_of(folder, name, looking, untrained, method.more)
            each = parallel.each(params, config.seeds)
            arrays = watch.pictured(method, looking.look.sample, each, task, job.mixture)
            folder.write_arrays(f"arrays/{name}.npz", arrays | watch.snapshots(folder, name))
            folder.write_json(f"evaluation/{name}.json", found)


def tasks_of(job: Job, folder) -> dict[int, Task]:
    """The task by samples a pack; of images their classifier is trained first."""
    config = job.config
    packs = dict.fromkeys(arm.pack for arm in config.arms().values())
    options = config.points, next(iter(packs)), config.data_seed
    if job.splits:
        classify, record = classifier.trained(folder, job.splits, config.classifier_steps)
        folder.write_json("evaluation/classifier.json", record)
        assert job.train is not None
        task = stacked_task(job.train, job.splits, classify, *options)
    else:
        assert job.mixture is not None
        task = mixture_task(job.mixture, *options, job.points)
    return {pack: task._replace(**task.packed(pack)) for pack in packs}


def facts(job: Job, task: Task) -> dict:
    """What data.json holds: what networks, claims and figures need to know of the data."""
    mixture = job.mixture
    return {
        "shape": task.shape,
        "spread": task.spread,
        "modes": task.modes,
        "weights": task.weights.tolist(),
        "mixture": mixture and {"means": mixture.means.tolist(), "sigma": mixture.sigma},
        "checksum": job.checksum,
    }


def begin(config: Config, method: Method):
    """The states of all seeds before the first step, on the host."""

    def one(key):
        return method.state(key if config.init_seed is None else jax.random.key(config.init_seed))

    return training.initial(one, config.all_seeds)


def train(config: Config, folder, name: str, method: Method, begun, task: Task):
    """Trains all seeds of an arm, or continues: (params, leaves [seeds, ...], its Watch).

    begun: what `begin` gave.
    """
    arm, seeds = config.arms()[name], config.all_seeds
    rows = config.batch_size * arm.n_critic
    when = training.schedule(config, evaluations=config.evaluations)
    needs = training.needs(config, when, convolutions=arm.convolutional)
    compiled = parallel.compile_step(
        with_noise(method.step, config.noise_seed),
        task.arrays,
        seeds,
        rows,
        mode=config.parallel,
        needs=stored.needs(task.streamed, needs, len(seeds) * rows),
        take=task.take,
    )
    looking = watch.Watch(folder, name, method, task, config, every=when.validate_every)
    orders = seeds if config.order_seed is None else [config.order_seed] * len(seeds)
    # Whole batches only: the last examples sit out.
    index = order.batches(orders, task.size // rows * rows, rows)
    with stored.reading(task.streamed, index, compiled, when.steps) as batches:
        state = training.train(
            folder,
            name,
            compiled,
            begun,
            when,
            batches,
            validate=looking,
            status=looking.status,
        )
    return state.params, looking


def with_noise(step, seed: int | None):
    """The step; where a seed is given, with the noise of that one for all replicas."""
    if seed is None:
        return step

    def alike(state, batch, key, **reductions):
        del key
        return step(state, batch, jax.random.key(seed), **reductions)

    return alike


# --- What is reported ----------------------------------------------------------------------------


def summarize(files: dict, config: Config) -> dict:
    """The room's parts of summary.json, from a run's files."""
    known, measured, arms = page.read_json(files["folder"], "data.json"), {}, config.arms()
    assert known is not None, "written before any arm is trained"
    for name in arms:
        for suffix, found in files["evaluation"][name].items():
            measured |= {f"{name}{suffix}/{path}": values for path, values in found.items()}
    for row, found in files["evaluation"]["truth"].items():
        measured |= {f"{row}/{path}": values for path, values in found.items()}
    methods = {name: method_of(config, name, tuple(known["shape"])) for name in arms}
    when = training.schedule(config, evaluations=config.evaluations)
    spans = watch.windows(config, when.validate_every)
    return {
        "data": config.data,
        "seeds": config.all_seeds,
        "arms": list(arms),
        "recipes": {name: arm.values() for name, arm in arms.items()},
        "modes": known["modes"],
        "mixture": known["mixture"],
        "weights": known["weights"],
        "window": [spans.final[0], spans.final[-1]],
        "intervals": f"{config.seeds} seeds, 95% t intervals over them, cut to the possible range"
        if config.seeds > 1
        else None,
        "metrics": {
            path: figure(path, values, known["modes"]) for path, values in measured.items()
        },
        "claims": judge(measured, config),
        "classifier": files["evaluation"].get("classifier"),
        "notes": notes(config, known, methods, spans),
    }


def figure(path: str, values, modes: int) -> dict:
    """A figure of a row for summary.json: a mean over seeds, or of a row without training over
    draws; ends of intervals lie in the possible range."""
    row, _, name = path.partition("/")
    unit = evaluate.UNITS.get(name, "")
    made = (claims.band if row in ROWS else claims.summarize)(values, unit)
    most = modes if unit == "modes" else math.inf  # Of shares, `summarize` knows.
    least = -math.inf if name == "log_jacobian" else 0.0
    ends = {end: made[end] for end in ("low", "high") if made[end] is not None}
    made |= {end: min(max(value, least), most) for end, value in ends.items()}
    return made | {"better": evaluate.BETTER.get(name)}


def notes(
    config: Config, known: dict, methods: dict[str, Method], spans: watch.Windows
) -> list[str]:
    """What a reader could take for a claim."""
    final, early = (f"{s[0]:,} to {s[-1]:,}" for s in (spans.final, spans.early))
    near, slow = (len(kind & {*spans.final}) for kind in (spans.near, spans.slow))
    lines = [
        f"The row 'truth' is {config.eval_samples} perfect samples through the same measures: the "
        "mean and the range of 95% of draws. A figure beyond it is no merit: a high quality above "
        "the truth's means modes that are too thin.",
        f"An arm's figures are means over the {len(spans.final)} evaluations of a final window, "
        f"steps {final}, fixed before by --window={config.window:g}; those of neighbours and "
        f"slopes over {near} of them, of support, bins and Vendi over {slow}. Rows with @last are "
        f"the last step alone, with @early the mean over steps {early}, with @untrained before "
        "training. No best step was looked for.",
        "Rows that no arm made are controls: 'lost' is perfect samples without a quarter of the "
        "modes, 'thin' such of 0.6 of their width, 'blurred' such of twice the width (of images: "
        "with noise of 0.5), 'noise' uniform noise.",
        "The same latents are measured at every evaluation; slopes of G are in units of the data's "
        "spread.",
        f"Penalties are in units of the data's spread, {known['spread']:.4g} a coordinate here.",
    ]
    if config.is_points:
        lines.append(
            "The points are a file's own, and taken for Gaussians of one sigma: what 'truth' and "
            "the controls are draws of, by which modes and neighbours are judged too. Where the "
            "modes are no such Gaussians, a generator that has learned them differs from 'truth'."
        )
    lines += [f"{name}: {method.note}" for name, method in methods.items() if method.note]
    if known["mixture"] is None:
        lines.append(
            f"A KL hangs on the number of samples: about {(known['modes'] - 1) / 2:.0f}/N for "
            "perfect ones. Modes are named by a classifier trained on this data's training labels."
        )
    return lines


EXPERIMENT = Experiment(
    name="gan",
    title="GAN mode coverage: the collapse, and its remedies",
    config=Config,
    prepare=prepare,
    disk_needed=disk_needed,
    work=work,
    summarize=summarize,
    figures=FIGURES,
    load=load.model,
    about=ABOUT,
    samples=load.samples,
)
