"""The adversarial step against what its papers say, by hand and by finite differences."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from genjax.core import parallel, steps
from genjax.gan import data, evaluate, mixtures, objectives
from genjax.gan import networks as gan
from genjax.gan.architecture import Architecture
from genjax.gan.losses import ADVERSARIAL
from genjax.gan.objectives import Recipe
from genjax.vae.objectives import POSTERIOR

RNG = np.random.default_rng(0)
SMALL = {"shape": (2,), "latent": 3, "g_width": 8, "d_width": 8}
SGD = {name: optax.sgd(0.05) for name in ("generator", "discriminator", "ratio")}


def build(**options):
    return gan.build(Architecture(**options))


def trained(recipe, nets=None, *, count=3, batch=8, seeds=(0,), optimizers=SGD, **how):
    """State and metrics after a few steps on 2-D points."""
    networks = build(
        **{**SMALL, "pack": recipe.pack, "generators": recipe.generators, **(nets or {})},
        reconstructor=recipe.reconstruction > 0,
        ratio=recipe.resample > 1,
    )
    rows = batch * recipe.n_critic
    points = np.random.default_rng(1).normal(size=(3 * rows, recipe.pack, 2)).astype(np.float32)
    step = objectives.adversarial_step(networks, recipe, optimizers)
    how = {"how": parallel.Plan(count, False), **how}
    compiled = parallel.compile_step(step, {"real": points}, list(seeds), rows, **how)
    init = jax.jit(jax.vmap(lambda key: objectives.init_state(key, networks, recipe, optimizers)))
    state = compiled.place(init(jax.vmap(jax.random.key)(np.asarray(seeds))))
    index = np.stack([np.arange(3 * rows, dtype=np.int32)] * len(seeds))
    index = index.reshape(len(seeds), 3, rows).swapaxes(0, 1)[np.arange(count) % 3]
    state, metrics = compiled.run(state, index, count)
    return jax.device_get(state), jax.device_get(metrics)


def assert_close(left, right, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4), left, right)


# Every switch in one of them, so that few programs are compiled.
RECIPES = {
    "norm": (Recipe(ema=0.9, pack=2, resample=4), {"g_norm": True, "g_skip": True}),
    "alternating": (
        Recipe(loss=ADVERSARIAL["hinge"], simultaneous=False, n_critic=2),
        {"minibatch": "discrimination", "spectral_norm": True},
    ),
    "penalties": (
        Recipe(loss=ADVERSARIAL["rpgan"], r1=0.3, r2=0.2, scale=1.7, generators=3, diversity=0.5),
        {"d_fourier": 0.5},
    ),
    "unrolled": (Recipe(unroll=2), {"minibatch": "stddev"}),
    "veegan": (
        Recipe(loss=ADVERSARIAL["wgan"], gp=3.0, reconstruction=0.5, pack=2),
        {"d_layer": "maxout"},
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_four_devices_equal_one(name):
    recipe, nets = RECIPES[name]
    alone, metrics = trained(recipe, nets, devices=jax.devices()[:1])
    for mode in ("jit", "pmap"):
        spread, more = trained(recipe, nets, mode=mode)
        assert_close(alone, spread, 2e-6)
        assert_close(metrics, more, 2e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(alone))


def test_a_replica_equals_its_seed_alone():
    recipe, nets = RECIPES["penalties"]
    together, _ = trained(recipe, nets, seeds=(0, 1, 2))
    alone, _ = trained(recipe, nets, seeds=(2,))
    assert_close(jax.tree.map(lambda leaf: leaf[2:], together), alone, 1e-5)


def one_update(recipe, nets=None):
    """(networks, state before, batch, latents) for updates by hand; SGD of rate 1."""
    networks = build(
        **{**SMALL, "pack": recipe.pack, "generators": recipe.generators, **(nets or {})},
        reconstructor=recipe.reconstruction > 0,
        ratio=recipe.resample > 1,
    )
    optimizers = {name: optax.sgd(1.0) for name in SGD}
    state = jax.jit(lambda key: objectives.init_state(key, networks, recipe, optimizers))(
        jax.random.key(0)
    )
    rows = 6 * recipe.n_critic
    batch = {
        "real": jnp.asarray(RNG.normal(size=(rows, recipe.pack, 2)), jnp.float32),
        "index": jnp.arange(rows),
        "weight": jnp.ones(rows),
    }
    key = jax.random.fold_in(jax.random.key(3), 0)
    z = objectives.latents(key, networks, recipe, batch["index"], recipe.pack)
    step = jax.jit(
        lambda state: objectives.adversarial_step(networks, recipe, optimizers)(
            state, batch, jax.random.key(3), total=parallel.identity, gather=parallel.identity
        )
    )
    return networks, state, batch, z, step


def logits(networks, discriminator, x):
    return networks.discriminate(
        discriminator, gan.pack(x[None]), parallel.identity, parallel.identity
    )[0, :, 0]


def make(networks, generator, z):
    x, _ = networks.generate(generator, {}, jnp.swapaxes(z, 0, 1), parallel.identity)
    return jnp.swapaxes(x, 0, 1)


@pytest.mark.parametrize("loss", ["ns", "minimax", "rpgan", "hinge"])
@pytest.mark.parametrize("simultaneous", [True, False])
# A sample rejected for certain: float32 takes the discriminator's slope for 0 there.
@pytest.mark.parametrize("rejected", [0.0, 85.0, 120.0])
def test_players_move_from_where_the_recipe_says(loss, simultaneous, rejected):
    """The step may take both gradients from one way back through the discriminator, here two."""
    recipe = Recipe(loss=ADVERSARIAL[loss], simultaneous=simultaneous, pack=2)
    networks, state, batch, z, step = one_update(recipe)
    of_discriminator, of_generator, *_ = ADVERSARIAL[loss]
    params = state.params
    params["discriminator"] = jax.tree.map(
        lambda leaf: leaf - rejected if leaf.shape == (1,) else leaf, params["discriminator"]
    )
    after, metrics = step(state)

    @jax.jit
    def by_hand(params):
        def values(loss, discriminator, generator):
            fake = logits(networks, discriminator, make(networks, generator, z))
            return loss(logits(networks, discriminator, batch["real"]), fake).mean()

        value, d_grads = jax.value_and_grad(
            lambda d: values(of_discriminator, d, params["generator"])
        )(params["discriminator"])
        moved = jax.tree.map(lambda p, g: p - g, params["discriminator"], d_grads)
        facing = params["discriminator"] if simultaneous else moved
        g_value, g_grads = jax.value_and_grad(lambda g: values(of_generator, facing, g))(
            params["generator"]
        )
        return value, g_value, moved, jax.tree.map(lambda p, g: p - g, params["generator"], g_grads)

    value, g_value, moved, generator = by_hand(params)
    assert_close(after.params["discriminator"], moved, 1e-6)
    assert_close(after.params["generator"], generator, 1e-6)
    assert float(metrics["loss"]) == pytest.approx(float(value), abs=1e-5, rel=1e-5)
    assert float(metrics["generator_loss"]) == pytest.approx(float(g_value), abs=1e-5, rel=1e-5)


def test_unrolling_differentiates_through_the_discriminators_steps():
    recipe = Recipe(unroll=2)
    networks, state, batch, z, step = one_update(recipe)

    @jax.jit
    def by_hand(params):
        def loss(generator):
            fake = make(networks, generator, z)
            d = params["discriminator"]
            for _ in range(2):
                grads = jax.grad(
                    lambda d: (
                        jax.nn.softplus(-logits(networks, d, batch["real"])).mean()
                        + jax.nn.softplus(logits(networks, d, jax.lax.stop_gradient(fake))).mean()
                    )
                )(d)
                d = jax.tree.map(lambda p, g: p - g, d, grads)
            return jax.nn.softplus(-logits(networks, d, fake)).mean()

        def through(generator):
            fake = make(networks, generator, z)
            d = params["discriminator"]
            for _ in range(2):
                grads = jax.grad(
                    lambda d: (
                        jax.nn.softplus(-logits(networks, d, batch["real"])).mean()
                        + jax.nn.softplus(logits(networks, d, fake)).mean()
                    )
                )(d)
                d = jax.tree.map(lambda p, g: p - g, d, grads)
            return jax.nn.softplus(-logits(networks, d, fake)).mean()

        return tuple(
            jax.tree.map(lambda p, g: p - g, params["generator"], jax.grad(f)(params["generator"]))
            for f in (loss, through)
        )

    cut, through = by_hand(state.params)
    after, _ = step(state)
    assert_close(after.params["generator"], through, 1e-6)
    # The way through the discriminator's own steps is what unrolling adds.
    gap = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), cut, through)
    assert max(jax.tree.leaves(gap)) > 1e-5


def squared_slopes(value, x):
    """Squared norm [b] of the slope of each value by its own pack [b, m, 2], by differences."""
    squared = np.zeros(len(x))
    for member in range(x.shape[1]):
        for axis in range(2):
            nudge = np.zeros(x.shape, np.float32)
            nudge[:, member, axis] = 1e-2
            slope = (value(x + nudge) - value(x - nudge)) / 2e-2
            squared += np.asarray(slope, np.float64) ** 2
    return squared


def test_penalties_by_finite_differences():
    recipe = Recipe(loss=ADVERSARIAL["rpgan"], r1=0.7, r2=0.4, scale=2.0, pack=2)
    networks, state, batch, z, step = one_update(recipe, {"d_layer": "silu"})
    _, metrics = step(state)
    fake = make(networks, state.params["generator"], z)
    expected = 0.0
    value = jax.jit(lambda x: logits(networks, state.params["discriminator"], x))
    for weight, x in ((0.7, batch["real"]), (0.4, fake)):
        expected += 0.5 * weight * 4 * squared_slopes(value, x).mean()
    assert float(metrics["penalty"]) == pytest.approx(expected, rel=1e-3)


def test_wgans_penalty_by_finite_differences():
    """The norm of the slope between a real pack and a made one, all members together, to be 1."""
    recipe = Recipe(loss=ADVERSARIAL["wgan"], gp=3.0, scale=2.0, pack=2)
    networks, state, batch, z, step = one_update(recipe, {"d_layer": "silu"})
    _, metrics = step(state)
    key = jax.random.fold_in(jax.random.key(3), 0)
    u = steps.example_noise(jax.random.uniform, key, objectives.BLEND, batch["index"], ())
    assert len(np.unique(u)) == 6 and 0 < u.min() < u.max() < 1
    u = u[:, None, None]
    between = u * batch["real"] + (1 - u) * make(networks, state.params["generator"], z)
    value = jax.jit(lambda x: logits(networks, state.params["discriminator"], x))
    expected = 3 * ((2 * np.sqrt(squared_slopes(value, between)) - 1) ** 2).mean()
    assert float(metrics["penalty"]) == pytest.approx(expected, rel=1e-3)


def moved(loss, params):
    """Parameters after a step of SGD of rate 1."""
    return jax.tree.map(lambda p, g: p - g, params, jax.grad(loss)(params))


def outputs(networks, discriminator, x):
    return networks.discriminate(discriminator, x[None], parallel.identity, parallel.identity)[0]


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


def test_each_step_of_the_critic_has_examples_of_its_own():
    """Two steps on the halves of a batch; the generator meets the second's latents after both."""
    recipe = Recipe(n_critic=2, simultaneous=False)
    networks, state, batch, z, step = one_update(recipe)
    after, _ = step(state)
    d, g = state.params["discriminator"], state.params["generator"]
    for part in range(2):
        real, fake = batch["real"][part::2], make(networks, g, z[part::2])

        def d_loss(d, real=real, fake=fake):
            real, fake = logits(networks, d, real), logits(networks, d, fake)
            return (jax.nn.softplus(-real) + jax.nn.softplus(fake)).mean()

        d = moved(d_loss, d)
    expected = moved(
        lambda g: jax.nn.softplus(-logits(networks, d, make(networks, g, z[1::2]))).mean(), g
    )
    assert_close(after.params["discriminator"], d, 1e-6)
    assert_close(after.params["generator"], expected, 1e-6)


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

    expected, slope = jax.value_and_grad(loss)(before)
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


@pytest.mark.parametrize(
    "nets",
    [
        {"pack": 2},
        {"minibatch": "discrimination"},
        {"d_norm": True},
        {"pack": 2, "minibatch": "stddev"},
    ],
)
def test_a_landscape_judges_each_point_by_itself(nets):
    """Among the same real packs, whatever other points the picture shows."""
    networks, pack = build(**SMALL, **nets), nets.get("pack", 1)
    params = networks.init(jax.random.key(0))
    mixture = mixtures.mixture("ring4")
    task = data.mixture_task(mixture, 100, pack, 0)
    fine, coarse = (
        evaluate.landscape(networks, Recipe(pack=pack), params, task, mixture, side)
        for side in (5, 3)
    )
    np.testing.assert_allclose(fine["landscape"][::2, ::2], coarse["landscape"], atol=1e-5)

    draws, batch = (16, 1) if networks.separate else (1, evaluate.BATCH)
    real = task.perfect(draws * batch * pack, np.random.default_rng(0))
    real = np.array(real, np.float32).reshape(draws, batch, pack, 2)
    axis = fine["landscape_axis"]
    # A quarter beyond the outermost mean, and three deviations.
    reach = 1.25 * np.abs(mixture.means).max() + 3 * mixture.sigma
    np.testing.assert_allclose(axis, reach * np.array([-1, -0.5, 0, 0.5, 1]), rtol=1e-5)
    for row, column in ((0, 0), (1, 4), (3, 2)):
        real[:, 0, 0] = axis[column], axis[row]
        logits = networks.discriminate(
            params["discriminator"],
            jnp.asarray(real.reshape(draws, batch, -1)),
            parallel.identity,
            parallel.identity,
        )
        expected = float(logits[:, 0, 0].mean())
        assert fine["landscape"][row, column] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(fine["landscape"]) > 1e-3


@pytest.mark.parametrize("loss", ["ns", "hinge", "wgan", "rpgan"])
def test_a_landscape_of_differences_alone_is_seen_from_its_median(loss):
    """Where a number added to all logits says nothing, 0 is no border."""
    networks, mixture = build(**SMALL), mixtures.mixture("ring4")
    params = networks.init(jax.random.key(0))
    task = data.mixture_task(mixture, 100, 1, 0)
    recipe = Recipe(loss=ADVERSARIAL[loss])
    found = evaluate.landscape(networks, recipe, params, task, mixture, 5)
    median = np.median(found["landscape"])
    assert abs(median) > 1e-3
    assert found["landscape_origin"] == (median if loss in ("rpgan", "wgan") else 0)


def test_rates_end_with_the_run():
    """Adam's step at a constant slope is its rate; the discriminator makes three a step."""
    made = objectives.optimizers(
        Recipe(n_critic=3), 1e-2, 1e-3, (0.0, 0.99), schedule="cosine", steps=20
    )

    def rates(name, count):
        weight, found = jnp.zeros(()), []
        moments = made[name].init(weight)
        for _ in range(count):
            update, moments = made[name].update(jnp.ones(()), moments)
            found.append(-float(update))
        return np.asarray(found)

    def cosine(count):
        return (1 + np.cos(np.pi * np.arange(count) / count)) / 2

    np.testing.assert_allclose(rates("generator", 20), 1e-2 * cosine(20), rtol=1e-4)
    np.testing.assert_allclose(rates("discriminator", 60), 1e-3 * cosine(60), rtol=1e-4)
    # The ratio's net follows the generator to its end.
    np.testing.assert_allclose(rates("ratio", 20), 1e-3 * (1 - np.arange(20) / 20), rtol=1e-3)


def test_steps_share_no_noise():
    key = jax.random.key(0)
    networks = build(**SMALL)
    draws = [
        objectives.latents(jax.random.fold_in(key, step), networks, Recipe(), jnp.arange(4), 2)
        for step in range(2)
    ]
    flat = np.concatenate([np.asarray(d).ravel() for d in draws])
    assert len(np.unique(flat)) == flat.size
    assert POSTERIOR != objectives.LATENT
