"""Tasks of looking up, and the transformer that learns them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import blocks
from genjax.core.errors import UsageError
from genjax.lm import objectives, transformer
from genjax.scaling import lookups, training, variants
from genjax.scaling.config import Config


@pytest.mark.parametrize("length", (32, 64, 128))
def test_for_a_task_a_variant_sees_or_remembers_a_part(length):
    config = Config()
    for name in attention.VARIANTS:
        variant = variants.scaled(config, name, length)
        if variant.pattern is not None and name not in ("full", "flash"):
            pairs = length * (length + 1) / 2 if variant.causal else length**2
            assert blocks.dense_mask(variant.pattern).sum() < 0.8 * pairs, name
    rows = variants.scaled(config, "linformer", length).init(jax.random.key(0))
    assert all(leaf.shape[-2] <= length // 4 for leaf in jax.tree.leaves(rows))


def test_recall_asks_for_what_was_shown():
    data = lookups.recall(200, 40, np.random.default_rng(0), pairs=5, symbols=8)
    for tokens, target, distance in zip(*(data[k] for k in data), strict=True):
        shown = dict(zip(tokens[0:10:2], tokens[1:10:2], strict=True))
        assert len(shown) == 5 and max(shown) <= 8 < min(shown.values())
        asked = np.flatnonzero(target >= 0)
        assert sorted(tokens[asked]) == sorted(shown)
        for place in asked:
            assert target[place] == shown[tokens[place]]
            assert tokens[place - distance[place]] == target[place]
        assert (tokens[10:] == lookups.SILENCE).sum() == 25
    assert len(np.unique(data["target"])) == 9
    assert data["tokens"].max() < lookups.vocabulary("recall", 8)


def test_copy_repeats_its_word():
    data = lookups.copy(50, 20, np.random.default_rng(0), symbols=8)
    tokens, target = data["tokens"], data["target"]
    np.testing.assert_array_equal(tokens[:, :10], tokens[:, 10:])
    rows, places = np.nonzero(target >= 0)
    np.testing.assert_array_equal(target[rows, places], tokens[rows, places + 1])
    behind = places - data["distance"][rows, places]
    np.testing.assert_array_equal(tokens[rows, behind], target[rows, places])
    assert (target >= 0).sum(1).tolist() == [9] * 50


def test_too_many_pairs_are_refused():
    with pytest.raises(UsageError, match="--recall_pairs=6: at most 5 fit"):
        lookups.recall(1, 16, np.random.default_rng(0), pairs=6)


def test_accuracy_counts_by_distance():
    data = {
        "target": np.array([[-1, 3, -1, 4, 5, -1, -1, 6]]),
        "distance": np.array([[-1, 1, -1, 1, 3, -1, -1, 7]]),
    }
    found = training.accuracies(np.array([[9, 3, 9, 9, 5, 9, 9, 9]]), data, 8)
    shares = {"accuracy": 0.5, "accuracy_0-1": 0.5, "accuracy_2-3": 1, "accuracy_6-7": 0}
    assert found == shares | {"chance": 0.25}


def test_token_loss_is_the_mean_over_what_is_asked():
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 4)))
    target = jnp.array([[-1, 2, 1], [-1, -1, -1]])
    loss = objectives.token_loss(lambda params, tokens: logits)
    values, metrics = loss({}, {"tokens": None, "target": target}, None, None)
    chosen = jax.nn.log_softmax(logits)[0, jnp.array([1, 2]), jnp.array([2, 1])]
    np.testing.assert_allclose(values, [-chosen.mean(), 0], rtol=1e-6)
    hits = [int(jnp.argmax(logits[0, i])) == int(target[0, i]) for i in (1, 2)]
    np.testing.assert_allclose(metrics["accuracy"], [np.mean(hits), 0])


def small(name="flash"):
    variant = attention.build(name, 12, 8, causal=True)
    return transformer.build(variant, vocabulary=7, length=12, width=16, heads=2)


def test_the_transformer_sees_nothing_from_the_future():
    model = small()
    params, apply = jax.jit(model.init)(jax.random.key(0)), jax.jit(model.apply)
    tokens = jnp.arange(12)[None] % 7
    logits = [apply(params, t) for t in (tokens, tokens.at[0, 6:].set(0))]
    np.testing.assert_allclose(logits[0][:, :6], logits[1][:, :6], atol=1e-6)
    assert np.abs(logits[0][:, 6:] - logits[1][:, 6:]).max() > 1e-2


def test_rotary_scores_depend_on_the_difference_of_positions():
    rng = np.random.default_rng(0)
    q, k = (jnp.broadcast_to(jnp.asarray(rng.standard_normal(8)), (1, 9, 1, 8)) for _ in range(2))
    scores = np.einsum("qd,kd->qk", *(transformer.rotate(x)[0, :, 0] for x in (q, k)))
    for offset in range(-8, 9):
        np.testing.assert_allclose(np.diff(np.diagonal(scores, offset)), 0, atol=1e-5)
    assert np.ptp(scores[0]) > 0.1


def test_random_features_are_not_trained():
    model = small("performer")
    params = jax.jit(model.init)(jax.random.key(0))
    tokens = jnp.arange(12)[None] % 7
    grads = jax.jit(jax.grad(lambda p: (model.apply(p, tokens) ** 2).sum()))(params)
    layer = grads["mixer_0"]
    assert np.abs(layer["extra"]["features"]).max() == 0 < np.abs(layer["qkv"]["kernel"]).max()


def test_heads_are_what_attention_is_given():
    model = small()
    params = jax.jit(model.init)(jax.random.key(0))
    q, k, v = jax.jit(model.heads)(params, jnp.zeros((2, 12), jnp.int32))
    assert q.shape == k.shape == v.shape == (2, 12, 2, 8)
    # All tokens are the same: the rotation alone tells keys apart, and leaves values alone.
    assert np.ptp(v, axis=1).max() < 1e-5 < np.ptp(k, axis=1).max()


def test_mqar_is_zoologys():
    """Rule by rule, sequence by sequence, as the paper's code has them."""
    length, pairs, tokens = 64, 8, 512
    data = lookups.mqar(400, length, np.random.default_rng(0), pairs=pairs, tokens=tokens)
    for words, target, distance in zip(*(data[k] for k in data), strict=True):
        keys, values = words[0 : 2 * pairs : 2], words[1 : 2 * pairs : 2]
        assert len(set(keys)) == len(set(values)) == pairs
        assert keys.min() >= 1 and keys.max() < tokens // 2 <= values.min() < tokens
        places = np.flatnonzero(target >= 0)
        # At even places behind the pairs, each key once.
        assert len(places) == pairs and places.min() >= 2 * pairs and not (places % 2).any()
        assert sorted(words[places]) == sorted(keys)
        for place in places:
            where = 2 * list(keys).index(words[place]) + 1
            assert target[place] == words[where] and distance[place] == place - where
    # What is left is any token, of either half.
    left = (data["target"] < 0) & (np.arange(length) >= 2 * pairs)
    rest = data["tokens"][left]
    assert abs((rest < tokens // 2).mean() - 0.5) < 0.02 and rest.min() == 0
    assert lookups.vocabulary("mqar", tokens=tokens) == tokens > rest.max()


@pytest.mark.parametrize(("pairs", "tokens"), [(31, 64), (4, 64), (8, 34)])
def test_keys_of_mqar_are_distinct_and_each_as_likely(pairs, tokens):
    """Also where a sequence takes all of them, or nearly half."""
    count, half = 3000, tokens // 2
    data = lookups.mqar(count, 4 * pairs, np.random.default_rng(1), pairs=pairs, tokens=tokens)
    keys = data["tokens"][:, 0 : 2 * pairs : 2]
    assert all(len({*row}) == pairs for row in keys.tolist())
    found = np.bincount(keys.ravel(), minlength=half)[1:half] / count
    wanted = pairs / (half - 1)
    np.testing.assert_allclose(found, wanted, atol=5 * (wanted * (1 - wanted) / count) ** 0.5)


def test_places_of_mqar_follow_its_power_law():
    """Of one pair the place is drawn by the weights themselves, by NumPy's own choice of them."""
    count, length = 20_000, 34
    data = lookups.mqar(count, length, np.random.default_rng(0), pairs=1, tokens=64)
    gaps = (data["target"].argmax(1) - 2) // 2
    weights = np.arange(1, 17) ** (0.01 - 1)
    wanted = weights / weights.sum()
    found = np.bincount(gaps, minlength=16) / count
    np.testing.assert_allclose(found, wanted, atol=4 * np.sqrt(wanted * (1 - wanted) / count).max())
    assert found[0] > 3 * found[4]


def test_mqar_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="--recall_pairs=9: at most 8 fit into 8192 tokens"):
        lookups.mqar(1, 32, np.random.default_rng(0), pairs=9)
    with pytest.raises(UsageError, match="--recall_pairs=8: at most 7 fit into 16 tokens"):
        lookups.mqar(1, 64, np.random.default_rng(0), pairs=8, tokens=16)


def test_the_loss_of_the_questions_alone_is_that_of_all_logits():
    config = Config(
        variants=("linear",), tasks=("mqar",), task_lengths=(32,), recall_pairs=4, mqar_tokens=64,
        width=16,
    )  # fmt: skip
    label = "linear-mqar-32"
    model = training.network(config, label)
    params = jax.jit(model.init)(jax.random.key(1))
    data = lookups.mqar(6, 32, np.random.default_rng(0), pairs=4, tokens=64)
    batch = {key: jnp.asarray(data[key]) for key in ("tokens", "target")}
    whole = objectives.token_loss(model.apply)
    asked = training.asked_loss(config, label, 4)

    def mean(params, loss):
        values, metrics = loss(params, batch, None, None)
        return values.mean(), metrics["accuracy"]

    slope = jax.jit(jax.value_and_grad(mean, has_aux=True), static_argnums=1)
    ((one, hits), grads), ((other, again), others) = slope(params, whole), slope(params, asked)
    np.testing.assert_allclose(one, other, rtol=1e-5)
    for ours, theirs in zip(*map(jax.tree.leaves, (grads, others)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_array_equal(hits, again)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        # Keys and values of 64, of all positions but the last; of the 16 that are kept.
        ("flash", 2 * 64 * 31),
        ("truncated", 2 * 64 * 15),
        # Two heads of 32: sums of 32 x 32 and 32.
        ("linear", 2 * (32 * 32 + 32)),
        ("linformer", 2 * 64 * 8),
        ("reformer", 2 * 64 * 32),
    ],
)
def test_a_state_is_what_is_carried_on(name, numbers):
    assert variants.state(Config(width=64, task_heads=2), name, 32) == numbers


def test_a_window_carries_itself():
    """By a count of pairs: positions up to i that a later one sees."""
    config = Config(width=64, task_heads=2)
    mask = blocks.dense_mask(variants.scaled(config, "longformer", 32).pattern) > 0
    most = max(
        sum(any(mask[later, j] for later in range(i + 1, 32)) for j in range(i + 1))
        for i in range(31)
    )
    assert variants.state(config, "longformer", 32) == 2 * 64 * most < 2 * 64 * 31
