"""Transformers of one attention variant, trained to look up: who finds what, how far back."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.core import order, parallel, steps, training
from genjax.core.folder import Folder
from genjax.lm import objectives, transformer
from genjax.scaling import lookups, probes, variants
from genjax.scaling.config import Config

# Sequences trained on, measured on, put through exact attention too, and bands of distance.
TRAINED, MEASURED, CAPTURED, BANDS = 20_000, 1000, 16, 4


class Trained(NamedTuple):
    """A transformer with params of all seeds, leaves [seeds, ...], and sequences not trained on."""

    model: transformer.Model
    params: dict
    fresh: dict[str, np.ndarray]


def network(config: Config, label: str) -> transformer.Model:
    """The transformer that a label of `config.arms()` names."""
    learner = config.arms()[label]
    return transformer.build(
        variants.scaled(config, learner.variant, learner.length),
        vocabulary=lookups.vocabulary(learner.task, config.symbols),
        length=learner.length,
        width=config.width,
        depth=config.depth,
        heads=config.task_heads,
        dtype=jnp.dtype(config.precision),
    )


def train(config: Config, folder: Folder, label: str) -> Trained:
    """Trains all seeds of one transformer in a run folder, or continues."""
    learner, model = config.arms()[label], network(config, label)
    options = config.task_options(learner.task)
    make = functools.partial(lookups.TASKS[learner.task], **options)
    # Data and weights have seeds of their own: all variants see the same sequences.
    arrays = make(TRAINED, learner.length, np.random.default_rng(1000))
    fresh = make(MEASURED, learner.length, np.random.default_rng(2000))
    adam = optimizer(config)
    compiled = parallel.compile_step(
        steps.training_step(objectives.token_loss(model.apply), adam),
        {key: arrays[key] for key in ("tokens", "target")},
        config.all_seeds,
        config.batch_size,
        mode=config.parallel,
        how=parallel.plan(convolutions=False, steps_per_call=config.steps_per_call),
    )
    state = training.initial(lambda key: steps.init_state(model.init(key), adam), config.all_seeds)
    batches = order.batches(config.all_seeds, TRAINED, config.batch_size)
    when = training.schedule(config)
    state = training.train(folder, label, compiled, state, when, batches)
    return Trained(model, state.params, fresh)


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam at clipped gradients; its rate warms up for 5% of the steps, and falls as a cosine."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.steps // 20 + 1, max(2, config.steps)
    )
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


def answers(model: transformer.Model) -> Callable:
    """(params, tokens [b, n]) -> the likeliest token at each position, [b, n]."""
    return jax.jit(lambda params, tokens: jnp.argmax(model.apply(params, tokens), -1))


def measure(config: Config, trained: Trained) -> dict[str, list[float]]:
    """{measure: [seeds]} on fresh sequences.

    accuracy: share of right answers; accuracy_<band>: the same by distance; chance: what the
    commonest answer would reach; seconds: the fastest forward call, a sequence.
    """
    answer, fresh = answers(trained.model), trained.fresh
    found = []
    for params in parallel.each(trained.params, config.seeds):
        parts, took = [], []
        for part in np.array_split(fresh["tokens"], 10):
            started = time.perf_counter()
            parts.append(np.asarray(answer(params, part)))
            took.append((time.perf_counter() - started) / len(part))
        shares = accuracies(np.concatenate(parts), fresh, fresh["tokens"].shape[1])
        found.append(shares | {"seconds": min(took)})
    return {key: [row[key] for row in found] for key in found[0]}


def captured_errors(config: Config, trained: Trained) -> dict[str, list[float]]:
    """{variant: [seeds]} relative errors of the output on a trained transformer's q, k and v."""
    tokens, heads = trained.fresh["tokens"][:CAPTURED], trained.model.heads
    assert heads is not None  # Every transformer has them.
    found = {}
    for name in config.variants:
        variant = variants.scaled(config, name, tokens.shape[1])
        found[name] = []
        for params in parallel.each(trained.params, config.seeds):
            qkv = heads(params, tokens)
            found[name].append(probes.error(variant, *qkv, causal=variant.causal))
    return found


def accuracies(answers: np.ndarray, data: dict[str, np.ndarray], length: int) -> dict[str, float]:
    """Shares of right answers: all, and by distance in quarters of the length that occur."""
    asked = data["target"] >= 0
    right = (answers == data["target"]) & asked
    found = {"accuracy": float(right.sum() / asked.sum())}
    found["chance"] = float(np.bincount(data["target"][asked]).max() / asked.sum())
    for band in range(BANDS):
        low, high = band * length // BANDS, (band + 1) * length // BANDS
        inside = asked & (data["distance"] >= low) & (data["distance"] < high)
        if inside.any():
            found[f"accuracy_{low}-{high - 1}"] = float((right & inside).sum() / inside.sum())
    return found
