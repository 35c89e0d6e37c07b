"""The network of an arm, and what it costs."""

import math

import jax
import jax.numpy as jnp

from genjax import attention
from genjax.core.errors import UsageError
from genjax.domains.config import Arm
from genjax.lm import recurrent, transformer
from genjax.lm.transformer import Model


def variant(arm: Arm, length: int, dtype: str) -> attention.Variant:
    """The attention of an arm. Raises UsageError where it is not causal."""
    name = arm.attention
    if not attention.find(name).can_be_causal:
        raise UsageError(f"--attention={name}: not causal; a language model needs it")
    options = attention.select(name, window=arm.window, keep=arm.window, dtype=dtype)
    return attention.build(name, length, arm.width // arm.heads, causal=True, **options)


def build(
    arm: Arm, vocabulary: int, length: int, dtype: str, large: transformer.Large | None = None
) -> Model:
    """The network of an arm, for windows of `length` tokens. Raises UsageError as `variant`.

    large: of a transformer.
    """
    shape = {"vocabulary": vocabulary, "width": arm.width, "depth": arm.depth}
    kind = jnp.dtype(dtype)
    if arm.model != "transformer":
        return recurrent.build(arm.model, dtype=kind, **shape)
    own = variant(arm, length, dtype)
    shape |= {"length": length, "heads": arm.heads}
    return transformer.build(own, dtype=kind, large=large or transformer.Large(), **shape)


def split_over(needed: float, free: float, devices: int, rows: int) -> int:
    """Devices that share a copy of the parameters: the fewest that hold it in half of what is free.

    needed, free: bytes of parameters, moments and gradients, and of a device. rows: that the
    devices share, too. Few, since gathering costs the less the fewer share: XLA makes all-reduces
    of gathers over 64 chips of a v5p, twice the traffic. All that can where none suffices.
    """
    shared = math.gcd(devices, rows)
    able = [d for d in range(1, shared + 1) if shared % d == 0 and needed / d <= free / 2]
    return min(able, default=shared)


def size(arm: Arm, network: Model, length: int, dtype: str) -> dict[str, float]:
    """Parameters, and FLOPs of a token's training step: six a weight, attention's pairs."""
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    # A reference reads every window once more.
    flops = (8.0 if arm.dro else 6.0) * parameters
    if arm.model == "transformer":
        cost = variant(arm, length, dtype).cost.flops * arm.heads * arm.depth
        flops += 3.5 * cost / length
    return {"parameters": parameters, "flops": flops}
