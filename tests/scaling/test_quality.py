"""What a variant loses without training, against attention written out another way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import blocks, reach
from genjax.scaling import quality, training, variants
from genjax.scaling.config import Config

N, DIM = 96, 64


def of(variant, seed=0, length=N):
    attend = jax.jit(lambda q, k, v: variant.attend(q, k, v, extra=variant.init(jax.random.key(0))))

    def one(q, k, v):
        return np.asarray(attend(*(x[None, :, None] for x in (q, k, v))))[0, :, 0]

    return quality.of(one, length, DIM, seed, causal=variant.causal, shared_qk=variant.shared_qk)


@pytest.mark.parametrize("causal", (False, True))
def test_exact_attention_is_jaxs_own(causal):
    q, k, v = np.random.default_rng(0).standard_normal((3, N, DIM)).astype(np.float32)
    rows = np.array([0, 5, 17, 95])
    wanted = jax.nn.dot_product_attention(*(x[None, :, None] for x in (q, k, v)), is_causal=causal)
    found = quality.exact(q, k, v, rows, causal=causal)
    np.testing.assert_allclose(found, np.asarray(wanted)[0, rows, 0], atol=1e-5)
    # Keys from the queries, nobody sees itself but the first of a causal sequence.
    unit = q / np.linalg.norm(q, axis=-1, keepdims=True)
    mask = ~np.eye(N, dtype=bool)
    mask[0, 0] = causal
    mask &= np.tril(np.ones((N, N), bool)) if causal else True
    wanted = jax.nn.dot_product_attention(
        *(x[None, :, None] for x in (q, unit, v)), mask=jnp.asarray(mask)[None, None]
    )
    found = quality.exact(q, k, v, rows, causal=causal, shared_qk=True)
    np.testing.assert_allclose(found, np.asarray(wanted)[0, rows, 0], atol=1e-5)


@pytest.mark.parametrize("causal", (False, True))
def test_what_is_exact_loses_nothing(causal):
    found = of(attention.build("flash", N, DIM, causal=causal))
    assert found["error"] < 1e-5 and found["needles"] == 1
    # Of keys that are the queries, by a variant that sees all of them.
    shared = attention.build("reformer", N, DIM, causal=causal, chunk=48, rounds=1)

    def attend(q, k, v):
        rows = np.arange(len(q))
        return quality.exact(q, k, v, rows, causal=causal, shared_qk=True)

    found = quality.of(attend, N, DIM, 0, causal=causal, shared_qk=shared.shared_qk)
    # Some rows alone are another product than all of them: BLAS may round otherwise.
    assert found["error"] < 1e-6 and found["needles"] == 1


def test_zeros_find_nothing():
    found = quality.of(lambda q, k, v: 0 * v, N, DIM, 0, causal=False, shared_qk=False)
    assert (found["error"], found["needles"]) == (1, 0)
    assert not quality.unpack(found["hits"], N).any()


def test_findings_are_held_against_reach_one_by_one():
    hits = np.array([True, True, False, False, False, True, False, False, False, False])
    reached = np.array([True, True, True, True, False, False, False, False, False, False])
    found = quality.within(hits, reached)
    assert found["reached"] == 0.4 and found["missed"] == 0.5
    assert found["beyond"] == pytest.approx(1 / 6)
    # Against the next one's reach: of four within, the last and the third are missed.
    assert found["shifted"] == 1 - hits[np.array([9, 0, 1, 2])].mean() == 0.5
    # The share found is that within reach, and none is the same one.
    other = quality.within(~hits & (np.arange(10) < 6), reached)
    assert other["missed"] == 0.5 and other["beyond"] > 0.1
    whole = quality.within(np.array([True, False]), np.array([True, True]))
    assert whole["missed"] == 0.5 and whole["beyond"] == 0
    # As a measure that was not taken.
    assert quality.within(hits, np.zeros(10, bool)) == {"reached": 0.0, "beyond": 0.3}
    np.testing.assert_array_equal(
        quality.unpack(np.packbits(hits).tobytes().hex(), len(hits)), hits
    )


@pytest.mark.parametrize(
    ("name", "length", "options"),
    [
        ("longformer", 96, {"window": 32}),
        ("longformer", 90, {"window": 12, "dilation": 3, "global_positions": (3, 50)}),
        ("truncated", 96, {"keep": 40}),
        ("bigbird", 128, {"block": 8, "random_blocks": 2}),
        ("sparse_strided", 100, {"stride": 10}),
        ("sparse_fixed", 96, {"stride": 16, "summary": 4}),
        ("flash", 50, {"tile": 16}),
    ],
)
def test_pairs_are_those_of_the_dense_mask(name, length, options):
    causal = attention.find(name).must_be_causal
    pattern = attention.build(name, length, 8, causal=causal, **options).pattern
    dense = blocks.dense_mask(pattern) > 0
    i, j = (x.ravel() for x in np.indices(dense.shape))
    np.testing.assert_array_equal(reach.holds(pattern, i, j), dense.ravel())
    assert name == "flash" or not dense.all()


def test_a_window_finds_what_it_reaches():
    config = Config(head_dim=DIM, window=32)
    for seed in range(3):
        variant = variants.build(config, "longformer", N)
        found = of(variant, seed)
        rows, partner = quality.asked(N, seed, causal=False, pairs=False)
        holds = reach.holds(variant.pattern, rows, partner[rows])
        lies = quality.within(quality.unpack(found["hits"], N), holds)
        assert lies["missed"] == 0 and lies["beyond"] < 0.03
        assert 0.1 < lies["reached"] < 0.5 < found["error"]
        assert lies["shifted"] > 0.4


@pytest.mark.parametrize("causal", (False, True))
def test_twins_are_told_apart_from_others(causal):
    rows, partner = quality.asked(101, 3, causal=causal, pairs=True)
    assert (partner[rows] != rows).all() and len(set(rows)) == len(rows)
    if causal:
        assert (partner[rows] < rows).all() and len(rows) == 50
    else:
        np.testing.assert_array_equal(partner[partner], np.arange(101))
        assert len(rows) == 100


@pytest.mark.parametrize("name", ("longformer", "reformer"))
def test_errors_of_heads_and_sequences_are_those_of_all_together(name):
    variant = variants.build(Config(head_dim=16, window=8, chunk=8), name, 32)
    q, k, v = np.random.default_rng(0).standard_normal((3, 2, 32, 3, 16)).astype(np.float32)
    out = np.asarray(variant.attend(q, k, v, extra=variant.init(jax.random.key(0))))
    right = np.stack([
        np.stack([
            quality.exact(
                *(x[b, :, h] for x in (q, k, v)), np.arange(32),
                causal=False, shared_qk=variant.shared_qk,
            )
            for h in range(3)
        ], 1)
        for b in range(2)
    ])  # fmt: skip
    wanted = np.linalg.norm(out - right) / np.linalg.norm(right)
    assert training.error(variant, q, k, v) == pytest.approx(wanted, rel=1e-4) and wanted > 0.1
