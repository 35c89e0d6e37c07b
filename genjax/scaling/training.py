"""Transformers of one attention variant, trained to look up: who finds what, how far back."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.attention.variant import Variant
from genjax.core import order, parallel, steps, training
from genjax.core.errors import NotFinite
from genjax.core.folder import Folder
from genjax.core.progress import say
from genjax.lm import objectives, transformer
from genjax.scaling import listops, lookups, quality, variants
from genjax.scaling.config import Config

# Sequences trained on, measured on, put through exact attention too, and bands of distance.
TRAINED, MEASURED, CAPTURED, BANDS = 20_000, 1000, 16, 4
# Of those measured, one after the other: all logits of one are in memory.
PARTS = 10
# The seed that learning rates are tried with.
TRIAL = 100


class Trained(NamedTuple):
    """A transformer with params of all seeds, leaves [seeds, ...], and sequences not trained on."""

    model: transformer.Model
    params: dict
    fresh: dict[str, np.ndarray]


def _shape(config: Config, label: str) -> tuple[Variant, dict]:
    """The variant that a label of `config.arms()` names, and the transformer around it."""
    learner = config.arms()[label]
    return variants.scaled(config, learner.variant, learner.length), {
        "vocabulary": config.vocabulary(learner.task),
        "width": config.width,
        "depth": config.depth,
        "dtype": jnp.dtype(config.precision),
    }


def network(config: Config, label: str) -> transformer.Model:
    """The transformer that a label of `config.arms()` names."""
    variant, shape = _shape(config, label)
    length = config.arms()[label].length
    return transformer.build(variant, length=length, heads=config.task_heads, **shape)


def asked_loss(config: Config, label: str, count: int) -> Callable:
    """`objectives.token_loss` of a network, whose logits are of the `count` questions alone.

    For a large vocabulary: of a sequence few positions are asked.
    """
    variant, shape = _shape(config, label)
    mixer = functools.partial(transformer.SelfAttention, variant, config.task_heads, shape["dtype"])
    net = transformer.Network(mixer=mixer, **shape)

    def apply(params, places, tokens):
        _, found = net.apply(
            {"params": params},
            tokens,
            capture_intermediates=lambda module, _: module.name == "norm",
            mutable=["intermediates"],
        )
        last = jnp.asarray(found["intermediates"]["norm"]["__call__"][0])
        last = jnp.take_along_axis(last, places[:, :, None], 1)
        return (last @ params["embed"]["embedding"].T.astype(last.dtype)).astype(jnp.float32)

    def loss(params, batch, key, gather):
        _, places = jax.lax.top_k((batch["target"] >= 0).astype(jnp.int32), count)
        asked = batch | {"target": jnp.take_along_axis(batch["target"], places, 1)}
        only = functools.partial(apply, places=places)
        return objectives.token_loss(lambda p, tokens: only(p, tokens=tokens))(
            params, asked, key, gather
        )

    return loss


def train(
    config: Config, folder: Folder, label: str, *, name: str = "", fresh: int = 2000
) -> Trained:
    """Trains all seeds of one transformer in a run folder, or continues.

    name: under which the folder keeps it, the label without one. fresh: the seed of the sequences
    that it is measured on.
    """
    learner, model = config.arms()[label], network(config, label)
    options = config.task_options(learner.task)
    make = functools.partial(lookups.TASKS[learner.task], **options)
    # Data and weights have seeds of their own: all variants see the same sequences.
    arrays = make(TRAINED, learner.length, np.random.default_rng(1000))
    unseen = make(MEASURED, learner.length, np.random.default_rng(fresh))
    if learner.task == "listops":
        unseen |= listops.shortcuts(unseen["tokens"])
    loss = objectives.token_loss(model.apply)
    if learner.task == "mqar":
        loss = asked_loss(config, label, config.recall_pairs)
    adam, when = optimizer(config), training.schedule(config)
    compiled = parallel.compile_step(
        steps.training_step(loss, adam),
        {key: arrays[key] for key in ("tokens", "target")},
        config.all_seeds,
        config.batch_size,
        mode=config.parallel,
        needs=training.needs(config, when, rows=learner.length),
    )
    state = training.initial(lambda key: steps.init_state(model.init(key), adam), config.all_seeds)
    batches = order.batches(config.all_seeds, TRAINED, config.batch_size)
    state = training.train(folder, name or label, compiled, state, when, batches)
    return Trained(model, state.params, unseen)


def tried(config: Config, folder: Folder, label: str) -> list[float]:
    """The accuracy that each of `config.rates` reaches with seed TRIAL, on sequences of its own.

    0 where training diverges.
    """
    found = []
    for i, rate in enumerate(config.rates):
        name = f"{label}-rate{i}"
        kept = folder.read_json(f"evaluation/{name}.json")
        if kept is None:
            one = config.replace(learning_rate=rate, seed=TRIAL, seeds=1, rates=())
            try:
                kept = measure(one, train(one, folder, label, name=name, fresh=3000))
            except NotFinite as error:
                say(f"{name}: at a rate of {rate} {error}")
                kept = {"accuracy": [0.0]}
            folder.write_json(f"evaluation/{name}.json", kept)
        found.append(kept["accuracy"][0])
    return found


def optimizer(config: Config) -> optax.GradientTransformation:
    """AdamW at clipped gradients; its rate warms up for 5% of the steps, and falls as a cosine."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.steps // 20 + 1, max(2, config.steps)
    )
    adam = optax.adamw(rate, weight_decay=config.weight_decay)
    return optax.chain(optax.clip_by_global_norm(1.0), adam)


def answers(model: transformer.Model) -> Callable:
    """(params, tokens [b, n]) -> the likeliest token at each position, [b, n]."""
    return jax.jit(lambda params, tokens: jnp.argmax(model.apply(params, tokens), -1))


def measure(config: Config, trained: Trained) -> dict[str, list[float]]:
    """{measure: [seeds]} on fresh sequences.

    accuracy: share of right answers; accuracy_<band>: the same by distance; chance: what an answer
    would reach that does not read the question; seconds: the fastest forward call, a sequence.
    """
    answer, fresh = answers(trained.model), trained.fresh
    found = []
    for params in parallel.each(trained.params, config.seeds):
        parts, took = [], []
        for part in np.array_split(fresh["tokens"], PARTS):
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
            q, k, v = heads(params, tokens)
            found[name].append(error(variant, q, k, v))
    return found


def error(variant: Variant, q, k, v) -> float:
    """The relative error of the variant's output on q, k, v [b, n, heads, dim]."""
    out = jax.jit(lambda q, k, v: variant.attend(q, k, v, extra=variant.init(jax.random.key(0))))
    # Sequences and heads in front of [n, dim].
    found, *qkv = (np.asarray(x).swapaxes(1, 2) for x in (out(q, k, v), q, k, v))
    flat = [x.reshape(-1, *x.shape[2:]) for x in qkv]
    rows = np.arange(q.shape[1])
    about = {"causal": variant.causal, "shared_qk": variant.shared_qk}
    right = [quality.exact(q, k, v, rows, **about) for q, k, v in zip(*flat, strict=True)]
    return quality.relative(found.ravel(), np.stack(right).ravel())


def blind(target: np.ndarray) -> float:
    """The share of questions [count, n] answered by who does not read them.

    By the commonest answer of all; or, where a sequence is asked several times, by its own
    commonest: of values that were shown, one must be right.
    """
    asked = target >= 0
    common = np.bincount(target[asked]).max()
    if asked.sum(1).min() > 1:
        common = max(common, sum(np.bincount(row[row >= 0]).max() for row in target))
    return float(common / asked.sum())


def accuracies(answers: np.ndarray, data: dict[str, np.ndarray], length: int) -> dict[str, float]:
    """Shares of right answers: all, and by distance in quarters of the length that occur.

    Of ListOps also those of its shortcuts, the share of the questions at which all of them fail
    (hard), and the answers' accuracy there.
    """
    asked = data["target"] >= 0
    right = (answers == data["target"]) & asked
    found = {"accuracy": float(right.sum() / asked.sum())}
    found["chance"] = blind(data["target"])
    for band in range(BANDS):
        low, high = band * length // BANDS, (band + 1) * length // BANDS
        inside = asked & (data["distance"] >= low) & (data["distance"] < high)
        if inside.any():
            found[f"accuracy_{low}-{high - 1}"] = float((right & inside).sum() / inside.sum())
    if listops.SHORTCUTS[0] in data:
        # One question a sequence.
        hits = {name: data[name] == data["target"][asked] for name in listops.SHORTCUTS}
        hard = ~np.any(list(hits.values()), axis=0)
        found |= {name: float(hit.mean()) for name, hit in hits.items()}
        found |= {"hard": float(hard.mean()), "accuracy_hard": float(right[asked][hard].mean())}
    return found
