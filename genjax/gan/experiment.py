"""Which modes does a GAN lose, and which remedy keeps them?

Trains one or several recipes ("arms") that differ in the switches named, all seeds of an arm as one
program, watches the modes of a known distribution along training, and holds every measure against
the floor, perfect samples through the same measures.
"""

import math
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax import claims, data
from genjax.core import order, parallel, training
from genjax.core.errors import UsageError
from genjax.core.progress import say
from genjax.gan import evaluate, flow, game, load, watch
from genjax.gan.claims import Figures, judge
from genjax.gan.config import Arm, Config
from genjax.gan.data import Task, mixture_task, stacked_task
from genjax.gan.figures import FIGURES
from genjax.gan.method import Method
from genjax.gan.mixtures import Mixture
from genjax.images import classifier
from genjax.report import page
from genjax.run import Experiment, Run, execute

# A new method is an entry here and in config.METHODS.
METHODS = {"gan": game.method, "flow": flow.method}
# Operations that slopes may take on a CPU, more than an hour of two cores.
MOST_WORK = 3e14


class Job(NamedTuple):
    """What is trained on: a mixture, or the images to stack as (train, valid, test)."""

    config: Config
    mixture: Mixture | None
    splits: dict | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return (*self.splits["train"]["image"].shape[1:3], 3) if self.splits else (2,)


class Size(NamedTuple):
    """Of an arm: numbers of a sample, latents, and numbers that are trained."""

    values: int
    latent: int
    parameters: int


def run(config: Config, folder: str | Path, **how) -> Run:
    """Trains and measures what `config` asks for in a folder, or continues there.

    how: `resume`, `tensorboard` and `compile_cache` of `genjax.run.execute`, which says what is
    raised.
    """
    return execute(EXPERIMENT, config, folder, **how)


def prepare(config: Config) -> Job:
    """Reads the data. Raises UsageError where samples, batch or memory do not fit them."""
    # Both before the first computation.
    # Seeds alone: a batch norm would wait for the other core at every layer.
    parallel.split_cpu(config.seeds, batch_size=1)
    mixture = config.mixture() if config.is_plane else None
    evaluate.check_count(
        config.eval_samples, config.points, 0 if mixture is None else len(mixture.means)
    )
    job = Job(config, mixture, None if mixture else read_images(config))
    parallel.check_batch(config.parallel, config.batch_size)
    for name, arm in config.arms().items():
        method = method_of(config, name, job.shape)
        size = Size(math.prod(job.shape), method.latent, parameters(method))
        parallel.require_memory(memory_needed(config, arm, size))
        check_memory(config, arm, job.shape)
        check_slopes(config, arm, size)
    return job


def read_images(config: Config) -> dict:
    """The grey images that are stacked, as (train, valid, test)."""
    rest = config.data.partition(":")[2]
    splits = data.load(
        rest or "digits",
        seed=config.split_seed,
        tfds_dir=config.tfds_dir,
        tfds_manual_dir=config.tfds_manual_dir,
    )
    channels = splits["train"]["image"].shape[-1]
    if channels != 1:
        raise UsageError(
            f"--data={config.data}: stacks grey images, these have {channels} channels"
        )
    if not (splits["train"]["label"] > 0).any():
        raise UsageError(f"--data={config.data}: without labels no mode has a name")
    return splits


def memory_needed(config: Config, arm: Arm, size: Size) -> dict[str, float]:
    """{flags: bytes, at least} of an arm's data, training and measures."""
    rows, calls = 4.0 * config.batch_size * arm.n_critic, config.seeds * config.steps_per_call
    # Of dense nets: convolutions have widths of their own, and take one seed after the other.
    made, judged, wide = arm.g_width * arm.g_depth, arm.d_width * arm.d_depth, arm.g_width
    seeds = config.seeds
    if arm.convolutional:
        made, judged, wide, seeds = 0, 0, 0, 1
    return {
        "--points or --pack": config.points * arm.pack * (16.0 if config.is_plane else 12.0),
        # Weights, two moments and gradients.
        "--seeds, --generators, --pack, --latent, --g_width, --g_depth, --d_width, --d_depth or "
        "--d_fraction": 16.0 * config.seeds * size.parameters,
        # Real and generated.
        "--batch_size, --n_critic, --pack, --g_width, --g_depth, --d_width, --d_depth or --seeds": 2
        * seeds
        * rows
        * (arm.pack * (size.values + made) + judged),
        "--steps_per_call, --batch_size, --n_critic or --seeds": rows * calls,
        "--eval_samples or --seeds": 4.0 * config.eval_samples * config.seeds * size.values,
        "--latent or --g_width": 4.0
        * evaluate.SLOPES_AT_ONCE
        * size.latent
        * max(wide, size.values),
    }


def check_slopes(config: Config, arm: Arm, size: Size) -> None:
    """Raises UsageError where the slopes of samples by their latents would take hours."""
    passes = watch.WHOLE_EVALUATIONS + 1
    flag = f"--latent={arm.latent}"
    if arm.method == "flow":
        first, *others = arm.flow_steps
        passes = (first * passes + sum(others)) * flow.SOLVERS[arm.solver].evaluations
        flag = f"--flow_steps={','.join(map(str, arm.flow_steps))}"
    work = 2.0 * size.parameters * passes * size.latent * evaluate.LATENTS * config.seeds
    most = MOST_WORK if jax.default_backend() == "cpu" else 1000 * MOST_WORK
    if work > most:
        raise UsageError(
            f"{flag}: slopes of samples by {size.latent:,} latents, {passes:,} passes of the net "
            f"in all, take {work:.0e} operations, hours; at most {most:.0e}: fewer steps, latents, "
            "--seeds or units (--g_width, --g_depth), or smaller images"
        )


def parameters(method: Method) -> int:
    """Numbers that an arm trains."""
    return count(jax.eval_shape(method.init, jax.random.key(0)))


def check_memory(config: Config, arm: Arm, shape) -> None:
    """Raises UsageError where the steps that a generator looks ahead do not fit memory."""
    if not arm.unroll:
        return
    needed = config.seeds * arm.unroll * look_ahead_bytes(config, arm, shape)
    free = parallel.memory_free()
    if needed > free:
        raise UsageError(
            f"--unroll={arm.unroll} with --seeds={config.seeds} needs about "
            f"{needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: fewer seeds or steps"
        )


def look_ahead_bytes(config: Config, arm: Arm, shape) -> float:
    """What one seed keeps of a discriminator step that the generator looks ahead."""
    networks = game.players(config, arm, shape)
    params = jax.eval_shape(networks.init, jax.random.key(0))["discriminator"]
    *sides, last = shape
    last += arm.latent if arm.reconstruction else 0
    judged = (2, config.batch_size, *sides, arm.pack * last)

    def kept(params, x):
        def judge(params, x):
            return networks.discriminate(params, x, parallel.identity, parallel.identity)

        return jax.vjp(judge, params, x)[1]

    on_the_way = jax.eval_shape(kept, params, jax.ShapeDtypeStruct(judged, jnp.float32))
    # Weights, two moments, gradients and theirs; the way forth, back, and back through both.
    return 4.0 * (6 * count(params) + 3 * count(on_the_way))


def count(tree) -> int:
    """Numbers in the arrays of a tree."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def method_of(config: Config, name: str, shape: tuple[int, ...], spread: float = 1.0) -> Method:
    """The method of an arm, for samples of a shape and a spread."""
    arm = config.arms()[name]
    return METHODS[arm.method](config, arm, shape, spread)


def disk_needed(job: Job) -> float:
    """Bytes for checkpoints (three of params and two moments for all seeds) and 100 MB."""
    methods = [method_of(job.config, name, job.shape) for name in job.config.arms()]
    total = sum(map(parameters, methods))
    return 1e8 + 4.0 * 9 * job.config.seeds * total


# --- Training ------------------------------------------------------------------------------------


def work(job: Job, folder, clock) -> None:
    """Trains and measures what the folder does not hold yet."""
    config, arms = job.config, job.config.arms()
    tasks = tasks_of(job, folder)
    task = next(iter(tasks.values()))
    folder.write_json("data.json", facts(job, task))
    if folder.read_json("evaluation/truth.json") is None:
        say(f"the floor: measures of {config.eval_samples} perfect samples, several draws")
        found = evaluate.floor(task, config.eval_samples, config.data_seed)
        folder.write_json("evaluation/truth.json", found)
    for name, arm in arms.items():
        method = method_of(config, name, task.shape, task.spread)
        rows = (name, *(name + suffix for suffix in method.more))
        if all(folder.read_json(f"evaluation/{row}.json") is not None for row in rows):
            continue
        with clock.part("train"):
            params, looking = train(config, folder, name, method, tasks[arm.pack])
        s, cpu = looking.seconds, looking.cpu_seconds
        clock.add(train_s=-s, train_cpu_s=-cpu, evaluate_s=s, evaluate_cpu_s=cpu)
        with clock.part("evaluate"):
            found = watch.last_evaluation(folder, name, config.steps)
            each = parallel.each(params, config.seeds)
            arrays = watch.pictured(method, each, task, job.mixture, samples=config.eval_samples)
            folder.write_arrays(f"arrays/{name}.npz", arrays | watch.snapshots(folder, name))
            for suffix, other in method.more.items():
                more = watch.last_measures(other, each, task, config.all_seeds, config.eval_samples)
                folder.write_json(f"evaluation/{name}{suffix}.json", more)
            folder.write_json(f"evaluation/{name}.json", found)


def tasks_of(job: Job, folder) -> dict[int, Task]:
    """The task by samples a pack; of images their classifier is trained first."""
    config, made, classify = job.config, {}, None
    if job.splits:
        classify, record = classifier.trained(folder, job.splits, config.classifier_steps)
        folder.write_json("evaluation/classifier.json", record)
    for pack in dict.fromkeys(arm.pack for arm in config.arms().values()):
        options = config.points, pack, config.data_seed
        if job.splits and classify:
            splits = job.splits["train"], job.splits["test"]
            made[pack] = stacked_task(*splits, classify, *options)
        else:
            assert job.mixture is not None
            made[pack] = mixture_task(job.mixture, *options)
    return made


def facts(job: Job, task: Task) -> dict:
    """What data.json holds: what networks, claims and figures need to know of the data."""
    mixture = job.mixture
    return {
        "shape": task.shape,
        "spread": task.spread,
        "modes": task.modes,
        "weights": task.weights.tolist(),
        "mixture": mixture and {"means": mixture.means.tolist(), "sigma": mixture.sigma},
    }


def train(config: Config, folder, name: str, method: Method, task: Task):
    """Trains all seeds of an arm, or continues: (params, leaves [seeds, ...], its Watch)."""
    arm, seeds = config.arms()[name], config.all_seeds
    rows = config.batch_size * arm.n_critic
    compiled = parallel.compile_step(
        with_noise(method.step, config.noise_seed),
        task.arrays,
        seeds,
        rows,
        mode=config.parallel,
        how=parallel.plan(convolutions=arm.convolutional, steps_per_call=config.steps_per_call),
        take=task.take,
    )

    def begin(key):
        return method.state(key if config.init_seed is None else jax.random.key(config.init_seed))

    when = training.schedule(config, evaluations=config.evaluations)
    looking = watch.Watch(
        folder,
        name,
        method,
        task,
        seeds,
        steps=config.steps,
        every=when.validate_every,
        samples=config.eval_samples,
    )
    orders = seeds if config.order_seed is None else [config.order_seed] * len(seeds)
    state = training.train(
        folder,
        name,
        compiled,
        training.initial(begin, seeds),
        when,
        # Whole batches only: the last examples sit out.
        order.batches(orders, task.size // rows * rows, rows),
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
    truth = files["evaluation"]["truth"]
    methods = {name: method_of(config, name, tuple(known["shape"])) for name in arms}
    for name, method in methods.items():
        for row in (name, *(name + suffix for suffix in method.more)):
            found = files["evaluation"][row]
            measured |= {f"{row}/{path}": values for path, values in found.items()}
    return {
        "data": config.data,
        "seeds": config.all_seeds,
        "arms": list(arms),
        "recipes": {name: arm.values() for name, arm in arms.items()},
        "modes": known["modes"],
        "mixture": known["mixture"],
        "weights": known["weights"],
        "intervals": f"{config.seeds} seeds, 95% intervals over them, t or for shares Wilson's"
        if config.seeds > 1
        else None,
        "metrics": {path: figure(path, values) for path, values in measured.items()}
        | {f"truth/{path}": figure(f"truth/{path}", values) for path, values in truth.items()},
        "claims": judge(Figures(measured, truth, files["rows"]), config),
        "classifier": files["evaluation"].get("classifier"),
        "notes": notes(config, known, methods),
    }


def figure(path: str, values) -> dict:
    """A figure of an arm, or of perfect samples, for summary.json."""
    row, _, name = path.partition("/")
    unit = evaluate.UNITS.get(name, "")
    summarized = claims.summarize_share if name == "full" else claims.summarize
    made = claims.band(values, unit) if row == "truth" else summarized(values, unit)
    return made | {"better": evaluate.BETTER.get(name)}


def notes(config: Config, known: dict, methods: dict[str, Method]) -> list[str]:
    """What a reader could take for a claim."""
    lines = [
        f"The row 'truth' is {config.eval_samples} perfect samples through the same measures: the "
        "mean and the range of 95% of draws. A figure beyond it is no merit: a high quality above "
        "the truth's means modes that are too thin.",
        "Measured at the last step, whose number was fixed before; no best step was looked for.",
        "The same latents are measured at every evaluation; slopes of G are in units of the data's "
        "spread.",
        f"Penalties are in units of the data's spread, {known['spread']:.4g} a coordinate here.",
    ]
    lines += [f"{name}: {method.note}" for name, method in methods.items() if method.note]
    if known["mixture"] is None:
        lines.append(
            f"A KL hangs on the number of samples: about {(known['modes'] - 1) / 2:.0f}/N for "
            "perfect ones. Modes are named by a classifier trained on this data's training labels."
        )
    if config.seeds < 2:
        lines.append("One seed: no intervals, and every claim is inconclusive.")
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
)
