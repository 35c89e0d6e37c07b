"""Matrix products alone: what the others are held against."""

import jax
import jax.numpy as jnp

from genjax.benchmark.harness import Row

# (m, k, n) of [m, k] @ [k, n]
Shape = tuple[int, int, int]


def flops(shapes: list[Shape]) -> float:
    """Of the products of these shapes."""
    return float(sum(2 * m * k * n for m, k, n in shapes))


def products(shapes: list[Shape], loops: int = 20) -> Row:
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

    return Row(lambda: jax.block_until_ready(run(pairs)), loops * flops(shapes), "FLOP/s")


def square(size: int) -> Row:
    """The same of one square product."""
    return products([(size, size, size)])
