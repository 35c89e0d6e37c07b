"""What makes a large model fit changes no number: remat, chunked losses, half precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.lm import objectives, recurrent, transformer
from genjax.lm.spread import CACHED, parts_in_cache

LENGTH, VOCABULARY = 16, 24


def model(vocabulary=VOCABULARY, dtype=jnp.float32, **large):
    variant = attention.build("flash", LENGTH, 4, causal=True)
    made = transformer.build(
        variant, vocabulary=vocabulary, length=LENGTH, width=8, depth=3, heads=2, dtype=dtype,
        large=transformer.Large(**large),
    )  # fmt: skip
    return made._replace(init=jax.jit(made.init))  # One program, not one an operation.


def batch(rows=4, vocabulary=VOCABULARY):
    """Windows whose first row asks for less."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, vocabulary, (rows, LENGTH))
    target[0, ::3] = -1
    tokens = rng.integers(0, vocabulary, target.shape)
    return {"tokens": jnp.asarray(tokens), "target": jnp.asarray(target)}


def slopes(net, rows, plain=False):
    """(loss, hits), gradients."""
    loss = objectives.token_loss(net.apply, None if plain else net.losses)

    def mean(params):
        values, metrics = loss(params, rows, None, None)
        return values.mean(), metrics["accuracy"]

    return jax.jit(jax.value_and_grad(mean, has_aux=True))


def close(left, right, tolerance=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=tolerance), left, right
    )


@pytest.fixture(scope="module")
def alone():
    """Parameters, and what the network as it is finds: all logits at once, every block kept."""
    net = model()
    params = net.init(jax.random.key(0))
    return params, slopes(net, batch(), plain=True)(params)


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_what_is_computed_twice_is_the_same(alone, remat):
    params, wanted = alone
    close(slopes(model(remat=remat), batch())(params), wanted)


def test_losses_in_chunks_are_the_losses(alone, monkeypatch):
    """64 positions in chunks of 5, the last of 4."""
    params, wanted = alone
    close(slopes(model(), batch())(params), wanted, 0)
    monkeypatch.setattr(objectives, "LOGITS", 4 * VOCABULARY * 4 * LENGTH - 1)
    monkeypatch.setattr(objectives, "CHUNK", 4 * VOCABULARY * 5)
    close(slopes(model(), batch())(params), wanted)


def test_large_logits_are_never_there_at_once(monkeypatch):
    net, rows = model(4096), batch(32, 4096)
    params = jax.eval_shape(net.init, jax.random.key(0))
    whole = 4 * rows["target"].size * 4096

    def temporary():
        return slopes(net, rows).lower(params).compile().memory_analysis().temp_size_in_bytes

    assert temporary() > whole
    monkeypatch.setattr(objectives, "LOGITS", whole - 1)
    monkeypatch.setattr(objectives, "CHUNK", whole // 16)
    assert temporary() < whole // 2


def test_half_precision_sums_in_float32():
    """One token 1,024 times: sums of bfloat16 would stop growing at 256 of them."""
    rows = jax.tree.map(jnp.zeros_like, batch(64))
    exact, half = model(), model(dtype=jnp.bfloat16)
    params = exact.init(jax.random.key(0))
    _, wanted = slopes(exact, rows)(params)
    _, found = slopes(half, rows)(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}
    wanted, found = (np.asarray(tree["embed"]["embedding"]) for tree in (wanted, found))
    assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)
    logits = jax.jit(half.apply)(params, rows["tokens"])
    assert (logits != logits.astype(jnp.bfloat16)).any()


def test_a_recurrent_nets_losses_come_in_chunks_too(monkeypatch):
    net = recurrent.build("gru", vocabulary=VOCABULARY, width=4, depth=1)
    params = jax.jit(net.init)(jax.random.key(0))
    wanted = slopes(net, batch(), plain=True)(params)
    monkeypatch.setattr(objectives, "LOGITS", 0)
    close(slopes(net, batch())(params), wanted)


def test_a_hit_is_a_target_than_which_no_token_is_likelier():
    found = jax.random.normal(jax.random.key(0), (4, 50, 6))
    target = jnp.asarray(np.random.default_rng(0).integers(-1, 6, (4, 50)))
    _, hits = objectives.of_logits(found, target)
    np.testing.assert_array_equal(hits, np.argmax(found, -1) == target)
    assert 0.05 < float(hits.mean()) < 0.3


def test_a_part_stays_in_the_caches():
    row = CACHED // 4
    assert [parts_in_cache(rows, row) for rows in (1, 4, 8, 6, 7)] == [1, 1, 2, 2, 7]
    assert parts_in_cache(8, row, least=4) == 4
    assert parts_in_cache(8, 100 * CACHED) == 8
    # Left to the step to refuse.
    assert parts_in_cache(4, row, least=16) == 16
