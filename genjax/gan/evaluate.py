"""What a generator covers: a task's data, its measures, and the floor, perfect samples' own."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import parallel
from genjax.core.errors import UsageError
from genjax.gan import mixtures, modes, stacked
from genjax.gan.networks import Networks, pack
from genjax.gan.objectives import Recipe, latents, propose, sample
from genjax.images import distances

# Measures that compare all pairs look at no more samples than this.
PAIRS = 2500
# Samples made, or judged, at once.
PROPOSALS = 8192
FLOOR_DRAWS, SLOW_FLOOR_DRAWS = 20, 5
# Packs of a batch where a logit depends on all of them.
BATCH = 64
UNITS = {
    "modes": "modes", "high_quality": "share", "reverse_kl": "nats", "reverse_kl_hq": "nats",
    "kl": "nats", "js": "nats", "mode_tv": "share", "precision": "share", "recall": "share",
    "coverage": "share", "full": "share of seeds", "ndb": "share of bins", "vendi": "samples",
    "birthday_support": "samples", "log_jacobian": "log", "contrast": "of truth",
}  # fmt: skip


class Task(NamedTuple):
    """A data set whose modes are known.

    arrays, take, size: what training reads, and how many examples there are. shape: of a sample.
    spread: root mean variance of a coordinate, the unit of gradient penalties. weights: the shares
    of the modes in the data [modes].
    quick: samples -> measures taken along training. slow: (samples, seed) -> those that take
    long, taken less often.
    perfect: (count, rng) -> samples as good as any. names: samples -> the modes' names.
    """

    arrays: dict
    take: Callable
    size: int
    shape: tuple[int, ...]
    spread: float
    weights: np.ndarray
    quick: Callable
    slow: Callable
    perfect: Callable
    names: Callable

    @property
    def modes(self) -> int:
        """How many."""
        return len(self.weights)


def mixture_task(mixture: mixtures.Mixture, points: int, members: int, seed: int) -> Task:
    """A mixture of Gaussians: `points` drawn once, and as many packs of so many members."""
    rng = np.random.default_rng([seed, 0])
    data = mixtures.draw(mixture, points, rng)
    reference = mixtures.draw(mixture, PAIRS, rng)
    threshold = modes.duplicate_threshold(reference)
    bins = modes.Bins(data[:50_000], bin_count(len(mixture.means)))

    def slow(found, seed):
        some = found[:PAIRS]
        return {
            **neighbours(reference, some),
            "vendi": modes.gaussian_vendi_score(some[:1000], 5 * mixture.sigma),
            "birthday_support": modes.birthday_support(some, threshold, seed=seed),
            **bins.measure(found),
        }

    return Task(
        arrays={"real": mixtures.packs(data, members, np.random.default_rng([seed, 1, members]))},
        take=parallel.take,
        size=points,
        shape=(2,),
        spread=mixture.spread,
        weights=mixture.weights,
        quick=lambda found: modes.mixture_measures(found, mixture),
        slow=slow,
        perfect=lambda count, rng: mixtures.draw(mixture, count, rng),
        names=lambda found: None,
    )


def stacked_task(
    train: dict, test: dict, classify: Callable, points: int, members: int, seed: int
) -> Task:
    """Stacked images: triples of training images; perfect samples are triples of test images.

    classify: images [n, h, w, 1] in [0, 1] -> (probabilities, features). Neighbours, duplicates and
    bins are those of the three layers' features side by side.
    """
    classes = int(train["label"].max()) + 1
    weights = stacked.mode_weights(train["label"], classes)
    triples = stacked.triples(
        len(train["label"]), points, members, np.random.default_rng([seed, 0])
    )
    stack = jax.jit(stacked.stack)

    def perfect(count, rng):
        chosen = stacked.triples(len(test["label"]), count, 1, rng)[:, 0]
        return np.asarray(stack(test["image"], chosen))

    def layers(found):
        """(probabilities, features) of each layer: [n, 3, ...]."""
        images = np.moveaxis((np.asarray(found) + 1) / 2, -1, 1)
        flat = images.reshape(-1, *images.shape[2:], 1)
        return [part.reshape(len(found), 3, -1) for part in classify(flat)]

    def names(found):
        return stacked.mode_of(layers(found)[0].argmax(-1), classes)

    reference = perfect(PAIRS, np.random.default_rng([seed, 2]))
    real_features = layers(reference)[1].reshape(PAIRS, -1)
    threshold = modes.duplicate_threshold(real_features)
    more = layers(perfect(4 * PAIRS, np.random.default_rng([seed, 3])))[1]
    bins = modes.Bins(more.reshape(len(more), -1))

    def slow(found, seed):
        probabilities, features = layers(found)
        root = np.sqrt(probabilities)
        joint = np.einsum("ni,nj,nk->nijk", root[:, 0], root[:, 1], root[:, 2])
        flat = features.reshape(len(found), -1)
        return {
            **neighbours(real_features, flat[:PAIRS]),
            "vendi": modes.vendi_score(joint.reshape(len(found), -1)),
            "birthday_support": modes.birthday_support(flat[:PAIRS], threshold, seed=seed),
            **bins.measure(flat),
        }

    return Task(
        arrays={"triple": triples, "image": train["image"]},
        take=stacked.take,
        size=points,
        shape=(*train["image"].shape[1:3], 3),
        spread=float(np.sqrt((2 * train["image"]).var(0).mean())),
        weights=weights,
        quick=lambda found: modes.label_measures(names(found), weights),
        slow=slow,
        perfect=perfect,
        names=names,
    )


def neighbours(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Precision and recall of 3 neighbours, density and coverage of 5, as in their papers."""
    three = distances.precision_recall_density_coverage(real, fake, k=3)
    five = distances.precision_recall_density_coverage(real, fake, k=5)
    return {name: three[name] for name in ("precision", "recall")} | {
        name: five[name] for name in ("density", "coverage")
    }


def floor(task: Task, count: int, seed: int) -> dict[str, list[float]]:
    """Every measure of `count` perfect samples, by draw: what no generator can be asked to beat."""
    found = {}
    for draw in range(FLOOR_DRAWS):
        perfect = task.perfect(count, np.random.default_rng([seed, 4, draw]))
        measures = task.quick(perfect)
        if draw < SLOW_FLOOR_DRAWS:
            measures |= task.slow(perfect, draw) | {"contrast": contrast(task, perfect)}
        for name, value in measures.items():
            found.setdefault(name, []).append(value)
    return found


def contrast(task: Task, found: np.ndarray, pairs: int = 2000) -> float:
    """Mean distance of two samples over that of two perfect ones: 0 when all outputs are one."""
    rng = np.random.default_rng(5)

    def mean_distance(x):
        x = x.reshape(len(x), -1)
        left, right = rng.integers(len(x), size=(2, pairs))
        return np.linalg.norm(x[left] - x[right], axis=1).mean()

    return float(mean_distance(found) / mean_distance(task.perfect(PAIRS, rng)))


def sampler(networks: Networks, recipe: Recipe, count: int) -> Callable:
    """params -> samples [count, *shape], NumPy; the same latents and choices for all.

    Where a sample is one of k proposals, it costs k passes of the generator.
    """
    key = jax.random.key(2**31)
    some = jax.jit(lambda params, index: sample(networks, recipe, params, key, index))
    size = PROPOSALS // recipe.resample
    return lambda params: parallel.batched(partial(some, params), np.arange(count), size=size)


def sensitivity(
    networks: Networks, recipe: Recipe, task: Task, measure: Callable, count: int = 300
) -> Callable:
    """params -> measure(Jacobians [b, values, latent]) [count, ...] of the generator, NumPy.

    In units of the data's spread a unit of the latent; the same latents for all. Low singular
    values are the symptom "different inputs, same output".
    """
    z = latents(jax.random.key(2**31 + 1), networks, recipe, jnp.arange(count), 1)[:, 0]

    @jax.jit
    def some(params, rows):
        def generate(noise, code):
            return propose(networks, params, jnp.concatenate([noise, code])[None]).ravel()

        noise, code = rows[:, : networks.latent], rows[:, networks.latent :]
        return measure(jax.vmap(jax.jacfwd(generate))(noise, code) / task.spread)

    return lambda params: parallel.batched(partial(some, params), np.asarray(z), size=50)


def log_norm(jacobians: jax.Array) -> jax.Array:
    """The logarithm of each Frobenius norm, at least that of 1e-12."""
    return jnp.log(jnp.maximum(jnp.sqrt((jacobians**2).sum((1, 2))), 1e-12))


def landscape(
    networks: Networks,
    recipe: Recipe,
    params,
    task: Task,
    mixture: mixtures.Mixture,
    side: int = 101,
) -> dict[str, np.ndarray]:
    """The discriminator's logit over a square: each point in a pack of real ones, a mean over 16.

    Where a logit depends on the batch, a point is judged among BATCH - 1 packs of real points.
    """
    reach = 1.25 * np.abs(mixture.means).max() + 3 * mixture.sigma
    axis = np.linspace(-reach, reach, side, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    draws, batch = (16, 1) if networks.separate else (1, BATCH)
    real = task.perfect(draws * batch * recipe.pack, np.random.default_rng(0))

    @jax.jit
    def logits(real, points):
        batches = jnp.broadcast_to(real, (len(points), *real.shape)).at[:, 0, 0].set(points)
        if recipe.reconstruction:
            codes = networks.reconstruct(params["reconstructor"], batches)
            batches = jnp.concatenate([batches, codes], -1)
        return networks.discriminate(
            params["discriminator"], pack(batches), parallel.identity, parallel.identity
        )[:, 0, 0]

    made = [
        parallel.batched(partial(logits, some), points, size=PROPOSALS // batch)
        for some in real.reshape(draws, batch, recipe.pack, 2)
    ]
    return {"landscape": np.mean(made, 0).reshape(side, side), "landscape_axis": axis}


def fallen(before: list[dict], now: dict[int, float], modes: int) -> list[int]:
    """The seeds that have lost modes which they had: a tenth of all, or of few modes one.

    A mode of small share comes and goes with the samples. before: rows {"seed", "modes"}. now:
    {seed: modes reached}.
    """
    most = dict(now)
    for row in before:
        most[row["seed"]] = max(most[row["seed"]], row["modes"])
    return [seed for seed in now if most[seed] - now[seed] >= max(1, 0.1 * modes)]


def bin_count(task_modes: int) -> int:
    """Bins of NDB over a mixture."""
    return min(100, 4 * task_modes)


def check_count(count: int, points: int, task_modes: int) -> None:
    """Raises UsageError where there are too few samples, or points, for the measures."""
    if points < bin_count(task_modes):
        raise UsageError(
            f"--points={points}: fewer than the {bin_count(task_modes)} bins that they make"
        )
    needed, what = max((100, "measures of neighbours"), (2 * task_modes, f"{task_modes} modes"))
    if count < needed:
        raise UsageError(f"--eval_samples={count}: {what} need {needed} samples or more")
