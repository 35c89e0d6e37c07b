"""Tasks of looking up, the transformer that learns them, and the probes that need no training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import blocks
from genjax.attention.variant import Cost, Variant
from genjax.core.errors import UsageError
from genjax.lm import objectives, transformer
from genjax.scaling import lookups, probes, training, variants
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
    params = model.init(jax.random.key(0))
    tokens = jnp.arange(12)[None] % 7
    logits = [model.apply(params, t) for t in (tokens, tokens.at[0, 6:].set(0))]
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
    params = model.init(jax.random.key(0))
    tokens = jnp.arange(12)[None] % 7
    grads = jax.grad(lambda p: (model.apply(p, tokens) ** 2).sum())(params)
    layer = grads["mixer_0"]
    assert np.abs(layer["extra"]["features"]).max() == 0 < np.abs(layer["qkv"]["kernel"]).max()


def test_heads_are_what_attention_is_given():
    model = small()
    q, k, v = model.heads(model.init(jax.random.key(0)), jnp.zeros((2, 12), jnp.int32))
    assert q.shape == k.shape == v.shape == (2, 12, 2, 8)
    # All tokens are the same: the rotation alone tells keys apart, and leaves values alone.
    assert np.ptp(v, axis=1).max() < 1e-5 < np.ptp(k, axis=1).max()


@pytest.mark.parametrize("causal", (False, True))
def test_probes_of_what_is_exact(causal):
    def attend(q, k, v, *, mask=None, extra=None):
        k = q / jnp.linalg.norm(q, axis=-1, keepdims=True)
        out = probes.exact(q[0, :, 0], k[0, :, 0], v[0, :, 0], causal=causal, alone=True)
        return out[None, :, None]

    shared = Variant(attend, Cost(0, 0), shared_qk=True)
    flash = attention.build("flash", 96, 64, causal=causal)
    for variant in (shared, flash):
        found = probes.all_of(variant, 96, 64, causal=causal)
        assert max(found[f"error_s{s}"] for s in ("0.5", "1", "2")) < 1e-5
        assert found["needle16_top1"] == 1


def test_probes_of_a_window_find_what_it_reaches():
    variant = attention.build("longformer", 96, 64, causal=False, window=32)
    found = probes.all_of(variant, 96, 64, causal=False)
    assert found["needle16_top1"] == pytest.approx(found["reachable_share"], abs=0.03)
    assert 0.1 < found["reachable_share"] < 0.5 < found["error_s1"]
