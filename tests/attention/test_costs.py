"""What variants cost: counted FLOPs, and the memory of the compiled programs, by length."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import blocks

DIM, HEADS = 16, 2
LINEAR = ("flash", "longformer", "bigbird", "linformer", "performer", "linear", "reformer")


@pytest.mark.parametrize("name", ("longformer", "bigbird", "linformer", "performer", "linear"))
def test_counted_flops_are_linear(name):
    """Second differences vanish, and the slope is 1, to what the edges of a pattern leave."""
    counts = [attention.build(name, 2**e, 64, causal=False).cost.flops for e in (16, 17, 18)]
    grid = [attention.build(name, 8192 * m, 64, causal=False).cost.flops for m in (8, 9, 10)]
    assert grid[2] - 2 * grid[1] + grid[0] == 0
    assert np.log2(counts[2] / counts[1]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", ("full", "flash"))
def test_counted_flops_are_quadratic(name):
    counts = [attention.build(name, 1024 * m, 64, causal=False).cost.flops for m in (1, 2)]
    assert counts[1] / counts[0] == 4


def test_strided_with_a_root_of_the_length_costs_n_to_the_three_halves():
    counts = [attention.build("sparse_strided", 4**e, 64, causal=True).cost.flops for e in (6, 8)]
    assert np.log(counts[1] / counts[0]) / np.log(16) == pytest.approx(1.5, abs=0.03)


@pytest.mark.parametrize("name", LINEAR)
def test_temporary_memory_is_linear_forward_and_backward(name):
    """Compiled temporary bytes: a dense n x n anywhere would make the slope 2."""
    sizes = []
    # Both above `orders.SMALL`, where tables are computed and no constants.
    for length in (4096, 8192):
        variant = attention.build(name, length, DIM, causal=False)
        extra = variant.init(jax.random.key(0))
        q = jax.ShapeDtypeStruct((1, length, 1, DIM), jnp.float32)

        def both(q, k, v, extra=extra, variant=variant):
            out, pull = jax.vjp(lambda *x: variant.attend(*x, extra=extra), q, k, v)
            return pull(out)

        compiled = jax.jit(both).lower(q, q, q).compile()
        sizes.append(compiled.memory_analysis().temp_size_in_bytes)
    assert np.log2(sizes[1] / sizes[0]) < 1.15
    assert sizes[1] < 4 * 8192**2  # Less than one matrix of n x n.


@pytest.mark.parametrize(
    ("name", "options"),
    [("longformer", {"window": 16}), ("linformer", {"rank": 16}), ("reformer", {"rounds": 2})],
)
def test_long_rows_go_one_after_the_other_on_cpu(name, options):
    def one_by_one(length):
        variant = attention.build(name, length, DIM, causal=False, **options)
        extra = variant.init(jax.random.key(0))
        x = jnp.zeros((3, length, HEADS, DIM))
        made = jax.make_jaxpr(lambda x: variant.attend(x, x, x, extra=extra))(x)
        return re.search(r"\blength=6\b", str(made)) is not None

    assert HEADS == 2 and one_by_one(2 * blocks.SHORT) and not one_by_one(blocks.SHORT)
