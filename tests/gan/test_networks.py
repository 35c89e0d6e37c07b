"""The networks of a GAN: sizes, norms, what sees a batch, and the sides of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import parallel
from genjax.gan import networks as nets
from genjax.gan.architecture import Architecture

RNG = np.random.default_rng(0)
SMALL = {"shape": (2,), "latent": 3, "g_width": 8, "d_width": 8}


def build(**options):
    return nets.build(Architecture(**options))


def test_parameters_of_pacgan():
    """PacGAN's code: 484,802 and 405,201 parameters, 2,000 more a further member of the pack."""
    for pack in (1, 2, 4):
        networks = build(
            shape=(2,), latent=2, pack=pack, g_width=400, g_depth=4, g_norm=True, d_width=200,
            d_depth=3, d_layer="maxout", init_std=0.02,
        )  # fmt: skip
        params = jax.eval_shape(networks.init, jax.random.key(0))
        count = {
            name: sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params[name]))
            for name in ("generator", "discriminator")
        }
        assert count == {"generator": 484_802, "discriminator": 405_201 + 2000 * (pack - 1)}


def test_batch_norm_keeps_members_of_a_pack_apart():
    networks = build(**SMALL, g_norm=True, pack=2)
    params = networks.init(jax.random.key(0))
    z = jnp.asarray(RNG.normal(size=(2, 16, 3)), jnp.float32)
    z = z.at[1].mul(5.0)
    generate = jax.jit(
        lambda z: networks.generate(params["generator"], params["statistics"], z, parallel.identity)
    )
    together, statistics = generate(z)
    for i in range(2):
        np.testing.assert_allclose(together[i], generate(z[i : i + 1])[0][0], atol=1e-5)
    # PacGAN's running statistics: 0.95 of the old and 0.05 of the mean over the passes.
    each = [jax.tree.leaves(generate(z[i : i + 1])[1]) for i in range(2)]
    for leaf, a, b in zip(jax.tree.leaves(statistics), *each, strict=True):
        np.testing.assert_allclose(leaf, (a + b) / 2, atol=1e-5)


def test_running_statistics_move_a_twentieth_of_the_way():
    """PacGAN's averages: 0.95 of the old, 0.05 of the new."""
    networks = build(**SMALL, g_norm=True)
    params = networks.init(jax.random.key(0))
    z = jnp.asarray(RNG.normal(size=(1, 64, 3)), jnp.float32)
    _, statistics = networks.generate(
        params["generator"], params["statistics"], z, parallel.identity
    )
    hidden = np.asarray(z[0]) @ np.asarray(params["generator"]["_Dense_0"]["Dense_0"]["kernel"])
    (first,) = statistics["_Dense_0"].values()
    np.testing.assert_allclose(first["mean"], 0.05 * hidden.mean(0), atol=1e-5)
    np.testing.assert_allclose(first["variance"], 0.95 + 0.05 * hidden.var(0), atol=1e-5)


def test_running_statistics_arrive_at_the_batchs():
    networks = build(**SMALL, g_norm=True)
    params = networks.init(jax.random.key(0))
    z = jnp.asarray(RNG.normal(size=(1, 64, 3)), jnp.float32)
    generate = jax.jit(lambda s: networks.generate(params["generator"], s, z, parallel.identity))
    statistics = params["statistics"]
    for _ in range(200):
        now, statistics = generate(statistics)
    frozen, _ = networks.generate(params["generator"], statistics, z, None)
    np.testing.assert_allclose(frozen, now, atol=1e-3)


def test_minibatch_features_see_the_batch_and_real_and_fake_apart():
    for kind in ("stddev", "discrimination"):
        networks = build(**SMALL, minibatch=kind)
        params = networks.init(jax.random.key(0))["discriminator"]
        x = jnp.asarray(RNG.normal(size=(2, 6, 2)), jnp.float32)
        judge = jax.jit(
            lambda x, networks=networks, params=params: networks.discriminate(
                params, x, parallel.identity, parallel.identity
            )[..., 0]
        )
        before, after = judge(x), judge(x.at[0, 0].add(3.0))
        assert np.abs(after[0, 1:] - before[0, 1:]).max() > 1e-5, kind
        np.testing.assert_array_equal(after[1], before[1])


def test_a_skip_adds_a_linear_path():
    plain, skipping = (build(**SMALL, g_skip=skip) for skip in (False, True))
    params = skipping.init(jax.random.key(0))["generator"]
    (path,) = [name for name, layer in params.items() if layer.keys() == {"kernel"}]
    z = jnp.asarray(RNG.normal(size=(1, 5, 3)), jnp.float32)
    without = plain.generate({k: v for k, v in params.items() if k != path}, {}, z, None)[0]
    expected = without + z @ params[path]["kernel"]
    np.testing.assert_allclose(skipping.generate(params, {}, z, None)[0], expected, atol=1e-6)


def test_a_spectral_norm_bounds_the_slope():
    networks = build(**SMALL, spectral_norm=True, d_layer="relu", init_std=3.0)
    params = networks.init(jax.random.key(0))["discriminator"]
    x = jnp.asarray(RNG.normal(size=(200, 1, 2)), jnp.float32)

    def total(x):
        packed = nets.pack(x[None])
        return networks.discriminate(params, packed, parallel.identity, parallel.identity).sum()

    slope = jax.jit(jax.grad(total))(x)
    assert float(jnp.linalg.norm(slope[:, 0], axis=1).max()) <= 1.01


@pytest.mark.parametrize("arch", ["dcgan", "metz"])
@pytest.mark.parametrize("side", [8, 28])
def test_convolutional_nets_have_the_shapes_of_their_images(arch, side):
    networks = build(
        shape=(side, side, 3), latent=16, arch=arch, pack=2, squash="tanh", d_norm=True,
        d_fraction=0.25, ratio=True,
    )  # fmt: skip
    params = jax.eval_shape(networks.init, jax.random.key(0))

    def both(params, z):
        x, _ = networks.generate(params["generator"], params["statistics"], z, parallel.identity)
        packed = nets.pack(jnp.swapaxes(x, 0, 1)[None])
        outputs = networks.discriminate(
            params["discriminator"], packed, parallel.identity, parallel.identity
        )
        return x, outputs, networks.log_ratio(params["ratio"], x[0])

    x, outputs, ratio = jax.eval_shape(both, params, jnp.zeros((2, 5, 16)))
    assert x.shape == (2, 5, side, side, 3) and outputs.shape == (1, 5, 1)
    assert ratio.shape == (5,)
