"""Benchmark cases: outputs against einsum, FLOPs and bytes by hand and by XLA's own analysis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax import attention
from genjax.core import hlo
from genjax.scaling import cases
from genjax.scaling.microbenchmark import compile_program

LENGTH, DIM, SHAPE = 96, 16, (2, 96, 3, 16)


def run(program):
    """(what the compiled program returns, what XLA says of it)."""
    compiled, facts = compile_program(program)
    return jax.tree.map(np.asarray, compiled(*program.arguments())), facts


def build(name, length=LENGTH, causal=None, **options):
    causal = attention.find(name).must_be_causal if causal is None else causal
    return attention.build(name, length, DIM, causal=causal, **options)


def exact(q, k, v, cotangent=None):
    """softmax(q k^T / sqrt d) v in float64 and, of a cotangent, its gradients, written out."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) / DIM**0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.einsum("bhqk,bkhd->bqhd", weights, v)
    if cotangent is None:
        return out
    g = np.asarray(cotangent, np.float64)
    to_weights = np.einsum("bqhd,bkhd->bhqk", g, v)
    to_scores = weights * (to_weights - (to_weights * weights).sum(-1, keepdims=True)) / DIM**0.5
    return out, (
        np.einsum("bhqk,bkhd->bqhd", to_scores, k),
        np.einsum("bhqk,bqhd->bkhd", to_scores, q),
        np.einsum("bhqk,bqhd->bkhd", weights, g),
    )


def test_a_product_and_a_copy_are_what_they_say():
    out, facts = run(cases.product(48))
    np.testing.assert_allclose(out, np.full((48, 48), 1 / 48), rtol=1e-6)
    assert facts["flops"] == facts["xla_flops"] == 2 * 48**3
    out, facts = run(cases.copy(4096))
    np.testing.assert_array_equal(out, np.ones(1024, np.float32))
    assert out.nbytes == 4096 and facts["temp_bytes"] == facts["count_bytes"] == 0


@pytest.mark.parametrize("name", ("full", "flash"))
def test_forward_and_backward_are_the_formulas(name):
    variant = build(name)
    q, k, v, cotangent = cases.normal(SHAPE, "float32")
    out, _ = run(cases.of_variant(variant, "forward", SHAPE, "float32"))
    np.testing.assert_allclose(out, exact(q, k, v), atol=2e-6)
    (out, grads), _ = run(cases.of_variant(variant, "both", SHAPE, "float32"))
    wanted, slopes = exact(q, k, v, cotangent)
    np.testing.assert_allclose(out, wanted, atol=2e-6)
    for ours, theirs in zip(grads, slopes, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-6)


def test_a_wrong_variant_is_seen():
    """A scale of 1 / d for 1 / sqrt d, or keys left out, is far from the formulas."""
    q, k, v, cotangent = cases.normal(SHAPE, "float32")
    wanted, slopes = exact(q, k, v, cotangent)
    right = build("full")

    def scaled(q, *rest, **extra):
        return right.attend(q / DIM**0.5, *rest, **extra)

    for variant in (right._replace(attend=scaled), build("longformer", window=16, tile=16)):
        program = cases.of_variant(variant, "both", SHAPE, "float32")
        (out, grads), _ = run(program)
        assert np.abs(out - wanted).max() > 0.1
        assert all(np.abs(a - b).max() > 0.1 for a, b in zip(grads, slopes, strict=True))


# What a pair of positions costs in products of 2 d FLOPs: two forward, four backward, and one more
# where tiles are computed anew instead of kept.
AGAIN = dict.fromkeys(attention.VARIANTS, 5) | {"full": 4, "linformer": 4}


@pytest.mark.parametrize("name", attention.VARIANTS)
def test_counts_are_those_of_a_row_and_head_times_six(name):
    variant = build(name, **attention.select(name, rank=8, chunk=16, block=32, tile=32))
    forward = cases.of_variant(variant, "forward", SHAPE, "float32")
    both = cases.of_variant(variant, "both", SHAPE, "float32")
    assert forward.flops == 6 * variant.cost.flops and forward.bytes == 6 * variant.cost.bytes
    assert both.flops / forward.flops == (2 + AGAIN[name]) / 2
    # Gradients are as large as what they belong to.
    assert both.bytes / forward.bytes == 2
    assert forward.note == both.note == variant.note


@pytest.mark.parametrize("mode", ("forward", "both"))
@pytest.mark.parametrize("name", ("full", "flash"))
def test_flops_are_xlas(name, mode):
    """One tile, so that no loop hides FLOPs; a softmax is what XLA counts beyond the products.

    That of flash has a polynomial in place of exp, whose operations XLA counts one by one.
    """
    program = cases.of_variant(build(name), mode, SHAPE, "float32")
    compiled, facts = compile_program(program)
    products = {"forward": 2, "both": 2 + AGAIN[name]}[mode]
    assert facts["flops"] == 2 * 3 * products * 2 * LENGTH**2 * DIM
    assert hlo.Program(compiled.as_text()).flops() == facts["flops"]
    assert 1 < facts["xla_flops"] / facts["flops"] < {"full": 1.15, "flash": 1.4}[name]


def test_bytes_of_full_are_of_the_order_of_xlas():
    """Matrices of n x n: two forward, four backward; of short ones XLA keeps fewer or more."""
    for mode in ("forward", "both"):
        program = cases.of_variant(build("full"), mode, SHAPE, "float32")
        _, facts = compile_program(program)
        assert facts["count_bytes"] == (4 if mode == "both" else 2) * 6 * 4 * LENGTH**2
        assert 0.5 < facts["temp_bytes"] / facts["count_bytes"] < 1.9


def test_arguments_are_normal_and_the_same_for_all_variants():
    shape = (2, 64, 2, 8)
    shapes = jax.eval_shape(lambda: cases.normal(shape, "bfloat16"))
    assert [(x.shape, x.dtype) for x in shapes] == [(shape, jnp.bfloat16)] * 4
    # Asked for under tracing first: what is kept is arrays all the same.
    made = cases.normal(shape, "bfloat16")
    assert all(isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer) for x in made)
    assert all(a is b for a, b in zip(made, cases.normal(shape, "bfloat16"), strict=True))
    made = np.stack(cases.normal(shape, "float32"))
    assert made.dtype == np.float32
    for i in range(4):
        assert stats.kstest(made[i].ravel(), "norm").pvalue > 0.01
        assert all(abs(np.corrcoef(made[i].ravel(), made[j].ravel())[0, 1]) < 0.1 for j in range(i))
    program = cases.of_variant(build("full", 64), "both", shape, "float32")
    *qkv, extra, cotangent = program.arguments()
    assert extra == {}
    np.testing.assert_array_equal(np.stack([*qkv, cotangent]), made)


def test_halves_of_a_layer_are_attention_and_feed_forward():
    width, length = 64, 48
    (x,) = cases.half_attention(width, length, DIM).arguments()
    heads = np.asarray(x).reshape(1, length, 4, DIM)
    out, facts = run(cases.half_attention(width, length, DIM))
    np.testing.assert_allclose(out, exact(heads, heads, heads).reshape(x.shape), atol=2e-6)
    assert facts["flops"] == 4 * length**2 * width
    assert 1 < facts["xla_flops"] / facts["flops"] < 1.4  # As flash, whose softmax it has.
    y, up, down = cases.half_feed_forward(width, length, DIM).arguments()
    np.testing.assert_array_equal(x, y)
    out, facts = run(cases.half_feed_forward(width, length, DIM))
    x, up, down = (np.asarray(a, np.float64) for a in (x, up, down))
    hidden = np.einsum("nd,de->ne", x[0], up)
    np.testing.assert_allclose(out, np.einsum("ne,ed->nd", hidden * (hidden > 0), down), atol=1e-5)
    assert hidden.shape == (length, 4 * width) and hidden.std() == pytest.approx(1, abs=0.1)
    assert down.std() == pytest.approx((4 * width) ** -0.5, rel=0.1)
    assert facts["flops"] == 16 * length * width**2
    assert 1 < facts["xla_flops"] / facts["flops"] < 1.02
    # The hidden units, the one large array.
    assert facts["count_bytes"] == 4 * length * 4 * width
    assert 0.9 < facts["temp_bytes"] / facts["count_bytes"] < 2.1


@pytest.mark.parametrize(("name", "keys"), [("tiles", 96), ("roots", 78)])
def test_products_in_tiles_are_the_products(name, keys, monkeypatch):
    """All keys, or the first 8 sqrt(96); tiles of 32 queries, and keys where 32 divides them."""
    monkeypatch.setattr(cases, "TILE", 32)
    q, k, v = (np.float64(x) for x in cases.normal(SHAPE, "float32")[:3])
    out, _ = run(cases.controls(SHAPE, "float32")[name])
    scores = np.einsum("bqhd,bkhd->bhqk", q, k[:, :keys])
    np.testing.assert_allclose(out, np.einsum("bhqk,bkhd->bqhd", scores, v[:, :keys]), atol=2e-4)


def test_the_parts_of_full_attention_make_it():
    """Scores, softmax and values, one after the other; and the products without the softmax."""
    q, k, v, _ = cases.normal(SHAPE, "float32")
    parts = cases.parts_of_full(SHAPE, "float32")
    scores, _ = run(parts["full.scores"])
    given = parts["full.softmax"].arguments()
    np.testing.assert_allclose(scores, given[0], atol=1e-6)
    weights, _ = run(parts["full.softmax"])
    np.testing.assert_allclose(weights.sum(2), 1, atol=1e-5)
    last = parts["full.values"]
    out = jax.jit(last.function)(weights, last.arguments()[1])
    np.testing.assert_allclose(out, exact(q, k, v), atol=2e-6)
    # Each position's scores with all others, [keys, queries].
    wanted = np.einsum("bkhd,bqhd->bhkq", np.float64(k), np.float64(q)) / DIM**0.5
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    out, _ = run(cases.controls(SHAPE, "float32")["products"])
    wanted = np.einsum("bhkq,bkhd->bqhd", wanted, np.float64(v))
    np.testing.assert_allclose(out, wanted, atol=1e-4)
    out, facts = run(cases.controls(SHAPE, "float32")["rows"])
    np.testing.assert_allclose(
        out, np.repeat(np.float64(q).mean(-1, keepdims=True), 256, -1), atol=1e-6
    )
    assert facts["xla_flops"] == facts["flops"]
