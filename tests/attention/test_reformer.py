"""Reformer's hash, sort and counts, each by itself; its result is held in test_variants.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention.variants.reformer import _permute, bucket_sizes, hash_buckets, sort_buckets
from genjax.scaling import cases
from genjax.scaling.microbenchmark import compile_program


def build(length, head_dim, **options):
    return attention.build("reformer", length, head_dim, causal=False, **options)


def test_bucket_sizes_by_hand():
    """Even, two buckets at least; from 65 chunks on two hashes whose product is near."""
    wanted = {1: (2,), 2: (2,), 3: (2,), 5: (4,), 64: (64,), 65: (8, 8), 100: (10, 10)}
    assert {chunks: bucket_sizes(chunks) for chunks in wanted} == wanted
    for chunks in range(65, 4097, 31):
        sizes = bucket_sizes(chunks)
        assert all(size % 2 == 0 for size in sizes) and 0.75 < np.prod(sizes) / chunks < 1.3


@pytest.mark.parametrize("sizes", ((6,), (4, 6)))
def test_buckets_are_the_papers(sizes):
    """h(x) = argmax [xR; -xR], and two hashes side by side as digits of one number."""
    rng = np.random.default_rng(0)
    x, rotations = rng.standard_normal((50, 8)), rng.standard_normal((3, 8, sum(sizes) // 2))
    found = np.asarray(hash_buckets(jnp.asarray(x), jnp.asarray(rotations), sizes))
    for r, rotation in enumerate(rotations):
        for i, row in enumerate(x):
            turned, number, start = row @ rotation, 0, 0
            for size in sizes:
                part = turned[start : start + size // 2]
                number = number * size + int(np.argmax([*part, *-part]))
                start += size // 2
            assert found[r, i] == number
    assert len(np.unique(found)) > 0.8 * np.prod(sizes)


def test_what_is_opposite_has_the_opposite_bucket_and_the_like_the_same():
    x = jnp.asarray(np.random.default_rng(1).standard_normal((40, 8)))
    rotations = build(512, 8).init(jax.random.key(0))["rotations"]
    assert rotations.shape == (4, 8, 4)  # Eight chunks, eight buckets.
    buckets, scaled, turned = (np.asarray(hash_buckets(x * c, rotations, (8,))) for c in (1, 7, -1))
    np.testing.assert_array_equal(buckets, scaled)
    np.testing.assert_array_equal((buckets + 4) % 8, turned)


def test_sorting_keeps_the_order_within_a_bucket():
    buckets = np.random.default_rng(2).integers(0, 5, (3, 40))
    order, place = (np.asarray(x) for x in sort_buckets(jnp.asarray(buckets)))
    for row in range(3):
        wanted = sorted(range(40), key=lambda i, row=row: (buckets[row, i], i))
        assert order[row].tolist() == wanted
        assert [wanted.index(i) for i in range(40)] == place[row].tolist()


def test_a_permutation_has_the_gathers_gradient():
    rng = np.random.default_rng(3)
    order, x = rng.permutation(12), jnp.asarray(rng.standard_normal((12, 4)))
    place, weight = np.argsort(order), jnp.asarray(rng.standard_normal((12, 4)))
    out, pull = jax.vjp(lambda x: _permute(x, order, place), x)
    np.testing.assert_array_equal(out, x[order])
    wanted = np.zeros((12, 4))
    wanted[order] = weight
    np.testing.assert_array_equal(pull(weight)[0], wanted.astype(np.float32))


@pytest.mark.parametrize("rounds", (1, 4))
@pytest.mark.parametrize(("length", "chunk"), ((512, 64), (1000, 64), (96, 32), (24, 64)))
def test_counts_by_hand(length, chunk, rounds):
    """A round: each chunk meets itself and the one before, in two products, behind one rotation.

    Bytes: queries, keys, values and result, and two more of their size a round, in float32.
    """
    dim = 16
    cost = build(length, dim, chunk=chunk, rounds=rounds).cost
    chunk = min(chunk, length)
    chunks = -(-length // chunk)
    buckets = {8: 8, 16: 16, 3: 2, 1: 2}[chunks]
    products = 2 * (2 * dim) * sum(chunk * (chunk + chunk) for _ in range(chunks))
    rotation = 2 * length * dim * buckets // 2
    assert cost.flops == rounds * (products + rotation)
    assert cost.bytes == 4 * (length * dim) * (4 + 2 * rounds)


def test_one_round_costs_what_xla_says():
    """All chunks in one group, so that no loop hides FLOPs or bytes."""
    shape = (1, 512, 1, 128)
    variant = build(512, 128, rounds=1, group=8)
    _, facts = compile_program(cases.of_variant(variant, "forward", shape, "float32"))
    assert 1 < facts["xla_flops"] / facts["flops"] < 1.15
    assert 0.7 < facts["temp_bytes"] / facts["count_bytes"] < 1.3
