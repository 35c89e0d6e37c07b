"""What trains and what is added."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.core import steps
from genjax.core.parallel import identity
from genjax.lm import finetune, recurrent

LENGTH = 16
SMALL = recurrent.build("ssm", vocabulary=9, width=8, depth=2)
SMALL = SMALL._replace(init=jax.jit(SMALL.init))  # One program, not one an operation.


def descend(method, windows, count=60, rate=0.03, base=None, fisher=None, apply=SMALL.apply):
    base = SMALL.init(jax.random.key(0)) if base is None else base
    optimizer = finetune.optimizer(optax.adam(rate), method, 2, 100)
    step = steps.training_step(finetune.loss(apply, method, 2), optimizer)
    state = steps.init_state(finetune.start(jax.random.key(1), base, method, fisher), optimizer)
    batch = {"tokens": windows[:, :-1], "target": windows[:, 1:], "weight": jnp.ones(len(windows))}

    @jax.jit
    def run(state):
        def one(state, _):
            state, metrics = step(state, batch, jax.random.key(2), total=identity, gather=identity)
            return state, metrics["loss"]

        return jax.lax.scan(one, state, None, count)

    state, losses = run(state)
    return base, state.params, np.asarray(losses)


WINDOWS = jax.random.randint(jax.random.key(5), (4, LENGTH + 1), 0, 8)


@pytest.mark.parametrize("train", finetune.TRAINED)
def test_only_what_trains_moves(train):
    method = finetune.Method(train, rank=2)
    base, params, losses = descend(method, WINDOWS, count=20)
    assert losses[-1] < losses[0]
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), base, params["model"])
    flat = {jax.tree_util.keystr(p): m for p, m in jax.tree_util.tree_leaves_with_path(moved)}
    if train == "lora":
        assert not any(flat.values())
        assert jax.tree.all(
            jax.tree.map(
                lambda a, b: (a == b).all(),
                finetune.merged(finetune.start(jax.random.key(1), base, method), method),
                base,
            )
        )
    elif train == "biases":
        vectors = {k for k, leaf in zip(flat, jax.tree.leaves(base), strict=True) if leaf.ndim == 1}
        assert {name for name, m in flat.items() if m} <= vectors
    elif train == "last":
        assert {name for name, m in flat.items() if m} <= {
            n for n in flat if "_1" in n or "'norm'" in n
        }
        assert flat["['mixer_1']['out']['kernel']"] and not flat["['mixer_0']['out']['kernel']"]
    else:
        assert all(flat.values())


def test_lora_adds_twice_the_product_to_every_matrix_but_the_embeddings():
    base = SMALL.init(jax.random.key(0))
    method = finetune.Method("lora", rank=2)
    params = finetune.start(jax.random.key(1), base, method)
    assert len(params["lora"]) == sum(leaf.ndim == 2 for leaf in jax.tree.leaves(base)) - 1
    name = "['up_1']['kernel']"
    b = jax.random.normal(jax.random.key(2), (2, 32))
    params["lora"][name]["b"] = b
    expected = base["up_1"]["kernel"] + 2 * params["lora"][name]["a"] @ b
    found = finetune.merged(params, method)
    np.testing.assert_allclose(found["up_1"]["kernel"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["down_0"]["kernel"], base["down_0"]["kernel"])


def matrices_alone(params, tokens):
    """SMALL with no gradient but for the matrices that LoRA changes."""

    def keep(path, leaf):
        return leaf if leaf.ndim == 2 and path[0].key != "embed" else jax.lax.stop_gradient(leaf)

    return SMALL.apply(jax.tree_util.tree_map_with_path(keep, params), tokens)


def test_lora_of_full_rank_reaches_what_full_finetuning_of_its_matrices_reaches():
    counting = (jnp.arange(LENGTH + 1) * 3 + jnp.arange(4)[:, None]) % 8
    full = descend(finetune.Method("all"), counting, 300, apply=matrices_alone)[2][-1]
    losses = descend(finetune.Method("lora", rank=8), counting, 300)[2]
    assert full < losses[0] - 1
    assert losses[-1] < full + 0.05


def test_anchor_and_ewc_hold_the_base():
    base, free, _ = descend(finetune.Method("all"), WINDOWS)
    fisher = jax.jit(lambda p: finetune.fisher(SMALL.apply, p, WINDOWS))(base)
    far = _distance(base, free["model"])
    for method in (finetune.Method("all", anchor=5.0), finetune.Method("all", ewc=100.0)):
        _, held, _ = descend(method, WINDOWS, base=base, fisher=fisher if method.ewc else None)
        assert _distance(base, held["model"]) < far
        np.testing.assert_array_equal(held["fixed"]["base"]["norm"]["scale"], base["norm"]["scale"])


def _distance(a, b):
    parts = jax.tree.map(lambda x, y: ((x - y) ** 2).sum(), a, b)
    return float(sum(jax.tree.leaves(parts)))


def test_fisher_is_the_mean_squared_gradient():
    base = SMALL.init(jax.random.key(0))

    def total(params, window):
        log_p = jax.nn.log_softmax(SMALL.apply(params, window[None, :-1]))[0]
        return -log_p[jnp.arange(LENGTH), window[1:]].sum()

    slope = jax.jit(jax.grad(total))
    grads = [slope(base, window) for window in WINDOWS]
    expected = sum(g["mixer_0"]["out"]["kernel"] ** 2 for g in grads) / len(grads) / LENGTH
    found = jax.jit(lambda p: finetune.fisher(SMALL.apply, p, WINDOWS))(base)["mixer_0"]["out"][
        "kernel"
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_average_lies_between():
    a, b = {"w": jnp.zeros(2)}, {"w": jnp.ones(2)}
    np.testing.assert_allclose(finetune.average(a, b, 0.25)["w"], 0.25)


def test_group_dro_is_doremis_algorithm():
    """Algorithm 1 of the paper, written out domain by domain, until a weight lies on its floor."""
    method, rounds = finetune.Method(dro=3), 60
    proxy, reference = (SMALL.init(jax.random.key(i)) for i in (0, 1))
    windows = jax.random.randint(jax.random.key(6), (6, LENGTH + 1), 0, 8)
    # The reference knows the first domain, so that its excess is the greatest by far.
    windows = windows.at[:3].set(windows[0])
    reference = descend(finetune.Method(), windows[:3], base=reference)[1]["model"]
    domain = np.array([0, 0, 0, 1, 2, 2])
    batch = {"tokens": windows[:, :-1], "target": windows[:, 1:], "weight": jnp.ones(6)}
    batch["domain"] = jnp.asarray(domain)
    optimizer = finetune.optimizer(optax.sgd(0.01), method, 2, rounds)
    step = steps.training_step(finetune.loss(SMALL.apply, method, 2), optimizer)
    step = jax.jit(functools.partial(step, total=identity, gather=identity))
    params = finetune.start(jax.random.key(1), proxy, method, reference=reference)
    state = steps.init_state(params, optimizer)

    @jax.jit
    def nats(params):
        log_p = jax.nn.log_softmax(SMALL.apply(params, windows[:, :-1]))
        return -jnp.take_along_axis(log_p, windows[:, 1:, None], -1)[..., 0]

    @jax.jit
    def slopes(params, alpha):
        def loss(params):
            found = nats(params)
            return sum(alpha[d] * found[domain == d].mean() for d in range(3))

        return jax.grad(loss)(params)

    alpha, mean, below = np.full(3, 1 / 3), np.zeros(3), np.asarray(nats(reference))
    for _ in range(rounds):
        excess = np.maximum(np.asarray(nats(proxy)) - below, 0)
        moved = alpha * np.exp([excess[domain == d].mean() for d in range(3)])
        alpha = (1 - 1e-3) * moved / moved.sum() + 1e-3 / 3
        mean += alpha / rounds
        proxy = jax.tree.map(lambda p, g: p - 0.01 * g, proxy, slopes(proxy, alpha))
        state, _ = step(state, batch, jax.random.key(2))
    assert alpha.min() < 1e-3 and alpha.max() > 0.9
    weights = state.params["weights"]
    np.testing.assert_allclose(np.exp(weights["logits"]), alpha, rtol=1e-3)
    np.testing.assert_allclose(weights["mean"], mean, rtol=1e-3)
    for a, b in zip(jax.tree.leaves(state.params["model"]), jax.tree.leaves(proxy), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    kept = jax.tree.leaves(state.params["fixed"]["reference"])
    for a, b in zip(kept, jax.tree.leaves(reference), strict=True):
        np.testing.assert_array_equal(a, b)
