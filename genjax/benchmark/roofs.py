"""What the machine can do, as rows: products alone, at a program's own shapes too, and copies."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.benchmark import counts
from genjax.benchmark.harness import Row
from genjax.benchmark.sizes import Roofs
from genjax.core.hlo import Dot

# Of a call: FLOPs of products, or one pass over all; bytes.
FLOPS, BYTES = 40e9, 2.0**30


def beside(rows: dict[str, Row], size: Roofs) -> dict[str, Row]:
    """The rows, and those that they are held against."""
    counted = {name: row.counts for name, row in rows.items() if row.counts}
    made = dict(rows)
    for owner in dict.fromkeys(counts.owners(counted).values()):
        one = counted[owner]
        made[counts.products_of(owner)] = products(one.dots, one.devices)
    made[counts.BEST] = products({Dot(1, size.square, size.square, size.square): 1})
    made[counts.MEMORY], made[counts.CACHE] = copy(size.memory), copy(size.cache)
    return made


def products(dots: Mapping[Dot, int], devices: int = 1) -> Row:
    """FLOP/s of float32 products alone, each as often as it is said, in one compiled loop.

    devices: that do all of them at once.
    """
    flops = sum(dot.flops * times for dot, times in dots.items())
    loops = max(1, min(20, int(FLOPS / (devices * flops))))
    right = [jnp.ones(_shape(d.batch, d.k, d.n)) for d in dots]
    begun = [
        (jnp.ones(_shape(d.batch, d.m, d.k)) / d.k, jnp.zeros(_shape(d.batch, d.m, d.n)))
        for d in dots
    ]

    def one(a, b, out):
        # Each product waits for its last result, and the whole result is kept: nothing is hoisted
        # out of the loop, shared or cut.
        first = (0,) * a.ndim
        a = a.at[first].add(1e-30 * out[first])
        return a, a @ b

    def run(pairs, right):
        def body(_, pairs):
            return [
                jax.lax.fori_loop(0, times, lambda _, pair, b=b: one(pair[0], b, pair[1]), pair)
                for pair, b, times in zip(pairs, right, dots.values(), strict=True)
            ]

        return jax.lax.fori_loop(0, loops, body, pairs)

    if devices > 1:
        mesh = Mesh(np.array(jax.local_devices()[:devices]), ("device",))
        split, whole = NamedSharding(mesh, P("device")), NamedSharding(mesh, P())
        run = jax.shard_map(
            run, mesh=mesh, in_specs=(P("device"), P()), out_specs=P("device"), check_vma=False
        )
        begun = jax.device_put(jax.tree.map(lambda x: jnp.concatenate([x] * devices), begun), split)
        right = jax.device_put(right, whole)
    held, made = [begun], jax.jit(run, donate_argnums=0)

    def call():
        held[0] = made(held[0], right)
        return [out for _, out in jax.block_until_ready(held[0])]

    return Row(call, devices * loops * flops, "FLOP/s")


def _shape(batch: int, rows: int, columns: int) -> tuple[int, ...]:
    return (rows, columns) if batch == 1 else (batch, rows, columns)


def copy(size: int) -> Row:
    """Bytes a second of passes over an array of so many: each number is read and written once.

    In place: a fresh array would be fresh pages of the system's, ten times as slow.
    """
    passes = max(1, round(BYTES / (2 * size)))
    held = [jnp.zeros(size // 4)]
    made = jax.jit(
        lambda x: jax.lax.fori_loop(0, passes, lambda _, x: 0.5 * x + 1, x), donate_argnums=0
    )

    def run():
        held[0] = made(held[0])
        return jax.block_until_ready(held[0])

    return Row(run, 2.0 * size * passes, "B/s")
