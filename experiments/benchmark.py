"""Speed as ratios measured in one run: against this machine's own products, and against peers.

    python experiments/benchmark.py --only=vae     or --only=gan, --only=attention, --only=lm

All rows are measured in rounds, in a random order each, so that a change of the machine's clock
meets them alike. The peers run in a process of their own where they are installed
(pip install -r requirements-peers.txt); it sleeps while JAX is measured, and the other way round.
"""

import json
import multiprocessing
import os
from functools import partial

import attention_peers
import jax
import jax.numpy as jnp
import numpy as np
import optax
import training_peers
from absl import flags
from training_peers import (
    BATCH,
    D_DEPTH,
    D_WIDTH,
    G_DEPTH,
    G_WIDTH,
    HIDDEN,
    IMAGES,
    LATENT,
    NLL_SAMPLES,
    PACKS,
    PIXELS,
    timed,
)  # fmt: skip

from genjax import attention
from genjax.core import environment, parallel, runs, steps
from genjax.gan import losses, mixtures, networks_dense, objectives
from genjax.gan import networks as nets
from genjax.gan.architecture import Architecture
from genjax.lm import transformer
from genjax.lm.objectives import token_loss
from genjax.scaling import cases, microbenchmark, timings
from genjax.vae import networks as autoencoder
from genjax.vae.likelihood import importance_bounds
from genjax.vae.objectives import elbo_loss

_ONLY = flags.DEFINE_enum("only", "vae", ("vae", "gan", "attention", "lm"), "The part to measure.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds over all rows.", lower_bound=2)
_SECONDS = flags.DEFINE_float("seconds", 1.5, "Per row and round.", lower_bound=0.1)
_LENGTHS = flags.DEFINE_list("lengths", ["1024", "2048", "4096", "8192"], "attention: n.")
_CORES = flags.DEFINE_string("cores", "0", "attention: the CPU core all rows run on.")
_JSON = flags.DEFINE_string("json", None, "Write the figures to this file too.")

LAYERS = ((PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS))
NLL_IMAGES, SEEDS, GAN_SEEDS = 50, 10, 20
# Forward, gradient of the weights, gradient of the inputs; the images need none.
TRAIN_FLOPS = sum(6 * a * b for a, b in LAYERS) - 2 * PIXELS * HIDDEN


HEADS, HEAD_DIM = attention_peers.HEADS, attention_peers.DIM


def main():
    parts = {"vae": vae_part, "gan": gan_part, "attention": attention_part, "lm": lm_part}
    rows, serve, ratios = parts[_ONLY.value]()
    peers = start_peers(serve)
    for name in peers.names if peers else ():
        rows[name] = partial(peers.measure, name)
    rates = {name: [] for name in rows}
    order = np.random.default_rng(0)
    for measure in rows.values():
        measure(0.1)
    for round_ in range(_ROUNDS.value):
        for name in order.permutation(list(rows)):
            rates[name].append(rows[name](_SECONDS.value))
        runs.say(f"round {round_ + 1} of {_ROUNDS.value}")
    if peers:
        peers.stop()
    report(rates, ratios(rates))


def vae_part():
    """(rows, server of the peers, ratios of rates) of the autoencoders."""
    images = np.random.default_rng(0).random((IMAGES, PIXELS), np.float32)
    rows = {
        "products": products(net_shapes()),
        "square": products([(1024, 1024, 1024)]),
        "train": training(images, [0]),
        "nll": likelihood(images),
        "small, one seed": digits(1),
        "small, ten in turn": digits(1, repeat=SEEDS),
        "small, ten at once": digits(SEEDS),
        "ten in turn": training(images, [0], repeat=SEEDS),
        "ten at once": training(images, list(range(SEEDS))),
    }

    def ratios(rates):
        flops = [TRAIN_FLOPS * rate for rate in rates["train"]]
        machine = np.maximum(rates["products"], rates["square"])
        found = {
            "training / the net's products alone": np.divide(flops, rates["products"]),
            "training / the machine's best products": np.divide(flops, machine),
            "small: ten seeds at once / in turn": ratio(
                rates, "small, ten at once", "small, ten in turn"
            ),
            "ten seeds at once / in turn": ratio(rates, "ten at once", "ten in turn"),
            "small: time of ten seeds / of one": SEEDS
            * ratio(rates, "small, one seed", "small, ten at once"),
            "time of ten seeds / of one": SEEDS * ratio(rates, "train", "ten at once"),
        }
        if "PyTorch loop" in rates:
            found["training / PyTorch loop"] = ratio(rates, "train", "PyTorch loop")
            found["NLL / pythae get_nll"] = ratio(rates, "nll", "pythae get_nll")
        return found

    return rows, partial(training_peers.serve, part="vae"), ratios


def gan_part():
    """The same for PacGAN's 2-D protocol; rates are steps a second times seeds.

    On CPU a core is a device, as in gan.py: one seed works on one, its products on all cores.
    """
    parallel.split_cpu(GAN_SEEDS, batch_size=1)
    rows = {
        "products": products(gan_shapes()),
        "square": products([(1024, 1024, 1024)]),
        "train": adversary([0]),
        "a seed a device": adversary(list(range(jax.local_device_count()))),
        "pack of 2": adversary([0], pack=2),
        "RpGAN": adversary([0], loss="rpgan"),
        "RpGAN with R1 and R2": adversary([0], loss="rpgan", r1=0.1, r2=0.1),
        "seeds at once": adversary(list(range(GAN_SEEDS))),
    }
    flops = sum(2 * m * k * n for m, k, n in gan_shapes())

    def ratios(rates):
        machine = np.maximum(rates["products"], rates["square"])
        trained = flops * np.asarray(rates["train"])
        found = {
            "training / the net's products alone": trained / rates["products"],
            "training / the machine's best products": trained / machine,
            "a seed a device / the machine's best products": flops
            * np.asarray(rates["a seed a device"])
            / machine,
            "time of R1 and R2 / without": ratio(rates, "RpGAN", "RpGAN with R1 and R2"),
            "time of a pack of 2 / of 1": ratio(rates, "train", "pack of 2"),
            f"time of {GAN_SEEDS} seeds / of one": GAN_SEEDS
            * ratio(rates, "train", "seeds at once"),
        }
        if "PyTorch loop" in rates:
            found["training / PyTorch loop"] = ratio(rates, "train", "PyTorch loop")
        return found

    return rows, partial(training_peers.serve, part="gan"), ratios


def lm_part():
    """Training of a small byte-level decoder, tokens a second, against the same in PyTorch."""
    shape = training_peers.LM
    parallel.split_cpu(1, shape.batch)
    rows = {
        "square": products([(1024, 1024, 1024)]),
        "flash": decoder("flash"),
        "full": decoder("full"),
    }
    # Six a weight and token; attention's causal half of 4 n^2 d a layer, three times.
    weights = 12 * shape.depth * shape.width**2 + shape.vocabulary * shape.width
    flops = 6 * weights + 6 * shape.depth * shape.context * shape.width

    def ratios(rates):
        found = {
            "training / the machine's products": flops
            * np.asarray(rates["flash"])
            / np.asarray(rates["square"]),
            "flash / full": ratio(rates, "flash", "full"),
        }
        if "PyTorch decoder" in rates:
            found["training / PyTorch decoder"] = ratio(rates, "flash", "PyTorch decoder")
        return found

    return rows, partial(training_peers.serve, part="lm"), ratios


def decoder(variant):
    """Tokens a second through the real training step."""
    shape = training_peers.LM
    made = attention.build(variant, shape.context, shape.width // shape.heads, causal=True)
    model = transformer.build(
        made, vocabulary=shape.vocabulary, length=shape.context, width=shape.width,
        depth=shape.depth, heads=shape.heads,
    )  # fmt: skip
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.01))

    def take(arrays, windows):
        del arrays
        ones = jnp.ones(len(windows))
        return {"tokens": windows[:, :-1], "target": windows[:, 1:], "weight": ones}

    compiled = parallel.compile_step(
        steps.training_step(token_loss(model.apply), optimizer),
        {},
        [0],
        shape.batch,
        how=parallel.plan(convolutions=False, steps_per_call=shape.steps),
        take=take,
    )
    init = jax.jit(jax.vmap(lambda key: steps.init_state(model.init(key), optimizer)))
    held = [compiled.place(init(jax.vmap(jax.random.key)(np.arange(1))))]
    size = (shape.steps, 1, shape.batch, shape.context + 1)
    windows = np.random.default_rng(0).integers(0, shape.vocabulary - 1, size, np.int32)

    def run():
        held[0], _ = compiled.run(held[0], windows, shape.steps)
        jax.block_until_ready(held[0])

    return timed(run, shape.steps * shape.batch * shape.context)


# Ours and the peers that compute the same, or what they call so.
ATTENTION_PEERS = {
    "flash": ("SDPA", "jax.nn"),
    "longformer": ("FlexAttention", "local-attention", "HF Longformer"),
    "bigbird": ("HF BigBird",),
    "linformer": ("linformer-pytorch",),
    "performer": ("performer-pytorch",),
    "linear": ("linear-attention-transformer",),
    "reformer": ("reformer-pytorch",),
}


def attention_part():
    """The same for attention, 4 heads of 64, batch 1, float32, one core; rates: calls a second."""
    microbenchmark.reserve(_CORES.value)
    parallel.keep_buffers()
    microbenchmark.bind(_CORES.value)
    lengths = [int(n) for n in _LENGTHS.value]
    rows = {"square": products([(1024, 1024, 1024)])}
    for length in lengths:
        for name in (*ATTENTION_PEERS, "jax.nn"):
            for mode in timings.MODES:
                rows[f"{name} {mode} {length}"] = attention_row(name, mode, length)

    def ratios(rates):
        found = {}
        for mode in timings.MODES:
            for name, peers in ATTENTION_PEERS.items():
                for peer in peers:
                    for n in lengths:
                        ours, theirs = f"{name} {mode} {n}", f"{peer} {mode} {n}"
                        if theirs in rates:
                            title = f"time of {name} / {peer}, {mode}, {n}"
                            found[title] = ratio(rates, theirs, ours)
        flops = 4.0 * HEADS * HEAD_DIM
        for n in lengths:
            title = f"flash / the machine's products, forward, {n}"
            rate = flops * n**2 * np.asarray(rates[f"flash forward {n}"])
            found[title] = rate / rates["square"]
        return found

    serve = partial(
        attention_peers.serve, lengths=lengths, modes=timings.MODES, core=int(_CORES.value)
    )
    return rows, serve, ratios


def attention_row(name: str, mode: str, length: int):
    """Calls a second of a variant, or of jax.nn.dot_product_attention."""
    if name == "jax.nn":
        variant = attention.Variant(
            lambda q, k, v, **_: jax.nn.dot_product_attention(q, k, v),
            attention.Cost(0.0, 0.0),
        )
    else:
        variant = attention.build(name, length, HEAD_DIM, causal=False)
    program = cases.of_variant(variant, mode, (1, length, HEADS, HEAD_DIM), "float32")
    arguments = program.arguments()
    call = jax.jit(program.function).lower(*arguments).compile()
    return timed(lambda: jax.block_until_ready(call(*arguments)), 1)


def net_shapes():
    """The matrix products (m, k, n) of one training step: what no implementation can leave out."""
    shapes = []
    for i, (inputs, outputs) in enumerate(LAYERS):
        shapes += [(BATCH, inputs, outputs), (inputs, BATCH, outputs)]
        if i:
            shapes.append((BATCH, outputs, inputs))
    return shapes


def products(shapes, loops: int = 20):
    """The rate in FLOP/s of float32 products alone, in one compiled loop."""
    pairs = [(jnp.ones((m, k)) / k, jnp.ones((k, n))) for m, k, n in shapes]

    @jax.jit
    def run(pairs):
        def body(_, carry):
            pairs, outs = carry
            # Each product waits for its last result, and the whole result is kept: nothing is
            # hoisted out of the loop, shared or cut.
            pairs = [
                (a.at[0, 0].add(1e-30 * o[0, 0]), b) for (a, b), o in zip(pairs, outs, strict=True)
            ]
            return pairs, [a @ b for a, b in pairs]

        outs = [jnp.zeros((a.shape[0], b.shape[1])) for a, b in pairs]
        return jax.lax.fori_loop(0, loops, body, (pairs, outs))[1]

    flops = loops * sum(2 * m * k * n for m, k, n in shapes)
    return timed(lambda: jax.block_until_ready(run(pairs)), flops)


def training(images, seeds, repeat: int = 1, hidden=(HIDDEN,), latent=LATENT, side=28):
    """Images a second through the real step: build, elbo_loss, training_step, compile_step."""
    model = autoencoder.build(image_shape=(side, side, 1), latent=latent, hidden=hidden)
    optimizer = optax.adam(1e-3)
    arrays = {"image": images.reshape(-1, side, side, 1)}
    compiled = parallel.compile_step(
        steps.training_step(elbo_loss(model), optimizer), arrays, seeds, BATCH
    )
    init = jax.vmap(lambda key: steps.init_state(model.init(key, arrays["image"][:9]), optimizer))
    state = compiled.place(init(jax.vmap(jax.random.key)(np.asarray(seeds))))
    held = [state]
    size = compiled.plan.steps_per_call
    index = np.random.default_rng(1).integers(0, len(images), (size, len(seeds), BATCH), np.int32)

    def run():
        for _ in range(repeat):
            held[0], _ = compiled.run(held[0], index, size)
        jax.block_until_ready(held[0])

    return timed(run, repeat * len(seeds) * size * BATCH)


def digits(seeds: int, repeat: int = 1):
    """The same for the main job's small net."""
    images = np.random.default_rng(0).random((1150, 64), np.float32)
    return training(images, list(range(seeds)), repeat, hidden=(128, 128), latent=8, side=8)


def likelihood(images):
    """Images a second of the 5,000-sample bound."""
    model = autoencoder.build(image_shape=(28, 28, 1), latent=LATENT, hidden=(HIDDEN,))
    shown = jnp.asarray(images[:NLL_IMAGES].reshape(-1, 28, 28, 1))
    params = model.init(jax.random.key(0), shown)
    bounds = importance_bounds(model, samples=NLL_SAMPLES)
    arguments = params, shown, jnp.arange(NLL_IMAGES), jax.random.key(0)
    return timed(lambda: jax.block_until_ready(bounds(*arguments)), NLL_IMAGES)


def gan_shapes():
    """The matrix products (m, k, n) of one step of PacGAN's protocol, 932 MFLOP in all.

    The generator forward once; the discriminator on real and generated samples, and on generated
    ones again for the generator, as a plain loop has it; all gradients but those of the inputs
    that nobody asks for.
    """
    maker = [(2, G_WIDTH), *[(G_WIDTH, G_WIDTH)] * (G_DEPTH - 1), (G_WIDTH, 2)]
    units = D_WIDTH * networks_dense.PIECES
    judge = [(2, units), *[(D_WIDTH, units)] * (D_DEPTH - 1), (D_WIDTH, 1)]
    shapes = []
    for i, (inputs, outputs) in enumerate(maker):
        shapes += [(PACKS, inputs, outputs), (inputs, PACKS, outputs)]
        shapes += [(PACKS, outputs, inputs)] if i else []
    for i, (inputs, outputs) in enumerate(judge):
        shapes += [(2 * PACKS, inputs, outputs), (inputs, 2 * PACKS, outputs)]
        shapes += [(2 * PACKS, outputs, inputs)] if i else []
        shapes += [(PACKS, inputs, outputs), (PACKS, outputs, inputs)]
    return shapes


def adversary(seeds, *, pack: int = 1, loss: str = "ns", **recipe):
    """Steps a second (times seeds) through the real adversarial step of PacGAN's protocol."""
    mixture = mixtures.mixture("ring8")
    rng = np.random.default_rng(0)
    packs = mixtures.packs(mixtures.draw(mixture, 100_000, rng), pack, rng)
    how_to = objectives.Recipe(
        loss=losses.ADVERSARIAL[loss], pack=pack, scale=mixture.spread, **recipe
    )
    architecture = Architecture(
        shape=(2,), latent=2, pack=pack, g_width=G_WIDTH, g_depth=G_DEPTH, g_norm=True,
        d_width=D_WIDTH, d_depth=D_DEPTH, d_layer="maxout", init_std=0.02,
    )  # fmt: skip
    networks = nets.build(architecture)
    optimizers = {name: optax.adam(1e-4, 0.8) for name in ("generator", "discriminator")}
    size = 20
    compiled = parallel.compile_step(
        objectives.adversarial_step(networks, how_to, optimizers),
        {"real": packs},
        seeds,
        PACKS,
        devices=jax.local_devices()[: len(seeds)],
        how=parallel.plan(convolutions=False, steps_per_call=size),
    )
    init = jax.vmap(lambda key: objectives.init_state(key, networks, how_to, optimizers))
    held = [compiled.place(jax.jit(init)(jax.vmap(jax.random.key)(np.asarray(seeds))))]
    index = rng.integers(0, len(packs), (size, len(seeds), PACKS), np.int32)

    def run():
        held[0], _ = compiled.run(held[0], index, size)
        jax.block_until_ready(held[0])

    return timed(run, len(seeds) * size)


class Peers:
    """The other process: sends (row, seconds), receives its rate."""

    def __init__(self, connection, process, names):
        self.connection, self.process, self.names = connection, process, names

    def measure(self, name: str, seconds: float) -> float:
        self.connection.send((name, seconds))
        return self.connection.recv()

    def stop(self) -> None:
        self.connection.send(None)
        self.process.join()


def start_peers(serve) -> Peers | None:
    """Starts the process of the peers, or says why there is none."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    names = here.recv()
    if isinstance(names, str):
        runs.say(f"no peers: {names}; pip install -r requirements-peers.txt")
        return None
    return Peers(here, process, names)


def report(rates, ratios):
    """Prints each row's median and range, and the ratios by round with theirs."""
    rows = {"vae": "images/s", "gan": "steps/s", "attention": "calls/s", "lm": "tokens/s"}[
        _ONLY.value
    ]
    units = {"products": ("GFLOP/s", 1e9), "square": ("GFLOP/s", 1e9)}
    print(f"{environment.describe()['device']}")
    print(f"{'row':36} {'median':>10} {'least':>10} {'most':>10}")
    for name, values in rates.items():
        unit, scale = units.get(name, (rows, 1))
        figures = " ".join(f"{f(values) / scale:10.1f}" for f in (np.median, np.min, np.max))
        print(f"{name:36} {figures} {unit}")
    print(f"\n{'ratio':58} {'median':>8} {'least':>8} {'most':>8}")
    for name, values in ratios.items():
        print(f"{name:58} {np.median(values):8.2f} {np.min(values):8.2f} {np.max(values):8.2f}")
    if "nll" in rates:
        cores = len(os.sched_getaffinity(0))
        print(f"\nNLL, images/s per core of {cores}: {np.median(rates['nll']) / cores:.1f}")
    if _JSON.value:
        content = {"rates": rates, "ratios": {k: list(v) for k, v in ratios.items()}}
        with open(_JSON.value, "w") as file:
            json.dump(content | environment.describe(), file, indent=1)


def ratio(rates, above, below):
    """Round by round."""
    return np.divide(rates[above], rates[below])


if __name__ == "__main__":
    runs.launch(main)
