"""What all variants of attention share: how they are called, and what they cost."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax.sharding import NamedSharding, PartitionSpec

from genjax.attention import blocks
from genjax.core.errors import UsageError


class Cost(NamedTuple):
    """Counted from shapes, one forward pass of one batch row and head.

    flops: of the matrix products, a multiplication and an addition each.
    bytes: temporary memory, float32, arguments and result not counted.
    """

    flops: float
    bytes: float


class Variant(NamedTuple):
    """One kind of attention at one length.

    attend: (q, k, v, *, mask=None, extra=None) -> [batch, length, heads, head_dim], like q, k, v;
        mask [batch, length] is False where a key is not to be seen. A query that sees no key gets
        zeros, and gradients of zero.
    cost: of the forward pass.
    init: key -> extra, the arrays that the variant needs beside q, k and v.
    trained: whether those are parameters, or random numbers to be drawn again at will.
    shared_qk: whether the keys are the normalised queries, and k is not read.
    pattern: the pairs attended to, where blocks describe them.
    causal: whether no query sees a later key; `register` sets it.
    shardings: of q, k, v and the result, and of `extra`; None: they are one device's.
    note: what ran, and what a user might not expect.
    backward_flops: the products of the backward pass, in multiples of `cost.flops`; 2.5 where it
        computes the scores again.
    both_bytes: temporary memory of forward and backward, in multiples of `cost.bytes`.
    """

    attend: Callable[..., jax.Array]
    cost: Cost
    init: Callable[[jax.Array], dict[str, jax.Array]] = lambda key: {}
    trained: bool = False
    shared_qk: bool = False
    pattern: blocks.Pattern | None = None
    causal: bool = False
    shardings: tuple[NamedSharding, NamedSharding] | None = None
    note: str = ""
    backward_flops: float = 2.5
    both_bytes: float = 2.0


class Shards(NamedTuple):
    """The devices of one mesh axis, each of which holds an equal part of the positions, in order.

    part: positions of a device.
    """

    axis: str
    devices: int
    part: int


class Sharded(NamedTuple):
    """A variant as one of several devices computes it, under `jax.shard_map` over their axis.

    attend: (q, k, v, *, extra=None) -> [batch, part, heads, head_dim], like q, k, v; no key masks.
    extra: how the arrays of its own are spread, all of them.
    note: what travels between the devices.
    """

    attend: Callable[..., jax.Array]
    note: str
    extra: PartitionSpec = PartitionSpec()


def needed(extra: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """`extra`, by a variant that cannot do without. Raises UsageError where it was left out."""
    if extra is None:
        raise UsageError("extra=None: this variant needs arrays of its own; give variant.init(key)")
    return extra


def of_pattern(pattern: blocks.Pattern, head_dim: int, note: str = "") -> Variant:
    """The variant that attends to a pattern's pairs, exactly."""

    def attend(q, k, v, *, mask=None, extra=None):
        del extra
        return blocks.attend(pattern, q, k, v, mask=mask)

    return Variant(attend, pattern_cost(pattern, head_dim), pattern=pattern, note=note)


def pattern_cost(pattern: blocks.Pattern, head_dim: int) -> Cost:
    """Two products for each pair of every tile; q, k, v and the result, in rows of their own."""
    tile = max(p.queries.shape[1] * p.keys.shape[1] for p in pattern.parts)
    rows = 4 * pattern.length * (head_dim + 1) * len(pattern.parts)
    return Cost(4.0 * head_dim * blocks.tile_pairs(pattern), 4.0 * (rows + 3 * tile))
