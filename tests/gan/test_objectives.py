"""The adversarial step against what its papers say, by hand and by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_gan import SGD, SMALL, assert_close, build, logits, make, moved, one_update

from genjax.core import parallel, steps
from genjax.core.arrangement import Needs
from genjax.gan import data, evaluate, mixtures, objectives
from genjax.gan.losses import ADVERSARIAL
from genjax.gan.objectives import Recipe
from genjax.vae.objectives import POSTERIOR

pytestmark = pytest.mark.usefixtures("every_row")


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
    how = {"needs": Needs(steps_per_call=count), **how}
    compiled = parallel.compile_step(step, {"real": points}, list(seeds), rows, **how)
    init = jax.jit(jax.vmap(lambda key: objectives.init_state(key, networks, recipe, optimizers)))
    state = compiled.place(init(jax.vmap(jax.random.key)(np.asarray(seeds))))
    index = np.stack([np.arange(3 * rows, dtype=np.int32)] * len(seeds))
    index = index.reshape(len(seeds), 3, rows).swapaxes(0, 1)[np.arange(count) % 3]
    state, metrics = compiled.run(state, index, count)
    return jax.device_get(state), jax.device_get(metrics)


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
    # To a recipe both modes are the same two functions, `total` and `gather`; norms need both.
    for mode in ("jit", "pmap") if name == "norm" else ("jit",):
        spread, more = trained(recipe, nets, mode=mode)
        assert_close(alone, spread, 2e-6)
        assert_close(metrics, more, 2e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(alone))


def test_a_replica_equals_its_seed_alone():
    recipe, nets = RECIPES["penalties"]
    together, _ = trained(recipe, nets, seeds=(0, 1, 2))
    alone, _ = trained(recipe, nets, seeds=(2,))
    assert_close(jax.tree.map(lambda leaf: leaf[2:], together), alone, 1e-5)


@pytest.mark.parametrize("loss", ["ns", "minimax", "rpgan", "hinge"])
@pytest.mark.parametrize("simultaneous", [True, False])
def test_players_move_from_where_the_recipe_says(loss, simultaneous):
    """The step may take both gradients from one way back through the discriminator, here two."""
    recipe = Recipe(loss=ADVERSARIAL[loss], simultaneous=simultaneous, pack=2)
    networks, state, batch, z, step = one_update(recipe)
    of_discriminator, of_generator, *_ = ADVERSARIAL[loss]

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

    # A sample rejected for certain: float32 takes the discriminator's slope for 0 there.
    for rejected in (0.0, 85.0, 120.0):
        params = dict(state.params)
        params["discriminator"] = jax.tree.map(
            lambda leaf, by=rejected: leaf - by if leaf.shape == (1,) else leaf,
            params["discriminator"],
        )
        after, metrics = step(state._replace(params=params))
        value, g_value, moved, generator = by_hand(params)
        assert_close(after.params["discriminator"], moved, 1e-6)
        assert_close(after.params["generator"], generator, 1e-6)
        assert float(metrics["loss"]) == pytest.approx(float(value), abs=1e-5, rel=1e-5)
        found = float(metrics["generator_loss"])
        assert found == pytest.approx(float(g_value), abs=1e-5, rel=1e-5), rejected


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
