"""Which modes does a GAN lose, and which remedy keeps them?

Trains one or several recipes ("arms") that differ in the switches named, all seeds of an arm as one
program, watches the modes of a known distribution along training, and ends in one table beside the
floor (perfect samples through the same measures) and in claims (genjax/gan/claims.py):

    python experiments/gan.py --flagfile=experiments/flags/gan_ring.flags
"""

import math
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from genjax import claims, data
from genjax.core import environment, order, parallel, runs, variants
from genjax.core.errors import RunError, UsageError
from genjax.gan import evaluate, losses, mixtures, networks_blocks, networks_dense, objectives
from genjax.gan import networks as nets
from genjax.gan.architecture import Architecture
from genjax.gan.claims import judge
from genjax.gan.data import mixture_task, stacked_task
from genjax.images import classifier as classify
from genjax.report import page

# Snapshots for the pictures, spread evenly over training; samples in each.
SNAPSHOTS, SHOWN = 24, 512
# How often the measures that take long are taken, besides at the end.
WHOLE_EVALUATIONS = 5

_ARM = flags.DEFINE_multi_string(
    "arm",
    [],
    "A recipe to compare, 'name' or 'name:flag=value,flag=value': the flags that differ from the "
    "common ones. Repeat it; without it the one arm is what the flags say.",
)
_DATA = flags.DEFINE_string(
    "data",
    "ring8",
    "ring<k>, grid<k> or modes (mixtures of Gaussians); stacked (three 8x8 digits in the channels "
    "of one image: 1000 modes), stacked:idx:<folder> or stacked:tfds:<name>.",
)
_MODES = flags.DEFINE_string("modes", None, "The means of --data=modes: 'x,y;x,y;...'.")
_SIGMA = flags.DEFINE_float("sigma", None, "Standard deviation of a mode.", lower_bound=1e-6)
_IMBALANCE = flags.DEFINE_float(
    "imbalance", 1.0, "Heaviest mode over lightest, geometric in between.", lower_bound=1.0
)
_POINTS = flags.DEFINE_integer("points", 100_000, "Training examples, drawn once.", lower_bound=2)
_DATA_SEED = flags.DEFINE_integer("data_seed", 0, "Draws the training examples.", lower_bound=0)
_INIT_SEED = flags.DEFINE_integer(
    "init_seed", None, "The same initial weights for all replicas.", lower_bound=0
)
_NOISE_SEED = flags.DEFINE_integer(
    "noise_seed",
    None,
    "The same noise for all replicas: a latent follows from it, the step and the example.",
    lower_bound=0,
)
_ORDER_SEED = flags.DEFINE_integer(
    "order_seed", None, "The same order of the examples for all replicas.", lower_bound=0
)
_SPLIT_SEED = flags.DEFINE_integer("split_seed", 0, "stacked: fixes train and test.", lower_bound=0)
_TFDS_DIR = flags.DEFINE_string("tfds_dir", None, "Where tfds keeps prepared data sets.")
_TFDS_MANUAL_DIR = flags.DEFINE_string(
    "tfds_manual_dir", None, "Folder with the archives of a tfds data set, in place of a download."
)
_CLASSIFIER_STEPS = flags.DEFINE_integer(
    "classifier_steps", 1000, "stacked: training of the net that names modes.", lower_bound=1
)
_EVAL_SAMPLES = flags.DEFINE_integer("eval_samples", 2500, "Samples measured.", lower_bound=1)
_EVALUATIONS = flags.DEFINE_integer("evaluations", 50, "Along training.", lower_bound=1)
_EARLY = flags.DEFINE_float(
    "early", 0.2, "Share of the steps that claim G5 calls early.", lower_bound=0.01, upper_bound=0.9
)

# The recipe: what --arm may change.
flags.DEFINE_enum("loss", "ns", sorted(losses.ADVERSARIAL), "Of both players; see losses.py.")
flags.DEFINE_float("r1", 0.0, "Gamma of the gradient penalty on real samples.", lower_bound=0.0)
flags.DEFINE_float("r2", 0.0, "The same on generated samples.", lower_bound=0.0)
flags.DEFINE_float("gp", 0.0, "Weight of WGAN-GP's penalty.", lower_bound=0.0)
flags.DEFINE_float(
    "penalty_scale",
    1.0,
    "Length in which penalties take gradients, in units of the data's spread.",
    lower_bound=1e-6,
)
flags.DEFINE_integer(
    "pack",
    1,
    "Samples the discriminator judges together; --batch_size counts packs.",
    lower_bound=1,
)
flags.DEFINE_integer("unroll", 0, "Discriminator steps looked ahead.", lower_bound=0)
flags.DEFINE_integer("n_critic", 1, "Discriminator steps a generator step.", lower_bound=1)
flags.DEFINE_enum(
    "updates",
    "simultaneous",
    ("simultaneous", "alternating"),
    "Both players from the same point, or the discriminator first.",
)
flags.DEFINE_float("ema", 0.0, "Decay of the generator's average.", lower_bound=0, upper_bound=1)
flags.DEFINE_float("reconstruction", 0.0, "VEEGAN: latent error's weight.", lower_bound=0.0)
flags.DEFINE_integer("generators", 1, "MGAN: generators in the mixture.", lower_bound=1)
flags.DEFINE_float("diversity", 1.0, "MGAN: weight of the classifier.", lower_bound=0.0)
flags.DEFINE_integer(
    "resample",
    1,
    "Proposals of which a sample is one, chosen by a density ratio learned alongside; 1: none.",
    lower_bound=1,
    upper_bound=evaluate.PROPOSALS,
)
flags.DEFINE_bool("spectral_norm", False, "Discriminator's kernels of norm about 1.")
flags.DEFINE_enum(
    "minibatch", "none", networks_blocks.MINIBATCH, "Batch features in the discriminator."
)
flags.DEFINE_enum(
    "arch",
    "mlp",
    list(nets.PAIRS),
    "dcgan, metz: convolutions of fixed widths and depths, batch norm in G, images only.",
)
flags.DEFINE_integer("latent", 2, "Size of the latent, N(0, I).", lower_bound=1)
flags.DEFINE_integer("g_width", 128, "Generator's hidden units.", lower_bound=1)
flags.DEFINE_integer("g_depth", 2, "Generator's hidden layers.", lower_bound=1)
flags.DEFINE_enum("g_layer", "relu", networks_dense.LAYERS, "Generator's layers.")
flags.DEFINE_bool("g_skip", False, "A linear path from its latents to its samples.")
flags.DEFINE_bool("g_norm", False, "Batch norm in the generator.")
flags.DEFINE_integer("d_width", 128, "Discriminator's hidden units.", lower_bound=1)
flags.DEFINE_integer("d_depth", 2, "Discriminator's hidden layers.", lower_bound=1)
flags.DEFINE_enum("d_layer", "leaky_relu", networks_dense.LAYERS, "Discriminator's layers.")
flags.DEFINE_bool("d_norm", False, "Batch norm in the discriminator.")
flags.DEFINE_float("d_fraction", 1.0, "Channels of a convolutional one.", lower_bound=0.01)
flags.DEFINE_float(
    "d_fourier", 0.0, "Finest wavelength of its input waves, in spreads; 0: none.", lower_bound=0.0
)
flags.DEFINE_float("init_std", 0.0, "Of all kernels; 0: 1/sqrt(fan_in).", lower_bound=0.0)
flags.DEFINE_float("learning_rate", 1e-3, "Generator's, Adam.", lower_bound=0.0)
flags.DEFINE_float(
    "d_learning_rate", 0.0, "Discriminator's and density ratio's; 0: the same.", lower_bound=0.0
)
flags.DEFINE_enum(
    "schedule", "constant", ("constant", "cosine"), "Of both players' rates over --steps."
)
flags.DEFINE_float("beta1", 0.5, "Adam's.", lower_bound=0.0, upper_bound=0.9999)
flags.DEFINE_float("beta2", 0.999, "Adam's.", lower_bound=0.0, upper_bound=0.99999)
RECIPE = (
    "loss", "r1", "r2", "gp", "penalty_scale", "pack", "unroll", "n_critic", "updates", "ema",
    "reconstruction", "generators", "diversity", "resample", "spectral_norm", "minibatch", "arch",
    "latent", "g_width", "g_depth", "g_layer", "g_skip", "g_norm", "d_width", "d_depth",
    "d_layer", "d_norm", "d_fraction", "d_fourier", "init_std", "learning_rate",
    "d_learning_rate", "schedule", "beta1", "beta2",
)  # fmt: skip
runs.define_flags(steps=10_000, batch_size=128)
FLAGS = flags.FLAGS


def main():
    begun = time.monotonic()
    clock = environment.CompileClock()
    images = None if mixtures.is_mixture(_DATA.value) else _DATA.value
    # Seeds alone: a batch norm would wait for the other core at every layer.
    parallel.split_cpu(FLAGS.seeds, batch_size=1)
    arms = parse_arms(images is not None)
    FLAGS.workdir = FLAGS.workdir or runs.default_workdir("gan")
    environment.enable_compile_cache(FLAGS.compile_cache)
    seeds = list(range(FLAGS.seed, FLAGS.seed + FLAGS.seeds))
    mixture = None if images else read_mixture()
    evaluate.check_count(_EVAL_SAMPLES.value, FLAGS.points, 0 if images else len(mixture.means))
    splits = read_images() if images else None
    shape = (*splits["train"]["image"].shape[1:3], 3) if images else (2,)
    check_sizes(arms, shape)
    run = runs.Run(FLAGS.workdir, resume=FLAGS.resume, needed_bytes=disk_needed(arms, shape))
    if page.finished(run, runs.say):
        return
    if FLAGS.tensorboard:
        run.open_tensorboard()

    timing = dict.fromkeys(("train_s", "train_cpu_s", "evaluate_s"), 0.0)
    record, tasks = None, {}
    if images:
        classifier, record = classify.trained(run, splits, _CLASSIFIER_STEPS.value)
    for recipe in arms.values():
        if recipe["pack"] not in tasks:
            options = FLAGS.points, recipe["pack"], _DATA_SEED.value
            tasks[recipe["pack"]] = (
                stacked_task(splits["train"], splits["test"], classifier, *options)
                if images
                else mixture_task(mixture, *options)
            )
    task = next(iter(tasks.values()))
    truth = run.read_json("evaluation/truth.json")
    if truth is None:
        runs.say(f"the floor: measures of {_EVAL_SAMPLES.value} perfect samples, several draws")
        truth = evaluate.floor(task, _EVAL_SAMPLES.value, _DATA_SEED.value)
        run.write_json("evaluation/truth.json", truth)
    found = {}
    for arm, recipe in arms.items():
        cached = run.read_json(f"evaluation/{arm}.json")
        if cached is None:
            started, cpu = time.monotonic(), time.process_time()
            networks = build(recipe, task.shape, task.spread)
            state, looking = train(run, arm, recipe, networks, tasks[recipe["pack"]], seeds)
            timing["train_s"] += time.monotonic() - started - looking["s"]
            timing["train_cpu_s"] += time.process_time() - cpu - looking["cpu_s"]
            started = time.monotonic() - looking["s"]
            cached = last_evaluation(run, arm)
            arrays = pictured(networks, step_recipe(recipe, task), state.params, task, mixture)
            run.write_arrays(f"arrays/{arm}.npz", arrays | snapshots(run, arm))
            run.write_json(f"evaluation/{arm}.json", cached)
            timing["evaluate_s"] += time.monotonic() - started
        found |= {f"{arm}/{path}": values for path, values in cached.items()}
    summary = {
        "experiment": "gan",
        "title": "GAN mode coverage: the collapse, and its remedies",
        "data": _DATA.value,
        "flags": runs.flag_values(),
        "seeds": seeds,
        "arms": list(arms),
        "recipes": arms,
        "modes": task.modes,
        "mixture": mixture and {"means": mixture.means.tolist(), "sigma": mixture.sigma},
        "weights": task.weights.tolist(),
        "intervals": f"{FLAGS.seeds} seeds, 95% intervals over them, t or for shares Wilson's"
        if FLAGS.seeds > 1
        else None,
        "metrics": {path: summarize(path, values) for path, values in found.items()}
        | {f"truth/{path}": claims.band(v, unit(path)) for path, v in truth.items()},
        "claims": judge(arms, found, truth, run.rows(), steps=FLAGS.steps, early=_EARLY.value),
        "classifier": record,
        "notes": notes(arms, task),
        "timing": timing
        | {"compile_s": clock.seconds, "total_s": time.monotonic() - begun}
        | {"cache_hits": clock.hits, "cache_misses": clock.misses},
    } | environment.describe()
    run.write_json("summary.json", summary)
    page.conclude(run, summary, runs.say)


# --- What is asked for ---------------------------------------------------------------------------


def parse_arms(images: bool) -> dict[str, dict]:
    """{name: recipe}: the common flags, and what each --arm changes."""
    found = variants.parse(_ARM.value or ["gan"], RECIPE)
    for text, recipe in zip(_ARM.value or ["the flags"], found.values(), strict=True):
        check_recipe(f"--arm={text}" if _ARM.value else text, recipe, images)
    return found


def check_recipe(where: str, recipe: dict, images: bool):
    """Raises UsageError where switches contradict each other."""
    mlp, loss = recipe["arch"] == "mlp", losses.ADVERSARIAL[recipe["loss"]]
    for wrong, text in (
        (
            loss.lipschitz and not (recipe["gp"] or recipe["spectral_norm"]),
            f"--loss={recipe['loss']} needs a Lipschitz critic, --gp=10 or --spectral_norm; "
            "without, its loss has no bound",
        ),
        (
            recipe["gp"] and (recipe["r1"] or recipe["r2"]),
            "--gp asks for slopes of norm 1, --r1 and --r2 for slopes of 0; choose one",
        ),
        (
            (recipe["gp"] or recipe["r1"] or recipe["r2"])
            and (recipe["d_norm"] or recipe["minibatch"] != "none"),
            "a gradient penalty needs a logit that depends on its own sample alone; drop --d_norm "
            "and --minibatch, or the penalty",
        ),
        (
            loss.lipschitz
            and not recipe["gp"]
            and (recipe["d_fourier"] or recipe["d_norm"] or recipe["minibatch"] != "none"),
            f"--loss={recipe['loss']}: --spectral_norm bounds the slopes of kernels alone; drop "
            "--d_fourier, --d_norm and --minibatch",
        ),
        (
            recipe["n_critic"] > 1 and recipe["updates"] == "simultaneous",
            f"--n_critic={recipe['n_critic']} needs --updates=alternating",
        ),
        (recipe["ema"] >= 1, f"--ema={recipe['ema']}: a decay below 1"),
        (
            recipe["reconstruction"] and (images or not mlp or recipe["generators"] > 1),
            "--reconstruction is built for one generator of points in the plane",
        ),
        (recipe["g_skip"] and not mlp, f"--g_skip: not built for --arch={recipe['arch']}"),
        (recipe["d_fourier"] and not mlp, f"--d_fourier: not built for --arch={recipe['arch']}"),
        (
            recipe["d_fraction"] != 1 and mlp,
            f"--d_fraction={recipe['d_fraction']}: of channels; --arch=mlp has --d_width",
        ),
        (not mlp and not images, f"--arch={recipe['arch']} makes images; use --data=stacked"),
    ):
        if wrong:
            raise UsageError(f"{where}: {text}")


def check_sizes(arms, shape):
    """Raises UsageError where batch, points or memory do not fit."""
    parallel.check_batch(FLAGS.parallel, FLAGS.batch_size)
    for arm, recipe in arms.items():
        rows = FLAGS.batch_size * recipe["n_critic"]
        if rows > FLAGS.points:
            raise UsageError(
                f"--points={FLAGS.points}: fewer than the {rows} packs a step of {arm} takes"
            )
        if recipe["unroll"]:
            needed = FLAGS.seeds * recipe["unroll"] * look_ahead_bytes(recipe, shape)
            free = parallel.memory_free()
            if needed > free:
                raise UsageError(
                    f"--unroll={recipe['unroll']} with --seeds={FLAGS.seeds} needs about "
                    f"{needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: fewer seeds or steps"
                )


def look_ahead_bytes(recipe: dict, shape) -> float:
    """What one seed keeps of a discriminator step that the generator looks ahead."""
    networks = build(recipe, shape)
    params = jax.eval_shape(networks.init, jax.random.key(0))["discriminator"]
    *sides, last = shape
    last += recipe["latent"] if recipe["reconstruction"] else 0
    judged = (2, FLAGS.batch_size, *sides, recipe["pack"] * last)

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


def read_mixture() -> mixtures.Mixture:
    return mixtures.mixture(
        _DATA.value, modes=_MODES.value, sigma=_SIGMA.value, imbalance=_IMBALANCE.value
    )


def read_images() -> dict:
    source, _, rest = _DATA.value.partition(":")
    if source != "stacked":
        raise UsageError(
            f"--data={_DATA.value}: no such task, choose {mixtures.EXAMPLES}, stacked, "
            "stacked:idx:<folder> or stacked:tfds:<name>"
        )
    for flag in (_MODES, _SIGMA, _IMBALANCE):
        if flag.value != flag.default:
            raise UsageError(f"--{flag.name}={flag.value}: needs a mixture, not --data=stacked")
    splits = data.load(
        rest or "digits",
        seed=_SPLIT_SEED.value,
        tfds_dir=_TFDS_DIR.value,
        tfds_manual_dir=_TFDS_MANUAL_DIR.value,
    )
    channels = splits["train"]["image"].shape[-1]
    if channels != 1:
        raise UsageError(
            f"--data={_DATA.value}: stacks grey images, these have {channels} channels"
        )
    if not (splits["train"]["label"] > 0).any():
        raise UsageError(f"--data={_DATA.value}: without labels no mode has a name")
    return splits


# --- Training ------------------------------------------------------------------------------------


def build(recipe: dict, shape, spread: float = 1.0) -> nets.Networks:
    """The networks of a recipe, for samples of a shape and a spread."""
    names = (
        "latent", "pack", "generators", "arch", "g_width", "g_depth", "g_layer", "g_skip",
        "g_norm", "d_width", "d_depth", "d_layer", "d_norm", "d_fraction", "init_std",
        "spectral_norm", "minibatch",
    )  # fmt: skip
    architecture = Architecture(
        shape=shape,
        reconstructor=recipe["reconstruction"] > 0,
        ratio=recipe["resample"] > 1,
        squash="none" if len(shape) == 1 else "tanh",
        dtype=jnp.dtype(FLAGS.precision),
        d_fourier=recipe["d_fourier"] * spread,
        **{name: recipe[name] for name in names},
    )
    return nets.build(architecture)


def step_recipe(recipe: dict, task) -> objectives.Recipe:
    """The switches that the step itself takes."""
    names = (
        "r1", "r2", "gp", "pack", "unroll", "n_critic", "ema", "reconstruction", "generators",
        "diversity", "resample",
    )  # fmt: skip
    return objectives.Recipe(
        loss=losses.ADVERSARIAL[recipe["loss"]],
        scale=recipe["penalty_scale"] * task.spread,
        simultaneous=recipe["updates"] == "simultaneous",
        **{name: recipe[name] for name in names},
    )


def train(run, arm, recipe, networks, task, seeds):
    """Trains all seeds of an arm, or continues: (state, leaves [seeds, ...], time of measures)."""
    how_to = step_recipe(recipe, task)
    optimizers = objectives.optimizers(
        how_to,
        recipe["learning_rate"],
        recipe["d_learning_rate"] or recipe["learning_rate"],
        (recipe["beta1"], recipe["beta2"]),
        schedule=recipe["schedule"],
        steps=FLAGS.steps,
    )

    def init(key):
        if _INIT_SEED.value is not None:
            key = jax.random.key(_INIT_SEED.value)
        return objectives.init_state(key, networks, how_to, optimizers)

    step = objectives.adversarial_step(networks, how_to, optimizers)
    if _NOISE_SEED.value is not None:
        inner = step

        def step(state, batch, key, **reductions):
            del key
            return inner(state, batch, jax.random.key(_NOISE_SEED.value), **reductions)

    orders = seeds if _ORDER_SEED.value is None else [_ORDER_SEED.value] * len(seeds)
    log_every, evaluate_every = runs.looks(FLAGS.steps, _EVALUATIONS.value, FLAGS.log_every)
    log_every, save_every = runs.intervals(FLAGS.steps, log_every, FLAGS.checkpoint_every)
    watch = Watch(run, arm, how_to, networks, task, seeds, evaluate_every)
    rows = FLAGS.batch_size * recipe["n_critic"]
    state = runs.train(
        run,
        arm,
        step,
        init,
        task.arrays,
        seeds=seeds,
        steps=FLAGS.steps,
        batch_size=rows,
        # Whole batches only: the last examples sit out.
        batches=order.batches(orders, task.size // rows * rows, rows),
        take=task.take,
        log_every=log_every,
        save_every=save_every,
        how=parallel.plan(
            convolutions=recipe["arch"] != "mlp", steps_per_call=FLAGS.steps_per_call
        ),
        mode=FLAGS.parallel,
        validate=watch,
        validate_every=evaluate_every,
        status=watch.status,
    )
    return state, watch.timing


def one_seed(tree, i: int):
    """The i-th replica of a tree with leaves [seeds, ...]."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


class Watch:
    """Measures every seed along training, keeps snapshots, and sounds the alarm.

    Raises RunError where samples are not finite.
    """

    def __init__(self, run, arm, recipe, networks, task, seeds, every):
        self.run, self.arm, self.task, self.seeds = run, arm, task, seeds
        self.sample = evaluate.sampler(networks, recipe, _EVAL_SAMPLES.value)
        self.log_slopes = evaluate.sensitivity(networks, recipe, task, evaluate.log_norm)
        self.every_snapshot = every * max(1, FLAGS.steps // every // SNAPSHOTS)
        self.every_whole = every * -(-(FLAGS.steps // every) // WHOLE_EVALUATIONS)
        self.text, self.timing = "", {"s": 0.0, "cpu_s": 0.0}

    def __call__(self, state):
        started, cpu = time.monotonic(), time.process_time()
        measures = self.measure(state)
        now = dict(zip(self.seeds, measures["modes"], strict=True))
        lost = evaluate.fallen(evaluations(self.run, self.arm), now, self.task.modes)
        self.text = f"modes {np.mean(list(now.values())):.1f} of {self.task.modes}"
        if lost:
            self.text += f", COLLAPSE: seed {', '.join(map(str, lost))} lost modes"
        self.timing["s"] += time.monotonic() - started
        self.timing["cpu_s"] += time.process_time() - cpu
        return measures

    def measure(self, state):
        """{measure: [seeds]}, the slow ones now and then; snapshots on the way."""
        params = [one_seed(state.params, i) for i in range(len(self.seeds))]
        found = [self.sample(one) for one in params]
        step = int(state.step[0])
        for x, seed in zip(found, self.seeds, strict=True):
            if not np.isfinite(x).all():
                raise RunError(f"{self.arm}: samples are not finite after step {step}, seed {seed}")
        measures = [self.task.quick(x) for x in found]
        if step % self.every_whole == 0 or step == FLAGS.steps:
            for row, x, one, seed in zip(measures, found, params, self.seeds, strict=True):
                row |= self.task.slow(x, seed) | {"contrast": evaluate.contrast(self.task, x)}
                row["log_jacobian"] = float(self.log_slopes(one).mean())
        if step % self.every_snapshot == 0 or step == FLAGS.steps:
            shown = SHOWN if len(self.task.shape) == 1 else 36
            self.run.write_arrays(
                f"snapshots/{self.arm}/{step:09d}.npz",
                {"samples": np.stack([x[:shown] for x in found])},
            )
        return {name: [row[name] for row in measures] for name in measures[0]}

    def status(self) -> str:
        """What the line of progress adds."""
        return self.text


def evaluations(run, arm) -> list[dict]:
    """The rows of metrics.jsonl in which an arm's samples were measured."""
    return [row for row in run.rows() if row["arm"] == arm and "modes" in row]


def snapshots(run, arm) -> dict[str, np.ndarray]:
    """{"snapshot_steps" [t], "snapshots" [t, seeds, shown, *shape]} of a trained arm."""
    paths = sorted((run.folder / "snapshots" / arm).glob("*.npz"))
    return {
        "snapshot_steps": np.array([int(path.stem) for path in paths]),
        "snapshots": np.stack([np.load(path)["samples"] for path in paths]),
    }


# --- What a trained arm is judged and shown by ---------------------------------------------------


def last_evaluation(run, arm) -> dict[str, list[float]]:
    """{measure: [seeds]} at the last step."""
    rows = sorted(
        (row for row in evaluations(run, arm) if row["step"] == FLAGS.steps),
        key=lambda row: row["seed"],
    )
    names = [name for name in rows[0] if name not in ("arm", "seed", "step")]
    if "recall" not in names:
        raise UsageError(
            f"--workdir={run.folder}: another version of genjax trained {arm}; choose a new one"
        )
    return {name: [row[name] for row in rows] for name in names}


def pictured(networks, recipe, params, task, mixture) -> dict[str, np.ndarray]:
    """Arrays of the pictures: samples, their modes, slopes of G, D's landscape."""
    sample = evaluate.sampler(networks, recipe, _EVAL_SAMPLES.value)
    # Singular values of images' Jacobians take long; of a hundred latents they fill a histogram.
    singular_values = partial(jnp.linalg.svd, compute_uv=False)
    slopes = evaluate.sensitivity(networks, recipe, task, singular_values, count=100)
    arrays = {}
    for i in range(FLAGS.seeds):
        one = one_seed(params, i)
        found = sample(one)
        arrays.setdefault("samples", []).append(found[:SHOWN])
        arrays.setdefault("singular_values", []).append(slopes(one))
        if mixture is None:
            arrays.setdefault("mode", []).append(task.names(found))
    arrays = {name: np.stack(values) for name, values in arrays.items()}
    if mixture is not None:
        arrays |= evaluate.landscape(networks, recipe, one_seed(params, 0), task, mixture)
    return arrays


def unit(path: str) -> str:
    """The unit of a measure."""
    return evaluate.UNITS.get(path.split("/")[-1], "")


def summarize(path: str, values) -> dict:
    """A figure of an arm for summary.json."""
    as_share = claims.summarize_share if path.endswith("/full") else claims.summarize
    return as_share(values, unit(path))


def notes(arms, task) -> list[str]:
    """What a reader could take for a claim."""
    lines = [
        f"The row 'truth' is {_EVAL_SAMPLES.value} perfect samples through the same measures: the "
        "mean and the range of 95% of draws. A figure beyond it is no merit: a high quality above "
        "the truth's means modes that are too thin.",
        "Measured at the last step, whose number was fixed before; no best step was looked for.",
        "The same latents are measured at every evaluation; slopes of G are in units of the data's "
        "spread.",
        f"Penalties are in units of the data's spread, {task.spread:.4g} a coordinate here.",
    ]
    chosen = {arm: recipe["resample"] for arm, recipe in arms.items() if recipe["resample"] > 1}
    for arm, proposals in chosen.items():
        lines.append(
            f"A sample of {arm} is one of {proposals} proposals of its generator, drawn by a "
            "density ratio learned alongside; its slopes of G are those of the generator alone."
        )
    if "image" in task.arrays:
        lines.append(
            f"A KL hangs on the number of samples: about {(task.modes - 1) / 2:.0f}/N for perfect "
            "ones. Modes are named by a classifier trained on this data's training labels."
        )
    if FLAGS.seeds < 2:
        lines.append("One seed: no intervals, and every claim is inconclusive.")
    return lines


def disk_needed(arms, shape) -> float:
    """Bytes for checkpoints (three of params and two moments for all seeds) and 100 MB."""
    total = sum(
        count(jax.eval_shape(build(recipe, shape).init, jax.random.key(0)))
        for recipe in arms.values()
    )
    return 1e8 + 4.0 * 9 * FLAGS.seeds * total


if __name__ == "__main__":
    runs.launch(main)
