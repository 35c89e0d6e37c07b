"""What does a VAE buy over an autoencoder, and what does it cost?

Trains autoencoders that differ in one thing each, all seeds of a model as one program, and measures
reconstruction, latent space, samples from several samplers, and likelihood. With --compare it ends
in one table and six claims (genjax/claims/vae.py):

    python experiments/vae.py --flagfile=experiments/flags/vae_digits.flags
"""

import math
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from genjax import claims, data
from genjax.core import environment, parallel, runs, steps
from genjax.core.errors import UsageError
from genjax.images import classifier as classify
from genjax.report import page
from genjax.vae import evaluate, networks, objectives
from genjax.vae.claims import judge
from genjax.vae.samplers import SAMPLERS

MODELS = ("ae", "dae", "rae", "vae", "beta_vae", "iwae", "wae_mmd", "vamp", "hvae", "ladder")
DETERMINISTIC = ("ae", "dae", "rae", "wae_mmd")
# Initialisation and validation look at no more images than this.
FIRST = 1000

_MODEL = flags.DEFINE_enum("model", "vae", MODELS, "The model to train, where --compare is empty.")
_COMPARE = flags.DEFINE_list(
    "compare", [], f"Two or more models, trained alike, for the table and the claims: {MODELS}."
)
_SAMPLERS = flags.DEFINE_list(
    "samplers", ["normal", "gaussian", "gmm", "posterior", "vamp"], "Where latents come from."
)
_DATA = flags.DEFINE_string(
    "data", "digits", "digits (embedded, 8x8), idx:<folder of MNIST-style files> or tfds:<name>."
)
_BINARIZE = flags.DEFINE_enum(
    "binarize",
    "none",
    data.BINARIZATIONS,
    "Grey levels, a threshold at 1/2, binary images drawn anew at every use, or drawn once: four "
    "data sets whose likelihoods must not be compared.",
)
_SPLIT_SEED = flags.DEFINE_integer("split_seed", 0, "Fixes train, valid and test.", lower_bound=0)
_VALID = flags.DEFINE_integer("valid", None, "Images held out of train.", lower_bound=1)
_TFDS_DIR = flags.DEFINE_string("tfds_dir", None, "Where tfds keeps prepared data sets.")
_TFDS_MANUAL_DIR = flags.DEFINE_string(
    "tfds_manual_dir", None, "Folder with the archives of a tfds data set, in place of a download."
)
_ARCH = flags.DEFINE_enum("arch", "mlp", ("mlp", "conv"), "Layers at the pixels.")
_HIDDEN = flags.DEFINE_list("hidden", ["128", "128"], "Widths of the hidden dense layers.")
_CHANNELS = flags.DEFINE_integer("channels", 32, "Of the first convolution.", lower_bound=1)
_ACTIVATION = flags.DEFINE_enum("activation", "relu", ("relu", "tanh", "gelu", "elu"), "Of all.")
_LATENT = flags.DEFINE_integer("latent", 8, "Latents of the lowest layer.", lower_bound=1)
_LAYERS = flags.DEFINE_integer(
    "layers", 2, "Stochastic layers of hvae and ladder, each half as wide.", lower_bound=2
)
_LIKELIHOOD = flags.DEFINE_enum(
    "likelihood", "gaussian", ("bernoulli", "gaussian"), "Of the pixels given the latents."
)
_DECODER_STD = flags.DEFINE_list(
    "decoder_std",
    ["learned"],
    "Standard deviation of the Gaussian decoder in grey levels (0..1): a number, 'learned', or "
    "several, which trains each model with each.",
)
_K = flags.DEFINE_integer("k", 1, "Posterior draws an image; iwae: see --iwae_k.", lower_bound=1)
_IWAE_K = flags.DEFINE_integer("iwae_k", 10, "Importance samples of iwae.", lower_bound=1)
_DREG = flags.DEFINE_bool("dreg", False, "iwae: the doubly reparameterised gradient.")
_BOUND = flags.DEFINE_enum(
    "bound", "elbo", ("elbo", "iwae"), "What vamp, hvae and ladder train; iwae takes --iwae_k."
)
_BETA = flags.DEFINE_float("beta", 4.0, "beta_vae: weight of the rate.", lower_bound=0.0)
_FREE_BITS = flags.DEFINE_float("free_bits", 0.5, "ladder: nats a layer.", lower_bound=0.0)
_PSEUDO_INPUTS = flags.DEFINE_integer("pseudo_inputs", 50, "vamp: components.", lower_bound=1)
_CORRUPTION = flags.DEFINE_float("corruption", 0.2, "dae: std of the input noise.", lower_bound=0.0)
_RAE = flags.DEFINE_enum(
    "rae",
    "l2",
    ("l2", "gp", "sn"),
    "rae: what holds the decoder smooth: its weights' norm, its "
    "gradient's penalty, or spectral norm.",
)
_RAE_LATENT = flags.DEFINE_float("rae_latent", 0.05, "rae: weight of |z|^2 / 2.", lower_bound=0.0)
_RAE_DECODER = flags.DEFINE_float("rae_decoder", 1e-3, "rae: weight of l2 or gp.", lower_bound=0.0)
_MMD_WEIGHT = flags.DEFINE_float("mmd_weight", 100.0, "wae_mmd: of the MMD.", lower_bound=0.0)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Adam's.", lower_bound=0.0)
_SCHEDULE = flags.DEFINE_enum(
    "schedule", "cosine", ("constant", "cosine", "burda"), "Of the learning rate over --steps."
)
_ADAM_EPS = flags.DEFINE_float("adam_eps", 1e-8, "Adam's epsilon.", lower_bound=0.0)
_REDUCTION = flags.DEFINE_enum(
    "reduction", "mean", ("mean", "sum"), "Of the gradient over the batch."
)
_CLASSIFIER_STEPS = flags.DEFINE_integer(
    "classifier_steps", 1000, "Training of the net whose features kFID compares.", lower_bound=1
)
_NLL_SAMPLES = flags.DEFINE_integer(
    "nll_samples", 5000, "Importance samples of the test likelihood.", lower_bound=1
)
runs.define_flags(steps=2000, batch_size=128)
FLAGS = flags.FLAGS


def main():
    begun = time.monotonic()
    clock = environment.CompileClock()
    arms = parse_arms()
    check_samplers(_SAMPLERS.value)
    FLAGS.workdir = FLAGS.workdir or runs.default_workdir("vae")
    environment.enable_compile_cache(FLAGS.compile_cache)
    splits = data.load(
        _DATA.value,
        seed=_SPLIT_SEED.value,
        valid=_VALID.value,
        binarize=_BINARIZE.value,
        tfds_dir=_TFDS_DIR.value,
        tfds_manual_dir=_TFDS_MANUAL_DIR.value,
    )
    size = len(splits["train"]["label"])
    if FLAGS.batch_size > size:
        raise UsageError(f"--batch_size={FLAGS.batch_size}: only {size} training images")
    parallel.check_batch(FLAGS.parallel, FLAGS.batch_size)
    shape = splits["train"]["image"].shape[1:]
    models = {arm: build_model(arm, shape) for arm in arms}
    run = runs.Run(FLAGS.workdir, resume=FLAGS.resume, needed_bytes=disk_needed(models, shape))
    if page.finished(run, runs.say):
        return
    if FLAGS.tensorboard:
        run.open_tensorboard()

    timing = dict.fromkeys(("train_s", "train_cpu_s", "evaluate_s"), 0.0)
    shown = measured_images(splits)
    classifier, record = classify.trained(run, shown, _CLASSIFIER_STEPS.value)
    ref = evaluate.reference(shown, classifier)
    seeds = list(range(FLAGS.seed, FLAGS.seed + FLAGS.seeds))
    found = run.read_json("evaluation/baselines.json")
    if found is None:
        found = baselines(ref)
        run.write_json("evaluation/baselines.json", found)
    for arm, model in models.items():
        cached = run.read_json(f"evaluation/{arm}.json")
        if cached is None:
            started, cpu = time.monotonic(), time.process_time()
            params = train(run, arm, model, splits, seeds)
            timing["train_s"] += time.monotonic() - started
            timing["train_cpu_s"] += time.process_time() - cpu
            started = time.monotonic()
            cached, arrays = measure(arm, model, params, ref, seeds)
            run.write_arrays(f"arrays/{arm}.npz", arrays)
            run.write_json(f"evaluation/{arm}.json", cached)
            timing["evaluate_s"] += time.monotonic() - started
        found |= {f"{arm}/{path}": values for path, values in cached.items()}

    timing |= {"compile_s": clock.seconds, "total_s": time.monotonic() - begun}
    timing |= {"cache_hits": clock.hits, "cache_misses": clock.misses}
    summary = {
        "experiment": "vae",
        "title": "VAE (ELBO) against autoencoder (reconstruction)",
        "data": data.name(_DATA.value, _BINARIZE.value),
        "flags": runs.flag_values(),
        "seeds": seeds,
        "arms": arms,
        "samplers": _SAMPLERS.value,
        "metrics": {
            path: claims.summarize(values, evaluate.unit(path)) for path, values in found.items()
        },
        "claims": judge(found, arms, len(seeds), _SAMPLERS.value) if _COMPARE.value else [],
        "classifier": record,
        "notes": notes(models, found),
        "timing": timing,
    } | environment.describe()
    run.write_json("summary.json", summary)
    page.conclude(run, summary, runs.say)


def parse_arms() -> list[str]:
    """The models to train, `name` or `name@std` where several decoder scales are swept."""
    names = _COMPARE.value or [_MODEL.value]
    for name in names:
        if name not in MODELS:
            raise UsageError(f"--compare={name}: no such model; choices: {', '.join(MODELS)}")
    if len(set(names)) < len(names):
        raise UsageError(f"--compare={','.join(names)}: a model is named twice")
    if _COMPARE.value and len(names) < 2:
        raise UsageError(f"--compare={names[0]}: claims need two models; use --model for one")
    stds = _DECODER_STD.value if _LIKELIHOOD.value == "gaussian" else ["learned"]
    for std in stds:
        if std != "learned" and not _is_positive(std):
            raise UsageError(f"--decoder_std={std}: a positive number or 'learned'")
    if len(set(stds)) < len(stds):
        raise UsageError(f"--decoder_std={','.join(stds)}: a value is named twice")
    if _LIKELIHOOD.value == "bernoulli" and _DECODER_STD.value != ["learned"]:
        raise UsageError(
            f"--decoder_std={','.join(_DECODER_STD.value)}: needs --likelihood=gaussian"
        )
    if not all(width.isdigit() and int(width) for width in _HIDDEN.value):
        raise UsageError(f"--hidden={','.join(_HIDDEN.value)}: positive whole numbers")
    return names if len(stds) == 1 else [f"{name}@{std}" for name in names for std in stds]


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def check_samplers(names: list[str]):
    for name in names:
        if name not in SAMPLERS:
            raise UsageError(f"--samplers={name}: no such sampler; choices: {', '.join(SAMPLERS)}")


def build_model(arm: str, shape: tuple[int, int, int]) -> networks.Model:
    """The network of an arm; what it is trained on is `objective`."""
    name, _, std = arm.partition("@")
    std = std or _DECODER_STD.value[0]
    deep = name in ("hvae", "ladder")
    return networks.build(
        image_shape=shape,
        latent=_LATENT.value,
        layers=_LAYERS.value if deep else 1,
        family={"hvae": "hierarchical", "ladder": "ladder"}.get(name, "flat"),
        deterministic=name in DETERMINISTIC,
        pseudo_inputs=_PSEUDO_INPUTS.value if name == "vamp" else 0,
        arch=_ARCH.value,
        hidden=tuple(int(width) for width in _HIDDEN.value),
        channels=_CHANNELS.value,
        activation=_ACTIVATION.value,
        likelihood=_LIKELIHOOD.value,
        decoder_std=None if std == "learned" else float(std),
        spectral_norm=name == "rae" and _RAE.value == "sn",
        dtype=jnp.dtype(FLAGS.precision),
    )


def objective(name: str, model: networks.Model):
    """What a model minimises, in nats an image."""
    if name == "iwae":
        bound = objectives.dreg_loss if _DREG.value else objectives.iwae_loss
        return bound(model, k=_IWAE_K.value)
    if name in ("vamp", "hvae", "ladder") and _BOUND.value == "iwae":
        return objectives.iwae_loss(model, k=_IWAE_K.value)
    rae = {"latent_weight": _RAE_LATENT.value}
    rae |= {
        "l2": {"decoder_l2": _RAE_DECODER.value},
        "gp": {"decoder_gradient": _RAE_DECODER.value},
    }.get(_RAE.value, {})
    elbo = partial(objectives.elbo_loss, model, k=_K.value)
    return {
        "ae": partial(objectives.reconstruction_loss, model),
        "dae": partial(objectives.reconstruction_loss, model, corruption=_CORRUPTION.value),
        "rae": partial(objectives.reconstruction_loss, model, **rae),
        "wae_mmd": partial(objectives.reconstruction_loss, model, mmd_weight=_MMD_WEIGHT.value),
        "vae": elbo,
        "beta_vae": partial(elbo, beta=_BETA.value),
        "vamp": elbo,
        "hvae": elbo,
        "ladder": partial(elbo, free_bits=_FREE_BITS.value),
    }[name]()


def train(run, arm, model, splits, seeds):
    """Trains all seeds of an arm, or continues; returns params with leaves [seeds, ...]."""
    rate = steps.schedule(_SCHEDULE.value, _LEARNING_RATE.value, FLAGS.steps)
    optimizer = optax.adam(rate, eps=_ADAM_EPS.value)
    loss, dynamic = objective(arm.partition("@")[0], model), _BINARIZE.value == "dynamic"
    prepare = objectives.binarize if dynamic else None
    images = splits["train"]["image"]
    log_every, save_every = runs.intervals(FLAGS.steps, FLAGS.log_every, FLAGS.checkpoint_every)
    state = runs.train(
        run,
        arm,
        steps.training_step(loss, optimizer, reduction=_REDUCTION.value, prepare=prepare),
        lambda key: steps.init_state(model.init(key, images[:FIRST]), optimizer),
        {"image": images},
        seeds=seeds,
        steps=FLAGS.steps,
        batch_size=FLAGS.batch_size,
        log_every=log_every,
        save_every=save_every,
        how=parallel.plan(convolutions=_ARCH.value == "conv", steps_per_call=FLAGS.steps_per_call),
        mode=FLAGS.parallel,
        validate=validation(loss, splits["valid"]["image"][:FIRST], seeds, dynamic),
    )
    return state.params


def validation(loss, images, seeds, dynamic):
    """state -> {"valid_loss": [seeds]}: the training loss on held-out images, the same noise."""
    index = jnp.arange(len(images))

    @jax.jit
    def mean_loss(params, key):
        pixels = objectives.bernoulli_pixels(key, index, images) if dynamic else images
        batch = {"image": pixels, "index": index, "weight": jnp.ones(len(images))}
        return loss(params, batch, key, parallel.identity)[0].mean()

    def validate(state):
        each = [jax.tree.map(lambda leaf, i=i: leaf[i], state.params) for i in range(len(seeds))]
        losses = [mean_loss(p, jax.random.key(seed)) for p, seed in zip(each, seeds, strict=True)]
        return {"valid_loss": jax.device_get(losses)}

    return validate


def measured_images(splits):
    """The images that measures see: `dynamic` binary images are drawn once, by split."""
    if _BINARIZE.value != "dynamic":
        return splits
    draw = jax.jit(objectives.bernoulli_pixels)
    shown = {}
    for number, (name, split) in enumerate(splits.items()):
        key = jax.random.key(number)
        images = parallel.batched(
            partial(draw, key), np.arange(len(split["label"])), split["image"]
        )
        shown[name] = split | {"image": images}
    return shown


def baselines(ref):
    """Measures without training, one value each: PCA, floor, ceiling, and the probe's controls."""
    train, test = ref.splits["train"], ref.splits["test"]
    pca = evaluate.pca_coder(train["image"], _LATENT.value)
    rows = {"pca": evaluate.measure_coder(pca, ref, ["gaussian", "gmm"], 0)[0]}
    rng = np.random.default_rng(0)
    some = rng.permutation(len(train["label"]))[: ref.count]
    noise = rng.random((ref.count, *test["image"].shape[1:]), np.float32)
    for row, images in (("floor", train["image"][some]), ("ceiling", noise)):
        rows[row] = evaluate.measure_samples(images, ref, 0)
    untrained = build_model("ae", test["image"].shape[1:])
    params = untrained.init(jax.random.key(0), train["image"][:FIRST])
    encode = jax.jit(lambda images: untrained.encode(params, images)["mean"])
    controls = {
        "pixels": lambda images: images.reshape(len(images), -1),
        "random": partial(parallel.batched, encode),
    }
    for row, code in controls.items():
        codes = code(train["image"]), train["label"], code(test["image"]), test["label"]
        rows[row] = evaluate.probes(*codes, 0)
    return {f"{row}/{path}": [v] for row, found in rows.items() for path, v in found.items()}


def measure(arm, model, params, ref, seeds):
    """All measures of an arm, a list over seeds by path, and the arrays of its pictures."""
    functions = evaluate.compile_functions(model, _NLL_SAMPLES.value)
    collected, pictures = [], []
    for i, seed in enumerate(seeds):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        coder = evaluate.neural_coder(model, functions, one, ref, seed)
        found, arrays = evaluate.measure_coder(coder, ref, _SAMPLERS.value, seed)
        parts = [evaluate.measure_units(functions, one, ref, seed)]
        if arm.partition("@")[0] not in DETERMINISTIC:
            parts.append(evaluate.measure_posterior(model, functions, one, ref, seed))
        for more, extra in parts:
            found, arrays = found | more, arrays | extra
        if model.log_std:
            found["decoder_std"] = math.exp(model.log_std(one))
        collected.append(found)
        pictures.append(arrays)
        runs.say(f"{arm}: seed {seed} measured")
    arrays = pictures[0]
    for name in ("variances", "kl_units"):
        if name in arrays:
            arrays[name] = np.stack([each[name] for each in pictures])
    return {path: [found[path] for found in collected] for path in collected[0]}, arrays


def notes(models, found):
    """What a reader must know beside the figures."""
    lines = [
        "Samples are decoder means, without pixel noise; sampler fits see training images only.",
        "kFID and kKID compare features of a small classifier trained on this data set: they rank "
        "models within one run, and are not the FID of other papers.",
    ]
    if _LIKELIHOOD.value == "bernoulli" and _BINARIZE.value == "none":
        lines.append("A Bernoulli decoder on grey levels: its 'nats' are a cross-entropy, no NLL.")
    if any(model.log_std for model in models.values()):
        lines.append(
            "Gaussian decoder: NLL is a density over grey levels in [0, 1], and may be negative; "
            "the decoder's standard deviation is a column of the table."
        )
    for arm in models:
        dead = [i for i, units in enumerate(found[f"{arm}/active_units"]) if not units]
        if dead:
            seeds = ", ".join(str(FLAGS.seed + i) for i in dead)
            lines.append(
                f"{arm}, seed {seeds}: no active unit. The posterior collapsed onto the prior; "
                "this is a model of the mean image, not a trained one."
            )
    return lines


def disk_needed(models, shape):
    """Bytes for the checkpoints: three of (params, two moments) for all seeds, and 50 MB."""
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    trees = [jax.eval_shape(m.init, jax.random.key(0), images) for m in models.values()]
    return 5e7 + 4 * 9 * FLAGS.seeds * sum(map(networks.parameter_count, trees))


if __name__ == "__main__":
    runs.launch(main)
