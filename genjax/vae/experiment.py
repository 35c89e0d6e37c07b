"""What does a VAE buy over an autoencoder, and what does it cost?

Trains autoencoders that differ in one thing each, all seeds of an arm as one program, and measures
reconstruction, latent space, samples from several samplers, and likelihood.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax import claims, data
from genjax.core import machine, parallel, processes
from genjax.core.beside import on_cores
from genjax.core.errors import UsageError
from genjax.core.progress import say
from genjax.images import classifier, distances
from genjax.report import page
from genjax.run import Experiment, Run, execute
from genjax.vae import evaluate, latents, load, networks, objectives, training
from genjax.vae.about import ABOUT
from genjax.vae.architecture import Architecture
from genjax.vae.claims import judge
from genjax.vae.config import Config
from genjax.vae.figures import FIGURES
from genjax.vae.models import MODELS
from genjax.vae.notes import notes


class Job(NamedTuple):
    """What is trained: a network an arm, on images; what is measured: the data as splits.

    images: to train on, float32 [n, h, w, c], or `data.rows.Rows` of them. splits: train, valid and
    test as measures see them.
    """

    config: Config
    images: Any
    splits: dict
    models: dict[str, networks.Model]
    checksum: str


def run(config: Config, folder: str | Path, **how) -> Run:
    """Trains and measures what `config` asks for in a folder, or continues there.

    how: `resume`, `writers`, `live`, `compile_cache`, `platform` and `profile` of
    `genjax.run.execute`, which says what is raised.
    """
    return execute(EXPERIMENT, config, folder, **how)


def prepare(config: Config) -> Job:
    """Reads the data and builds the networks. Raises UsageError where they do not fit."""
    # Before the first computation. Seeds alone share the cores: of one all take the whole batch.
    machine.split_cpu(config.seeds, batch_size=1)
    parts = data.load(
        config.data,
        seed=config.split_seed,
        valid=config.valid,
        binarize=config.binarize,
        tfds_dir=config.tfds_dir,
        tfds_manual_dir=config.tfds_manual_dir,
        image_size=config.image_size,
        colour=config.colour,
        input=config.input,
    )
    splits = data.measured(parts)
    size = len(parts["train"]["label"])
    if config.batch_size > size:
        line = f"at most {size}, as many as there are images to train on"
        raise UsageError(f"--batch_size={config.batch_size}: {line}")
    machine.check_batch(config.parallel, config.batch_size)
    shape = splits["train"]["image"].shape[1:]
    models = {name: network(config, name, shape) for name in config.arms()}
    sums = data.checksum(array for part in splits.values() for array in part.values())
    job = Job(config, parts["train"]["image"], splits, models, sums)
    machine.require_memory(memory_needed(job), config, config.arms().values())
    return job


def network(config: Config, name: str, shape) -> networks.Model:
    """The network of an arm for images of a shape [h, w, c]; its loss is in `models`."""
    arm = config.arms()[name]
    architecture = Architecture(
        image_shape=shape,
        latent=arm.latent,
        deterministic=arm.deterministic,
        arch=arm.arch,
        hidden=arm.hidden,
        channels=arm.channels,
        activation=arm.activation,
        likelihood=arm.likelihood,
        decoder_std=config.decoder_scale(name),
        dtype=jnp.dtype(config.precision),
        **MODELS[arm.model].network(arm),
    )
    return networks.build(architecture)


def parameters(job: Job) -> list[int]:
    """Of each model."""
    shape = job.splits["train"]["image"].shape[1:]
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    trees = [jax.eval_shape(m.init, jax.random.key(0), images) for m in job.models.values()]
    return list(map(networks.parameter_count, trees))


def memory_needed(job: Job) -> dict[str, float]:
    """{flags: bytes, at least} of the largest model in training, and of its likelihood."""
    config, pixels = job.config, math.prod(job.splits["train"]["image"].shape[1:])
    held = [
        # Of an image: what each draw makes, hidden units and pixels, and a mixture's densities.
        (machine.at_once(config.seeds) if arm.arch == "mlp" else 1)
        * (
            MODELS[arm.model].draws(arm) * (sum(arm.hidden) + pixels)
            + MODELS[arm.model].network(arm).get("pseudo_inputs", 0) * arm.latent
        )
        for arm in config.arms().values()
    ]
    return {
        # Weights, two moments and gradients.
        "--hidden, --latent, --layers, --channels, --pseudo_inputs or --seeds": 16.0
        * config.seeds
        * max(parameters(job)),
        "--k, --iwae_k, --pseudo_inputs, --hidden or --batch_size": 4.0
        * config.batch_size
        * max(held),
        "--steps_per_call, --batch_size or --seeds": 4.0
        * config.seeds
        * config.batch_size
        * config.steps_per_call,
        "--nll_samples": 2 * 4.0 * 100 * config.nll_samples,
    }


def disk_needed(job: Job) -> float:
    """Bytes for the checkpoints: three of (params, two moments) for all seeds, and 50 MB."""
    return 5e7 + 4 * 9 * job.config.seeds * sum(parameters(job))


def work(job: Job, folder, clock) -> None:
    """Trains and measures what the folder does not hold yet."""
    config = job.config
    facts = {"image_shape": job.splits["train"]["image"].shape[1:], "checksum": job.checksum}
    folder.write_json("data.json", facts | {"classes": data.classes(config.data)})
    shown = measured_images(config, job.splits)
    with clock.part("train"):
        classify, record = classifier.trained(folder, shown, config.classifier_steps)
    folder.write_json("evaluation/classifier.json", record)
    with clock.part("evaluate"), latents.short_of_convergence():
        ref = evaluate.reference(shown, classify)
        if folder.read_json("evaluation/baselines.json") is None:
            folder.write_json("evaluation/baselines.json", baselines(job, ref))
    for name, model in job.models.items():
        if folder.read_json(f"evaluation/{name}.json") is not None:
            continue
        with clock.part("train"):
            params = training.train(job, folder, name)
        with clock.part("evaluate"), latents.short_of_convergence():
            found, arrays = measure(job, name, params, ref)
            if model.log_std:
                stds = [math.exp(model.log_std(one)) for one in parallel.each(params, config.seeds)]
                found["decoder_std"] = stds
            folder.write_arrays(f"arrays/{name}.npz", arrays)
            folder.write_json(f"evaluation/{name}.json", found)


def measured_images(config: Config, splits: dict) -> dict:
    """The images that measures see: `dynamic` binary images are drawn once, by split."""
    if config.binarize != "dynamic":
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


def baselines(job: Job, ref) -> dict[str, list[float]]:
    """Measures without training: PCA, new images, noise, pixels; by seed what no step trained."""
    config, train, test = job.config, ref.splits["train"], ref.splits["test"]

    def pca():
        coder = evaluate.pca_coder(train["image"], config.latent)
        return evaluate.measure_coder(coder, ref, ["gaussian", "gmm"], 0)[0]

    def noise():
        shape = (ref.compared, *test["image"].shape[1:])
        return evaluate.measure_samples(np.random.default_rng(0).random(shape, np.float32), ref, 0)

    def mean():
        same = np.broadcast_to(train["image"].mean(0), test["image"].shape)
        return distances.reconstruction_errors(test["image"], same)

    rows = {
        "pca": pca,
        "noise": noise,
        "floor": lambda: evaluate.measure_floor(ref),
        "mean": mean,
        "pixels": lambda: probed(ref, lambda images: images.reshape(len(images), -1), 0),
    }
    makes = [*rows.values(), *untrained(job, ref)]
    made = on_cores(lambda make: make(), makes)
    found = {}
    for row, one in zip(rows, made, strict=False):
        found |= {f"{row}/{path}": [value] for path, value in one.items()}
    every = made[len(rows) :]
    return found | {path: [one[path] for one in every] for path in every[0]}


def probed(ref, code, seed: int) -> dict[str, float]:
    """What the probes read from codes that `code` makes of images."""
    train, test = ref.splits["train"], ref.splits["test"]
    return evaluate.probes(
        code(train["image"][: evaluate.MOST]),
        train["label"],
        code(test["image"]),
        test["label"],
        seed,
    )


def untrained(job: Job, ref) -> list[Callable]:
    """Of each seed: () -> reconstruction and probes of the autoencoder before its first step."""
    train, test = ref.splits["train"], ref.splits["test"]
    plain = job.config.replace(model="ae", compare=(), arm={})
    name = next(iter(plain.arms()))
    model = network(plain, name, test["image"].shape[1:])
    encode = jax.jit(lambda params, x: model.encode(params, x)["mean"])
    rebuild = jax.jit(lambda params, x: jax.nn.sigmoid(model.decode(params, encode(params, x))))
    # The program of an arm `ae`, which thus is compiled.
    begun = training.begin(plain, name, model, train["image"][: training.FIRST]).params

    def of_seed(params, seed):
        rebuilt = parallel.batched(partial(rebuild, params), test["image"])
        one = distances.reconstruction_errors(test["image"], rebuilt)
        rows = {f"untrained/{path}": value for path, value in one.items()}
        read = probed(ref, partial(parallel.batched, partial(encode, params)), seed)
        return rows | {f"random/{path}": value for path, value in read.items()}

    pairs = zip(parallel.each(begun, len(plain.all_seeds)), plain.all_seeds, strict=True)
    return [partial(of_seed, *pair) for pair in pairs]


def measure(job: Job, name: str, params, ref) -> tuple[dict, dict]:
    """All measures of an arm, a list over seeds by path, and the arrays of its pictures."""
    config, model, arm = job.config, job.models[name], job.config.arms()[name]
    functions = evaluate.compile_functions(model, config.nll_samples)

    def of_seed(pair):
        one, seed = pair
        given = functions, one, ref, seed

        def coder():
            made = evaluate.neural_coder(model, *given)
            return evaluate.measure_coder(made, ref, config.samplers, seed)

        parts = [coder, lambda: evaluate.measure_units(*given)]
        if not arm.deterministic:
            parts.append(lambda: evaluate.measure_posterior(model, *given))
        found, arrays = {}, {}
        for more, extra in on_cores(lambda part: part(), parts):
            found, arrays = found | more, arrays | extra
        say(f"{name}: seed {seed} measured")
        return found, arrays

    pairs = list(zip(parallel.each(params, config.seeds), config.all_seeds, strict=True))
    collected, pictures = zip(*processes.map_shared(of_seed, pairs, on_cores), strict=True)
    arrays = pictures[0]
    for part in ("variances", "kl_units"):
        if part in arrays:
            arrays[part] = np.stack([more[part] for more in pictures])
    return {path: [found[path] for found in collected] for path in collected[0]}, arrays


# --- What is reported ----------------------------------------------------------------------------


def summarize(files: dict, config: Config) -> dict:
    """The room's parts of summary.json, from a run's files."""
    found, record = dict(files["evaluation"]["baselines"]), files["evaluation"]["classifier"]
    reads = {f"classifier/{name}": [record[name]] for name in ("classes", "mean_recall")}
    known = page.read_json(files["folder"], "data.json") or {}
    for name in config.arms():
        rows = files["evaluation"][name]
        found |= {f"{name}/{path}": values for path, values in rows.items()}
    return {
        "data": data.name(config.data, config.binarize),
        "seeds": config.all_seeds,
        "arms": list(config.arms()),
        "classes": known.get("classes", []),
        "samplers": list(config.samplers),
        "metrics": {
            path: claims.summarize(values, evaluate.unit(path)) | {"better": evaluate.better(path)}
            for path, values in found.items()
        },
        "claims": judge(found | reads, config) if config.compare or config.variants else [],
        "classifier": record,
        "notes": notes(config, found),
    }


EXPERIMENT = Experiment(
    name="vae",
    title="VAE (ELBO) against autoencoder (reconstruction)",
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
