"""Transformers of one attention variant, trained to look up: who finds what, how far back."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax import attention
from genjax.attention import Variant
from genjax.core import runs, steps
from genjax.lm import objectives, transformer
from genjax.scaling import lookups

# Sequences trained on, measured on, and bands of distance in the report.
TRAINED, MEASURED, BANDS = 20_000, 1000, 4


def scaled(name: str, length: int, head_dim: int, **most: int) -> Variant:
    """A variant for a short task: what it sees, or remembers, stays well below the length.

    most: what the variant's options for a length (`Entry.short`) may not exceed; those of other
    variants are left out. Causal where the variant can be: looking up is learnt far sooner so.
    """
    entry = attention.find(name)
    short = dict(entry.short(length))
    for option, value in attention.select(name, **most).items():
        short[option] = min(value, short.get(option, value))
    return attention.build(name, length, head_dim, causal=entry.can_be_causal, **short)


def train(run, name: str, variant: Variant, task: dict, *, length: int, seeds, how, **settings):
    """({measure: [seeds]}, params [seeds, ...], model, fresh sequences) of a trained variant.

    task: name, and options of the generator. settings: width, depth, heads, steps, batch_size,
        learning_rate, log_every, save_every, mode, dtype.
    accuracy: share of right answers on fresh sequences; accuracy_<band>: the same by distance;
    chance: what the commonest answer would reach; seconds: the fastest forward call, a sequence.
    """
    options = {key: value for key, value in task.items() if key != "name"}
    make = functools.partial(lookups.TASKS[task["name"]], **options)
    model = transformer.build(
        variant,
        vocabulary=lookups.vocabulary(task["name"], options.get("symbols")),
        length=length,
        width=settings["width"],
        depth=settings["depth"],
        heads=settings["heads"],
        dtype=settings["dtype"],
    )
    # Data and weights have seeds of their own: all variants see the same sequences.
    arrays = make(TRAINED, length, np.random.default_rng(1000))
    fresh = make(MEASURED, length, np.random.default_rng(2000))
    rate = optax.warmup_cosine_decay_schedule(
        0.0, settings["learning_rate"], settings["steps"] // 20 + 1, max(2, settings["steps"])
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    state = runs.train(
        run,
        name,
        steps.training_step(objectives.token_loss(model.apply), optimizer),
        lambda key: steps.init_state(model.init(key), optimizer),
        {key: arrays[key] for key in ("tokens", "target")},
        seeds=seeds,
        steps=settings["steps"],
        batch_size=settings["batch_size"],
        log_every=settings["log_every"],
        save_every=settings["save_every"],
        how=how,
        mode=settings["mode"],
    )
    answer = jax.jit(lambda params, tokens: jnp.argmax(model.apply(params, tokens), -1))
    found = []
    for i in range(len(seeds)):
        params = jax.tree.map(lambda leaf, i=i: leaf[i], state.params)
        parts, took = [], []
        for part in np.array_split(fresh["tokens"], 10):
            started = time.perf_counter()
            parts.append(np.asarray(answer(params, part)))
            took.append((time.perf_counter() - started) / len(part))
        found.append(accuracies(np.concatenate(parts), fresh, length) | {"seconds": min(took)})
    return {key: [row[key] for row in found] for key in found[0]}, state.params, model, fresh


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
