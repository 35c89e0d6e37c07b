"""Causal attention in static tiles against the dense definition, rows in turn or at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import blocks, static


def dense(q, k, v):
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    seen = np.tri(q.shape[1], dtype=bool)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)), v)


@pytest.mark.parametrize(("length", "tiles"), [(300, 4), (100, 2)])
def test_value_and_gradients_are_the_dense_ones(length, tiles):
    assert static.tiles_of(length) == tiles and (length > blocks.SHORT) == (tiles == 4)
    rng = np.random.default_rng(0)
    # Scores of some tens: a maximum that is left out, or of other queries, would show.
    q, k, v, cotangent = (
        jnp.asarray(scale * rng.standard_normal((2, length, 3, 8)), jnp.float32)
        for scale in (4, 4, 1, 1)
    )
    variant = attention.build("flash", length, 8, causal=True)
    assert variant.note == "computed in static tiles"

    @jax.jit
    def both(*arguments):
        sides = []
        for attend in (variant.attend, dense):
            out, pull = jax.vjp(attend, *arguments)
            sides.append((out, *pull(cotangent)))
        return sides

    for ours, theirs in zip(*both(q, k, v), strict=True):
        most = float(jnp.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * most)


def test_lengths_that_are_cut():
    assert [static.tiles_of(n) for n in (1, 2, 255, 256, 258, 260, 1024, 1028)] == [
        *(0, 2, 0, 2, 0, 4, 4, 0)
    ]


def test_other_devices_take_the_tiles_of_all_lengths(monkeypatch):
    """Their steps are traced on a CPU, too."""
    attend, shape = attention.build("flash", 300, 8, causal=True).attend, (1, 300, 2, 8)
    arguments = [jax.random.normal(key, shape) for key in jax.random.split(jax.random.key(0), 3)]
    here = attend(*arguments)
    monkeypatch.setattr(blocks, "platform", lambda: "tpu")
    traced = str(jax.make_jaxpr(lambda *qkv: attend(*qkv))(*arguments))
    assert "optimization_barrier" not in traced
    np.testing.assert_allclose(attend(*arguments), here, atol=1e-5)
