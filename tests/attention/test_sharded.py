"""Positions over four devices: each variant as on one, in value and gradient; what is refused."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax import attention
from genjax.attention import blocks
from genjax.attention.sharded import ring, spread, tiles
from genjax.attention.variant import Shards
from genjax.core import hlo
from genjax.core.errors import UsageError
from genjax.scaling import cases, microbenchmark

DIM, HEADS, LENGTH, DEVICES = 8, 2, 96, 4

# name: options; tiles that do not divide a part of 24 positions, windows wider than a part.
CASES = {
    "flash": ("flash", {"tile": 16}),
    "flash causal": ("flash", {"tile": 16, "causal": True}),
    "flash causal, small tiles": ("flash", {"tile": 8, "causal": True}),
    "flash causal, odd parts": ("flash", {"tile": 16, "causal": True, "length": 100}),
    "window": ("longformer", {"window": 20, "tile": 8}),
    "window causal": ("longformer", {"window": 20, "tile": 8, "causal": True}),
    "window over parts": ("longformer", {"window": 100, "tile": 16}),
    "window over all": ("longformer", {"window": 500, "tile": 16, "causal": True}),
    "dilated": ("longformer", {"window": 12, "dilation": 3, "tile": 8}),
    "global": ("longformer", {"window": 20, "tile": 8, "global_positions": (0, 57)}),
    "global causal": (
        "longformer",
        {"window": 8, "tile": 8, "global_positions": (1, 57), "causal": True, "dilation": 2},
    ),
    "bigbird": ("bigbird", {"block": 8, "random_blocks": 0}),
    "fixed": ("sparse_fixed", {"stride": 12, "summary": 5, "tile": 8, "causal": True}),
    "strided": ("sparse_strided", {"stride": 8, "tile": 16, "causal": True}),
    "linformer": ("linformer", {"rank": 8, "shared": False, "tile": 16}),
    "linear": ("linear", {}),
    "linear causal": ("linear", {"causal": True}),
    "performer": ("performer", {"features": 16}),
    "performer causal": ("performer", {"features": 16, "causal": True}),
}


def mesh():
    return Mesh(jax.devices()[:DEVICES], ("sequence",))


def both(variant, arguments, extra):
    """Output and gradients by a random cotangent."""

    @jax.jit
    def run(arguments, extra, cotangent):
        out, pull = jax.vjp(lambda a, e: variant.attend(*a, extra=e), arguments, extra)
        return out, pull(cotangent)

    cotangent = np.random.default_rng(9).standard_normal(arguments[0].shape, np.float32)
    return run(arguments, extra, cotangent)


@pytest.mark.parametrize("case", CASES)
def test_devices_equal_one(case, monkeypatch):
    name, options = CASES[case]
    # Rows one after the other, as long ones on CPU, or at once.
    monkeypatch.setattr(blocks, "SHORT", 0 if options.get("causal") else 1000)
    options = {"causal": False, "length": LENGTH} | options
    rng, length = np.random.default_rng(0), options.pop("length")
    shape = (2, length, HEADS, DIM)
    # Keys of uneven size move the running maximum.
    q, k, v = (rng.standard_normal(shape, np.float32) for _ in range(3))
    k = k * np.linspace(0.5, 3, length, dtype=np.float32)[:, None, None]
    one = attention.build(name, length, DIM, **options)
    extra = one.init(jax.random.key(0))
    wanted = both(one, (q, k, v), extra)
    place = NamedSharding(mesh(), P(None, "sequence"))
    found = both(
        spread(name, mesh(), length, DIM, **options), jax.device_put((q, k, v), place), extra
    )
    assert found[0].sharding.is_equivalent_to(place, 4)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * scale)


def test_a_ring_sends_keys_and_values_to_all_and_their_gradients_home():
    """Three hops forward, of which backward has the first; four of the gradients."""
    variant = spread("flash", mesh(), LENGTH, DIM, causal=False)
    program = cases.of_variant(variant, "both", (1, LENGTH, HEADS, DIM), "float32")
    text = microbenchmark.lower(program).compile().as_text()
    sent = hlo.Program(text).collectives()
    hops, part = 2 * 3 + 2 * 2 + 2 * 4, 4 * LENGTH // DEVICES * HEADS * DIM
    assert {one.kind for one in sent} == {"collective-permute"}
    assert sum(one.times for one in sent) == hops
    assert sum(one.times * one.bytes for one in sent) == hops * part


def test_devices_of_a_causal_ring_compute_as_many_tiles_each(monkeypatch):
    """Where parts were consecutive, the last device had 58 of 136."""
    seen, part = [], 64

    def attend(shards, see, q, k, v, tile):
        seen.append(see)
        return q, None

    monkeypatch.setattr(ring, "attend", attend)
    monkeypatch.setattr(ring, "zigzag", lambda shards, x, back=False: x)
    options = SimpleNamespace(implementation="auto", causal=True, tile=16)
    made = attention.find("flash").sharded(Shards("sequence", DEVICES, part), options)
    made.attend(*[jnp.zeros((1, part, 1, DIM))] * 3)
    (see,) = seen
    every = np.concatenate([see(p, None).queries for p in range(DEVICES)])
    assert sorted(every) == list(range(DEVICES * part))
    for p in range(DEVICES):
        cuts = [tiles._cut(see(p, s), 16) for s in range(DEVICES)]
        spans = [[int(cut.span(block)[1]) for block in range(cut.queries)] for cut in cuts]
        # Its own pieces: two halves of a square, and a square; of the others a half each.
        assert [sum(of) for of in spans] == [10 if s == p else 8 for s in range(DEVICES)]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    (
        ("full", {}, "--variants=full: forms the whole matrix of scores; take flash"),
        ("truncated", {}, "one device has the last positions"),
        ("reformer", {}, "sorts all positions"),
        ("sparse_strided", {"causal": True, "stride": 6}, "--stride=6: a multiple of 4 that div"),
        ("sparse_strided", {"causal": True, "stride": 16}, "that divides a part of 24"),
        ("bigbird", {"block": 8}, "give --random_blocks=0"),
        ("bigbird", {"block": 48, "random_blocks": 0}, "--block=48: does not divide a part of 24"),
        ("sparse_fixed", {"causal": True, "stride": 32}, "--stride=32: does not divide a part"),
        ("longformer", {"dilation": 5}, "--dilation=5: does not divide a part of 24"),
        (
            "flash",
            {"implementation": "cudnn", "platform": "gpu", "dtype": "bfloat16"},
            "--implementation=cudnn: a ring computes in tiles; take auto or tiles",
        ),
        ("linformer", {"causal": True}, "is not causal"),
    ),
)
def test_what_cannot_be_spread_is_said(name, options, said):
    with pytest.raises(UsageError, match=said) as refused:
        spread(name, mesh(), LENGTH, DIM, **({"causal": False} | options))
    assert "\n" not in str(refused.value)
    assert name == "linformer" or str(refused.value).startswith(
        f"--mesh=sequence:4: --variants={name}"
    )


def test_parts_are_equal_and_have_no_key_masks():
    with pytest.raises(UsageError, match="--mesh=sequence:4: does not divide the length 98"):
        spread("flash", mesh(), 98, DIM, causal=False)
    q = jnp.zeros((1, LENGTH, HEADS, DIM))
    with pytest.raises(UsageError, match="no key masks"):
        spread("flash", mesh(), LENGTH, DIM, causal=False).attend(q, q, q, mask=q[..., 0, 0] > 0)


@pytest.mark.parametrize("name", attention.VARIANTS)
def test_each_variant_says_whether_it_can_be_spread(name):
    """A variant of the library's own is built for several devices, or says why not."""
    said = attention.find(name).sharded
    assert name in {case[0] for case in CASES.values()} or (
        isinstance(said, str) and said != "not built for several devices"
    )
