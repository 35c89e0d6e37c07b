"""Parameters in parts: fully sharded data parallelism over the mesh axis `fsdp`.

ZeRO's third stage (Rajbhandari et al. 2020; Zhao et al. 2023): a device keeps its part of each
matrix and of its moments, a block's matrices are gathered where the block is computed, and their
gradients are summed and cut again (reduce-scatter), in float32. Devices share the batch, too.

The gradient is computed by hand over the axis (`over_parts`). What follows, clipping and the
optimizer, sees whole arrays: XLA splits it as the arrays are split.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

AXIS = "fsdp"
WHOLE = -1


def axis_of(shape: tuple[int, ...], parts: int) -> int:
    """The axis that an array is split along; WHOLE: none, every device has all of it.

    The longest that the parts divide, so that Muon's product of a matrix with itself, along the
    longer side, is a sum over devices. Vectors stay whole.
    """
    able = [i for i, size in enumerate(shape) if size % parts == 0]
    if parts == 1 or len(shape) < 2 or not able:
        return WHOLE
    return max(able, key=lambda i: shape[i])


def spec(shape: tuple[int, ...], parts: int) -> P:
    """The same as a partition spec."""
    axis = axis_of(shape, parts)
    return P() if axis == WHOLE else P(*[None] * axis, AXIS)


def split(tree, parts: int):
    """A tree as it is, held split where XLA decides: what an optimizer makes stays so."""
    if parts == 1:
        return tree
    return jax.tree.map(
        lambda leaf: jax.lax.with_sharding_constraint(leaf, spec(leaf.shape, parts)), tree
    )


def whole(part: jax.Array, axis: int, dtype: jnp.dtype) -> jax.Array:
    """An array from the devices' parts along an axis, in a type; its gradient is summed in float32.

    Inside `over_parts` alone. What is WHOLE comes back as it is. Gathered before it is rounded, so
    that the gradient is cast before it is summed; XLA rounds the parts and sends those.
    """
    if axis == WHOLE:
        return part
    return jax.lax.all_gather(part, AXIS, axis=axis, tiled=True).astype(dtype)


def ungathered(primitive, *_, **__) -> bool:
    """A policy of jax.checkpoint: keeps all but what `whole` makes."""
    return primitive.name not in ("all_gather", "convert_element_type")


def over_parts(gradient: Callable, parts: int) -> Callable:
    """gradient(params, *rows) -> (gradients like params, further sums), over the devices of AXIS.

    Inside, params are a device's parts and rows its share of them; outside both are whole. Sums
    come back added up, gradients as split as params.
    """

    def run(params, *rows):
        specs = jax.tree.map(lambda leaf: spec(leaf.shape, parts), params)

        def own(params, *rows):
            grads, sums = gradient(params, *rows)
            # Those of the parts are summed where they were gathered.
            grads = jax.tree.map(lambda g, s: g if s else jax.lax.psum(g, AXIS), grads, specs)
            return grads, jax.lax.psum(sums, AXIS)

        return jax.shard_map(
            own,
            in_specs=(specs, *[P(AXIS)] * len(rows)),
            out_specs=(specs, P()),
            axis_names={AXIS},
            check_vma=False,
        )(params, *rows)

    return run
