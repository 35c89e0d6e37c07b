"""Every variant against a dense oracle, in value and gradient; causality, masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import blocks, kernelized
from genjax.attention.variants.performer import orthogonal_features
from genjax.attention.variants.reformer import bucket_sizes, hash_buckets
from genjax.core.errors import UsageError
from genjax.scaling import quality

DIM, HEADS = 16, 2
# name, length, options: tiles that do not divide, several blocks, every part of a pattern.
PATTERNS = {
    "flash": ("flash", 100, {"tile": 32}),
    "flash_causal": ("flash", 100, {"tile": 32, "causal": True}),
    "truncated": ("truncated", 90, {"keep": 40, "tile": 16}),
    "strided": ("sparse_strided", 100, {"stride": 8, "tile": 16, "causal": True}),
    "strided_sqrt": ("sparse_strided", 130, {"causal": True}),
    "fixed": ("sparse_fixed", 100, {"stride": 16, "summary": 4, "tile": 8, "causal": True}),
    "window": ("longformer", 100, {"window": 20, "tile": 16}),
    "window_causal": ("longformer", 100, {"window": 20, "tile": 16, "causal": True}),
    "dilated": ("longformer", 100, {"window": 12, "dilation": 3, "tile": 16}),
    "global": ("longformer", 100, {"window": 20, "tile": 16, "global_positions": (0, 57)}),
    "global_causal": (
        "longformer",
        100,
        {"window": 20, "tile": 16, "global_positions": (0, 57), "causal": True, "dilation": 2},
    ),
    "bigbird": ("bigbird", 160, {"block": 16, "random_blocks": 2}),
}


def make(case):
    name, length, options = PATTERNS[case]
    options = {"causal": False} | options
    return attention.build(name, length, DIM, **options), length


def inputs(length, batch=2, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    shape = (batch, length, HEADS, DIM)
    return [jnp.asarray(scale * rng.standard_normal(shape), jnp.float32) for _ in range(3)]


def dense(q, k, v, seen):
    """softmax over the pairs seen [.., n, n]; zeros where a query sees none. In float64."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    weights = jax.nn.softmax(jnp.where(seen, scores, -1e30))
    weights = jnp.where(seen.any(-1, keepdims=True), weights, 0.0)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, v)


def compare(attend, oracle, arguments, tolerance=1e-5):
    """Value and gradients by a random cotangent, to `tolerance` of their largest entry."""
    cotangent = jnp.asarray(np.random.default_rng(9).standard_normal(arguments[0].shape))

    @jax.jit
    def both(*arguments):
        sides = []
        for function in (attend, oracle):
            out, pull = jax.vjp(function, *arguments)
            sides.append((out, *pull(cotangent.astype(out.dtype))))
        return sides

    sides = both(*arguments)
    for ours, theirs in zip(*sides, strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=tolerance * max(1.0, float(jnp.abs(theirs).max()))
        )


@pytest.mark.parametrize("masked", (False, True))
@pytest.mark.parametrize("case", PATTERNS)
def test_pattern_equals_the_dense_mask(case, masked, monkeypatch):
    # Rows one after the other, as long ones on CPU, or at once.
    monkeypatch.setattr(blocks, "SHORT", 0 if masked else 1000)
    variant, length = make(case)
    times = blocks.dense_mask(variant.pattern)
    assert times.max() == 1  # The parts are disjoint.
    seen = jnp.asarray(times, bool)[None, None]
    mask = None
    if masked:
        # The second row of the batch has no key at all.
        mask = jnp.asarray(np.random.default_rng(1).random((3, length)) < 0.5).at[1].set(False)
        seen = seen & mask[:, None, None, :]
    compare(
        lambda *qkv: variant.attend(*qkv, mask=mask),
        lambda *qkv: dense(*qkv, seen),
        inputs(length, batch=3),
    )


def definition(case, i, j):
    """The papers' definitions, pair by pair."""
    return {
        "flash": np.ones_like(i - j, bool),
        "flash_causal": j <= i,
        "truncated": (i >= 50) & (j >= 50),
        "strided": (j <= i) & ((i - j <= 8) | ((i - j) % 8 == 0)),
        "strided_sqrt": (j <= i) & ((i - j <= 8) | ((i - j) % 8 == 0)),
        "fixed": (j <= i) & ((i // 16 == j // 16) | (j % 16 >= 12)),
        "window": np.abs(i - j) <= 10,
        "window_causal": (j <= i) & (i - j <= 10),
        "dilated": (np.abs(i - j) <= 18) & ((i - j) % 3 == 0),
        "global": (np.abs(i - j) <= 10) | np.isin(i, (0, 57)) | np.isin(j, (0, 57)),
        "global_causal": (
            ((i - j <= 20) & ((i - j) % 2 == 0)) | np.isin(i, (0, 57)) | np.isin(j, (0, 57))
        )
        & (j <= i),
    }[case]


@pytest.mark.parametrize("case", [case for case in PATTERNS if case != "bigbird"])
def test_pattern_is_the_papers(case):
    variant, length = make(case)
    i, j = np.mgrid[:length, :length]
    np.testing.assert_array_equal(blocks.dense_mask(variant.pattern) > 0, definition(case, i, j))


def test_bigbird_has_its_blocks():
    variant, length = make("bigbird")
    tiles = blocks.dense_mask(variant.pattern).reshape(10, 16, 10, 16)
    seen = tiles[:, 0, :, 0] > 0
    assert (tiles == seen[:, None, :, None]).all()
    assert seen[[0, -1]].all() and seen[:, [0, -1]].all()
    for i in range(1, 9):
        assert seen[i, i - 1 : i + 2].all()
        fixed = {0, 9, i - 1, i, i + 1}
        assert seen[i].sum() == len(fixed) + min(2, 10 - len(fixed))


def test_global_rows_have_their_own_projections():
    variant, length = make("global")
    q, k, v = inputs(length)
    own = dict(zip("qkv", inputs(length, seed=5), strict=True))
    out = variant.attend(q, k, v, extra=own)
    plain, other = variant.attend(q, k, v), variant.attend(own["q"], own["k"], own["v"])
    rows = np.isin(np.arange(length), (0, 57))
    np.testing.assert_array_equal(out[:, rows], other[:, rows])
    np.testing.assert_array_equal(out[:, ~rows], plain[:, ~rows])


@pytest.mark.parametrize("causal", (False, True))
def test_full_equals_the_oracle(causal):
    variant = attention.build("full", 40, DIM, causal=causal)
    mask = jnp.asarray(np.random.default_rng(1).random((3, 40)) < 0.5).at[1].set(False)
    seen = jnp.tri(40, dtype=bool) if causal else jnp.ones((40, 40), bool)
    compare(
        lambda *qkv: variant.attend(*qkv, mask=mask),
        lambda *qkv: dense(*qkv, seen & mask[:, None, None, :]),
        inputs(40, batch=3),
    )


@pytest.mark.parametrize("at_once", (0, blocks.SHORT))
@pytest.mark.parametrize("causal", (False, True))
@pytest.mark.parametrize("name", ("linear", "performer"))
def test_kernel_attention_equals_its_sum(name, causal, at_once, monkeypatch):
    """In chunks that do not divide, with a key mask, and keys that move the running maximum."""
    monkeypatch.setattr(blocks, "SHORT", at_once)
    length = 70
    monkeypatch.setattr(kernelized, "CHUNK", 32)
    options = attention.select(name, features=24)
    variant = attention.build(name, length, DIM, causal=causal, **options)
    extra = variant.init(jax.random.key(0))
    mask = jnp.asarray(np.random.default_rng(1).random((3, length)) < 0.5).at[1].set(False)

    def phi(x):
        if name == "linear":
            return jax.nn.elu(x) + 1
        x = x * DIM**-0.25
        return jnp.exp(x @ extra["features"].T - (x**2).sum(-1, keepdims=True) / 2)

    def oracle(q, k, v):
        weights = jnp.einsum("bqhm,bkhm->bhqk", phi(q), phi(k))
        seen = mask[:, None, None, :] & (jnp.tri(length, dtype=bool) if causal else True)
        weights = jnp.where(seen, weights, 0.0)
        total = weights.sum(-1, keepdims=True)
        weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), 0.0)
        return jnp.einsum("bhqk,bkhd->bqhd", weights, v)

    compare(lambda *x: variant.attend(*x, mask=mask, extra=extra), oracle, inputs(length, batch=3))


@pytest.mark.parametrize("causal", (False, True))
def test_kernel_attention_in_bfloat16(causal):
    """To its rounding, 2^-8, of float32 on the same numbers."""
    variant = attention.build("linear", 40, DIM, causal=causal)
    arguments = [x.astype(jnp.bfloat16) for x in inputs(40)]

    def both(*arguments):
        out, pull = jax.vjp(variant.attend, *arguments)
        return (out, *pull(jnp.ones_like(out)))

    found = jax.jit(both)(*arguments)
    expected = jax.jit(both)(*(x.astype(jnp.float32) for x in arguments))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == jnp.bfloat16
        largest = float(jnp.abs(theirs).max())
        np.testing.assert_allclose(ours.astype(jnp.float32), theirs, rtol=0, atol=largest / 64)


def test_performer_keeps_its_range():
    """Features far below the smallest float are fine: only their ratios count, of seen keys."""
    variant = attention.build("performer", 32, DIM, causal=True)
    q, k, v = inputs(32)
    k = 40 * k / jnp.linalg.norm(k, axis=-1, keepdims=True)
    # An unseen key of zeros has features of 1, the others of exp(-200) and less.
    mask = jnp.ones((2, 32), bool).at[:, 3].set(False)
    k = k.at[:, 3].set(0.0)
    out = variant.attend(0.1 * q, k, v, mask=mask, extra=variant.init(jax.random.key(0)))
    assert np.isfinite(out).all() and float(jnp.abs(out[:, -1]).min()) > 0


def test_orthogonal_features_are_orthogonal_and_gaussian():
    w = orthogonal_features(jax.random.key(0), 8 * 16, 16)
    blocks_ = np.asarray(w).reshape(8, 16, 16)
    products = blocks_ @ blocks_.swapaxes(1, 2)
    off = products * (1 - np.eye(16))
    assert np.abs(off).max() < 1e-4
    norms = np.linalg.norm(np.asarray(w), axis=1)
    assert norms.std() > 0.3 and abs((norms**2).mean() - 16) < 3


def test_linformer_equals_its_formula():
    variant = attention.build("linformer", 50, DIM, causal=False, rank=8, shared=False, tile=16)
    extra = variant.init(jax.random.key(0))
    mask = jnp.ones((2, 50), bool).at[0, 30:].set(False)

    def oracle(q, k, v, extra):
        k, v = (jnp.where(mask[..., None, None], x, 0) for x in (k, v))
        k = jnp.einsum("rn,bnhd->brhd", extra["keys"], k)
        v = jnp.einsum("rn,bnhd->brhd", extra["values"], v)
        weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) * DIM**-0.5)
        return jnp.einsum("bhqk,bkhd->bqhd", weights, v)

    q, k, v = inputs(50)
    compare(
        lambda *qkv: variant.attend(*qkv, mask=mask, extra=extra),
        lambda *qkv: oracle(*qkv, extra),
        [q, k, v],
    )
    for ours, theirs in zip(
        *(
            jax.tree.leaves(jax.grad(lambda e, f=f: (f(q, k, v, e) ** 2).sum())(extra))
            for f in (lambda q, k, v, e: variant.attend(q, k, v, mask=mask, extra=e), oracle)
        ),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def lsh_pairs(q, rotations, sizes, chunk, causal):
    """Pairs [n, n] that meet in some round, by the paper's definition, for one head's q [n, d]."""
    length = len(q)
    count = -(-length // chunk)
    met = np.zeros((length, length), bool)
    buckets = np.asarray(hash_buckets(q, rotations, sizes))
    for bucket in buckets:
        order = sorted(range(length), key=lambda i, b=bucket: (b[i], i))
        chunks = np.empty(length, int)
        chunks[order] = np.arange(length) // chunk
        apart = (chunks[:, None] - chunks[None]) % count
        met |= (bucket[:, None] == bucket[None]) & (apart <= 1)
    if causal:
        met &= np.tri(length, dtype=bool)
    return met


@pytest.mark.parametrize("causal", (False, True))
@pytest.mark.parametrize("length", (64, 52))
def test_reformer_is_the_softmax_over_the_union_of_its_rounds(length, causal, monkeypatch):
    monkeypatch.setattr(blocks, "SHORT", 60)
    variant = attention.build("reformer", length, DIM, causal=causal, rounds=3, chunk=8, group=2)
    extra = variant.init(jax.random.key(3))
    q, _, v = (x[:1, :, :1] for x in inputs(length))
    sizes = bucket_sizes(-(-length // 8))
    seen = lsh_pairs(q[0, :, 0], extra["rotations"], sizes, 8, causal)
    assert 0.05 < seen.mean() < 0.9

    def oracle(q, v):
        keys = q / jnp.linalg.norm(q, axis=-1, keepdims=True)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, keys) * DIM**-0.5
        scores = jnp.where(jnp.eye(length, dtype=bool), -1e5, scores)
        weights = jax.nn.softmax(jnp.where(seen, scores, -1e30))
        return jnp.einsum("bhqk,bkhd->bqhd", weights, v)

    compare(lambda q, v: variant.attend(q, q, v, extra=extra), oracle, [q, v])


@pytest.mark.parametrize("name", attention.VARIANTS)
def test_nothing_from_the_future(name):
    """Causality by gradient, and by value."""
    if not attention.find(name).can_be_causal:
        with pytest.raises(UsageError, match="not causal"):
            attention.build(name, 64, DIM, causal=True)
        return
    options = attention.select(name, chunk=16, keep=96)
    variant = attention.build(name, 96, DIM, causal=True, **options)
    extra = variant.init(jax.random.key(0))
    # Reformer's sort is not differentiated: gradients alone would not show what it leaks.
    q, k, v = inputs(96, batch=1)

    def upto(q, k, v):
        return variant.attend(q, k, v, extra=extra)[:, :60].sum()

    for grad in jax.jit(jax.grad(upto, (0, 1, 2)))(q, k, v):
        assert np.abs(grad[:, 60:]).max() == 0
    if name != "reformer":
        attend = jax.jit(lambda k: variant.attend(q, k, v, extra=extra))
        out = [attend(k.at[:, 60:].add(d)) for d in (0.0, 5.0)]
        np.testing.assert_allclose(out[0][:, :60], out[1][:, :60], atol=2e-6)


@pytest.mark.parametrize("name", attention.VARIANTS)
def test_empty_key_masks_give_zeros(name):
    causal = attention.find(name).must_be_causal
    options = attention.select(name, chunk=16, rank=8)
    variant = attention.build(name, 64, DIM, causal=causal, **options)
    extra = variant.init(jax.random.key(0))
    mask = jnp.zeros((2, 64), bool)

    def total(*qkv):
        return variant.attend(*qkv, mask=mask, extra=extra)

    @jax.jit
    def both(*qkv):
        out, pull = jax.vjp(total, *qkv)
        return out, pull(jnp.ones_like(out))

    out, grads = both(*inputs(64))
    assert np.abs(out).max() == 0
    for grad in grads:
        assert np.isfinite(grad).all()


def test_errors_fall_as_the_budget_grows():
    q, k, v = (x[:1] for x in inputs(256, scale=0.7))
    target = dense(q, k, v, jnp.ones((256, 256), bool))

    def error(name, **options):
        variant = attention.build(name, 256, DIM, causal=False, **options)
        attend = jax.jit(lambda key: variant.attend(q, k, v, extra=variant.init(key)))
        draws = range(4 if name == "performer" else 1)
        found = [attend(jax.random.key(seed)) for seed in draws]
        return np.mean([float(jnp.abs(out - target).mean()) for out in found])

    features = [error("performer", features=m) for m in (16, 64, 256)]
    assert features[0] > 1.3 * features[1] > 1.6 * features[2]
    windows = [error("longformer", window=w, tile=32) for w in (32, 128, 512)]
    assert windows[0] > windows[1] > windows[2] and windows[2] < 1e-5
    blocks_ = [error("bigbird", block=16, random_blocks=r) for r in (0, 4, 16)]
    assert blocks_[0] > blocks_[1] > blocks_[2] and blocks_[2] < 1e-5

    def hashed(rounds):
        variant = attention.build("reformer", 256, DIM, causal=False, rounds=rounds, chunk=16)
        own = np.asarray(q[0, :, 0]), None, np.asarray(v[0, :, 0])
        exact = quality.exact(*own, np.arange(256), causal=False, shared_qk=True)
        attend = jax.jit(lambda key: variant.attend(q, q, v, extra=variant.init(key)))
        found = [attend(jax.random.key(seed))[0, :, 0] for seed in range(3)]
        return np.mean([float(jnp.abs(out - exact).mean()) for out in found])

    rounds = [hashed(r) for r in (1, 4, 16)]
    assert rounds[0] > rounds[1] > rounds[2]


def test_linformer_of_full_rank_can_be_exact():
    """With E = F = I nothing is lost, and random projections lose less with more rows."""
    variant = attention.build("linformer", 64, DIM, causal=False, rank=64)
    q, k, v = inputs(64)
    out = variant.attend(q, k, v, extra={"both": jnp.eye(64)})
    np.testing.assert_allclose(out, dense(q, k, v, jnp.ones((64, 64), bool)), atol=1e-5)


def test_a_window_of_everything_says_so():
    variant = attention.build("longformer", 64, DIM, causal=False, window=512)
    assert "full attention" in variant.note
    assert blocks.dense_mask(variant.pattern).all()
