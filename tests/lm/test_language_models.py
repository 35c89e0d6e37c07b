"""Causal models: none sees the future, and token by token is the whole pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.lm import recurrent, transformer

LENGTH = 16


def models():
    """Every causal model, with a vocabulary of as many tokens as positions."""
    shape = {"vocabulary": LENGTH, "width": 8, "depth": 2}
    small = {"window": 3, "keep": 8, "stride": 4, "summary": 1, "chunk": 4, "rounds": 2}
    for name in (n for n, entry in attention.VARIANTS.items() if entry.can_be_causal):
        options = attention.select(name, **small)
        variant = attention.build(name, LENGTH, 4, causal=True, **options)
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
    params = jax.jit(model.init)(jax.random.key(0))
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
    params = jax.jit(model.init)(jax.random.key(1))
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
    params = jax.jit(layer.init)(jax.random.key(1), x)
    parts = x @ params["params"]["input"]["kernel"] + params["params"]["input"]["bias"]
    keep, new, show = np.split(np.asarray(parts), 3, -1)
    keep, state, found = 1 / (1 + np.exp(-keep - 1)), np.zeros((2, 4)), []
    for t in range(6):
        state = keep[:, t] * state + (1 - keep[:, t]) * new[:, t]
        found.append(state * show[:, t] / (1 + np.exp(-show[:, t])))
    expected = np.stack(found, 1) @ params["params"]["out"]["kernel"]
    np.testing.assert_allclose(layer.apply(params, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", (0, 2**20 - 64))
def test_computed_angles_are_the_exact_ones(first, monkeypatch):
    """Against float64, at the first positions and below 2^20, where float32 angles fail."""
    monkeypatch.setattr(transformer, "TABLE", 0)
    x = jax.random.normal(jax.random.key(0), (1, 64, 1, 16))
    places = first + np.arange(64)
    found = jax.jit(lambda x: transformer.rotate(x, jnp.asarray(places), 2**20))(x)
    angles = places[:, None] * transformer.BASE ** (-np.arange(8) / 8)
    turned = np.exp(1j * angles) * (np.asarray(x[0, :, 0, :8], float) + 1j * x[0, :, 0, 8:])
    expected = np.concatenate([turned.real, turned.imag], -1)
    np.testing.assert_allclose(found[0, :, 0], expected, atol=2e-6)


def test_angles_of_a_table_are_the_computed_ones(monkeypatch):
    x = jax.random.normal(jax.random.key(0), (2, 300, 3, 8))
    table, last = transformer.rotate(x), transformer.rotate(x[:, -1:], jnp.int32(299), 300)
    np.testing.assert_array_equal(table[:, -1:], last)
    monkeypatch.setattr(transformer, "TABLE", 0)
    np.testing.assert_allclose(transformer.rotate(x), table, atol=2e-6)
    np.testing.assert_array_equal(
        transformer.rotate(x[:, :40], jnp.arange(40), 300)[0, 39], transformer.rotate(x)[0, 39]
    )
