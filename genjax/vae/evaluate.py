"""What one trained autoencoder is worth: every measure of it, and the arrays its pictures show."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import parallel
from genjax.core.beside import on_cores
from genjax.core.steps import example_noise
from genjax.images import distances
from genjax.vae import latents, learned_prior, samplers
from genjax.vae.likelihood import importance_bounds, trustworthy
from genjax.vae.networks import Model
from genjax.vae.objectives import POSTERIOR

LABELS = (100, 1000, None)
MOST = 10_000
# Samples a kernel distance takes at least, however few images it compares them with.
LEAST = 2000
# Codes that the MMD compares, each with each.
PAIRED = 5_000
PATHS, POINTS = 200, 11
# Of precision, recall, density and coverage.
NEIGHBOURS = 5
COLLAPSE = (0.001, 0.01, 0.1, 1.0)
SHOWN = 8

BETTER = {
    "less": ("kfid", "kkid", "mse", "bce", "nll", "mmd", "mmd_rescaled", "roughness",
             "kfid_reconstructions", "kfid_midpoints", "frechet_to_normal", "total_variation",
             "kl_to_prior", "unreliable"),
    "more": ("ess", "elbo", "psnr", "precision", "recall", "density", "coverage", "probe", "knn"),
}  # fmt: skip
UNITS = {
    "rate": "nats", "distortion": "nats", "elbo": "nats", "nll": "nats", "kl_to_prior": "nats",
    "mutual_information": "nats", "mutual_information_cap": "nats", "ess": "draws",
    "unreliable": "share of images", "mse": "per pixel", "bce": "nats", "psnr": "dB",
    "probe": "accuracy", "knn": "accuracy", "entropy": "nats", "active_units": "units",
    "decoder_std": "grey level",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Reference:
    """The data and the feature space that all models of a comparison share.

    splits: {"train" | "valid" | "test": {"image" [n, h, w, c], "label" [n]}}, as the measures see
        them (dynamic binarization drawn once). classify: images -> (probabilities, features).
    """

    splits: dict
    classify: Callable
    test_features: np.ndarray

    @property
    def compared(self) -> int:
        """Images that a measure of samples compares: all test images, at most 10,000."""
        return min(MOST, len(self.test_features))

    @property
    def drawn(self) -> int:
        """Samples that are drawn: as many as are compared, and for the kernel distance, which is
        unbiased at any number and steadier with more, at least LEAST."""
        return max(LEAST, self.compared)

    @functools.cached_property
    def real(self) -> distances.Cloud:
        """The test features that samples are compared with."""
        return distances.Cloud(self.test_features[: self.compared])

    @functools.cached_property
    def train(self) -> distances.Search:
        """The training images that samples may be copies of."""
        return distances.Search(flat(self.splits["train"]["image"]))

    @functools.cached_property
    def test_distance(self) -> float:
        """The median of test images to the nearest training image."""
        return distances.nearest_distance(self.train, flat(self.splits["test"]["image"]))


class Coder(NamedTuple):
    """A trained model on the host: encode images -> [n, d], draw likewise, decode [n, d] -> images.

    sources: {sampler: (count, rng) -> latents [count, d]}.
    """

    encode: Callable
    draw: Callable
    decode: Callable
    sources: dict


def reference(splits: dict, classify: Callable) -> Reference:
    """Runs the classifier over the test images, at most 10,000."""
    made = Reference(splits, classify, classify(splits["test"]["image"][:MOST])[1])
    _ = made.real.radii(NEIGHBOURS), made.test_distance  # Before threads share it.
    return made


def flat(images: np.ndarray) -> np.ndarray:
    """Images [n, h, w, c] as rows."""
    return images.reshape(len(images), -1)


class Functions(NamedTuple):
    """A model's compiled functions of (params, rows), shared by all its seeds."""

    represent: Callable
    decode: Callable
    descend: Callable
    bounds: Callable


def compile_functions(model: Model, nll_samples: int) -> Functions:
    """Jits what the measures call. represent: -> (mean, z, log_std or zeros, all layers' means)."""

    def represent(params, images, index, key):
        code = model.encode(params, images)
        noise = example_noise(jax.random.normal, key, POSTERIOR, index, (model.noise_size,))
        draw = model.draw(params, code, noise)
        log_std = code.get("log_std", jnp.zeros_like(draw.z))
        return model.mean(params, code), draw.z, log_std, draw.means

    return Functions(
        represent=jax.jit(represent),
        decode=jax.jit(lambda params, z: jax.nn.sigmoid(model.decode(params, z))),
        descend=jax.jit(model.descend),
        bounds=importance_bounds(model, samples=nll_samples),
    )


def represent(functions: Functions, params, images, seed: int):
    """(mean, z, log_std, means) of images as NumPy arrays; noise by (seed, position)."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    return parallel.batched(
        lambda x, i: functions.represent(params, x, i, key), images, np.arange(len(images))
    )


def neural_coder(model: Model, functions: Functions, params, ref: Reference, seed: int) -> Coder:
    """A trained model with its samplers; vamp where it has a learned mixture.

    Fitted samplers see draws of the posterior of (at most 10,000) training images, which for a
    deterministic encoder are its codes.
    """
    known: dict[tuple, tuple] = {}

    def seen(images):
        """(mean, z) of images; of the same once. They are kept: no others come to lie there."""
        where = images.ctypes.data, images.shape
        if where not in known:
            known[where] = *represent(functions, params, images, seed)[:2], images
        return known[where]

    draws = seen(ref.splits["train"]["image"][:MOST])[1]
    sources = fitted_sources(draws)

    def normal(count, rng):
        noise = rng.standard_normal((count, model.noise_size)).astype(np.float32)
        return parallel.batched(lambda n: functions.descend(params, n), noise)

    sources["normal"] = normal
    sources["flow"] = lambda count, rng: learned_prior.fitted(draws, seed)(count, rng)
    sources["posterior"] = lambda count, rng: draws[rng.integers(len(draws), size=count)]
    if model.mixture:
        means, log_stds = jax.device_get(model.mixture(params))
        sources["vamp"] = lambda n, rng: samplers.mixture_draws(means, log_stds, n, rng)
    return Coder(
        encode=lambda x: seen(x)[0],
        draw=lambda x: seen(x)[1],
        decode=lambda z: parallel.batched(lambda rows: functions.decode(params, rows), z),
        sources=sources,
    )


def fitted_sources(codes: np.ndarray) -> dict:
    """The samplers that are fitted to codes [n, d]."""
    return {
        "gaussian": lambda count, rng: samplers.fitted_gaussian(codes, count, rng),
        "gmm": lambda count, rng: samplers.fitted_mixture(codes, count, rng),
    }


def pca_coder(images: np.ndarray, latent: int) -> Coder:
    """Principal components of the training images as an autoencoder, codes in their own scale."""
    from sklearn.decomposition import PCA

    flat = images.reshape(len(images), -1)
    pca = PCA(min(latent, *flat.shape), svd_solver="covariance_eigh")
    codes = pca.fit_transform(flat).astype(np.float32)

    def encode(x):
        return pca.transform(x.reshape(len(x), -1)).astype(np.float32)

    def decode(z):
        pixels = pca.inverse_transform(z).reshape(len(z), *images.shape[1:])
        return np.clip(pixels, 0, 1).astype(np.float32)

    return Coder(encode, encode, decode, fitted_sources(codes))


def measure_coder(
    coder: Coder, ref: Reference, names: Sequence[str], seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Measures that any encoder and decoder have: reconstruction, codes, interpolations, samples.

    names: the samplers asked for; one that the model does not have is left out. Returns measures
    by path, `mse` or `gmm/kfid`, and the arrays of the pictures.
    """
    rng = np.random.default_rng([seed, 1])
    train, test = ref.splits["train"], ref.splits["test"]
    codes = coder.encode(test["image"])
    rebuilt = coder.decode(codes)
    measures = dict(distances.reconstruction_errors(test["image"], rebuilt))
    measures["kfid_reconstructions"] = distances.frechet_distance(
        ref.test_features, ref.classify(rebuilt[:MOST])[1]
    )
    draws = coder.draw(test["image"])[:PAIRED]
    measures["mmd"] = latents.mmd_imq(draws, rng.standard_normal(draws.shape))
    measures["frechet_to_normal"] = latents.frechet_to_normal(draws)
    measures |= scale_free(draws, coder.draw(train["image"][:MOST]), seed)
    seen = coder.encode(train["image"][:MOST])
    measures |= probes(seen, train["label"], codes, test["label"], seed)
    more, rows = interpolations(coder, ref, codes, rng)
    measures |= more
    shown = one_a_class(test["label"], SHOWN)
    arrays = {
        "inputs": test["image"][shown],
        "reconstructions": rebuilt[shown],
        "interpolations": rows,
        "latent": codes[:2000],
        "label": test["label"][:2000],
    }
    names = [name for name in names if name in coder.sources]
    # The draws one after the other, of one generator.
    drawn = [coder.sources[name](ref.drawn, rng) for name in names]

    def of_draws(codes):
        images = coder.decode(codes)
        return images[:64].copy(), measure_samples(images, ref, seed)

    for name, (pictures, found) in zip(names, on_cores(of_draws, drawn), strict=True):
        measures |= {f"{name}/{measure}": value for measure, value in found.items()}
        arrays[f"samples_{name}"] = pictures
    return measures, arrays


def one_a_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Where `count` images to show lie: the first of each class in turn, then the first others."""
    _, first = np.unique(labels, return_index=True)
    others = np.setdiff1d(np.arange(len(labels)), first)
    return np.concatenate([first, others])[:count]


def scale_free(draws: np.ndarray, train_draws: np.ndarray, seed: int) -> dict[str, float]:
    """MMD to N(0, I) of draws rescaled as training draws are, and of draws of N(0, I) itself."""
    normal, floor = _normals(draws.shape, seed)
    return {
        "mmd_rescaled": latents.mmd_imq(latents.rescaled(draws, train_draws), normal),
        "mmd_normal": floor,
    }


@functools.lru_cache(maxsize=64)
def _normals(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, float]:
    """Draws of N(0, I), and the MMD of two others: the same for all models of a seed."""
    rng = np.random.default_rng([seed, 3])
    normal, again, other = (rng.standard_normal(shape) for _ in range(3))
    return normal, latents.mmd_imq(again, other)


def probes(train_codes, train_labels, test_codes, test_labels, seed: int) -> dict[str, float]:
    """Accuracy on test of a linear probe and of 5 nearest neighbours, by number of labels.

    Nothing of training images of one class.
    """
    if len(np.unique(train_labels[:MOST])) < 2:
        return {}
    data = (train_codes[:MOST], train_labels[:MOST], test_codes, test_labels)
    found = {}
    for labels in LABELS:
        name = "all" if labels is None else str(labels)
        found[f"probe/{name}"] = latents.probe_accuracy(*data, labels=labels, seed=seed)
        found[f"knn/{name}"] = latents.knn_accuracy(*data, labels=labels, seed=seed)
    return found


def interpolations(coder: Coder, ref: Reference, codes: np.ndarray, rng: np.random.Generator):
    """Mid-point kFID and roughness of straight paths between codes of random test pairs.

    Mid-points: Ghosh et al. 2020, section 5; roughness of 200 paths of 11 points in feature space.
    """
    left, right = (rng.integers(len(codes), size=ref.compared) for _ in range(2))
    middle = coder.decode((codes[left] + codes[right]) / 2)
    steps = np.linspace(0, 1, POINTS, dtype=np.float32)[:, None]
    a, b = codes[left[:PATHS], None], codes[right[:PATHS], None]
    paths = (1 - steps) * a + steps * b
    images = coder.decode(paths.reshape(-1, codes.shape[1]))
    features = ref.classify(images)[1].reshape(*paths.shape[:2], -1)
    measures = {
        "kfid_midpoints": distances.frechet_distance(ref.test_features, ref.classify(middle)[1]),
        "roughness": latents.roughness(features),
    }
    return measures, images.reshape(*paths.shape[:2], *images.shape[1:])[:4]


def measure_samples(images: np.ndarray, ref: Reference, seed: int) -> dict[str, float]:
    """Measures of images against the test images: the kernel distance of all, the others of as many
    as are compared.

    memorisation: the median distance to the nearest training image, over that of test images; 0
    for copies, about 1 for samples as new as the test set, more where they are unlike any image.
    Where there is one class, there is no balance of classes.
    """
    probabilities, features = ref.classify(images)
    kernel, _ = distances.kernel_distance(ref.real, features, seed=seed)
    images, probabilities, features = (x[: ref.compared] for x in (images, probabilities, features))
    found = {"kfid": distances.frechet_distance(ref.real.points, features), "kkid": kernel}
    found |= distances.precision_recall_density_coverage(ref.real, features, NEIGHBOURS)
    near = distances.nearest_distance(ref.train, flat(images))
    found["memorisation"] = near / ref.test_distance
    one_class = probabilities.shape[1] == 1
    return found | ({} if one_class else distances.class_balance(probabilities))


def measure_floor(ref: Reference) -> dict[str, float]:
    """Measures of the validation images, which no net was trained on, as if they were samples.

    Where there are fewer of them than of samples, those that turn with their number are left out.
    """
    images = ref.splits["valid"]["image"]
    found = measure_samples(images[: ref.compared], ref, 0)
    if len(images) >= ref.compared:
        return found
    return {name: found[name] for name in ("kkid", "precision", "memorisation")}


def measure_units(
    functions: Functions, params, ref: Reference, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Active units of all layers over the test images, layers above the first at sampled inputs."""
    _, _, _, means = represent(functions, params, ref.splits["test"]["image"], seed)
    measures = {"active_units": float(latents.active_units(means))}
    return measures, {"variances": latents.unit_variances(means)}


def measure_posterior(
    model: Model, functions: Functions, params, ref: Reference, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Measures that only a model with a posterior density has: bounds, KL by unit, collapse."""
    key = jax.random.fold_in(jax.random.key(seed), 2)
    test = ref.splits["test"]["image"]
    found = parallel.batched(
        lambda x, i: functions.bounds(params, x, i, key), test, np.arange(len(test)), size=100
    )
    measures = {f"nll/k={k}": float(v.mean()) for k, v in found["nll"].items()}
    rate, distortion = (float(found[name].mean()) for name in ("rate", "distortion"))
    measures |= {"rate": rate, "distortion": distortion, "elbo": -rate - distortion}
    samples = max(found["nll"])
    measures["ess"] = float(found["ess"].mean())
    if not np.isnan(found["k_hat"]).any():
        measures["unreliable"] = float((found["k_hat"] > trustworthy(samples)).mean())
    arrays = {}
    # A learned mixture does not factorise over units.
    if model.mixture is None:
        arrays["kl_units"] = found["kl"].mean(0)
        shares = latents.collapsed_fraction(found["kl"], np.array(COLLAPSE))
        measures |= {f"collapsed/eps={e}": float(v) for e, v in zip(COLLAPSE, shares, strict=True)}
    if len(model.layers) == 1:
        train = ref.splits["train"]["image"][:MOST]
        mean, draws, log_std, _ = represent(functions, params, train, seed)
        measures |= latents.aggregated_posterior(mean, log_std, draws)
        measures["mutual_information_cap"] = float(np.log(len(draws)))
    return measures, arrays


def better(path: str) -> str | None:
    """Whether 'less' or 'more' of a measure is better; None where neither is."""
    parts = set(path.split("/"))
    return next((side for side, names in BETTER.items() if parts & set(names)), None)


def unit(path: str) -> str:
    """The unit of a measure, by the part of its path that names it."""
    for part in reversed(path.split("/")):
        if part in UNITS:
            return UNITS[part]
    return ""
