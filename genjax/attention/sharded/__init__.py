"""Attention over sequences that are spread over devices: one part of the positions each.

    mesh = jax.sharding.Mesh(jax.devices(), ("sequence",))
    variant = spread("flash", mesh, 2**20, 64, causal=True)
    out = variant.attend(q, k, v)  # all [batch, 2**20, heads, 64], sharded by P(None, "sequence")

Which variants can, and how, is said beside each of them (`register(sharded=...)`).
"""

import inspect
from types import SimpleNamespace
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.attention.registry import build, find
from genjax.attention.variant import Shards, Variant
from genjax.core.errors import UsageError


def spread(
    name: str, mesh: Mesh, length: int, head_dim: int, *, causal: bool, **options: Any
) -> Variant:
    """The variant `name` over the devices of a mesh of one axis.

    Its `attend` takes and gives whole arrays, with parts of their positions on the devices, and no
    key masks. Raises UsageError as `build` does, and where the variant cannot be spread so.
    """
    (axis,) = mesh.axis_names
    entry, flag = find(name), f"--mesh={axis}:{mesh.size}"
    variant = build(name, length, head_dim, causal=causal, **options)
    if isinstance(entry.sharded, str):
        raise UsageError(f"{flag}: --variants={name}: {entry.sharded}")
    if length % mesh.size:
        raise UsageError(f"{flag}: does not divide the length {length:,}")
    given = inspect.signature(entry.make).bind(length, head_dim, causal=causal, **options)
    given.apply_defaults()
    shards = Shards(axis, mesh.size, length // mesh.size)
    try:
        own = entry.sharded(shards, SimpleNamespace(**given.arguments))
    except UsageError as error:
        raise UsageError(f"{flag}: --variants={name}: {error}") from error
    parts = P(None, axis)

    def attend(q, k, v, *, mask=None, extra=None):
        if mask is not None:
            raise UsageError(f"{flag}: takes no key masks")
        return jax.shard_map(
            lambda q, k, v, extra: own.attend(q, k, v, extra=extra),
            mesh=mesh,
            in_specs=(parts, parts, parts, own.extra),
            out_specs=parts,
            axis_names={axis},
            check_vma=False,
        )(q, k, v, extra)

    shardings = NamedSharding(mesh, parts), NamedSharding(mesh, own.extra)
    note = f"{mesh.size} devices: {own.note}"
    return variant._replace(attend=attend, shardings=shardings, note=note)
