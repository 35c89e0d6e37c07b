"""Objectives and the step against straightforward references."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.core import steps
from genjax.core.parallel import identity
from genjax.vae import densities, networks, objectives
from genjax.vae.architecture import Architecture

IMAGES = jnp.round(jax.random.uniform(jax.random.key(3), (5, 4, 4, 1)))
BATCH = {"image": IMAGES, "index": jnp.array([7, 2, 9, 4, 0]), "weight": jnp.ones(5)}
KEY = jax.random.key(11)


def make(**more):
    model = networks.build(Architecture((4, 4, 1), latent=3, hidden=(8,), **more))
    return model, jax.jit(model.init)(jax.random.key(0), IMAGES)


MODEL, PARAMS = make()
POINT, POINT_PARAMS = make(deterministic=True)


def mean_loss(loss, batch=BATCH, key=KEY):
    return jax.jit(lambda params: loss(params, batch, key, identity)[0].mean())


def grads(loss, params=PARAMS, **more):
    return jax.jit(jax.grad(mean_loss(loss, **more)))(params)


def noise(k, key=KEY, model=MODEL):
    """Draws of the posterior as the objectives make them, by their documented recipe."""
    return _noise(key, k, model.noise_size)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _noise(key, k, size):
    stream = jax.random.fold_in(key, objectives.POSTERIOR)
    each = [jax.random.normal(jax.random.fold_in(stream, i), (k, size)) for i in BATCH["index"]]
    return jnp.stack(each, 1)


def close(left, right, rtol=1e-4, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), left, right)


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_elbo_and_its_gradient(beta):
    def reference(params):
        code = MODEL.encode(params, IMAGES)
        std = jnp.exp(code["log_std"])
        logits = MODEL.decode(params, code["mean"] + std * noise(2))
        distortion = optax.sigmoid_binary_cross_entropy(logits, IMAGES).sum((2, 3, 4)).mean(0)
        rate = 0.5 * (code["mean"] ** 2 + std**2 - 1 - 2 * jnp.log(std)).sum(-1)
        return (distortion + beta * rate).mean()

    loss = objectives.elbo_loss(MODEL, k=2, beta=beta)
    wanted = jax.jit(jax.value_and_grad(reference))(PARAMS)
    close(mean_loss(loss)(PARAMS), wanted[0])
    close(grads(loss), wanted[1])


def test_free_bits_gate_a_layer_by_its_batch_mean():
    model, params = make(family="ladder", layers=2)
    _, metrics = jax.jit(lambda p: objectives.elbo_loss(model)(p, BATCH, KEY, identity))(params)
    rate = metrics["rate"].mean()
    above = objectives.elbo_loss(model, free_bits=1e3)
    expected = metrics["distortion"].mean() + 2 * 1e3
    close(mean_loss(above)(params), expected)
    heads = grads(above, params)["down_heads_0"]
    no_rate = grads(objectives.elbo_loss(model, beta=0.0), params)["down_heads_0"]
    close(heads, no_rate)
    # Just below a layer's batch mean the gate is open, though some examples lie below it.
    draw = jax.jit(lambda p: model.draw(p, model.encode(p, IMAGES), noise(1, model=model)))(params)
    layers = jnp.stack([part.sum(-1).mean() for part in jnp.split(draw.kl, [3], -1)])
    low = 0.999 * float(layers.min())
    close(
        mean_loss(objectives.elbo_loss(model, free_bits=low))(params),
        metrics["distortion"].mean() + rate,
    )


def test_iwae_with_one_sample_is_the_sampled_elbo():
    @jax.jit
    def expected(params):
        draw = MODEL.draw(params, MODEL.encode(params, IMAGES), noise(1))
        log_prob = MODEL.log_prob(params, MODEL.decode(params, draw.z), IMAGES)
        return -(log_prob + draw.log_ratio).mean()

    close(mean_loss(objectives.iwae_loss(MODEL, k=1))(PARAMS), expected(PARAMS))
    for loss in (objectives.iwae_loss, objectives.dreg_loss):
        close(
            mean_loss(loss(MODEL, k=6))(PARAMS), mean_loss(objectives.iwae_loss(MODEL, k=6))(PARAMS)
        )


def test_every_bound_reports_rate_and_distortion_of_its_draws():
    @jax.jit
    def expected(params):
        code = MODEL.encode(params, IMAGES)
        std = jnp.exp(code["log_std"])
        logits = MODEL.decode(params, code["mean"] + std * noise(3))
        distortion = optax.sigmoid_binary_cross_entropy(logits, IMAGES).sum((2, 3, 4)).mean(0)
        rate = 0.5 * (code["mean"] ** 2 + std**2 - 1 - 2 * jnp.log(std)).sum(-1)
        return {"rate": rate, "distortion": distortion}

    for make_loss in (objectives.elbo_loss, objectives.iwae_loss, objectives.dreg_loss):
        of = make_loss(MODEL, k=3)
        loss = jax.jit(lambda params, of=of: of(params, BATCH, KEY, identity))
        close(loss(PARAMS)[1], expected(PARAMS))


def test_dreg_gradients_by_the_papers_formula():
    k = 4
    found, usual = grads(objectives.dreg_loss(MODEL, k=k)), grads(objectives.iwae_loss(MODEL, k=k))
    close(found["decoder"], usual["decoder"])

    code = jax.jit(MODEL.encode)(PARAMS, IMAGES)

    def log_weight(z):
        log_prob = MODEL.log_prob(PARAMS, MODEL.decode(PARAMS, z), IMAGES)
        log_q = densities.gaussian_log_prob(z, code["mean"], code["log_std"]).sum(-1)
        return log_prob + densities.gaussian_log_prob(z, 0.0, 0.0).sum(-1) - log_q

    def sample(params):
        code = MODEL.encode(params, IMAGES)
        return code["mean"] + jnp.exp(code["log_std"]) * noise(k)

    @jax.jit
    def expected(params):
        z, pull = jax.vjp(sample, params)
        weights = jax.nn.softmax(log_weight(z), 0)
        slope = jax.grad(lambda z: log_weight(z).sum())(z)
        return pull(-(weights[..., None] ** 2) * slope / len(IMAGES))[0]

    close(found["encoder"], expected(PARAMS)["encoder"])
    assert not np.allclose(found["head"]["mean"]["kernel"], usual["head"]["mean"]["kernel"])


def test_dreg_agrees_with_the_usual_gradient_in_expectation():
    def every(loss):
        one = jax.grad(lambda p, key: loss(p, BATCH, key, identity)[0].mean())
        keys = jax.random.split(jax.random.key(5), 3000)
        found = jax.jit(jax.vmap(one, (None, 0)))(PARAMS, keys)["head"]["mean"]["kernel"]
        return np.asarray(found).reshape(3000, -1)

    usual, doubly = every(objectives.iwae_loss(MODEL, k=8)), every(objectives.dreg_loss(MODEL, k=8))
    error = np.sqrt((usual.var(0) + doubly.var(0)) / 3000)
    assert (np.abs(usual.mean(0) - doubly.mean(0)) < 5 * error).all()


def test_mmd_is_the_unbiased_estimate_with_its_gradient():
    z = jax.random.normal(jax.random.key(1), (6, 3)) + 1
    weight = jnp.array([1.0, 1, 1, 1, 1, 0])
    key = jax.random.key(2)
    prior = jax.random.normal(key, (6, 3))[:5]

    @jax.jit
    def brute(z):
        z, total = z[:5], 0.0
        for sign, a, b in ((1, z, z), (1, prior, prior), (-2, z, prior)):
            kernel = densities.imq_kernel(((a[:, None] - b[None]) ** 2).sum(-1), 3)
            if sign == 1:
                total += (kernel.sum() - jnp.trace(kernel)) / 20
            else:
                total += sign * kernel.mean()
        return total

    def ours(z):
        return (weight * objectives._mmd_terms(z, z, weight, key)).sum() / 5

    # The prior draws of the padded row are the last: weight 0 there.
    close(jax.jit(ours)(z), brute(z))
    close(jax.jit(jax.grad(ours))(z)[:5], jax.grad(brute)(z)[:5])


def test_regularisers_of_the_autoencoder():
    def value(**more):
        return mean_loss(objectives.reconstruction_loss(POINT, **more))(POINT_PARAMS)

    plain = value()
    z = POINT.encode(POINT_PARAMS, IMAGES)["mean"]
    close(value(latent_weight=0.3) - plain, 0.15 * (z**2).sum(-1).mean(), rtol=1e-3)
    decoder = POINT_PARAMS["decoder"]
    dense = [*decoder["Stack_0"].values(), decoder["Dense_0"]]
    kernels = sum((layer["kernel"] ** 2).sum() for layer in dense)
    close(value(decoder_l2=0.1) - plain, 0.1 * kernels, rtol=1e-3)


def test_an_autoencoder_reconstructs_clean_images_from_noisy_ones():
    """The cross-entropy written out, of the target without the noise, and its gradient."""
    stream = jax.random.fold_in(KEY, objectives.CORRUPT)
    keys = [jax.random.fold_in(stream, i) for i in BATCH["index"]]
    added = jnp.stack([jax.random.normal(key, IMAGES.shape[1:]) for key in keys])
    for corruption in (0.0, 0.5):

        def reference(params, corruption=corruption):
            z = POINT.encode(params, IMAGES + corruption * added)["mean"]
            logits = POINT.decode(params, z)
            return optax.sigmoid_binary_cross_entropy(logits, IMAGES).sum((1, 2, 3)).mean()

        loss = objectives.reconstruction_loss(POINT, corruption=corruption)
        wanted = jax.jit(jax.value_and_grad(reference))(POINT_PARAMS)
        close(mean_loss(loss)(POINT_PARAMS), wanted[0])
        close(grads(loss, POINT_PARAMS), wanted[1])


def test_decoder_gradient_is_the_jacobians_norm_in_expectation():
    z = POINT.encode(POINT_PARAMS, IMAGES)["mean"]

    def pixels(z):
        return jax.nn.sigmoid(POINT.decode(POINT_PARAMS, z)).ravel()

    expected = (jax.jit(jax.vmap(jax.jacobian(pixels)))(z) ** 2).sum((1, 2)).mean()
    loss = objectives.reconstruction_loss(POINT, decoder_gradient=1.0)
    plain = mean_loss(objectives.reconstruction_loss(POINT))(POINT_PARAMS)
    every = jax.jit(jax.vmap(lambda key: loss(POINT_PARAMS, BATCH, key, identity)[0].mean()))
    values = np.asarray(every(jax.random.split(KEY, 4000))) - plain
    assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(4000)


def test_binary_pixels_have_the_grey_levels_as_their_mean():
    grey = jnp.tile(jnp.array([0.0, 0.1, 0.5, 0.9, 1.0]), (2000, 1)).reshape(2000, 5, 1, 1)
    pixels = jax.jit(objectives.bernoulli_pixels)(KEY, jnp.arange(2000), grey)
    means = pixels.mean((0, 2, 3))
    assert set(np.unique(pixels)) == {0.0, 1.0}
    assert means[0] == 0 and means[4] == 1
    np.testing.assert_allclose(means, grey[0, :, 0, 0], atol=0.05)
    shuffled = jax.jit(objectives.bernoulli_pixels)(KEY, jnp.arange(2000)[::-1], grey)
    np.testing.assert_array_equal(shuffled[::-1], pixels)


def run_step(reduction, weight):
    step = steps.training_step(objectives.elbo_loss(MODEL), optax.sgd(1.0), reduction=reduction)
    state = steps.init_state(PARAMS, optax.sgd(1.0))
    batch = BATCH | {"weight": jnp.asarray(weight)}
    return jax.jit(lambda s: step(s, batch, KEY, total=identity, gather=identity))(state)


def test_padding_counts_for_nothing_and_sum_is_count_times_mean():
    weight = [1.0, 1, 1, 0, 0]
    mean, metrics = run_step("mean", weight)
    total, _ = run_step("sum", weight)
    change = [jax.tree.map(lambda a, b: a - b, s.params, PARAMS) for s in (mean, total)]
    close(jax.tree.map(lambda c: 3 * c, change[0]), change[1], rtol=1e-3)
    values, _ = objectives.elbo_loss(MODEL)(PARAMS, BATCH, jax.random.fold_in(KEY, 0), identity)
    close(metrics["loss"], values[:3].mean())
    assert mean.step == 1


def test_schedules_are_shares_of_the_peak():
    passes = steps.schedule("burda", 3280)
    for i, first in enumerate([0, 1, 4, 13, 40, 121, 364, 1093]):
        np.testing.assert_allclose(passes(first), 10 ** (-i / 7), rtol=1e-5)
        if first:
            np.testing.assert_allclose(passes(first - 1), 10 ** (-(i - 1) / 7), rtol=1e-5)
    assert steps.schedule("cosine", 10)(0) == 1
    assert steps.schedule("cosine", 10)(10) == 0
    assert steps.schedule("constant", 10)(10) == 1


@pytest.mark.parametrize("name", ["constant", "cosine", "burda"])
def test_a_peak_in_the_state_is_that_of_a_schedule(name):
    share = steps.schedule(name, 5)
    written = optax.adam(lambda step: 0.3 * share(step))
    held = steps.with_peak(optax.adam, 0.3, share)
    states = [optimizer.init(PARAMS) for optimizer in (written, held)]
    for _ in range(3):
        left, states[0] = written.update(PARAMS, states[0])
        right, states[1] = held.update(PARAMS, states[1])
        jax.tree.map(np.testing.assert_array_equal, left, right)
