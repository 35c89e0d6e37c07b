"""A step for all seeds as one program on many devices, and what is measured of each seed.

Two modes, the same program: `jit` of `shard_map` over a mesh (replica, batch), and `pmap` over the
batch. Replicas (independent seeds) are one program by `vmap`, or in turn (`turns`), many steps one
call by a loop with a traced count, so that one compiled program serves every call; `arrangement`
decides who does what.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.core import machine, processes, turns
from genjax.core.arrangement import (
    Arrangement,
    Needs,
    Plan,
    arrange,
    largest_divisor,
    plan_on,
    whole,
)


class Program(NamedTuple):
    """A step for all seeds of an arrangement, neither compiled nor placed.

    function: (state, arrays, index, keys, count) -> (state, metrics), of `jit` or `pmap`; donates
        the state. Its `lower` takes what `abstract` returns, for devices that are described only.
    """

    arrangement: Arrangement
    function: Callable

    def abstract(self, state, arrays, row) -> tuple:
        """The arguments of `function` as shapes with shardings; under jit.

        state: leaves [seeds, ...]. arrays: what batches are read from. row: the index of a step,
        [seeds, batch, ...]. All are arrays, or have a shape and a dtype.
        """
        a = self.arrangement

        def shaped(tree, specs):
            def one(spec, part):
                sharding = a.sharding(spec)
                return jax.tree.map(
                    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), part
                )

            return jax.tree.map(one, specs, tree, is_leaf=lambda spec: isinstance(spec, P))

        index = jax.ShapeDtypeStruct((a.plan.steps_per_call, *row.shape), row.dtype)
        keys = jax.eval_shape(jax.vmap(jax.random.key), np.zeros(row.shape[0], int))
        count = jax.ShapeDtypeStruct((), np.int32)
        state = jax.tree.map(
            lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            state,
            a.placed(state),
        )
        parts, specs = (arrays, index, keys, count), (a.arrays, a.batches, a.keys, P())
        return state, *(shaped(part, spec) for part, spec in zip(parts, specs, strict=True))


class Compiled(NamedTuple):
    """A compiled step and how to place what it takes.

    run: (state, index [calls' steps, seeds, batch, ...], count) -> (state, metrics {name:
        [steps, seeds]}), the first `count` steps of `index`; donates the state.
    place: a host state (leaves [seeds, ...]) -> a device state; one that `begin` made stays.
    fetch: what `run` returns -> on the host, of every process.
    own: [seeds, batch], the rows of a step that this process reads, where there are several; the
        others of its index may hold anything.
    text: what `run` takes -> the compiled program as text (core.hlo).
    begin: function -> the same as a program whose results are made where `run` takes them, so that
        no device holds all of them; arguments and results are trees of leaves [seeds, ...].
    ahead: (state, row) -> None; compiles `run`, in a thread beside the others, and a first call
        waits. Shapes of the state, leaves [seeds, ...], and of a step's index; not under pmap.
    """

    run: Callable
    place: Callable
    plan: Plan
    fetch: Callable = jax.device_get
    own: np.ndarray | None = None
    text: Callable | None = None
    begin: Callable = jax.jit
    ahead: Callable = lambda state, row: None


def identity(tree):
    """`total` and `gather` where one program sees the whole batch."""
    return tree


def take(arrays: dict, index: jax.Array) -> dict:
    """The batch of an index [b]: rows of every array, `index`, and weight 0 where index is -1."""
    rows = jnp.maximum(index, 0)
    batch = {name: array[rows] for name, array in arrays.items()}
    return batch | {"index": rows, "weight": (index >= 0).astype(jnp.float32)}


def program(step: Callable, arrangement: Arrangement, take: Callable = take) -> Program:
    """The program of a step of the contract for all seeds; arguments as in `compile_step`."""
    a, total, gather = arrangement, identity, identity
    if a.sharers:

        def total(tree):
            return jax.lax.psum(tree, a.sharers)

        def gather(tree):
            return jax.lax.all_gather(tree, a.sharers, tiled=True)

    def one(state, arrays, index, key):
        return step(state, take(arrays, index), key, total=total, gather=gather)

    many = _loop(_replicas(one, a.plan.unrolled), a.plan.steps_per_call)
    if a.plan.turns:
        many = turns.loop(one, a.plan)
    if a.mode == "pmap":
        function = jax.pmap(
            many,
            axis_name="batch",
            in_axes=(None, None, 0, None, None),
            out_axes=None,
            donate_argnums=0,
            devices=list(a.mesh.devices.flat),
        )
        return Program(a, function)
    # By hand over the batch too: left to XLA, gradients travel in the type of the products, and
    # that of an embedding is not split at all.
    own = jax.shard_map(
        many,
        mesh=a.mesh,
        in_specs=(a.state, a.arrays, _without(a.batches, a.inner), a.keys, P()),
        out_specs=(a.state, a.metrics),
        axis_names={*a.mesh.axis_names} - {*a.inner},
        check_vma=False,
    )
    return Program(a, jax.jit(own, donate_argnums=0))


def _without(spec: P, axes: tuple[str, ...]) -> P:
    """A partition spec without some axes."""
    every = [entry if isinstance(entry, tuple) else (entry,) for entry in spec]
    return P(*[tuple(axis for axis in entry if axis and axis not in axes) for entry in every])


def compile_step(
    step: Callable,
    arrays: dict,
    seeds: list[int],
    batch_size: int,
    *,
    needs: Needs = Needs(),  # noqa: B008 - immutable.
    mode: str = "jit",
    devices: list | None = None,
    take: Callable = take,
) -> Compiled:
    """Compiles a step of the contract for all seeds, and puts the data on the devices.

    take: (arrays, index [b, ...]) -> batch, how a batch is read; by default rows of every array.
        The index may also be what is read itself, such as windows of a text too large to be kept.
    Raises UsageError where pmap's devices do not divide the batch.
    """
    devices = devices or jax.devices()
    planned = plan_on(devices, len(seeds), batch_size, needs, mode)
    made = program(step, arrange(planned, devices, mode), take)
    a = made.arrangement
    put, read, by_seed = processes.place, a.sharding(a.arrays), a.sharding(a.keys)
    if mode == "pmap":
        # All devices have all seeds; of several processes each gives what its own devices take.
        put = jax.device_put
        read = by_seed = NamedSharding(a.mesh.local_mesh, P())
    arrays = put(arrays, read)
    keys = jax.jit(jax.vmap(jax.random.key), out_shardings=by_seed)(np.asarray(seeds))
    here = [i for i, d in enumerate(a.mesh.devices.flat) if d.process_index == processes.rank()]
    compiling = threading.Lock()

    def given(state, index, count):
        if mode == "jit":
            index = put(index, a.sharding(a.batches))
        else:
            parts = np.split(index, planned.parts, axis=2)
            index = np.stack([parts[i] for i in here])
        return state, arrays, index, keys, count

    def ahead(state, row):
        with compiling:
            if mode == "jit":
                *shapes, _ = made.abstract(state, arrays, row)
                cast(jax.stages.Wrapped, made.function).lower(*shapes, 1).compile()

    def run(*what):
        with compiling:
            return made.function(*given(*what))

    def text(*what):
        return cast(jax.stages.Wrapped, made.function).lower(*given(*what)).compile().as_text()

    def run_alone(*what):
        return jax.block_until_ready(run(*what))

    # XLA:CPU's devices share one pool of threads: the collectives of two programs in flight can
    # each hold threads that the other waits for.
    alone = devices[0].platform == "cpu" and a.mesh.size > 1

    def placed(state):
        return a.placed(state) if mode == "jit" else by_seed

    def place(state):
        return put(state, placed(state))

    def begin(function):
        typed = _typed(function)  # One object, by which jit knows it again.

        def first(*arguments):
            there, how = placed(jax.eval_shape(function, *arguments)), machine.for_one_run()
            return jax.jit(typed, out_shardings=there, compiler_options=how)(*map(place, arguments))

        return first

    def fetch(tree):
        return processes.fetch(tree, a.mesh) if mode == "jit" else jax.device_get(tree)

    own = _own_rows(a, len(seeds), batch_size) if processes.count() > 1 else None
    called = run_alone if alone else run
    return Compiled(called, place, planned, fetch, own, text, begin, ahead)


def _typed(function: Callable) -> Callable:
    """The function, with results of strong types: JAX gives what is made of Python's numbers a weak
    one, for which a step would be compiled once more."""

    def run(*arguments):
        return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), function(*arguments))

    return run


def _own_rows(a: Arrangement, seeds: int, batch_size: int) -> np.ndarray:
    """[seeds, batch]: whether this process's devices take a row of a step."""
    own = np.zeros((1, seeds, batch_size), bool)
    if a.mode == "pmap":
        parts = np.split(own, a.plan.parts, axis=2)  # Views.
        for part, device in zip(parts, a.mesh.devices.flat, strict=True):
            part[:] = device.process_index == processes.rank()
    else:
        split = a.sharding(a.batches).addressable_devices_indices_map(own.shape)
        for rows in split.values():
            own[rows] = True
    return own[0]


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


def of_own_seeds(measure: Callable, params, rows: np.ndarray) -> tuple:
    """measure(params, rows) -> arrays with the seeds in front, shared by seed over processes.

    params: leaves [seeds, ...]. rows: [seeds, ...].
    """
    if processes.count() == 1:
        return measure(params, rows)
    own = processes.own_seeds(len(rows))
    mine = jax.tree.map(lambda leaf: leaf[own], params)
    found = processes.gather(measure(mine, rows[own]) if own.stop > own.start else None)
    parts = (part for part in found if part is not None)
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _seed_mesh(params) -> Mesh:
    """The devices that share the seeds of params evenly."""
    seeds = len(jax.tree.leaves(params)[0])
    count = 1 if whole(jax.devices()) else jax.local_device_count()
    used = jax.local_devices()[: largest_divisor(seeds, count)]
    return Mesh(np.array(used), ("replica",))


def _replicas(one, unrolled):
    """One step of every seed: leaves and keys [seeds, ...], index [seeds, batch]."""

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
