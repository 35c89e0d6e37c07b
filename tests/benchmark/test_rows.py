"""Every row of the benchmark once, tiny: it computes what it says. Nothing here is a timing."""

import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scripts import ROOT

from genjax.benchmark import (
    attention,
    counts,
    gan,
    lm,
    peers,
    roofline,
    roofs,
    sizes,
    vae,
)
from genjax.benchmark.config import Config
from genjax.benchmark.harness import Row
from genjax.core.hlo import Dot
from genjax.gan import mixtures, networks_dense
from genjax.scaling import cases

ROOFS = sizes.Roofs(4, 64, 32)
AUTOENCODERS = sizes.Autoencoders(
    net=sizes.Net(4, (8,), 2, 12, batch=4), small=sizes.Net(2, (6, 6), 2, 12, batch=4),
    seeds=2, nll_images=3, nll_samples=10, roofs=ROOFS,
)  # fmt: skip
GAME = sizes.Game(
    g_width=8, d_width=6, packs=16, points=64, steps=3, seeds=2, roofs=ROOFS
)  # fmt: skip
DECODER = sizes.Decoder(width=16, depth=1, heads=2, batch=2, vocabulary=17, roofs=ROOFS)
HEADS, LENGTH = sizes.Heads(heads=2, dim=16, roofs=ROOFS), 256


def run_once(row, seeds, steps):
    """(parameters, metrics {name: [steps, seeds]}) of a training row, so many steps further."""
    state, metrics = row.run()
    assert np.asarray(state.step).tolist() == [steps] * seeds
    assert all(leaf.shape[0] == seeds for leaf in jax.tree.leaves(state.params))
    return state.params, jax.device_get(metrics)


def take_roofs(rows):
    """Takes out what rows are held against: as often as said, by the counts of the row before."""
    best = rows.pop("best product")
    assert best.work == 20 * 2 * 4**3 and best.unit == "FLOP/s"
    np.testing.assert_allclose(best.run(), np.ones((1, 4, 4)), rtol=1e-6)
    for name in ("copy in memory", "copy in cache"):
        assert rows[name].unit == "B/s" and rows[name].work == pytest.approx(2**30, rel=1e-6)
        del rows[name]
    for name in [name for name in rows if name.startswith("products of")]:
        row, of = rows.pop(name), rows[name.removeprefix("products of ")].counts
        flops = of.devices * sum(dot.flops * times for dot, times in of.dots.items())
        assert row.work == pytest.approx(20 * flops) and row.unit == "FLOP/s"
        # All are of ones, divided by the inner size: each output is 1.
        outs = row.run()
        assert sum(out.size for out in outs) == of.devices * sum(
            dot.batch * dot.m * dot.n for dot in of.dots
        )
        for out in outs:
            np.testing.assert_allclose(out, 1.0, rtol=1e-5)


def test_autoencoders():
    rows = vae.rows(AUTOENCODERS)
    take_roofs(rows)
    bounds = rows["nll"].run()
    assert rows.pop("nll")[1:3] == (3, "images/s")
    assert bounds["nll"][10].shape == (3,) and np.isfinite(bounds["nll"][10]).all()
    for name, row in rows.items():
        seeds, times = 2 if "at once" in name else 1, 2 if "in turn" in name else 1
        # A step of each of the batch's four images, 100 inside a call.
        assert row[1:3] == (times * seeds * 100 * 4, "images/s"), name
        losses = run_once(row, seeds, times * 100)[1]["loss"]
        assert losses.shape == (100, seeds), name
        # Pixels are noise: log 2 nats each are the best that is known of them.
        pixels = 4 if "small" in name else 16
        assert (0.6 * pixels < losses.mean(0)).all() and (losses.mean(0) < pixels).all(), name


def test_the_game():
    rows = gan.rows(GAME)
    devices = jax.local_device_count()
    take_roofs(rows)
    seeds = {"a seed a device": devices, "seeds at once": 2}
    for name, row in rows.items():
        count = seeds.get(name, 1)
        assert row[1:3] == (3 * count, "steps/s"), name
        params, metrics = run_once(row, count, 3)
        # R1 and R2 are what tells the two RpGANs apart.
        penalised = np.all(metrics["penalty"] > 0) if "penalty" in metrics else False
        assert penalised == ("R1" in name), name
        # Small weights know nothing: log 2 a logit, or a pair of them.
        first = metrics["loss"][0] - metrics.get("penalty", [0])[0]
        np.testing.assert_allclose(first, np.log(2) * (1 if "RpGAN" in name else 2), atol=0.01)
        kernels = [leaf for leaf in jax.tree.leaves(params["discriminator"]) if leaf.ndim == 3]
        assert {leaf.shape[1] for leaf in kernels} == {4 if "pack" in name else 2, 6}, name


def test_the_decoder():
    rows = lm.rows(DECODER, (8, 16))
    take_roofs(rows)
    losses = {name: run_once(row, 1, 2)[1]["loss"] for name, row in rows.items()}
    for n in (8, 16):
        ours, textbook = f"flash {n}", f"full {n}"
        assert rows[ours][1:3] == rows[textbook][1:3] == (2 * 2 * n, "tokens/s")
        np.testing.assert_allclose(losses[ours], losses[textbook], rtol=1e-4)
        # Tokens are noise.
        np.testing.assert_allclose(losses[ours][0], np.log(17), rtol=0.5)


def test_attention():
    rows = attention.rows(HEADS, (LENGTH,))
    take_roofs(rows)
    q, k, v, _ = (np.asarray(x, np.float64) for x in cases.normal((1, LENGTH, 2, 16), "float32"))
    weights = np.exp(np.einsum("bqhd,bkhd->bhqk", q, k) / 4)
    exact = np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), v)
    assert {row[1:3] for row in rows.values()} == {(1, "calls/s")}
    pairs = 4.0 * 2 * 16 * LENGTH**2
    # jax.nn keeps the weights of the pairs; tiles make the scores of each anew.
    for name, again in (("jax.nn", 3), ("flash", 3.5)):
        assert rows[f"{name} forward {LENGTH}"].counts.flops == pairs
        assert rows[f"{name} both {LENGTH}"].counts.flops == again * pairs
    for name in (*attention.PEERS, "jax.nn"):
        out = rows.pop(f"{name} forward {LENGTH}").run()
        again, gradients = rows.pop(f"{name} both {LENGTH}").run()
        assert [x.shape for x in gradients] == [q.shape] * 3 and out.shape == q.shape, name
        # Reformer's keys are its queries.
        moved = [bool(np.abs(x).max() > 0) for x in gradients]
        assert moved == [True, name != "reformer", True], name
        np.testing.assert_allclose(out, again, atol=1e-5, err_msg=name)
        if name in ("flash", "jax.nn"):
            np.testing.assert_allclose(out, exact, atol=1e-5, err_msg=name)
    assert not rows


def test_an_autoencoders_products_are_those_of_its_layers():
    """784-400-20, by hand: forward, for the weights, and for all inputs but the images."""
    net = sizes.Autoencoders().net._replace(images=200)
    assert net.layers == [(784, 400), (400, 40), (20, 400), (400, 784)]
    images = np.zeros((net.images, net.pixels), np.float32)
    weights = sum(inputs * outputs for inputs, outputs in net.layers)
    for seeds in ([0], [0, 1]):
        found = vae.training(net, images, seeds).counts
        assert found.flops == 2 * (3 * weights - 784 * 400)
        step = found.devices * sum(dot.flops * times for dot, times in found.dots.items())
        assert step == len(seeds) * net.batch * found.flops
    # At least parameters, two moments and gradients once a step of 128 images; no copy of all.
    assert 4 * 4 * weights / net.batch < found.bytes < 100 * 4 * weights / net.batch


def test_one_way_through_the_discriminator_serves_both_players():
    """PacGAN's protocol by hand: 771 MFLOP a step; a plain loop takes 932 (peers.py).

    That asks the discriminator for the generated samples twice, once a player.
    """
    size = sizes.Game(points=200)
    packs, width, units = size.packs, size.g_width, size.d_width * size.pieces
    assert size.pieces == networks_dense.PIECES and len(mixtures.mixture("ring8").means) == 8
    # The generator: forward, for the weights, for inputs but the noise.
    maker = [2 * width, *[width**2] * (size.g_depth - 1), 2 * width]
    done = packs * (3 * sum(maker) - maker[0])
    # The discriminator, on real and generated; where its inputs are points, of the generated alone.
    judge = [2 * units, *[size.d_width * units] * (size.d_depth - 1), size.d_width]
    done += 2 * packs * 3 * sum(judge) - packs * judge[0]
    again = packs * 2 * sum(judge)
    assert (round(2 * done / 1e6), round(2 * (done + again) / 1e6)) == (771, 932)
    # Products with a single column are sums to XLA, and those of both players' logits one.
    assert gan.game(size, [0]).counts.flops == pytest.approx(2 * done, rel=1e-3)


@pytest.mark.parametrize("variant", ["flash", "full"])
def test_a_decoders_products_are_six_a_weight_and_the_pairs(variant):
    """A token: 12 d^2 weights a layer and the answers' d v; 4 n d for all pairs, three times.

    Tiles of half the length leave one square of four out, where no one sees anything.
    """
    size, n = sizes.Decoder(depth=2, batch=4, steps=1), 32
    weights = 12 * size.depth * size.width**2 + size.vocabulary * size.width
    pairs = (3 / 4 if variant == "flash" else 1) * 3 * 4 * n * size.width * size.depth
    found = lm.decoder(size, variant, n).counts
    assert found.flops == pytest.approx(6 * weights + pairs, rel=1e-6)


RATIOS = {
    "vae": (
        vae.part(Config(), AUTOENCODERS),
        (*peers.LOOPS, "pythae get_nll"),
        {
            "train / PyTorch eager": ("train", "PyTorch eager", 1),
            "train / torch.compile": ("train", "torch.compile", 1),
            "nll / pythae get_nll": ("nll", "pythae get_nll", 1),
            "ten seeds at once / in turn": ("ten at once", "ten in turn", 1),
            "time of ten seeds / of one": ("train", "ten at once", 2),
        },
    ),
    "gan": (
        gan.part(Config(), GAME),
        peers.LOOPS,
        {
            "train / PyTorch eager": ("train", "PyTorch eager", 1),
            "time of R1 and R2 / without": ("RpGAN", "RpGAN with R1 and R2", 1),
        },
    ),
    "lm": (
        lm.part(Config(only="lm", lengths=(8, 16)), DECODER),
        [f"{peer} {n}" for peer in peers.LOOPS for n in (8, 16)],
        {
            "flash 16 / torch.compile 16": ("flash 16", "torch.compile 16", 1),
            "flash / full, 8": ("flash 8", "full 8", 1),
        },
    ),
    "attention": (
        attention.part(Config(only="attention", lengths=(LENGTH,)), HEADS),
        ("SDPA both 256", "HF BigBird forward 256"),
        {
            "time of flash / SDPA, both, 256": ("SDPA both 256", "flash both 256", 1),
            "time of flash / jax.nn, forward, 256": ("jax.nn forward 256", "flash forward 256", 1),
        },
    ),
}

# What makes a row: to ask for the names of all, none need be made.
MAKERS = {
    roofs: ("products", "copy"),
    vae: ("training", "likelihood"),
    gan: ("game",),
    lm: ("decoder",),
    attention: ("call",),
}


@pytest.mark.parametrize("name", RATIOS)
def test_ratios(name, monkeypatch):
    """Of rates that are all different; without peers there are those of our own alone."""
    for module, makers in MAKERS.items():
        for maker in makers:
            monkeypatch.setattr(module, maker, lambda *_, **__: Row(dict, 1, "calls/s"))
    part, theirs, expected = RATIOS[name]
    own = list(part.rows())
    rng = np.random.default_rng(0)
    rates = {row: rng.uniform(1, 2, 3).tolist() for row in (*own, *theirs)}
    found = part.ratios(rates)
    for title, (above, below, times) in expected.items():
        want = [times * a / b for a, b in zip(rates[above], rates[below], strict=True)]
        np.testing.assert_allclose(found[title], want, rtol=1e-12, err_msg=title)
    alone = part.ratios({row: rates[row] for row in own})
    assert alone.keys() < found.keys()
    assert not any(peer.split()[0] in title for title in alone for peer in theirs)


def test_shares_are_of_the_rates_of_the_same_round():
    dots = {Dot(1, 2, 3, 4): 5}
    counted = {
        "a": counts.Counts(10.0, 4.0, dots),
        "again": counts.Counts(20.0, 6.0, dots),
        "two devices": counts.Counts(10.0, 4.0, dots, 2),
        "call": counts.Counts(8.0, 4.0, {}),
    }
    assert counts.owners(counted) == {"a": "a", "again": "a", "two devices": "two devices"}
    rates = {"a": [1, 2], "again": [2, 1], "two devices": [5, 5], "call": [3, 3]}
    rates |= {"products of a": [40, 80], "products of two devices": [100, 100]}
    rates |= {"best product": [50, 50], "copy in memory": [8, 16], "copy in cache": [32, 64]}
    found = counts.shares(counted, rates)
    np.testing.assert_allclose(found["a"]["own products"], [10 / 40, 20 / 80])
    # The better of the two stands for the machine.
    np.testing.assert_allclose(found["a"]["best products"], [10 / 50, 20 / 80])
    np.testing.assert_allclose(found["again"]["own products"], [40 / 40, 20 / 80])
    np.testing.assert_allclose(found["two devices"]["own products"], [0.5, 0.5])
    np.testing.assert_allclose(found["call"]["best products"], [24 / 50, 24 / 50])
    assert "own products" not in found["call"]
    np.testing.assert_allclose(found["a"]["copy in memory"], [4 / 8, 8 / 16])
    np.testing.assert_allclose(found["a"]["copy in cache"], [4 / 32, 8 / 64])
    lines = counts.table(found)
    assert lines[1].split()[:3] == ["a", "0.25", "(0.25-0.25)"]
    assert lines[4].split()[:2] == ["call", "0.48"]


def test_a_copy_reads_and_writes_each_number():
    row = roofs.copy(4096)
    passes = round(row.work / (2 * 4096))
    assert passes == 2**30 / (2 * 4096)
    before = row.run()
    np.testing.assert_allclose(before, 2.0, rtol=1e-6)
    after = row.run()
    # In the same place, and nothing beside the passes.
    assert before.is_deleted() and after.shape == (1024,)


def test_the_picture_has_every_row_below_its_roofs():
    counted = {
        "flash 256": counts.Counts(10e9, 1e9, {}), "flash 512": counts.Counts(40e9, 2e9, {}),
        "train": counts.Counts(5e9, 10e9, {}),
    }  # fmt: skip
    rates = {"flash 256": [1, 2], "flash 512": [1, 1], "train": [4, 6]}
    rates |= {"best product": [50e9] * 2, "copy in memory": [8e9] * 2, "copy in cache": [64e9] * 2}
    (axes, *_) = roofline.picture(counted, rates).axes
    drawn = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_allclose(drawn["flash"], [[10, 15], [20, 40]])
    np.testing.assert_allclose(drawn["train"], [[0.5, 25]])
    (roof,) = (line for name, line in drawn.items() if name.startswith("copy in memory"))
    np.testing.assert_allclose(roof[:, 1], np.minimum(8 * roof[:, 0], 50))


def test_torch_is_imported_by_the_peers_alone():
    """Nor does their process need jax."""
    code = (
        "import sys, genjax.benchmark.{}; "
        "assert not {{'torch', 'pythae', 'transformers'{}}} & set(sys.modules)"
    )
    for module, more in (("experiment", ""), ("config", ", 'jax'"), ("peers", ", 'jax'")):
        command = [sys.executable, "-c", code.format(module, more)]
        subprocess.run(command, cwd=ROOT, check=True)
    command[-1] = code.format("peers_attention", ", 'jax'")
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("make", "size"),
    [(peers.gan_rows, GAME), (peers.vae_rows, AUTOENCODERS), (peers.lm_rows, DECODER)],
)
def test_peers_run_where_they_are_installed(make, size):
    pytest.importorskip("torch")
    if make is peers.vae_rows:
        pytest.importorskip("pythae")
    made = make(size, (8,)) if make is peers.lm_rows else make(size)
    assert any(name.startswith(peers.EAGER) for name in made)
    for row in made.values():
        row.run()
        assert row.work > 0


def test_without_a_compiler_of_cpp_that_row_is_left_out_and_said(monkeypatch, capfd):
    def broken(function):
        def call():
            raise RuntimeError("no C++ compiler\nmore")

        return call

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(compile=broken))
    made = peers._both(lambda wrap: Row(wrap(lambda: 7), 3, "steps/s"), " 256")
    assert [(name, row.run()) for name, row in made.items()] == [("PyTorch eager 256", 7)]
    assert "no row of torch.compile 256: no C++ compiler" in capfd.readouterr().err
