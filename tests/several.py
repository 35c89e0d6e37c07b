"""One, two and four processes, of four devices in all: the same steps, and whole runs.

    python tests/several.py FOLDER steps 1 2       # or 1 2 4, a minute of CPU more
    python tests/several.py FOLDER runs
    python tests/several.py FOLDER kills 20

`steps` leaves FOLDER/<processes>.npz: losses and parameters of each case. `runs` leaves folders of
runs: `alone`; `killed`, of which one of two processes died and both began again; `asked`, of which
one of two was told to stop, and one process alone went on. `kills` kills one of two at random, so
many times, lets both go on, and compares the ends bit for bit. One process imports and forks the
others, before any device is started. Loopback alone.
"""

import importlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
import scripts
import small_gan

import genjax
from genjax.core import interrupt, order, parallel, processes, steps, training
from genjax.core.arrangement import Needs
from genjax.core.folder import Folder
from genjax.data import rows
from genjax.domains import networks as language
from genjax.domains.config import Arm
from genjax.domains.training import take_windows
from genjax.gan import objectives as game
from genjax.gan.players import Recipe
from genjax.images import stored
from genjax.lm import finetune
from genjax.vae import networks, objectives
from genjax.vae.architecture import Architecture

DEVICES, STEPS, BATCH = 4, 3, 16
SGD = optax.sgd(0.05)
# (room, mode, seeds)
CASES = [
    ("vae", "jit", 1),
    ("vae", "pmap", 2),
    ("vae", "jit", 5),  # All hold all of them.
    ("gan", "jit", 2),
    ("gan", "pmap", 1),
    ("domains", "jit", 2),
    ("domains", "pmap", 1),
]


def vae(rng, seeds):
    """With noise, and an uneven last batch. (step, arrays, init, index, how a batch is read)."""
    images = rng.random((40, 4, 4, 1)).astype(np.float32)
    model = networks.build(Architecture((4, 4, 1), latent=3, hidden=(8,), channels=4))
    step = steps.training_step(objectives.elbo_loss(model), SGD, prepare=objectives.binarize)
    index = rng.integers(0, 40, (STEPS, seeds, BATCH)).astype(np.int32)
    index[-1, :, 6:] = -1
    return step, {"image": images}, lambda key: model.init(key, images), index, parallel.take


def gan(rng, seeds):
    """Its latents are noise; whole batches alone."""
    recipe = Recipe()
    nets = small_gan.build(**small_gan.SMALL)
    points = rng.normal(size=(40, 1, 2)).astype(np.float32)
    step = game.adversarial_step(nets, recipe, small_gan.SGD)
    index = rng.integers(0, 40, (STEPS, seeds, BATCH)).astype(np.int32)

    def init(key):
        return game.init_state(key, nets, recipe, small_gan.SGD)

    return step, {"real": points}, init, index, parallel.take


def domains(rng, seeds):
    """Windows are the index, the last ones padding."""
    net = language.build(Arm(width=8, depth=1), 12, 8, "float32")
    step = steps.training_step(finetune.loss(net.apply, finetune.Method(), 1), SGD)
    windows = rng.integers(0, 12, (STEPS, seeds, BATCH, 10)).astype(np.int32)
    windows[..., -1] = 0
    windows[-1, :, 6:] = -1
    return step, {}, lambda key: {"model": net.init(key)}, windows, take_windows


def trained(room: str, mode: str, seeds: int) -> dict[str, np.ndarray]:
    """{name: losses [steps, seeds], parameters} after a few steps on all devices."""
    step, arrays, init, index, take = globals()[room](np.random.default_rng(7), seeds)
    numbers = list(range(seeds))
    compiled = parallel.compile_step(
        step, arrays, numbers, BATCH, mode=mode, take=take, needs=Needs(steps_per_call=STEPS)
    )
    assert compiled.plan.devices == DEVICES and not compiled.plan.idle
    begin = init if room == "gan" else lambda key: steps.init_state(init(key), SGD)
    state = compiled.place(training.initial(begin, numbers))
    if compiled.own is not None:  # Nothing but its own rows is read.
        assert compiled.own.sum() > 0 and compiled.own.all() == compiled.plan.uneven
        others = ~compiled.own.reshape(seeds, BATCH, *[1] * (index.ndim - 3))
        index = np.where(others, 0, index)
    state, metrics = compiled.run(state, index, STEPS)
    found = jax.tree_util.tree_leaves_with_path(compiled.fetch(state).params)
    losses = compiled.fetch(metrics)["loss"]
    return {"loss": losses} | {jax.tree_util.keystr(path): leaf for path, leaf in found}


def streamed(folder: Path) -> dict[str, np.ndarray]:
    """{name: losses, parameters} of the VAE on images from a file, which are those from memory."""
    pixels = np.random.default_rng(8).integers(256, size=(40, 4, 4, 1), dtype=np.uint8)
    file = folder / f"images{processes.count()}{processes.rank()}"
    file.write_bytes(pixels.tobytes())
    there = stored.store(np.divide(pixels, 255, dtype=np.float32))
    step, _, init, _, _ = vae(np.random.default_rng(7), 2)
    ends = []
    for kept in (there, stored.kept(rows.mapped(file, 0, pixels.shape))):
        compiled = parallel.compile_step(
            step, kept.arrays, [0, 1], BATCH, take=kept.take, needs=Needs(steps_per_call=STEPS)
        )
        index = order.batches([0, 1], len(pixels), BATCH)
        with stored.reading(kept, index, compiled, STEPS) as batches:
            read = batches(0, STEPS)
        state = training.initial(lambda key: steps.init_state(init(key), SGD), [0, 1])
        state, metrics = compiled.run(compiled.place(state), read, STEPS)
        found = jax.tree_util.tree_leaves_with_path(compiled.fetch(state).params)
        ends.append({"loss": compiled.fetch(metrics)["loss"]})
        ends[-1] |= {jax.tree_util.keystr(path): leaf for path, leaf in found}
    scripts.assert_identical(*ends)
    images = read[..., : pixels[0].size].any((0, -1))
    own = np.ones_like(images) if compiled.own is None else compiled.own
    assert own.sum() * processes.count() == own.size
    np.testing.assert_array_equal(images, own)  # A process reads its own rows alone.
    return ends[-1]


def told() -> None:
    """What hosts tell each other: sums with the sign of zero, odd sizes, shares."""
    rank, many = processes.rank(), processes.count()
    assert processes.gather("x" * rank) == ["x" * i for i in range(many)]
    zero = processes.told(np.array([-0.0, np.nan, 3.0 + rank]))
    assert np.signbit(zero[0]) and zero[2] == 3.0
    assert processes.most(rank) == many - 1
    assert processes.share(lambda item: (item, rank), range(5)) == [(i, i % many) for i in range(5)]
    rows = np.arange(10.0).reshape(5, 2)
    (doubled,) = parallel.of_own_seeds(lambda p, x: (2 * x + p["a"],), {"a": rows}, rows)
    np.testing.assert_array_equal(doubled, 3 * rows)
    # A mesh of the first device alone: the other processes hold nothing of it, and get it told.
    compiled = parallel.compile_step(
        lambda state, *_, **__: (state + 1, {"loss": state}),
        {"image": rows}, [0], 2, needs=Needs(convolutions=True),
    )  # fmt: skip
    state, _ = compiled.run(compiled.place(np.zeros(1)), np.zeros((1, 1, 2), np.int32), 1)
    assert compiled.plan.idle == DEVICES - 1 and compiled.fetch(state).tolist() == [1.0]


def all_steps(address: str, folder: Path) -> None:
    """One process of an arrangement; the first one keeps what came out."""
    with processes.joined(address):
        told()
        found = {}
        for case in CASES:
            for name, value in trained(*case).items():
                found["/".join((*map(str, case), name))] = value
        found |= {f"streamed/{name}": value for name, value in streamed(folder).items()}
        if not processes.rank():
            np.savez(folder / f"{processes.count()}.npz", **found)


def whole(address: str, folder: Path, end=None, rank: int = 1, step: int = 20) -> None:
    """A run of the smallest experiment. end: what the process of a rank does after some of its 60
    steps, a multiple of five."""
    genjax.__path__.append(str(Path(__file__).parent / "extension"))
    line = importlib.import_module("genjax.line.experiment")
    config = line.Config(steps=60, batch_size=16, seeds=2, checkpoint_every=10, log_every=5)
    write = Folder.write

    def told(self, arm, rows):
        write(self, arm, rows)
        if end and processes.rank() == rank and rows[-1]["step"] == step:
            end()

    Folder.write = told
    line.run(config, folder, compile_cache="off", distributed=address)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def start(count: int, work: Callable) -> list[int]:
    """The exit codes of an arrangement's processes; work: what each does, of its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            code = 1
            try:
                os.environ |= scripts.environment(DEVICES // count, scripts.LOWEST)
                work(f"127.0.0.1:{port},{count},{rank}")
                code = 0
            except interrupt.Interrupted as stopped:
                code = 128 + stopped.number
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    return list(map(os.waitstatus_to_exitcode, ends))


def kills(folder: Path, count: int) -> list[str]:
    """What went wrong: kills that did not end both processes, and ends that differ."""
    rng, wrong, places = np.random.default_rng(), [], {}
    assert start(2, partial(whole, folder=folder / "alone")) == [0, 0]
    for number in range(count):
        place, rank, step = folder / str(number), int(rng.integers(2)), 5 * int(rng.integers(1, 13))
        what = f"kill of process {rank} at step {step}"
        ends = start(2, partial(whole, folder=place, end=die, rank=rank, step=step))
        if ends[rank] != -signal.SIGKILL or 0 in ends:
            wrong.append(f"{what}: {ends}")
        again = start(2, partial(whole, folder=place))
        if again != [0, 0]:
            wrong.append(f"{what}: {again} at the second start")
        places[what] = place
        print(f"{what}: {ends}", flush=True)
    # Reading starts a device, behind which nothing can be forked.
    alone = scripts.checkpoint(folder / "alone", "line", 60)
    for what, place in places.items():
        found = scripts.checkpoint(place, "line", 60)
        if any((alone[part] != found[part]).any() for part in alone):
            wrong.append(f"{what}: ends otherwise")
    return wrong


def main():
    folder, what, *counts = sys.argv[1:]
    folder = Path(folder)
    if what == "steps":
        ends = [start(int(count), lambda at: all_steps(at, folder)) for count in counts]
    elif what == "kills":
        ends = kills(folder, int(counts[0]))
    else:
        ask = partial(interrupt.ask, signal.SIGTERM)
        ends = [
            start(1, lambda at: whole(at, folder / "alone")),
            start(2, lambda at: whole(at, folder / "killed", die)),
            start(2, lambda at: whole(at, folder / "killed")),
            start(2, lambda at: whole(at, folder / "asked", ask)),
            start(1, lambda at: whole(at, folder / "asked")),
        ]
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
