"""Every family of autoencoder obeys the same contract."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.images import layers
from genjax.vae import networks
from genjax.vae.architecture import Architecture

ROOT = Path(__file__).parents[2]
FAMILIES = {
    "point": {"deterministic": True},
    "gaussian": {},
    "vamp": {"pseudo_inputs": 5},
    "hierarchical": {"family": "hierarchical", "layers": 2},
    "ladder": {"family": "ladder", "layers": 3},
}
IMAGES = jax.random.uniform(jax.random.key(9), (6, 7, 5, 1))


def jitted(function, *args):
    return jax.jit(function)(*args)


def make(name, init=jitted, **more):
    options = {"image_shape": (7, 5, 1), "latent": 8, "hidden": (16, 12), "channels": 4}
    model = networks.build(Architecture(**options | FAMILIES.get(name, {}) | more))
    return model, init(model.init, jax.random.key(0), IMAGES)


@pytest.mark.parametrize("arch", ["mlp", "conv"])
@pytest.mark.parametrize("name", FAMILIES)
def test_shapes(name, arch):
    model, params = make(name, init=jax.eval_shape, arch=arch)
    noise = jax.ShapeDtypeStruct((3, 6, model.noise_size), jnp.float32)
    code = jax.eval_shape(model.encode, params, IMAGES)
    draw = jax.eval_shape(model.draw, params, code, noise)
    units = {"point": 0, "vamp": 1}.get(name, sum(model.layers))
    assert draw.z.shape == (3, 6, 8) and draw.log_ratio.shape == (3, 6)
    assert draw.kl.shape == (3, 6, units) and draw.means.shape == (3, 6, sum(model.layers))
    logits = jax.eval_shape(model.decode, params, draw.z)
    assert logits.shape == (3, 6, 7, 5, 1)
    assert jax.eval_shape(model.log_prob, params, logits, IMAGES).shape == (3, 6)
    assert jax.eval_shape(model.mean, params, code).shape == (6, 8)
    assert jax.eval_shape(model.descend, params, noise).shape == (3, 6, 8)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_image_is_coded_as_in_a_batch(name):
    model, params = make(name)
    noise = jax.random.normal(jax.random.key(1), (6, model.noise_size))
    draw = jax.jit(lambda images, noise: model.draw(params, model.encode(params, images), noise))
    whole, single = draw(IMAGES, noise), draw(IMAGES[2:3], noise[2:3])
    for left, right in zip(whole, single, strict=True):
        np.testing.assert_allclose(left[2:3], right, rtol=1e-4, atol=1e-5)


def test_flat_log_ratio_is_recomputed_by_scipy():
    for name in ("gaussian", "vamp"):
        model, params = make(name)
        code = model.encode(params, IMAGES)
        noise = jax.random.normal(jax.random.key(1), (6, 8))
        draw = model.draw(params, code, noise)
        log_q = stats.norm.logpdf(draw.z, code["mean"], np.exp(code["log_std"])).sum(-1)
        if name == "gaussian":
            log_p = stats.norm.logpdf(draw.z).sum(-1)
        else:
            means, log_stds = model.mixture(params)
            parts = stats.norm.pdf(draw.z[:, None], means, np.exp(log_stds)).prod(-1)
            log_p = np.log(parts.mean(-1))
        np.testing.assert_allclose(draw.log_ratio, log_p - log_q, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["gaussian", "hierarchical", "ladder"])
def test_closed_form_rate_is_the_mean_of_the_ratio(name):
    model, params = make(name)
    noise = jax.random.normal(jax.random.key(1), (20_000, 6, model.noise_size))
    draw = jax.jit(lambda noise: model.draw(params, model.encode(params, IMAGES), noise))(noise)
    difference = draw.kl.sum(-1) + draw.log_ratio
    error = difference.std(0) / np.sqrt(len(difference))
    assert (np.abs(difference.mean(0)) <= 5 * error + 1e-4).all()
    assert (draw.kl.mean(0).sum(-1) > 0).all()


def test_ladder_falls_back_on_its_prior_where_the_image_says_nothing():
    model, params = make("ladder", latent=4, layers=2)
    noise = jax.random.normal(jax.random.key(1), (6, model.noise_size))
    draw = jax.jit(lambda p: model.draw(p, model.encode(p, IMAGES), noise))
    assert (draw(params).kl[:, :4].sum(-1) > 1e-3).all()
    params["up_heads_0"]["log_std"]["bias"] += 12.0
    np.testing.assert_allclose(draw(params).kl[:, :4], 0, atol=1e-5)


def test_ancestral_draws_follow_the_prior_that_draw_scores():
    # E_p[q / p] = 1 for any q: a wrong prior in `descend` or in `draw` breaks it.
    model, params = make("hierarchical", latent=2, hidden=(8,))
    noise = jax.random.normal(jax.random.key(1), (200_000, 1, model.noise_size))
    below = jax.jit(model.descend)(params, noise)[:, 0]
    draw = jax.jit(lambda noise: model.draw(params, model.encode(params, IMAGES[:1]), noise))(noise)
    weights = np.exp(draw.log_ratio[:, 0])
    expected = below.mean(0)
    found = (weights[:, None] * draw.z[:, 0]).sum(0) / weights.sum()
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_pixels_start_at_the_training_mean():
    model, params = make("point")
    logit = params["decoder"]["pixel_bias"].reshape(7, 5, 1)
    np.testing.assert_allclose(jax.nn.sigmoid(logit), IMAGES.mean(0), atol=1e-5)


def test_burdas_two_layer_sizes():
    images = jnp.full((2, 28, 28, 1), 0.5)
    model = networks.build(Architecture((28, 28, 1), latent=100, layers=2, family="hierarchical"))

    def linear(*widths):
        return sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))

    up = linear(784, 200, 200) + 2 * linear(200, 100) + linear(100, 100, 100) + 2 * linear(100, 50)
    down = linear(50, 100, 100) + 2 * linear(100, 100) + linear(100, 200, 200, 784)
    assert model.layers == (100, 50)
    assert (
        networks.parameter_count(jax.eval_shape(model.init, jax.random.key(0), images)) == up + down
    )


def test_gaussian_decoder_reports_its_scale():
    model, params = make("point", likelihood="gaussian", decoder_std=0.3)
    logits = jnp.zeros((6, 7, 5, 1))
    expected = stats.norm.logpdf(IMAGES, 0.5, 0.3).sum((1, 2, 3))
    np.testing.assert_allclose(model.log_prob(params, logits, IMAGES), expected, rtol=1e-4)
    np.testing.assert_allclose(np.exp(model.log_std(params)), 0.3, rtol=1e-6)
    model, params = make("point", likelihood="gaussian")
    slope = jax.grad(lambda p: model.log_prob(p, logits, IMAGES).sum())(params)
    assert slope["pixel_log_std"] != 0


def test_spectral_norm_of_the_decoder_is_one():
    model, params = make("point", spectral_norm=True, hidden=(64, 64))
    for _, leaf in jax.tree_util.tree_leaves_with_path(
        layers.spectral_normalize(params["decoder"])
    ):
        if leaf.ndim == 2:
            largest = np.linalg.svd(leaf, compute_uv=False)[0]
            assert 0.95 < largest < 1.15
    plain, _ = make("point", hidden=(64, 64))
    z = jnp.ones((2, 8))
    assert not np.allclose(model.decode(params, z), plain.decode(params, z))


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_upsampling_is_a_transposed_convolution(size):
    rng = np.random.default_rng(0)
    h, kernel, slope = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((2, 3, 5, 4), (size, size, 4, 6), (2, 6, 10, 6))
    )
    for ours, theirs in zip(
        *(jax.tree.leaves(jax.jit(value_and_slopes, static_argnums=0)(f, h, kernel, slope))
          for f in (layers.upsample, transposed)), strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def transposed(h, kernel):
    return jax.lax.conv_transpose(h, kernel, (2, 2), "SAME")


def value_and_slopes(f, h, kernel, slope):
    out, back = jax.vjp(f, h, kernel)
    return out, back(slope)


@pytest.mark.parametrize("side", [2, 4, 7, 9])
@pytest.mark.parametrize(("size", "stride"), [(5, 2), (4, 2), (3, 1), (2, 1)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 2), (0, 2))])
def test_a_convolution_of_patches_is_jaxs(side, size, stride, padding):
    """Values and both slopes, at sides above and below the longest that patches are made for."""
    rng = np.random.default_rng(0)
    side = max(side, size + 1) if padding == "VALID" else side
    h = rng.normal(size=(3, side, side + 1, 4)).astype(np.float32)
    kernel = rng.normal(size=(size, size + 1, 4, 6)).astype(np.float32)
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}

    def outputs(convolve, h, kernel):
        out, back = jax.vjp(
            lambda h, kernel: convolve(h, kernel, (stride, stride), padding, **options), h, kernel
        )
        return out, *back(jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape))

    @jax.jit  # One program: each operation alone would be one, of each shape.
    def both(h, kernel):
        ways = layers.convolution, jax.lax.conv_general_dilated
        return [outputs(convolve, h, kernel) for convolve in ways]

    for left, right in zip(*both(h, kernel), strict=True):
        np.testing.assert_allclose(left, right, atol=2e-5, rtol=1e-5)
