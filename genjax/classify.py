"""The small classifier that names modes and whose features measures use, trained in the run."""

import zlib
from collections.abc import Callable
from functools import partial

import jax
import optax

from genjax import evaluate, parallel, runs, steps
from genjax.models import classifier

SEED, BATCH = 0, 128


def trained(run: runs.Run, splits: dict, count: int) -> tuple[Callable, dict]:
    """(classify, record for the report) of a classifier of the train images, after `count`
    steps; kept in the run.

    classify: images [n, h, w, c] -> (probabilities [n, classes], features [n, 64]), NumPy.
    """
    train, test = splits["train"], splits["test"]
    init, apply = classifier.build(int(train["label"].max()) + 1)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, count))
    state = runs.train(
        run,
        "classifier",
        steps.training_step(steps.classification_loss(apply), optimizer),
        lambda key: steps.init_state(init(key, train["image"][:2]), optimizer),
        train,
        seeds=[SEED],
        steps=count,
        batch_size=min(BATCH, len(train["label"])),
        log_every=max(1, count // 10),
        save_every=count,
        how=parallel.plan(convolutions=True),
    )
    params = jax.tree.map(lambda leaf: leaf[0], state.params)

    @jax.jit
    def forward(images):
        logits, features = apply(params, images)
        return jax.nn.softmax(logits), features

    classify = partial(evaluate.batched, forward)
    hits = classify(test["image"])[0].argmax(-1) == test["label"]
    digest = 0
    for leaf in jax.tree.leaves(params):
        digest = zlib.crc32(leaf.tobytes(), digest)
    return classify, {
        "seed": SEED,
        "steps": count,
        "test_accuracy": float(hits.mean()),
        "weights_crc32": f"{digest:08x}",
    }
