"""What is added to the game, by hand: VEEGAN, several generators, averages, resampling."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from small_gan import SMALL, assert_close, build, make, moved, one_update, outputs

from genjax.gan import evaluate, objectives
from genjax.gan.objectives import Recipe


def test_veegan_judges_pairs_and_pays_for_latents_that_are_lost():
    """Srivastava et al. 2017, algorithm 1: the reconstructor learns from the latents alone."""
    recipe = Recipe(reconstruction=0.5, pack=2)
    networks, state, batch, z, step = one_update(recipe)
    after, metrics = step(state)
    params = state.params
    nets = {name: params[name] for name in ("generator", "reconstructor")}

    def pairs(x, codes):
        # Each member beside its own latent, then the members side by side.
        return jnp.concatenate([x[:, 0], codes[:, 0], x[:, 1], codes[:, 1]], -1)

    def error(nets):
        fake = make(networks, nets["generator"], z)
        codes = networks.reconstruct(nets["reconstructor"], fake)
        return ((codes - z) ** 2).mean()

    codes = networks.reconstruct(params["reconstructor"], batch["real"])
    fake = make(networks, params["generator"], z)

    def d_loss(d):
        real = outputs(networks, d, pairs(batch["real"], codes))[:, 0]
        made = outputs(networks, d, pairs(fake, z))[:, 0]
        return (jax.nn.softplus(-real) + jax.nn.softplus(made)).mean()

    def g_loss(nets):
        x = pairs(make(networks, nets["generator"], z), z)
        made = outputs(networks, params["discriminator"], x)[:, 0]
        return jax.nn.softplus(-made).mean() + 0.5 * error(nets)

    expected = moved(g_loss, nets)
    assert_close(after.params["discriminator"], moved(d_loss, params["discriminator"]), 1e-6)
    assert_close({name: after.params[name] for name in nets}, expected, 1e-6)
    assert float(metrics["reconstruction_error"]) == pytest.approx(float(error(nets)), rel=1e-5)


def test_a_mixtures_generators_are_named_and_keep_apart():
    """Hoang et al. 2018, eq. 5: both players lessen the error of naming who made a sample."""
    recipe = Recipe(generators=3, diversity=0.7)
    networks, state, batch, z, step = one_update(recipe)
    after, metrics = step(state)
    params = state.params

    def naming(d, g):
        logs = jax.nn.log_softmax(outputs(networks, d, make(networks, g, z)[:, 0])[:, 1:])
        return -(logs * z[:, 0, 3:]).sum(-1).mean()

    def d_loss(d):
        real = outputs(networks, d, batch["real"][:, 0])[:, 0]
        fake = outputs(networks, d, make(networks, params["generator"], z)[:, 0])[:, 0]
        adversarial = (jax.nn.softplus(-real) + jax.nn.softplus(fake)).mean()
        return adversarial + naming(d, params["generator"])

    def g_loss(g):
        fake = outputs(networks, params["discriminator"], make(networks, g, z)[:, 0])[:, 0]
        return jax.nn.softplus(-fake).mean() + 0.7 * naming(params["discriminator"], g)

    assert_close(after.params["discriminator"], moved(d_loss, params["discriminator"]), 1e-6)
    assert_close(after.params["generator"], moved(g_loss, params["generator"]), 1e-6)
    error = naming(params["discriminator"], params["generator"])
    assert float(metrics["naming_error"]) == pytest.approx(float(error), rel=1e-5)


def test_a_mixture_shares_all_but_its_first_layer():
    networks = build(**SMALL, generators=4)
    params = networks.init(jax.random.key(0))["generator"]
    shapes = sorted(leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
    assert shapes == sorted([(4 * 3 + 4, 8), (8, 8), (8, 2)])
    recipe = Recipe(generators=4)
    z = objectives.latents(jax.random.key(0), networks, recipe, jnp.arange(4000), 1)[:, 0]
    codes = np.asarray(z[:, 3:])
    assert (codes.sum(1) == 1).all() and abs(codes.mean(0) - 0.25).max() < 0.03


def test_the_average_follows_the_generator_and_forgets_its_start():
    """After step t the decay is at most (1 + t) / (10 + t), however long --ema's memory is."""
    recipe = Recipe(ema=0.999)
    _, state, _, _, step = one_update(recipe)
    expected = state.params["generator"]
    for t in range(3):
        state, _ = step(state)
        decay = (1 + t) / (10 + t)
        expected = jax.tree.map(
            lambda a, g, d=decay: d * a + (1 - d) * g, expected, state.params["generator"]
        )
    assert_close(state.params["average"], expected, 1e-6)


def test_the_ratio_tells_single_examples_from_what_is_sampled():
    """Loss and update by hand: members of packs apart, samples of the average, as in a test."""
    recipe = Recipe(ema=0.5, pack=2, resample=3, simultaneous=False)
    networks, state, batch, z, step = one_update(recipe, {"g_norm": True})
    before = state.params["ratio"]
    state, metrics = step(state)
    average, statistics = state.params["average"], state.params["statistics"]
    fake = networks.generate(average, statistics, z.reshape(1, -1, 3), None)[0][0]

    def loss(ratio):
        real = jax.nn.softplus(-networks.log_ratio(ratio, batch["real"].reshape(-1, 2)))
        return real.mean() + jax.nn.softplus(networks.log_ratio(ratio, fake)).mean()

    expected, slope = jax.jit(jax.value_and_grad(loss))(before)
    assert float(metrics["ratio_loss"]) == pytest.approx(float(expected), rel=1e-5)
    moved = jax.tree.map(lambda weight, grad: weight - grad, before, slope)
    assert_close(state.params["ratio"], moved, 1e-6)


def test_resampling_by_the_true_ratio_gives_the_datas_density(monkeypatch):
    """From N(0, 1) to N(0.5, 0.7^2), by the distance of Kolmogorov; without a choice it is far."""
    monkeypatch.setattr(evaluate, "PROPOSALS", 30_000)  # Batches of 300, and a part of one.
    networks = build(shape=(1,), latent=1)._replace(
        generate=lambda params, statistics, z, total: (z, statistics),
        log_ratio=lambda params, x: x[:, 0] ** 2 / 2 - (x[:, 0] - 0.5) ** 2 / (2 * 0.49),
    )
    params = {"generator": None, "statistics": None, "ratio": None}

    def distance(proposals):
        recipe = Recipe(resample=proposals)
        draw = partial(objectives.sample, networks, recipe)
        x = evaluate.sampler(SimpleNamespace(sample=draw, passes=proposals), 4000)(params)
        assert x.shape == (4000, 1) and len(np.unique(x)) > 3990  # Of 2^23 values.
        return scipy.stats.kstest(x[:, 0], "norm", (0.5, 0.7)).statistic

    # 1.63 / sqrt(4000), the distance that one sample in a hundred of the law itself exceeds.
    assert distance(100) < 0.026 < 0.15 < distance(1)
