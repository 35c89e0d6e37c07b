"""Building blocks of both players, by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import parallel
from genjax.gan import networks_blocks as blocks

RNG = np.random.default_rng(0)


def test_minibatch_features_by_hand():
    h = jnp.asarray(RNG.normal(size=(2, 4, 3)), jnp.float32)
    features = {
        kind: blocks.Minibatch(kind).init_with_output(
            jax.random.key(0), h, parallel.identity, parallel.identity
        )
        for kind in ("stddev", "discrimination")
    }
    found = features["stddev"][0]
    np.testing.assert_array_equal(found[..., :3], h)
    spread = np.asarray(h, np.float64).std(1).mean(-1)
    np.testing.assert_allclose(found[..., 3], np.repeat(spread[:, None], 4, 1), rtol=1e-5)

    found, variables = features["discrimination"]
    kernel = np.asarray(variables["params"]["tensor"], np.float64)
    for group in range(2):
        rows = (np.asarray(h[group], np.float64) @ kernel).reshape(4, blocks.KERNELS, -1)
        for i in range(4):
            others = [j for j in range(4) if j != i]
            near = sum(np.exp(-np.abs(rows[i] - rows[j]).sum(-1)) for j in others)
            np.testing.assert_allclose(found[group, i, 3:], near, rtol=1e-4)
