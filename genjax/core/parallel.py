"""How a step is compiled and spread over devices.

Two modes, the same results: `jit` over a mesh (replica, batch), and `pmap` over the batch.
Replicas (independent seeds) are one program by `vmap`, many steps one call by a loop with a traced
count, so that one compiled program serves every call. Both habits are wrong for convolutions on
XLA:CPU (3 to 13 times slower inside a loop or under vmap); `plan` decides.
"""

import contextlib
import ctypes
import math
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.core.config import Options, shown, written
from genjax.core.errors import UsageError

MODES = ("jit", "pmap")
# The least of a batch that is worth a CPU device of its own.
ROWS = 4
# Python costs about a millisecond a call; a step of a small model far less on an accelerator.
CPU_STEPS_PER_CALL, ACCELERATOR_STEPS_PER_CALL = 100, 1000


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


class Plan(NamedTuple):
    """steps_per_call: steps inside one compiled call; unrolled: replicas side by side, no vmap."""

    steps_per_call: int
    unrolled: bool


class Compiled(NamedTuple):
    """A compiled step and how to place what it takes.

    run: (state, index [calls' steps, seeds, batch, ...], count) -> (state, metrics {name:
        [steps, seeds]}), the first `count` steps of `index`; donates the state.
    place: a host state (leaves [seeds, ...]) -> a device state.
    """

    run: Callable
    place: Callable
    plan: Plan


def tune_cpu() -> None:
    """Leaves float32 products on CPU to Eigen; call it before the first computation.

    jax 0.10 hands them to YNNPACK, which trains the nets of this project 5 to 20% slower
    (BUILD_NOTES.md). Other versions may not know the option, and XLA dies of an unknown one.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if jax.__version_info__[:2] == (0, 10) and "ynn_fusion" not in given:
        os.environ["XLA_FLAGS"] = f"{given} --xla_cpu_experimental_ynn_fusion_type=".strip()


def split_cpu(seeds: int, batch_size: int) -> None:
    """Makes the CPU's cores devices, as many as share the seeds, and then the batch, evenly.

    To be called before the first computation. What XLA:CPU runs on one core (loops, small products)
    then runs on all of them; a device has ROWS of a batch or more. A count that XLA_FLAGS gives
    stays, and other backends do not care.
    """
    given = os.environ.get("XLA_FLAGS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = 1
    for more in range(2, (cores or 1) + 1):
        replicas, parts = _split(seeds, batch_size, more)
        if replicas * parts == more and (parts == 1 or batch_size >= ROWS * parts):
            count = more
    if count > 1 and "xla_force_host_platform_device_count" not in given:
        flag = f"--xla_force_host_platform_device_count={count}"
        os.environ["XLA_FLAGS"] = f"{given} {flag}".strip()


def _split(seeds: int, batch_size: int, devices: int) -> tuple[int, int]:
    """How many devices share the seeds, and how many each seed's batch."""
    replicas = math.gcd(seeds, devices)
    return replicas, math.gcd(batch_size, devices // replicas)


def keep_buffers() -> None:
    """Has glibc keep the memory of large buffers; call it before the first computation.

    By default it returns them to the kernel after each call, and the next call pays for fresh
    pages: 10 to 35% of the time of what streams through memory. Elsewhere a no-op.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            libc.mallopt(option, 2**31 - 1)


def memory_free() -> float:
    """Bytes that the first device (on CPU the machine) has free."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats["bytes_in_use"])
    with contextlib.suppress(OSError):  # Linux; with what it keeps of files and can give back.
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return math.inf


def require_memory(
    needed: dict[str, float], config: Options, arms: Collection[Options] = ()
) -> None:
    """Raises UsageError where what is alive at once cannot fit, with the largest part named.

    needed: {the flags that ask for it: bytes, at least}. config, arms: whose values are said; of
    arms, where they have such a flag, each. Devices other than the CPU share it.
    """

    def said(flag: re.Match) -> str:
        owners = [arm for arm in arms if flag[1] in arm.options()] or [config]
        values = dict.fromkeys(shown(written(owner.values()[flag[1]])) for owner in owners)
        return f"{flag[0]}={'/'.join(values)}"

    devices = jax.local_devices()
    free = memory_free() * (1 if devices[0].platform == "cpu" else len(devices))
    total = sum(needed.values())
    if total > free:
        most = max(needed, key=lambda flags: needed[flags])
        flags = re.sub(r"--(\w+)", said, most)
        raise UsageError(
            f"{flags}: about {needed[most] / 1e9:,.1f} GB of {total / 1e9:,.1f} GB needed, "
            f"{free / 1e9:,.1f} GB are free"
        )


def plan(*, convolutions: bool, steps_per_call: int = 0) -> Plan:
    """Scan or single steps, vmap or unrolled replicas: by backend and kind of layer.

    steps_per_call: 0 decides here; anything else is taken.
    """
    on_cpu = jax.default_backend() == "cpu"
    unrolled = convolutions and on_cpu
    auto = 1 if unrolled else CPU_STEPS_PER_CALL if on_cpu else ACCELERATOR_STEPS_PER_CALL
    return Plan(steps_per_call or auto, unrolled)


def check_batch(mode: str, batch_size: int, devices: int | None = None) -> None:
    """Raises UsageError where pmap's devices (by default all) do not divide the batch."""
    devices = devices or jax.local_device_count()
    if mode == "pmap" and batch_size % devices:
        raise UsageError(
            f"--batch_size={batch_size}: --parallel=pmap needs a multiple of the {devices} devices"
        )


def identity(tree):
    """`total` and `gather` where one program sees the whole batch."""
    return tree


def take(arrays: dict, index: jax.Array) -> dict:
    """The batch of an index [b]: rows of every array, `index`, and weight 0 where index is -1."""
    rows = jnp.maximum(index, 0)
    batch = {name: array[rows] for name, array in arrays.items()}
    return batch | {"index": rows, "weight": (index >= 0).astype(jnp.float32)}


def compile_step(
    step: Callable,
    arrays: dict,
    seeds: list[int],
    batch_size: int,
    *,
    mode: str = "jit",
    how: Plan | None = None,
    devices: list | None = None,
    take: Callable = take,
) -> Compiled:
    """Compiles a step of the contract for all seeds, and puts the data on the devices.

    take: (arrays, index [b, ...]) -> batch, how a batch is read; by default rows of every array.
        The index may also be what is read itself, such as windows of a text too large to be kept.
    Raises UsageError where pmap's devices do not divide the batch.
    """
    how = how or plan(convolutions=False)
    devices = devices or jax.local_devices()
    check_batch(mode, batch_size, len(devices))
    if mode == "pmap":
        batch_devices, replica_devices = len(devices), 1
    else:
        replica_devices, batch_devices = _split(len(seeds), batch_size, len(devices))
        if how.unrolled:
            # A convolution on CPU takes all cores by itself, and half a batch longer than a whole.
            batch_devices = 1
    used = np.array(devices[: replica_devices * batch_devices])
    mesh = Mesh(used.reshape(replica_devices, batch_devices), ("replica", "batch"))
    everywhere = NamedSharding(mesh, P())
    by_replica = NamedSharding(mesh, P("replica") if mode == "jit" else P())
    by_batch = NamedSharding(mesh, P(None, "replica", "batch"))
    arrays = jax.device_put(arrays, everywhere)
    keys = jax.device_put(jax.vmap(jax.random.key)(np.asarray(seeds)), by_replica)

    def many(total, gather):
        return _loop(_replicas(step, take, how.unrolled, total, gather), how.steps_per_call)

    if mode == "jit":
        by_seed, by_call = P("replica"), P(None, "replica")
        # Replicas stay on their device, unrolled ones too; splitting the batch is the compiler's.
        own = jax.shard_map(
            many(identity, identity),
            mesh=mesh,
            in_specs=(by_seed, P(), by_call, by_seed, P()),
            out_specs=(by_seed, by_call),
            axis_names={"replica"},
            check_vma=False,
        )
        program = jax.jit(own, donate_argnums=0)

    else:
        program = jax.pmap(
            many(
                lambda tree: jax.lax.psum(tree, "batch"),
                lambda array: jax.lax.all_gather(array, "batch", tiled=True),
            ),
            axis_name="batch",
            in_axes=(None, None, 0, None, None),
            out_axes=None,
            donate_argnums=0,
            devices=list(used),
        )

    def run(state, index, count):
        if mode == "jit":
            index = jax.device_put(index, by_batch)
        else:
            index = np.stack(np.split(index, batch_devices, axis=2))
        return program(state, arrays, index, keys, count)

    def run_alone(state, index, count):
        return jax.block_until_ready(run(state, index, count))

    # XLA:CPU's devices share one pool of threads: the collectives of two programs in flight can
    # each hold threads that the other waits for.
    alone = used.flat[0].platform == "cpu" and used.size > 1
    return Compiled(
        run_alone if alone else run, lambda state: jax.device_put(state, by_replica), how
    )


def by_seed(measure: Callable) -> Callable:
    """measure(params, *rest) of every seed as one compiled call; params' leaves are [seeds, ...].

    The devices share the seeds, as in training; on each, one comes after the other, so that what is
    held is one seed's. What it returns has the seeds in front. For several calls with the same
    params, `place_seeds` brings them over once.
    """

    @jax.jit
    def run(params, *rest):
        def own(params, *rest):
            return jax.lax.map(lambda one: measure(one, *rest), params)

        return jax.shard_map(
            own,
            mesh=_seed_mesh(params),
            in_specs=(P("replica"), *[P()] * len(rest)),
            out_specs=P("replica"),
            check_vma=False,
        )(params, *rest)

    return run


def place_seeds(params):
    """A tree with leaves [seeds, ...] on the devices where `by_seed` wants it."""
    return jax.device_put(params, NamedSharding(_seed_mesh(params), P("replica")))


def _seed_mesh(params) -> Mesh:
    """The devices that share the seeds of params evenly."""
    seeds = len(jax.tree.leaves(params)[0])
    used = jax.local_devices()[: math.gcd(seeds, jax.local_device_count())]
    return Mesh(np.array(used), ("replica",))


def _replicas(step, take, unrolled, total, gather):
    """One step of every seed: leaves and keys [seeds, ...], index [seeds, batch]."""

    def one(state, arrays, index, key):
        return step(state, take(arrays, index), key, total=total, gather=gather)

    def side_by_side(state, arrays, index, keys):
        outs = [
            one(jax.tree.map(lambda leaf, s=s: leaf[s], state), arrays, index[s], keys[s])
            for s in range(index.shape[0])
        ]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *outs)

    return side_by_side if unrolled else jax.vmap(one, in_axes=(0, None, 0, 0))


def _loop(replicas, steps_per_call):
    """`count` steps in one call; the count is traced, so that a short call compiles nothing."""

    def single(state, arrays, index, keys, count):
        del count
        state, metrics = replicas(state, arrays, index[0], keys)
        return state, jax.tree.map(lambda m: m[None], metrics)

    def loop(state, arrays, index, keys, count):
        shapes = jax.eval_shape(replicas, state, arrays, index[0], keys)[1]
        metrics = jax.tree.map(lambda m: jnp.zeros((steps_per_call, *m.shape), m.dtype), shapes)

        def body(i, carry):
            state, metrics = carry
            state, new = replicas(state, arrays, index[i], keys)
            return state, jax.tree.map(lambda m, v: m.at[i].set(v), metrics, new)

        return jax.lax.fori_loop(0, count, body, (state, metrics))

    return single if steps_per_call == 1 else loop


CHUNK = 500


def batched(function: Callable, *arrays: np.ndarray, size: int = CHUNK):
    """function over rows in batches of one shape, so that it compiles once; leaves are NumPy."""
    count = len(arrays[0])
    size = min(size, count)
    parts = []
    for start in range(0, count, size):
        rows = [array[start : start + size] for array in arrays]
        real = len(rows[0])
        rows = [np.concatenate([row, np.repeat(row[-1:], size - real, 0)]) for row in rows]
        parts.append(jax.tree.map(lambda leaf, n=real: np.asarray(leaf)[:n], function(*rows)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def each(params, seeds: int) -> list:
    """The trees of each seed, of one with leaves [seeds, ...]."""
    return [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(seeds)]
