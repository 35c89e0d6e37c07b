"""The tasks: data whose modes are known, perfect samples of them, and the measures they bear."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.core import parallel
from genjax.gan import mixtures, modes, stacked
from genjax.gan.modes import RADIUS
from genjax.images.stored import Stored, Streamed, store

# Measures that compare all pairs look at no more samples than this.
PAIRS = 2500
# And the Vendi score of points, eigenvalues of a matrix of so many rows, at these.
VENDI = 500


class Task(NamedTuple):
    """A data set whose modes are known.

    arrays, take, size: what training reads, and how many examples there are; streamed: their
    images, where they stay in files. packed: members of a pack -> those of such packs, of which all
    else is the same. shape: of a sample.
    spread: root mean variance of a coordinate, the unit of gradient penalties. weights: the shares
    of the modes in the data [modes].
    quick: samples -> measures taken at every evaluation. near: samples -> those that compare all
    pairs, taken now and then. slow: (samples, seed) -> those that take long, taken seldom.
    perfect: (count, rng) -> samples as good as any. controls: {row: the same of samples that are
    wrong in a known way}. names: samples -> the modes' names.
    """

    arrays: dict
    packed: Callable
    take: Callable
    size: int
    shape: tuple[int, ...]
    spread: float
    weights: np.ndarray
    quick: Callable
    near: Callable
    slow: Callable
    perfect: Callable
    controls: dict[str, Callable]
    names: Callable
    streamed: Streamed | None = None

    @property
    def modes(self) -> int:
        """How many."""
        return len(self.weights)


def mixture_task(
    mixture: mixtures.Mixture,
    points: int,
    members: int,
    seed: int,
    own: np.ndarray | None = None,
) -> Task:
    """A mixture of Gaussians: `points` drawn once, and as many packs of so many members.

    own: points [n, 2] of a file, which training sees in place of those drawn.
    """
    rng = np.random.default_rng([seed, 0])
    data = mixtures.draw(mixture, points, rng) if own is None else own
    reference = mixtures.draw(mixture, PAIRS, rng)
    threshold = modes.duplicate_threshold(reference)
    bins = modes.Bins(data[:50_000], modes.bin_count(len(mixture.means)))

    neighbours = modes.Neighbours(reference)

    def near(found):
        some = found[:PAIRS]
        return neighbours.measure(some) | modes.thinned_recall(reference, some, mixture)

    def slow(found, seed):
        some = found[:PAIRS]
        return {
            "vendi": modes.gaussian_vendi_score(some[:VENDI], 5 * mixture.sigma),
            "birthday_support": modes.birthday_support(some, threshold, seed=seed),
            **bins.measure(found),
        }

    def packed(members) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 1, members])
        return {"arrays": {"real": mixtures.packs(data, members, rng)}}

    return Task(
        **packed(members),
        packed=packed,
        take=parallel.take,
        size=len(data),
        shape=(2,),
        spread=mixture.spread,
        weights=mixture.weights,
        quick=lambda found: modes.mixture_measures(found, mixture),
        near=near,
        slow=slow,
        perfect=lambda count, rng: mixtures.draw(mixture, count, rng),
        controls=wrong_draws(mixture),
        names=lambda found: None,
    )


def wrong_draws(mixture: mixtures.Mixture) -> dict[str, Callable]:
    """{row: (count, rng) -> samples that are perfect but for one thing}, and noise.

    lost: without the last quarter of the modes. thin, blurred: modes of 0.6 and 2 times their
    width. noise: uniform over the square that holds the modes.
    """
    kept = len(mixture.means) - -(-len(mixture.means) // 4)
    weights = np.where(np.arange(len(mixture.means)) < kept, mixture.weights, 0)
    reach = np.abs(mixture.means).max() + RADIUS * mixture.sigma

    def draw(**changes):
        return lambda count, rng: mixtures.draw(mixture._replace(**changes), count, rng)

    return {
        "lost": draw(weights=weights / weights.sum()),
        "thin": draw(sigma=0.6 * mixture.sigma),
        "blurred": draw(sigma=2 * mixture.sigma),
        "noise": lambda count, rng: rng.uniform(-reach, reach, (count, 2)).astype(np.float32),
    }


def _stacked(kept: Stored, triples: np.ndarray) -> dict:
    arrays = {"triple": triples, "image": kept.rows}
    return {"arrays": arrays, "take": partial(stacked.take, kept.read)}


def _streamed(images, triples: np.ndarray) -> dict:
    each = (*triples.shape[1:], *images.shape[1:])
    streamed = Streamed(images, each, triples.__getitem__)
    take = partial(stacked.take_streamed, streamed.read)
    return {"arrays": {}, "take": take, "streamed": streamed}


def _layers(classify: Callable, found) -> list[np.ndarray]:
    """(probabilities, features) of each layer: [n, 3, ...]."""
    images = np.moveaxis((np.asarray(found) + 1) / 2, -1, 1)
    flat = images.reshape(-1, *images.shape[2:], 1)
    return [part.reshape(len(found), 3, -1) for part in classify(flat)]


def stacked_task(
    train: dict, splits: dict, classify: Callable, points: int, members: int, seed: int
) -> Task:
    """Stacked images: triples of training images; perfect samples are triples of test images.

    train: images, which may stay in their files, and labels. splits: what measures see. classify:
    images [n, h, w, 1] in [0, 1] -> (probabilities, features). Neighbours, duplicates and bins are
    those of the three layers' features side by side.
    """
    test, classes = splits["test"], int(train["label"].max()) + 1
    weights = stacked.mode_weights(train["label"], classes)
    stack = jax.jit(lambda images, chosen: stacked.stack(images[chosen]))
    shape = (*train["image"].shape[1:3], 3)
    layers = partial(_layers, classify)
    kept = store(train["image"]) if isinstance(train["image"], np.ndarray) else None

    def packed(members) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0])
        triples = stacked.triples(len(train["label"]), points, members, rng)
        return _stacked(kept, triples) if kept else _streamed(train["image"], triples)

    def perfect(count, rng):
        chosen = stacked.triples(len(test["label"]), count, 1, rng)[:, 0]
        return np.asarray(stack(test["image"], chosen))

    def without(count, rng):
        chosen = stacked.triples(len(test["label"]), 4 * count, 1, rng)[:, 0]
        first = test["label"][chosen[:, 0]]
        return np.asarray(stack(test["image"], chosen[first < classes - -(-classes // 4)][:count]))

    def blurred(count, rng):
        found = perfect(count, rng)
        noise = 0.5 * rng.standard_normal(found.shape)
        return np.clip(found + noise, -1, 1).astype(np.float32)

    def names(found):
        return stacked.mode_of(layers(found)[0].argmax(-1), classes)

    reference = perfect(PAIRS, np.random.default_rng([seed, 2]))
    real_features = layers(reference)[1].reshape(PAIRS, -1)
    threshold = modes.duplicate_threshold(real_features)
    more = layers(perfect(4 * PAIRS, np.random.default_rng([seed, 3])))[1]
    bins = modes.Bins(more.reshape(len(more), -1))

    neighbours = modes.Neighbours(real_features)

    def near(found):
        some = found[:PAIRS]
        return neighbours.measure(layers(some)[1].reshape(len(some), -1))

    def slow(found, seed):
        probabilities, features = layers(found)
        root = np.sqrt(probabilities)
        joint = np.einsum("ni,nj,nk->nijk", root[:, 0], root[:, 1], root[:, 2])
        flat = features.reshape(len(found), -1)
        return {
            "vendi": modes.vendi_score(joint.reshape(len(found), -1)),
            "birthday_support": modes.birthday_support(flat[:PAIRS], threshold, seed=seed),
            **bins.measure(flat),
        }

    return Task(
        **packed(members),
        packed=packed,
        size=points,
        shape=shape,
        spread=float(np.sqrt((2 * splits["train"]["image"]).var(0).mean())),
        weights=weights,
        quick=lambda found: modes.label_measures(names(found), weights),
        near=near,
        slow=slow,
        perfect=perfect,
        controls={
            "lost": without,
            "blurred": blurred,
            "noise": lambda count, rng: rng.uniform(-1, 1, (count, *shape)).astype(np.float32),
        },
        names=names,
    )
