"""The small classifier that names modes and whose features measures use, trained in the run."""

import zlib
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.core import arrangement, order, parallel, steps, training
from genjax.core.folder import Folder
from genjax.core.loop import Schedule
from genjax.images.layers import PixelEncoder, dense
from genjax.images.stored import store

SEED, BATCH = 0, 128
FEATURES = 64


class _Classifier(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images):
        features = PixelEncoder("conv", (FEATURES,), 32, "relu", jnp.float32)(images)
        return dense(self.classes, jnp.float32)(features), features


def build(classes: int) -> tuple[Callable, Callable]:
    """(init, apply): apply(params, images [b, h, w, c]) -> (logits [b, classes], features [b, 64]).

    The features stand in for Inception's in Frechet and kernel distances on small images.
    """
    module = _Classifier(classes)
    return (
        lambda key, images: module.init(key, images)["params"],
        lambda params, images: module.apply({"params": params}, images),
    )


def trained(folder: Folder, splits: dict, count: int) -> tuple[Callable, dict]:
    """(classify, record for the report) of a classifier of the train images, after `count`
    steps; kept in the run.

    classify: images [n, h, w, c] -> (probabilities [n, classes], features [n, 64]), NumPy.
    The record's mean_recall is the accuracy on test images, a mean over classes: 1 / classes for
    one answer to all.
    """
    train, test = splits["train"], splits["test"]
    init, apply = build(int(train["label"].max()) + 1)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, count))
    every = max(1, count // 10)
    labels, batch = train["label"], min(BATCH, len(train["label"]))
    kept = store(train["image"])
    compiled = parallel.compile_step(
        steps.training_step(classification_loss(apply), optimizer),
        train | {"image": kept.rows},
        [SEED],
        batch,
        needs=arrangement.Needs(convolutions=True, log_every=every),
        take=kept.take,
    )
    state = training.initial(
        lambda key: steps.init_state(init(key, train["image"][:2]), optimizer), [SEED]
    )
    when = Schedule([SEED], count, every, save_every=-(-count // every) * every)
    batches = order.batches([SEED], len(labels), batch)
    state = training.train(folder, "classifier", compiled, state, when, batches)
    params = jax.tree.map(lambda leaf: leaf[0], state.params)

    @jax.jit
    def forward(images):
        logits, features = apply(params, images)
        return jax.nn.softmax(logits), features

    classify = partial(parallel.batched, forward)
    hits = classify(test["image"])[0].argmax(-1) == test["label"]
    shares = [hits[test["label"] == label].mean() for label in np.unique(test["label"])]
    digest = 0
    for leaf in jax.tree.leaves(params):
        digest = zlib.crc32(leaf.tobytes(), digest)
    return classify, {
        "seed": SEED,
        "steps": count,
        "test_accuracy": float(hits.mean()),
        "classes": len(shares),
        "mean_recall": float(np.mean(shares)),
        "weights_crc32": f"{digest:08x}",
    }


def classification_loss(apply: Callable) -> Callable:
    """Cross-entropy in nats of `apply(params, images) -> (logits, features)`, and the accuracy."""

    def loss(params, batch, key, gather):
        del key, gather
        logits, _ = apply(params, batch["image"])
        values = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        hits = jnp.argmax(logits, -1) == batch["label"]
        return values, {"accuracy": hits.astype(jnp.float32)}

    return loss
