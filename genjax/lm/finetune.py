"""Finetuning as a pair of choices: what trains, and what is added to the loss.

The state's parameters are {"model": the base's tree, "lora": low-rank changes, "fixed": what the
loss compares with, "weights": the domains', of group DRO}. `fixed`, and what of the model does not
train, get no gradient and no moments.
Replay is no matter of the loss: old domains are in the batch (data/domains.py).
"""

from collections.abc import Callable, Hashable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from genjax.lm import objectives

TRAINED = ("all", "lora", "biases", "last")
# DoReMi's step size of the weights, and the share of them that stays uniform (Xie et al. 2023).
DRO_RATE, DRO_UNIFORM = 1.0, 1e-3


class Method(NamedTuple):
    """train: one of TRAINED. rank: LoRA's; alpha = 2 rank (Biderman et al. 2024, section 3).

    biases: vectors alone: biases where there are any, and the norms' scales (BitFit, Ben Zaken et
        al. 2022). last: the last block, the last norm.
    ewc: lambda of lambda / 2 sum_i F_i (theta_i - theta*_i)^2 (Kirkpatrick et al. 2017, eq. 3).
    anchor: weight of the cross-entropy of the base's own distribution, nats a position.
    dro: domains whose losses are weighed by their excess over a reference, 0 for none (DoReMi, Xie
        et al. 2023, algorithm 1).
    """

    train: str = "all"
    rank: int = 0
    ewc: float = 0.0
    anchor: float = 0.0
    dro: int = 0


def start(
    key, base: dict, method: Method, fisher: dict | None = None, reference: dict | None = None
) -> dict:
    """The parameters before the first step: the model is the base, whatever the method.

    reference: a model of the same shape, which group DRO compares with.
    """
    params = {"model": base}
    if method.train == "lora":
        params["lora"] = _low_rank(key, base, method.rank)
    if method.anchor or method.ewc:
        params["fixed"] = {"base": base} | ({"fisher": fisher} if method.ewc else {})
    if method.dro:
        params["fixed"] = {"reference": reference}
        even = jnp.full(method.dro, -jnp.log(method.dro))
        params["weights"] = {"logits": even, "mean": jnp.zeros(method.dro)}
    return params


def reweigh(logits: jax.Array, excess: jax.Array) -> jax.Array:
    """Group DRO's next weights of the domains, from the logarithms of the last."""
    moved = jax.nn.softmax(logits + DRO_RATE * excess)
    return (1 - DRO_UNIFORM) * moved + DRO_UNIFORM / len(logits)


def merged(params: dict, method: Method) -> dict:
    """The model's parameters as they are now, W + 2 A B for LoRA (alpha / rank = 2)."""
    if method.train != "lora":
        return params["model"]
    low_rank = params["lora"]

    def add(path, leaf):
        parts = low_rank.get(jax.tree_util.keystr(path))
        return leaf if parts is None else leaf + 2.0 * (parts["a"] @ parts["b"]).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(add, params["model"])


def trains(path, leaf, method: Method, last: int) -> bool:
    """Whether a leaf of the model's tree trains; last: the number of the last block."""
    if method.train == "lora":
        return False
    if method.train == "biases":
        return jnp.ndim(leaf) == 1
    if method.train == "last":
        return path[0].key == "norm" or path[0].key.endswith(f"_{last}")
    return True


def optimizer(inner: optax.GradientTransformation, method: Method, depth: int, length):
    """`inner` for what trains; nothing else moves but group DRO's weights.

    length: steps of the training, for those weights' mean; may be traced.
    """

    def labels(params):
        model = jax.tree_util.tree_map_with_path(
            lambda path, leaf: "train" if trains(path, leaf, method, depth - 1) else "keep",
            params["model"],
        )
        found = {"model": model}
        if "lora" in params:
            found["lora"] = jax.tree.map(lambda _: "train", params["lora"])
        if "fixed" in params:
            found["fixed"] = jax.tree.map(lambda _: "keep", params["fixed"])
        if "weights" in params:
            found["weights"] = {"logits": "follow", "mean": "gather"}
        return found

    kinds: dict[Hashable, optax.GradientTransformation] = {
        "train": inner,
        "keep": optax.set_to_zero(),
        "follow": optax.identity(),
        "gather": optax.scale(1 / length),
    }
    return optax.multi_transform(kinds, labels)


def loss(apply: Callable, method: Method, depth: int, losses: Callable | None = None) -> Callable:
    """The objective of `steps.training_step`: token loss, and what the method adds.

    apply, losses: as in `objectives.token_loss`.
    """

    def objective(params, batch, key, gather):
        kept = jax.tree_util.tree_map_with_path(
            lambda path, leaf: (
                leaf if trains(path, leaf, method, depth - 1) else jax.lax.stop_gradient(leaf)
            ),
            params["model"],
        )
        fixed = jax.lax.stop_gradient(params.get("fixed", {}))
        model = merged(params | {"model": kept}, method)
        values, metrics = objectives.token_loss(apply, losses)(model, batch, key, gather)
        if method.dro:
            weights, reference = params["weights"], fixed["reference"]
            values = _group_dro(apply, model, reference, weights, batch, values, gather)
        if method.anchor:
            target = jax.nn.softmax(apply(fixed["base"], batch["tokens"]))
            found = optax.softmax_cross_entropy(apply(model, batch["tokens"]), target).mean(-1)
            values, metrics = values + method.anchor * found, metrics | {"anchor": found}
        if method.ewc:
            terms = jax.tree.map(
                lambda f, a, b: (f * (a - b) ** 2).sum(), fixed["fisher"], model, fixed["base"]
            )
            penalty = 0.5 * method.ewc * sum(jax.tree.leaves(terms))
            values = values + penalty
            metrics = metrics | {"ewc": jnp.broadcast_to(penalty, values.shape)}
        return values, metrics

    return objective


def _group_dro(apply, model, reference, weights, batch, values, gather):
    """Windows weighted so that their mean is the sum over domains of weight times mean loss.

    The weights first follow the excess of each domain in the whole batch. What they become is the
    gradient of two linear terms, worth nothing in value, so that the step carries them like any
    other parameter.
    """

    def nats(params):
        log_p = jax.nn.log_softmax(apply(params, batch["tokens"]))
        return -jnp.take_along_axis(log_p, batch["target"][..., None], -1)[..., 0]

    model, weights_now = jax.lax.stop_gradient((model, weights))
    excess = jnp.maximum(nats(model) - nats(reference), 0).mean(-1)
    own = jax.nn.one_hot(batch["domain"], len(weights["mean"]))
    everyone = gather(own * batch["weight"][:, None])
    counts = everyone.sum(0)
    by_domain = gather(excess) @ everyone / jnp.maximum(counts, 1)
    alpha = reweigh(weights_now["logits"], by_domain)
    moved = jnp.log(alpha) - weights_now["logits"]
    slopes = moved @ weights["logits"] + alpha @ weights["mean"]
    share = own @ (alpha * counts.sum() / jnp.maximum(counts, 1))
    return share * values + slopes - jax.lax.stop_gradient(slopes)


def fisher(apply: Callable, params: dict, windows: jax.Array) -> dict:
    """The diagonal Fisher by true labels: mean squared gradient of a window's summed loss.

    `true label`, the empirical Fisher: windows [n, length + 1] of the old domains in place of
    samples from the model (van de Ven 2025 on how the choices differ). In nats^2 a position.
    """

    def one(window):
        def total(params):
            logits = apply(params, window[None, :-1])[0]
            return optax.softmax_cross_entropy_with_integer_labels(logits, window[1:]).sum()

        return jax.tree.map(jnp.square, jax.grad(total)(params))

    length = windows.shape[1] - 1
    found = jax.lax.map(one, windows)
    return jax.tree.map(lambda g: g.mean(0) / length, found)


def average(before: dict, after: dict, share: float) -> dict:
    """(1 - share) before + share after, leaf by leaf (WiSE-FT, Wortsman et al. 2022, eq. 1)."""
    return jax.tree.map(lambda a, b: (1 - share) * a + share * b, before, after)


def _low_rank(key, base, rank):
    """{path: {"a" [in, rank], "b" [rank, out]}} for every matrix but embeddings; b starts at 0."""
    found = {}
    for i, (path, leaf) in enumerate(jax.tree_util.tree_flatten_with_path(base)[0]):
        name = jax.tree_util.keystr(path)
        if jnp.ndim(leaf) == 2 and "embed" not in name:
            rows, columns = leaf.shape
            draw = jax.random.normal(jax.random.fold_in(key, i), (rows, rank)) * rows**-0.5
            found[name] = {"a": draw, "b": jnp.zeros((rank, columns))}
    return found
