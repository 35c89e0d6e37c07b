"""Every row of the benchmark once, tiny: it computes what it says. Nothing here is a timing."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from scripts import ROOT

from genjax.benchmark import attention, gan, lm, peers, products, sizes, vae
from genjax.benchmark.config import Config
from genjax.gan import mixtures, networks_dense
from genjax.scaling import cases

AUTOENCODERS = sizes.Autoencoders(
    net=sizes.Net(4, (8,), 2, 12, batch=4), small=sizes.Net(2, (6, 6), 2, 12, batch=4),
    seeds=2, nll_images=3, nll_samples=10, square=4,
)  # fmt: skip
GAME = sizes.Game(
    g_width=8, d_width=6, packs=16, points=64, steps=3, seeds=2, square=4
)  # fmt: skip
DECODER = sizes.Decoder(width=16, depth=1, heads=2, context=8, batch=2, vocabulary=17, square=4)
HEADS, LENGTH = sizes.Heads(heads=2, dim=16, square=4), 256


def run_once(row, seeds, steps):
    """(parameters, metrics {name: [steps, seeds]}) of a training row, so many steps further."""
    state, metrics = row.run()
    assert np.asarray(state.step).tolist() == [steps] * seeds
    assert all(leaf.shape[0] == seeds for leaf in jax.tree.leaves(state.params))
    return state.params, jax.device_get(metrics)


def assert_products(row, shapes):
    """All are of ones, divided by the inner size: each output is 1."""
    assert row.work == 20 * sum(2 * m * k * n for m, k, n in shapes) and row.unit == "FLOP/s"
    outs = row.run()
    assert [out.shape for out in outs] == [(m, n) for m, _, n in shapes]
    for out in outs:
        np.testing.assert_allclose(out, 1.0, rtol=1e-6)


def test_autoencoders():
    rows = vae.rows(AUTOENCODERS)
    assert_products(rows.pop("square"), [(4, 4, 4)])
    assert_products(rows.pop("products"), vae.shapes(AUTOENCODERS.net))
    bounds = rows["nll"].run()
    assert rows.pop("nll")[1:] == (3, "images/s")
    assert bounds["nll"][10].shape == (3,) and np.isfinite(bounds["nll"][10]).all()
    for name, row in rows.items():
        seeds, times = 2 if "at once" in name else 1, 2 if "in turn" in name else 1
        # A step of each of the batch's four images, 100 inside a call.
        assert row[1:] == (times * seeds * 100 * 4, "images/s"), name
        losses = run_once(row, seeds, times * 100)[1]["loss"]
        assert losses.shape == (100, seeds), name
        # Pixels are noise: log 2 nats each are the best that is known of them.
        pixels = 4 if "small" in name else 16
        assert (0.6 * pixels < losses.mean(0)).all() and (losses.mean(0) < pixels).all(), name


def test_the_game():
    rows = gan.rows(GAME)
    devices = jax.local_device_count()
    assert_products(rows.pop("square"), [(4, 4, 4)])
    assert_products(rows.pop("products"), gan.shapes(GAME))
    seeds = {"a seed a device": devices, "seeds at once": 2}
    for name, row in rows.items():
        count = seeds.get(name, 1)
        assert row[1:] == (3 * count, "steps/s"), name
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
    rows = lm.rows(DECODER)
    assert_products(rows.pop("square"), [(4, 4, 4)])
    losses = {name: run_once(row, 1, 2)[1]["loss"] for name, row in rows.items()}
    assert {row[1:] for row in rows.values()} == {(2 * 2 * 8, "tokens/s")}
    np.testing.assert_allclose(losses["flash"], losses["full"], rtol=1e-4)
    # Tokens are noise.
    np.testing.assert_allclose(losses["flash"][0], np.log(17), rtol=0.3)


def test_attention():
    rows = attention.rows(HEADS, (LENGTH,))
    assert_products(rows.pop("square"), [(4, 4, 4)])
    q, k, v, _ = (np.asarray(x, np.float64) for x in cases.normal((1, LENGTH, 2, 16), "float32"))
    weights = np.exp(np.einsum("bqhd,bkhd->bhqk", q, k) / 4)
    exact = np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), v)
    assert {row[1:] for row in rows.values()} == {(1, "calls/s")}
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


def test_counts_at_the_published_sizes():
    """The figures that the notes hold rates against."""
    net = sizes.Autoencoders().net
    assert net.layers == [(784, 400), (400, 40), (20, 400), (400, 784)]
    assert round(products.flops(vae.shapes(net)) / net.batch / 1e6, 2) == 3.28
    assert round(products.flops(gan.shapes(sizes.Game())) / 1e6) == 932
    assert sizes.Game().pieces == networks_dense.PIECES
    # 12 d^2 weights a layer, and the embedding's; half of 4 n d a token and layer, three times.
    assert lm.flops(sizes.Decoder()) == 6 * (4 * 12 * 128**2 + 257 * 128) + 6 * 4 * 256 * 128
    assert len(mixtures.mixture("ring8").means) == 8


RATIOS = {
    "vae": (
        vae.part(Config(), AUTOENCODERS),
        ("PyTorch loop", "pythae get_nll"),
        {
            "training / PyTorch loop": ("train", "PyTorch loop", 1),
            "NLL / pythae get_nll": ("nll", "pythae get_nll", 1),
            "ten seeds at once / in turn": ("ten at once", "ten in turn", 1),
            "time of ten seeds / of one": ("train", "ten at once", 2),
        },
    ),
    "gan": (
        gan.part(Config(), GAME),
        ("PyTorch loop",),
        {
            "training / PyTorch loop": ("train", "PyTorch loop", 1),
            "time of R1 and R2 / without": ("RpGAN", "RpGAN with R1 and R2", 1),
            "training / the net's products alone": (
                "train",
                "products",
                products.flops(gan.shapes(GAME)),
            ),
        },
    ),
    "lm": (
        lm.part(Config(), DECODER),
        ("PyTorch decoder",),
        {
            "training / PyTorch decoder": ("flash", "PyTorch decoder", 1),
            "training / the machine's products": ("flash", "square", lm.flops(DECODER)),
        },
    ),
    "attention": (
        attention.part(Config(lengths=(LENGTH,)), HEADS),
        ("SDPA both 256", "HF BigBird forward 256"),
        {
            "time of flash / SDPA, both, 256": ("SDPA both 256", "flash both 256", 1),
            "time of flash / jax.nn, forward, 256": ("jax.nn forward 256", "flash forward 256", 1),
            "flash / the machine's products, forward, 256": (
                "flash forward 256",
                "square",
                4 * 256**2 * 32,
            ),
        },
    ),
}

# What makes a row: to ask for the names of all, none need be made.
MAKERS = {
    products: ("products", "square"),
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
            monkeypatch.setattr(module, maker, lambda *_, **__: None)
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
    for row in make(size).values():
        row.run()
        assert row.work > 0
