"""One, two and four processes, of four devices in all: the same steps, and whole runs.

    python tests/several.py FOLDER steps 1 2       # or 1 2 4, a minute of CPU more
    python tests/several.py FOLDER parts 2 1 2
    python tests/several.py FOLDER runs

`steps` leaves FOLDER/<processes>.npz: losses and parameters of each case. `parts` takes a step with
parameters in four parts in each arrangement, from the checkpoint of the one before, and leaves
FOLDER/parts.npz. `runs` leaves folders of runs: `alone`; `repeated`, of two processes, where two
devices do what the other two do; `killed`, of which one of two processes died, and both began again
as if SLURM had started them; `asked`, of which one of two that Open MPI started was told to stop,
and one process alone went on; `swept`, attention's, of process 0 of two. Of two others process 0
dies. One process imports and forks the others, before any device is started. Loopback alone.
"""

import contextlib
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
from types import SimpleNamespace
from unittest import mock

import jax
import numpy as np
import optax
import scripts
import small_gan

import genjax
from genjax.core import arrangement, interrupt, machine, order, parallel, processes, steps, training
from genjax.core.arrangement import Needs
from genjax.core.checkpoints import Checkpoints
from genjax.core.folder import Folder
from genjax.data import rows
from genjax.domains import networks as language
from genjax.domains import training as language_training
from genjax.domains.config import Arm, Config
from genjax.domains.training import take_windows
from genjax.gan import objectives as game
from genjax.gan.players import Recipe
from genjax.images import stored
from genjax.lm import finetune
from genjax.lm.transformer import Large
from genjax.vae import networks, objectives
from genjax.vae.architecture import Architecture
from genjax_cli import launch

DEVICES, STEPS, BATCH = 4, 3, 16
SGD = optax.sgd(0.05)
# (room, mode, seeds, devices that share a copy of the parameters)
PARTS = ("domains", "jit", 1, 4)
CASES = [
    ("vae", "jit", 1, 1),
    ("vae", "pmap", 2, 1),
    ("vae", "jit", 5, 1),  # All hold all of them.
    ("gan", "jit", 2, 1),  # Seeds and batch shared.
    ("domains", "pmap", 1, 1),
    ("domains", "jit", 2, 2),
    PARTS,
]
# Of which two devices have work, and the others repeat it: the least rows that make it so.
REPEATED = {("vae", "jit", 1, 1): 8, ("gan", "jit", 2, 1): 16, ("domains", "jit", 1, 2): 8}


@contextlib.contextmanager
def on_all(least: int):
    """As on a large v5e: a program is on all devices or on one; least: rows a device."""
    with (
        mock.patch.object(arrangement, "CPU_ROWS", least),
        mock.patch.object(arrangement, "whole", lambda devices: True),
        mock.patch.object(parallel, "whole", lambda devices: True),
    ):
        yield


def vae(rng, seeds, parts=1):
    """With noise, and an uneven last batch. (step, arrays, init, index, how a batch is read)."""
    images = rng.random((40, 4, 4, 1)).astype(np.float32)
    model = networks.build(Architecture((4, 4, 1), latent=3, hidden=(8,), channels=4))
    step = steps.training_step(objectives.elbo_loss(model), SGD, prepare=objectives.binarize)
    index = rng.integers(0, 40, (STEPS, seeds, BATCH)).astype(np.int32)
    index[-1, :, 6:] = -1
    return step, {"image": images}, lambda key: model.init(key, images), index, parallel.take


def gan(rng, seeds, parts=1):
    """Its latents are noise; whole batches alone."""
    recipe = Recipe()
    nets = small_gan.build(**small_gan.SMALL)
    points = rng.normal(size=(40, 1, 2)).astype(np.float32)
    step = game.adversarial_step(nets, recipe, small_gan.SGD)
    index = rng.integers(0, 40, (STEPS, seeds, BATCH)).astype(np.int32)

    def init(key):
        return game.init_state(key, nets, recipe, small_gan.SGD)

    return step, {"real": points}, init, index, parallel.take


def domains(rng, seeds, parts=1):
    """Windows are the index, the last ones padding."""
    net = language.build(Arm(width=8, depth=1), 12, 8, "float32", Large(parts=parts))
    loss = finetune.loss(net.apply, finetune.Method(), 1, net.losses)
    step = steps.training_step(loss, SGD, parts=parts)
    windows = rng.integers(0, 12, (STEPS, seeds, BATCH, 11)).astype(np.int32)
    windows[..., -2] = 0
    windows[-1, :, 6:] = -1
    return step, {}, lambda key: {"model": net.init(key)}, windows, take_windows


def compiled_step(room: str, mode: str, seeds: int, parts: int):
    """(a step on all devices, the first state on the host, the same on the devices, index)."""
    step, arrays, init, index, take = globals()[room](np.random.default_rng(7), seeds, parts)
    numbers = list(range(seeds))
    compiled = parallel.compile_step(
        step, arrays, numbers, BATCH, mode=mode, take=take,
        needs=Needs(steps_per_call=STEPS, fsdp=parts),
    )  # fmt: skip
    assert compiled.plan.devices == DEVICES and compiled.plan.copied == bool(compiled.plan.idle)
    begin = init if room == "gan" else lambda key: steps.init_state(init(key), SGD)
    first = training.initial(begin, numbers)
    made = compiled.begin(jax.vmap(lambda seed: begin(jax.random.key(seed))))
    return compiled, first, made(np.asarray(numbers)), index


def trained(room: str, mode: str, seeds: int, parts: int) -> dict[str, np.ndarray]:
    """{name: losses [steps, seeds], parameters} after a few steps on all devices."""
    compiled, first, state, index = compiled_step(room, mode, seeds, parts)
    jax.tree.map(np.testing.assert_array_equal, compiled.fetch(state), first)
    held = jax.tree.map(lambda leaf: leaf.sharding, state)
    assert held == jax.tree.map(lambda leaf: leaf.sharding, compiled.place(first))
    state = compiled.place(state)
    if compiled.own is not None:  # Nothing but its own rows is read.
        all_read = (
            processes.count() if compiled.plan.uneven else DEVICES / (DEVICES - compiled.plan.idle)
        )
        assert compiled.own.mean() == all_read / processes.count()
        others = ~compiled.own.reshape(seeds, BATCH, *[1] * (index.ndim - 3))
        index = np.where(others, 0, index)
    state, metrics = compiled.run(state, index, STEPS)
    found = jax.tree_util.tree_leaves_with_path(compiled.fetch(state).params)
    losses = compiled.fetch(metrics)["loss"]
    return {"loss": losses} | {jax.tree_util.keystr(path): leaf for path, leaf in found}


def handed_on(address: str, folder: Path) -> None:
    """One step of parameters in parts, behind those of the checkpoint that is there."""
    with processes.joined(address):
        compiled, first, state, index = compiled_step(*PARTS)
        kept = Checkpoints(folder / "parts")
        done, found = kept.restore(state)
        state, _ = compiled.run(compiled.place(found) if done else state, index[done:], 1)
        whole = compiled.fetch(state)
        kept.save(done + 1, whole)
        kept.close()
        found = jax.tree_util.tree_leaves_with_path(whole.params)
        if not processes.rank():
            ends = {jax.tree_util.keystr(path): leaf for path, leaf in found}
            np.savez(folder / "parts.npz", step=done + 1, **ends)


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
    with mock.patch.object(processes, "PIECE", 100):
        assert processes.told("x" * 1000 + str(rank)) == "x" * 1000 + "0"
        mesh = jax.sharding.Mesh(jax.devices(), ("device",))
        there = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device"))
        tree = {"a": np.arange(8.0), "b": [np.arange(40.0), np.arange(4)], "c": np.zeros(4)}
        found = processes.fetch(processes.place(tree, there), mesh)
        jax.tree.map(np.testing.assert_array_equal, found, tree)
    assert processes.most(rank) == many - 1
    mapped = processes.map_shared(lambda item: (item, rank), range(5))
    assert mapped == [(i, i % many) for i in range(5)]
    rows = np.arange(10.0).reshape(5, 2)
    (doubled,) = parallel.of_own_seeds(lambda p, x: (2 * x + p["a"],), {"a": rows}, rows)
    np.testing.assert_array_equal(doubled, 3 * rows)
    # Devices that hold a large model, whatever each process has free.
    tpus = SimpleNamespace(devices=lambda: DEVICES * [SimpleNamespace(platform="tpu")])
    job = SimpleNamespace(config=Config(seeds=1), size=lambda name: {"parameters": 1e8})
    with (
        mock.patch.object(language_training, "jax", tpus),
        mock.patch.object(machine, "memory_free", lambda: 1e9 if rank else 3.5e9),
    ):
        assert language_training.split_over(job, "a") == (DEVICES if many > 1 else 1)
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
        for case, least in REPEATED.items() if processes.count() > 1 else ():
            with on_all(least):
                for name, value in trained(*case).items():
                    found["/".join(("repeated", *map(str, case), name))] = value
        if not processes.rank():
            np.savez(folder / f"{processes.count()}.npz", **found)


EVERY = {"seeds": 2, "steps": 12, "log_every": 2, "checkpoint_every": 4}
SMALLEST = {
    "line": {"seeds": 2, "steps": 60, "log_every": 5, "checkpoint_every": 10, "batch_size": 16},
    "vae": EVERY
    | {"data": "digits", "latent": 2, "hidden": (8,), "nll_samples": 4, "classifier_steps": 4}
    | {"samplers": ("normal",), "batch_size": 16, "steps_per_call": 1},
    "gan": EVERY
    | {"data": "ring8", "evaluations": 3, "points": 200, "g_width": 4, "d_width": 4}
    | {"eval_samples": 100, "batch_size": 16, "steps_per_call": 1},
    "domains": EVERY
    | {"mesh": "fsdp:2", "width": 8, "depth": 1, "heads": 1, "context": 16, "shots": ()}
    | {"grid": 2, "pool": 8, "documents": 4, "evaluations": 3, "batch_size": 8}
    | {"steps_per_call": 1},
}


def whole(
    address: str,
    folder: Path,
    end=None,
    rank: int = 1,
    step: int = 20,
    room: str = "line",
    programs: str = "off",
) -> None:
    """A room's smallest run. end: what the process of a rank does after a step that is logged.

    programs: a folder of compiled ones.
    """
    genjax.__path__.append(str(Path(__file__).parent / "extension"))
    found = importlib.import_module(f"genjax.{room}.experiment")
    config = found.Config(**SMALLEST[room])
    write = Folder.write

    def told(self, arm, rows):
        write(self, arm, rows)
        if end and processes.rank() == rank and rows[-1]["step"] == step:
            end()

    Folder.write = told
    found.run(config, folder, compile_cache=programs, distributed=address)


def of_cluster(work: Callable, variables: dict[str, str]) -> Callable:
    """`work` in a process that a cluster started: its address is what JAX detects.

    variables: the cluster's, with {port}, {count} and {rank} in their values.
    """

    def told(address):
        at, count, rank = address.split(",")
        of = {"port": at.rpartition(":")[2], "count": count, "rank": rank}
        os.environ |= {name: value.format(**of) for name, value in variables.items()}
        os.environ["JAX_COORDINATOR_BIND_ADDRESS"] = at
        work("auto")

    return told


SLURM = {
    "JAX_COORDINATOR_PORT": "{port}",
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_NODELIST": "localhost,node[002-003]",
    "SLURM_NTASKS": "{count}",
    "SLURM_PROCID": "{rank}",
    "SLURM_LOCALID": "{rank}",
}
OPEN_MPI = {
    "JAX_COORDINATOR_PORT": "{port}",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1,10.148.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "{count}",
    "OMPI_COMM_WORLD_RANK": "{rank}",
    "OMPI_COMM_WORLD_LOCAL_RANK": "{rank}",
}


def swept(address: str, folder: Path) -> None:
    """The smallest sweep of attention, as the command line asks for it."""
    flags = "--variants=flash --lengths=32,64 --heads=1 --head_dim=8 --widths=8 --processes=1"
    more = "--rounds=1 --seconds=0.001 --compile_cache=off"
    place = [f"--workdir={folder}", f"--distributed={address}"]
    launch.launch("attention", [*flags.split(), *more.split(), *place], "genjax attention")


def left_by_the_first(address: str) -> None:
    """Process 0 dies, and with it the service by which they know of each other."""
    with processes.joined(address):
        processes.gather(0)
        if not processes.rank():
            die()
        processes.gather(0)


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


def main():
    folder, what, *counts = sys.argv[1:]
    folder = Path(folder)
    if what == "steps":
        ends = [start(int(count), lambda at: all_steps(at, folder)) for count in counts]
    elif what == "parts":
        ends = [start(int(count), lambda at: handed_on(at, folder)) for count in counts]
    else:
        ask = partial(interrupt.ask, signal.SIGTERM)
        ends = [
            start(1, lambda at: whole(at, folder / "alone")),
            start(2, lambda at: on_all(16)(whole)(at, folder / "repeated")),
            start(2, lambda at: whole(at, folder / "killed", die)),
            start(2, of_cluster(lambda at: whole(at, folder / "killed"), SLURM)),
            start(2, of_cluster(lambda at: whole(at, folder / "asked", ask), OPEN_MPI)),
            start(1, lambda at: whole(at, folder / "asked")),
            start(2, left_by_the_first),
            start(2, of_cluster(lambda at: swept(at, folder / "swept"), SLURM)),
        ]
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
