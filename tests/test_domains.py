"""Domains as training sees them: what is drawn, how often, what is measured, what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax import attention, bydomain, finetune, ngram, steps
from genjax.data import chains, domains, hmm, text
from genjax.errors import UsageError
from genjax.models import recurrent, transformer
from genjax.parallel import identity

LENGTH = 16


@pytest.fixture(scope="module")
def source():
    grid = hmm.grid(3, states=8, base=16, vocabulary=32, shared=4)
    return domains.from_grid(grid, length=LENGTH, pool=20, documents=6)


@pytest.fixture(scope="module")
def prose():
    rng = np.random.default_rng(0)

    def make(size):
        return rng.integers(97, 123, size).astype(np.uint8)

    corpus = {name: text.Domain(make(400), make(90), make(100)) for name in ("a", "b", "c")}
    return domains.from_text(corpus, text.byte_tokens(), ["c"], length=LENGTH, stride=5)


def test_splits_of_the_grid_share_no_document(source):
    pool = source.draw("s0l1", np.arange(20), 0)
    valid, test = (source.measured("s0l1", split).windows for split in ("valid", "test"))
    rows = np.concatenate([pool, valid, test])
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert (rows[:, 0] == source.bos).all()


def test_lines_are_ordered():
    grid = hmm.grid(4, states=8, base=16, vocabulary=32, shared=4)
    wide = chains.draw(2, 32)
    source = domains.from_grid(grid, length=64, pool=1, documents=40, far=wide)
    training = grid.diagonals(2)

    def bits(name):
        return {line: value.mean() for line, value in source.lines(name, training).items()}

    unseen, seen, far = bits("s1l1"), bits(training[0]), bits("chain1")
    assert unseen["known"] < unseen["family"] < unseen["seen"]
    # Naming one of 16 domains costs four bits a document at most.
    assert unseen["family"] - unseen["known"] < 4 / 64 + 1e-9
    assert seen["known"] < seen["seen"] < seen["family"]
    # A chain shares nothing with the grid: learning its rows beats remembering the grid's.
    assert far["known"] < far["family"] < far["seen"]
    assert far["family"] < np.log2(32)


def test_chains_are_neither_seen_nor_held_out():
    grid = hmm.grid(3, states=8, base=16, vocabulary=32, shared=4)
    wide = chains.draw(2, 32)
    source = domains.from_grid(grid, length=LENGTH, pool=20, documents=6, far=wide)
    assert source.names[-2:] == ["chain0", "chain1"]
    for spec in ("seen", "all"):
        assert not any("chain" in name for name in domains.select(source, spec))
    assert domains.select(source, "chain1+s0l0") == ["chain1", "s0l0"]
    rows = np.concatenate(
        [source.measured("chain1", split).windows for split in ("valid", "test")]
        + [source.draw("chain1", np.arange(20), 0), source.draw("chain0", np.arange(20), 0)]
    )
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("seen", ["s0l1", "s0l2", "s1l0", "s1l2", "s2l0", "s2l1"]),
        ("diagonals1", ["s0l1", "s1l2", "s2l0"]),
        ("diagonals1+s0l0", ["s0l1", "s1l2", "s2l0", "s0l0"]),
        ("s0l0+s1l1", ["s0l0", "s1l1"]),
        ("seen-s0l1-s0l2", ["s1l0", "s1l2", "s2l0", "s2l1"]),
    ],
)
def test_domains_are_selected(source, spec, found):
    assert domains.select(source, spec) == found


@pytest.mark.parametrize("spec", ["s9l9", "s0l0+s0l0", "diagonals3", "diagonals", "s0l0-s0l0"])
def test_domains_that_cannot_be_selected_are_named(source, spec):
    with pytest.raises(UsageError, match=f"--domains={spec.replace('+', '.')}"):
        domains.select(source, spec)


def test_weights_follow_their_rule():
    names, sizes = ["a", "b"], [100, 400]
    assert domains.weights(names, sizes, "uniform") == {"a": 0.5, "b": 0.5}
    assert domains.weights(names, sizes, "proportional") == {"a": 0.2, "b": 0.8}
    tempered = domains.weights(names, sizes, "temperature:2")
    np.testing.assert_allclose(tempered["b"] / tempered["a"], 2)
    assert domains.weights(names, sizes, "0.3+0.7") == {"a": 0.3, "b": 0.7}


def test_replay_of_the_joint_share_is_joint_training():
    joint = domains.weights(["new", "a", "b", "c"], [1] * 4, "uniform")
    replayed = domains.weights(["new"], [1], "uniform", 0.75, ("a", "b", "c"))
    assert joint == pytest.approx(replayed)


@pytest.mark.parametrize("rule", ["0.5+0.6", "-0.5+1.5", "1", "most", "temperature:0"])
def test_weights_that_are_none_are_refused(rule):
    with pytest.raises(UsageError, match="--mixture="):
        domains.weights(["a", "b"], [1, 1], rule)


def test_batches_are_a_function_of_seed_and_step(source):
    draw = domains.batches(source, {"s0l1": 0.25, "s1l2": 0.75}, 64, seeds=[3, 4])
    whole, late = draw(0, 4), draw(2, 2)
    assert whole.shape == (4, 2, 64, LENGTH + 2)
    np.testing.assert_array_equal(whole[2:], late)
    assert (whole[:, 0] != whole[:, 1]).any() and (whole[0] != whole[1]).any()
    pool = {tuple(row) for row in source.draw("s1l2", np.arange(20), 0)}
    rows = whole.reshape(-1, LENGTH + 2)
    np.testing.assert_array_equal([tuple(row) in pool for row in rows[:, :-1]], rows[:, -1])
    assert abs(rows[:, -1].mean() - 0.75) < 0.1


def test_a_limit_is_kept(source):
    draw = domains.batches(source, {"s0l1": 1.0}, 64, seeds=[0], limit=3 * LENGTH)
    rows = draw(0, 4).reshape(-1, LENGTH + 2)
    assert len(np.unique(rows, axis=0)) == 3


def test_every_byte_of_a_test_text_is_scored_once(prose):
    found = prose.measured("b", "test")
    assert found.units == 100 and found.scored.sum() == 100
    np.testing.assert_array_equal(found.windows[0, 0], prose.bos)


def test_a_window_longer_than_a_text_is_refused(prose):
    with pytest.raises(UsageError, match="--context=16: longer than the 9 tokens of a"):
        prose.pool("a", 9)


def test_examples_are_the_same_query_behind_more_of_the_domain(source):
    cases = domains.examples(source, "s1l1", [0, 1, 3], 4, 5, seed=0)
    for k, found in cases.items():
        assert found.scored.sum() == 20
        query = found.windows[:, 1:][found.scored].reshape(5, 4)
        np.testing.assert_array_equal(query, cases[0].windows[:, 1:5])
        assert k == 0 or (found.windows[:, 1:5] != query).any(1).all()
        np.testing.assert_array_equal(
            found.windows[:, 1 : 4 * k + 1], cases[3].windows[:, 1 : 4 * k + 1]
        )
    with pytest.raises(UsageError, match="at most 3"):
        domains.examples(source, "s1l1", [0, 4], 4, 5, seed=0)


# --- Models --------------------------------------------------------------------------------------


def models():
    """Every causal model, with a vocabulary of as many tokens as positions."""
    shape = {"vocabulary": LENGTH, "width": 8, "depth": 2}
    small = {"window": 3, "keep": 8, "stride": 4, "summary": 1, "chunk": 4, "rounds": 2}
    for name in (n for n in attention.VARIANTS if n not in attention.NOT_CAUSAL):
        variant = attention.build(name, LENGTH, 4, causal=True, **small)
        yield name, transformer.build(variant, length=LENGTH, heads=2, **shape)
    for name in recurrent.LAYERS:
        yield name, recurrent.build(name, **shape)


MODELS = dict(models())


@pytest.mark.parametrize("name", MODELS)
def test_no_model_sees_the_future(name):
    """By gradient. Each position has a token of its own, so that a row of the embeddings is one.

    The logit of token 0 reads the output's row 0 alone: what comes to the others comes through the
    input.
    """
    model = MODELS[name]
    params = model.init(jax.random.key(0))
    tokens = jnp.arange(LENGTH)[None]

    @jax.jit
    def slopes(params):
        rows = jax.jacrev(lambda p: model.apply(p, tokens)[0, :, 0])(params)
        return jnp.abs(rows["embed"]["embedding"]).sum(-1)

    found = np.asarray(slopes(params))[:, 1:]
    place, source = np.arange(LENGTH)[:, None], np.arange(1, LENGTH)
    assert (found[source > place] == 0).all()
    assert (found[source == place] > 0).all()
    assert (found[-1] > 0).sum() > 2


STEPPING = ("flash", "truncated", "sparse_strided", "sparse_fixed", "longformer", *recurrent.LAYERS)


@pytest.mark.parametrize("name", STEPPING)
def test_token_by_token_is_the_whole_pass(name):
    model = MODELS[name]
    params = model.init(jax.random.key(1))
    tokens = jax.random.randint(jax.random.key(2), (3, LENGTH), 0, LENGTH)
    whole = jax.jit(model.apply)(params, tokens)
    memory, step = model.begin(3), jax.jit(model.step)
    for i in range(LENGTH):
        logits, memory = step(params, memory, tokens[:, i])
        np.testing.assert_allclose(logits, whole[:, i], atol=1e-5)


def test_what_cannot_go_token_by_token_says_so():
    assert {name for name, model in MODELS.items() if model.step} == {*STEPPING}
    both_ways = attention.build("flash", LENGTH, 4, causal=False)
    model = transformer.build(both_ways, vocabulary=9, length=LENGTH, width=8, depth=1, heads=2)
    assert model.step is None


def test_state_space_layer_is_its_recurrence():
    layer = recurrent.StateSpace(4, jnp.float32)
    x = jax.random.normal(jax.random.key(0), (2, 6, 4))
    params = layer.init(jax.random.key(1), x)
    parts = x @ params["params"]["input"]["kernel"] + params["params"]["input"]["bias"]
    keep, new, show = np.split(np.asarray(parts), 3, -1)
    keep, state, found = 1 / (1 + np.exp(-keep - 1)), np.zeros((2, 4)), []
    for t in range(6):
        state = keep[:, t] * state + (1 - keep[:, t]) * new[:, t]
        found.append(state * show[:, t] / (1 + np.exp(-show[:, t])))
    expected = np.stack(found, 1) @ params["params"]["out"]["kernel"]
    np.testing.assert_allclose(layer.apply(params, x), expected, rtol=1e-5, atol=1e-6)


# --- Finetuning ----------------------------------------------------------------------------------

SMALL = recurrent.build("ssm", vocabulary=9, width=8, depth=2)


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


# --- Measuring -----------------------------------------------------------------------------------


def test_losses_are_bits_of_the_scored_tokens(source):
    test = source.measured("s0l0", "test")
    model = recurrent.build("gru", vocabulary=source.vocabulary, width=8, depth=1)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    scored = test.scored.copy()
    scored[:, :3] = False
    found = bydomain.losses(
        bydomain.meter(model.apply), params, test._replace(scored=scored, units=scored.sum())
    )
    for i in range(2):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        log_p = jax.nn.log_softmax(jax.jit(model.apply)(own, test.windows[:, :-1]))
        picked = np.take_along_axis(np.asarray(log_p), test.windows[:, 1:, None], -1)[..., 0]
        np.testing.assert_allclose(found["loss"][i], -picked[:, 3:].mean() / np.log(2), rtol=1e-4)
    assert np.isnan(found["position"][:, :3]).all()
    np.testing.assert_allclose(found["documents"].sum(1) / scored.sum(), found["loss"], rtol=1e-5)


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


def test_drift_from_itself_is_the_entropy(source):
    windows = source.measured("s0l0", "test").windows
    model = recurrent.build("gru", vocabulary=source.vocabulary, width=8, depth=1)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 1))
    other = jax.vmap(model.init)(jax.random.split(jax.random.key(1), 1))
    drift = bydomain.drift_meter(model.apply)
    p = jax.nn.softmax(model.apply(jax.tree.map(lambda x: x[0], params), windows[:, :-1]))
    entropy = -(p * jnp.log2(p)).sum(-1)
    np.testing.assert_allclose(drift((params, params), windows)[0], entropy, rtol=1e-4)
    assert drift((params, other), windows).mean() > entropy.mean()


def test_dynamic_evaluation_scores_a_window_before_it_learns_it(source, monkeypatch):
    # Calls follow each other, and the last one is not full.
    monkeypatch.setattr(bydomain, "CHUNK", 4)
    model = recurrent.build("ssm", vocabulary=source.vocabulary, width=8, depth=1)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    test = source.measured("s0l1", "test")
    # Of the last window half a part counts.
    test = test._replace(scored=test.scored.copy())
    test.scored[-1, : LENGTH // 2] = False
    test = test._replace(units=test.scored.sum())
    measure = bydomain.dynamic_meter(model.apply)
    still = bydomain.losses(bydomain.meter(model.apply), params, test)["loss"]
    np.testing.assert_allclose(measure(params, test, 0.0), still, rtol=1e-5)

    def loss(params, i):
        log_p = jax.nn.log_softmax(model.apply(params, test.windows[i : i + 1, :-1])[0])
        nats = -log_p[jnp.arange(LENGTH), test.windows[i, 1:]]
        return nats[test.scored[i]].mean(), nats[test.scored[i]].sum()

    total, now = 0.0, jax.tree.map(lambda leaf: leaf[1], params)
    for i in range(len(test.windows)):
        slopes, nats = jax.grad(loss, has_aux=True)(now, i)
        total += nats / np.log(2)
        now = jax.tree.map(lambda p, g: p - 0.5 * g, now, slopes)
    found = measure(params, test, 0.5)
    np.testing.assert_allclose(found[1], total / test.units, rtol=1e-5)
    assert (found < still).all()


def test_an_ngram_is_measured_like_a_model(source):
    model = ngram.fit(source.sequences("s0l1"), order=2, vocabulary=source.vocabulary)
    test = source.measured("s0l1", "test")
    found = bydomain.losses(bydomain.ngram_meter(model, 3), None, test)
    expected = np.mean([-model.log2_probs(window).mean() for window in test.windows])
    np.testing.assert_allclose(found["loss"], [expected] * 3)
    assert np.isnan(found["ece"]).all()


def test_generation_draws_every_token_anew():
    even = transformer.Model(lambda key: {}, lambda params, tokens: jnp.zeros((*tokens.shape, 9)))
    made = bydomain.generate(even, {}, np.zeros((2, 1), np.int32), 40, jax.random.key(0))
    assert [len(np.unique(row)) for row in made] == [9, 9]
    assert (made[0] != made[1]).any()


def test_generation_keeps_the_prompt():
    params = SMALL.init(jax.random.key(0))
    prompts = np.asarray(WINDOWS[:, :5])
    made = bydomain.generate(SMALL, params, prompts, LENGTH, jax.random.key(3))
    assert made.shape == (4, LENGTH)
    np.testing.assert_array_equal(made[:, :5], prompts)
    assert len(np.unique(made[:, 5:])) > 1
    whole = bydomain.generate(SMALL._replace(step=None), params, prompts, LENGTH, jax.random.key(3))
    np.testing.assert_array_equal(made, whole)
