"""Orders that a program computes, against the tables that they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import blocks, orders
from genjax.core import hlo
from genjax.lm import transformer

# name, length, options: each kind of order, lengths that blocks divide and do not.
CASES = {
    "flash": ("flash", 100, {"tile": 32, "causal": True}),
    "truncated": ("truncated", 90, {"keep": 40, "tile": 16}),
    "dilated": ("longformer", 100, {"window": 12, "dilation": 3, "tile": 16}),
    "dilated, even": ("longformer", 96, {"window": 16, "dilation": 2, "tile": 16, "causal": True}),
    "strided": ("sparse_strided", 130, {"causal": True}),
    "fixed": ("sparse_fixed", 100, {"stride": 16, "summary": 4, "tile": 8, "causal": True}),
    "fixed, short": ("sparse_fixed", 93, {"stride": 16, "summary": 12, "tile": 8, "causal": True}),
    "bigbird": ("bigbird", 160, {"block": 16, "random_blocks": 2}),
}


def parts(case):
    name, length, options = CASES[case]
    pattern = attention.build(name, length, 8, **{"causal": False} | options).pattern
    assert pattern is not None
    return pattern


@pytest.fixture
def computed(monkeypatch):
    """Every table is one that a program may not hold."""
    monkeypatch.setattr(orders, "SMALL", 0)


@pytest.mark.parametrize("case", CASES)
def test_an_order_is_its_table(case, computed):
    pattern = parts(case)
    rng = np.random.default_rng(0)
    x = rng.random((pattern.length, 3), np.float32)
    for part in pattern.parts:
        for table in (part.queries, part.keys):
            # BigBird's first and last block alone are no formula.
            if not (case == "bigbird" and len(table) == 2):
                assert orders.affine(table)

            @jax.jit  # One program, not one an operation.
            def made(x, y, row, table=table):
                places = orders.positions(table), orders.positions(table, row)
                back = orders.unblock(y, table, pattern.length, -7)
                return *places, orders.blocks_of(x, table), back

            y = rng.random((*table.shape, 3), np.float32)
            whole, row, cut, back = map(np.asarray, made(x, y, np.int32(1)))
            np.testing.assert_array_equal(whole, table)
            np.testing.assert_array_equal(row, table[1])
            np.testing.assert_array_equal(cut[table >= 0], x[table[table >= 0]])
            expected = np.full_like(x, -7)
            expected[table[table >= 0]] = y[table >= 0]
            np.testing.assert_array_equal(back, expected)
        tile = orders.tile_of(part.tiles)
        for i, count in enumerate(part.counts):
            used = np.arange(count)
            np.testing.assert_array_equal(tile(i, used), part.tiles[i, :count])


@pytest.mark.parametrize("case", CASES)
def test_attention_by_formulas_is_attention_by_tables(case, monkeypatch):
    name, length, options = CASES[case]
    variant = attention.build(name, length, 8, **{"causal": False} | options)
    rng = np.random.default_rng(1)
    qkv = [jnp.asarray(rng.standard_normal((1, length, 1, 8)), jnp.float32) for _ in range(3)]

    def both(*qkv):
        out, pull = jax.vjp(variant.attend, *qkv)
        return out, pull(jnp.cos(out))

    tables = jax.jit(both)(*qkv)
    monkeypatch.setattr(orders, "SMALL", 0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), tables, jax.jit(both)(*qkv)
    )


def test_an_order_without_a_formula_stays_a_table(computed):
    drawn = np.array([[3, 1], [2, 0]], np.int32)
    assert orders.affine(drawn) is None
    np.testing.assert_array_equal(orders.positions(drawn), drawn)
    y = np.arange(4.0).reshape(2, 2)
    np.testing.assert_array_equal(orders.unblock(jnp.asarray(y), drawn, 5), [3, 1, 2, 0, 0])


def test_padding_goes_nowhere(computed):
    x = orders.unblock(jnp.ones((4, 16)), blocks.cut(np.arange(50), 16), 100, -7)
    np.testing.assert_array_equal(x, np.where(np.arange(100) < 50, 1, -7))


@pytest.mark.parametrize("case", CASES)
def test_what_a_query_sees_is_its_row_of_the_mask(case):
    pattern = parts(case)
    seen = jax.jit(lambda at: blocks.seen(pattern, at))
    mask = blocks.dense_mask(pattern) > 0
    for at in (0, 1, 50, pattern.length - 1):
        np.testing.assert_array_equal(seen(at), mask[at])


@pytest.mark.parametrize("name", attention.variant_names())
def test_no_program_holds_a_megabyte_of_constants(name):
    """A layer with rotary embeddings and their gradients, compiled."""
    length = 131_072
    variant = attention.build(name, length, 64, causal=attention.find(name).can_be_causal)
    model = transformer.build(variant, vocabulary=64, length=length, width=64, depth=1, heads=1)
    params = jax.eval_shape(model.init, jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((1, length), jnp.int32)
    slopes = jax.grad(lambda params, tokens: model.apply(params, tokens).sum())
    lowered = jax.jit(slopes).lower(params, tokens)
    assert hlo.Program(lowered.compile().as_text()).constants() < 100_000
