"""Kernels that others wrote: splash attention interpreted on the CPU, what does not fit, vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import fused
from genjax.core.errors import UsageError

LENGTH, HEADS, DIM = 256, 2, 64


def both(attend, arguments, **given):
    @jax.jit
    def run(*arguments):
        out, pull = jax.vjp(lambda *qkv: attend(*qkv, **given), *arguments)
        return out, pull(jnp.cos(out))

    return jax.tree.leaves(run(*arguments))


@pytest.mark.parametrize("masked", (False, True))
@pytest.mark.parametrize("causal", (False, True))
def test_splash_equals_the_tiles(causal, masked):
    """In Pallas' interpret mode, value and gradient; queries without a key give zeros."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, LENGTH, HEADS, DIM), np.float32) for _ in range(3))
    # The first keys of one sequence are hidden: its first queries see nothing where causal.
    mask = (rng.random((2, LENGTH)) < 0.5) & (np.arange(LENGTH) > [[-1], [40]]) if masked else None
    tiles = attention.build("flash", LENGTH, DIM, causal=causal, implementation="tiles")
    wanted = both(tiles.attend, (q, k, v), mask=mask)
    found = both(fused.splash(causal, interpret=True), (q, k, v), mask=mask)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())


def test_cudnn_leaves_key_masks_to_the_tiles(monkeypatch):
    """It takes them as a matrix of all pairs, and without a seeds' axis not at all."""
    q, mask = jnp.ones((2, 8, HEADS, 8), jnp.bfloat16), jnp.arange(8) < jnp.array([[5], [0]])

    def stand_in(q, k, v, *, is_causal, implementation):
        assert implementation == "cudnn" and not is_causal
        return 2 * v

    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    given = {"causal": False, "implementation": "cudnn", "dtype": "bfloat16", "platform": "gpu"}
    attend = attention.build("flash", 8, 8, **given).attend
    np.testing.assert_array_equal(attend(q, q, q), 2 * q)
    np.testing.assert_array_equal(attend(q, q, q, mask=mask)[:, 0, 0, 0], [1, 0])


@pytest.mark.parametrize(
    ("kernel", "platform", "length", "dim", "dtype", "said"),
    (
        ("splash", "cpu", 256, 64, "bfloat16", "needs a TPU"),
        ("splash", "tpu", 200, 64, "bfloat16", "lengths of multiples of 128, not 200"),
        ("splash", "tpu", 256, 64, "float16", "--dtype=bfloat16 or float32"),
        ("cudnn", "cpu", 256, 64, "bfloat16", "needs a CUDA GPU"),
        ("cudnn", "gpu", 256, 64, "float32", "--dtype=bfloat16 or float16"),
        ("cudnn", "gpu", 256, 20, "bfloat16", "--head_dim of a multiple of 8 up to 128, not 20"),
        ("cudnn", "gpu", 255, 64, "float16", "even lengths, not 255"),
        ("cudnn", "gpu", 256, 136, "float16", "--head_dim of a multiple of 8 up to 128, not 136"),
    ),
)
def test_a_kernel_that_does_not_fit_is_refused_and_auto_takes_tiles(
    kernel, platform, length, dim, dtype, said
):
    given = {"causal": False, "dtype": dtype, "platform": platform}
    with pytest.raises(UsageError, match=f"--implementation={kernel}: .*{said}; take auto or"):
        attention.build("flash", length, dim, implementation=kernel, **given)
    assert attention.build("flash", length, dim, **given).note == "computed in tiles"


def test_auto_takes_the_platforms_kernel():
    def note(platform, **changed):
        given = {"dtype": "bfloat16", "platform": platform, "causal": True} | changed
        return attention.build("flash", 256, 64, **given).note

    assert note("tpu") == note("tpu", dtype="float32") == "computed by Pallas' splash attention"
    assert note("gpu") == "computed by cuDNN"
    assert note("tpu", implementation="tiles") == note("gpu", implementation="tiles")
    # Without a platform the caller may have any mesh.
    assert note("") == note("cpu") == "computed in static tiles"
