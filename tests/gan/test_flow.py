"""Flow matching against Gaussians, whose velocity and flow are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.core import parallel, steps
from genjax.core.arrangement import Needs
from genjax.gan import evaluate, flow, networks, objectives
from genjax.gan import networks_velocity as nets
from genjax.gan.architecture import Architecture
from genjax.gan.config import Config
from genjax.gan.flow import SOLVERS, FlowRecipe
from genjax.vae.objectives import POSTERIOR

pytestmark = pytest.mark.usefixtures("every_row")
RNG = np.random.default_rng(0)
MEAN, STD = np.array([1.5, -0.5], np.float32), 0.3
SMALL = Architecture(shape=(2,), latent=2, g_width=8, d_width=8)


def exact_velocity(params, x, t):
    """E[x1 - x0 | x_t = x] for data N(MEAN, STD^2 I): a regression of Gaussians; no params."""
    del params
    t = t[:, None]
    slope = (t * STD**2 - (1 - t)) / (t**2 * STD**2 + (1 - t) ** 2)
    return MEAN + slope * (x - t * MEAN)


def points(count):
    """(batch of Gaussian data, its samples [count, 2])."""
    x1 = (MEAN + STD * RNG.normal(size=(count, 2))).astype(np.float32)
    batch = {"real": x1[:, None], "index": jnp.arange(count), "weight": jnp.ones(count)}
    return batch, x1


def test_loss_at_a_linear_velocity_by_hand():
    key, indices = jax.random.key(7), [4, 0, 9]
    x1 = RNG.normal(size=(3, 2, 3)).astype(np.float32)
    factor, drift = RNG.normal(size=(2, 2, 3))

    def linear(params, x, t):
        assert params == {"is": "these"}
        return factor * x + drift * t[:, None, None]

    loss, metrics = flow.matching_loss(linear)(
        {"velocity": {"is": "these"}},
        {"real": x1[:, None], "index": jnp.array(indices)},
        key,
        parallel.identity,
    )
    expected = []
    for real, i in zip(x1.astype(np.float64), indices, strict=True):
        keys = [jax.random.fold_in(jax.random.fold_in(key, s), i) for s in (flow.NOISE, flow.TIME)]
        x0 = np.asarray(jax.random.normal(keys[0], (2, 3)), np.float64)
        t = float(jax.random.uniform(keys[1]))
        between = t * real + (1 - t) * x0
        expected.append(((factor * between + drift * t - real + x0) ** 2).sum())
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert metrics == {}


def test_streams_are_apart():
    streams = [
        objectives.LATENT, objectives.COMPONENT, objectives.BLEND, objectives.CHOICE,
        flow.NOISE, flow.TIME, POSTERIOR,
    ]  # fmt: skip
    assert len(set(streams)) == len(streams)


def test_the_exact_velocity_carries_noise_to_the_data():
    """The flow of N(0, I) to N(m, s^2 I) is x0 -> m + s x0: of affine maps along t, the one."""
    x0 = jax.random.normal(jax.random.key(0), (20_000, 2))
    x = flow.sample(exact_velocity, None, x0, 100, SOLVERS["heun"])
    np.testing.assert_allclose(x, MEAN + STD * x0, atol=2e-3)
    np.testing.assert_allclose(x.mean(0), MEAN, atol=5 * STD / np.sqrt(20_000))
    np.testing.assert_allclose(x.std(0), STD, rtol=5 / np.sqrt(40_000))


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2)])
def test_error_falls_with_the_order_of_the_solver(name, order):
    assert set(SOLVERS) == {"euler", "heun"}
    x0 = jnp.asarray(RNG.normal(size=(50, 2)), jnp.float32)
    errors = []
    for count in (40, 80):
        x = flow.sample(exact_velocity, None, x0, count, SOLVERS[name])
        errors.append(np.abs(x - (MEAN + STD * x0)).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)
    assert errors[0] > 1e-4


def test_one_step_by_hand():
    def velocity(params, x, t):
        return params * x**2 + jnp.sin(3 * t[:, None] + 1)

    x0 = RNG.normal(size=(5, 2)).astype(np.float32)
    first = 0.7 * x0**2 + np.sin(1)
    last = 0.7 * (x0 + first) ** 2 + np.sin(4)
    euler, heun = (flow.sample(velocity, 0.7, x0, 1, SOLVERS[name]) for name in ("euler", "heun"))
    np.testing.assert_allclose(euler, x0 + first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(heun, x0 + (first + last) / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "expected"), [("euler", 6), ("heun", 12)])
def test_evaluations_are_counted(name, expected):
    times = []

    def velocity(params, x, t):
        times.append(float(t[0]))
        return x

    with jax.disable_jit():
        flow.sample(velocity, None, jnp.ones((1, 2)), 6, SOLVERS[name])
    assert FlowRecipe(steps=6, solver=SOLVERS[name]).evaluations == len(times) == expected
    assert min(times) == 0 and max(times) == pytest.approx(1 if name == "heun" else 5 / 6)


def test_the_exact_velocity_is_where_the_loss_is_least():
    """Its gradient is zero in expectation, in every direction of a basis of fields."""

    def near(params, x, t):
        fields = jnp.stack([jnp.ones_like(x), x, x**2, x * t[:, None], jnp.cos(9 * x)])
        return exact_velocity(None, x, t) + jnp.tensordot(params, fields, 1)

    batch, _ = points(40_000)

    def gradients(at):
        def one(real, index):
            batch = {"real": real[None], "index": index[None]}
            return jax.grad(
                lambda p: flow.matching_loss(near)(
                    {"velocity": p}, batch, jax.random.key(1), parallel.identity
                )[0][0]
            )(at)

        found = np.asarray(jax.jit(jax.vmap(one))(batch["real"], batch["index"]), np.float64)
        return np.abs(found.mean(0)) / (found.std(0) / np.sqrt(len(found)))

    assert (gradients(jnp.zeros(5)) < 4).all()
    assert gradients(jnp.zeros(5).at[2].set(0.1))[2] > 20


# --- The net -------------------------------------------------------------------------------------

PAIRS = {
    "ring": {"g_width": 64, "d_width": 32, "d_depth": 3, "d_layer": "maxout"},
    "exact": {
        "g_width": 400, "g_depth": 4, "d_width": 200, "d_depth": 3, "d_layer": "maxout",
    },
    "deep": {"g_width": 32, "g_depth": 3, "g_layer": "maxout", "g_skip": True, "pack": 2},
    "digits": {
        "shape": (8, 8, 3), "latent": 64, "g_width": 256, "d_width": 64, "d_depth": 3,
        "d_layer": "maxout", "squash": "tanh",
    },
}  # fmt: skip


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", PAIRS)
def test_parameters_are_the_pairs(name):
    architecture = Architecture(**{"shape": (2,), "latent": 2, **PAIRS[name]})
    pair = jax.eval_shape(networks.build(architecture).init, jax.random.key(0))
    velocity = nets.build(architecture)
    params = jax.eval_shape(velocity.init, jax.random.key(0))
    assert velocity.parameters == count(params)
    both = count(pair["generator"]) + count(pair["discriminator"])
    assert count(params) == pytest.approx(both, rel=0.02)
    found = jax.eval_shape(velocity.apply, params, jnp.zeros((3, *velocity.shape)), jnp.ones(3))
    assert found.shape == (3, *velocity.shape) and found.dtype == jnp.float32


def test_width_is_the_nearest():
    """By the formula for two relu layers on x and t."""
    sizes = {w: 4 * w + (w + 1) * w + (w + 1) * 2 for w in range(1, 60)}
    for wanted in (5, 9, 30, 219, 1111, 2000):
        nearest = min(sizes, key=lambda w: abs(sizes[w] - wanted))
        assert nets.width_for(wanted, SMALL) == nearest


def test_the_velocity_sees_time_and_each_sample_alone():
    velocity = nets.build(SMALL)
    params, apply = jax.jit(velocity.init)(jax.random.key(0)), jax.jit(velocity.apply)
    x, t = jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32), jnp.array([0.0, 0.3, 0.3, 1.0])
    together = apply(params, x, t)
    for i in range(4):
        alone = apply(params, x[i : i + 1], t[i : i + 1])
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=1e-5, atol=1e-6)
    still = apply(params, x[:1].repeat(4, 0), t)
    np.testing.assert_array_equal(still[1], still[2])
    assert np.abs(still[0] - still[1]).max() > 1e-3 and np.abs(still[0] - still[3]).max() > 1e-3


def test_samples_are_the_averages_and_images_stay_in_range():
    config = Config(method="flow", solver="euler", flow_steps=(3, 1), ema=0.9, g_width=8, d_width=8)
    method = flow.method(config, config.arms()["flow"], (2, 2, 3))
    params = method.state(jax.random.key(0)).params
    params["average"] = average = jax.tree.map(lambda leaf: 3 * leaf, params["average"])
    key = jax.random.fold_in(jax.random.key(2**31), objectives.LATENT)
    x0 = jnp.stack([jax.random.normal(jax.random.fold_in(key, i), (2, 2, 3)) for i in range(20)])
    velocity = nets.build(Architecture((2, 2, 3), 2, g_width=8, d_width=8, squash="tanh"))
    for sampler, steps_ in ((method, 3), (method.more["@1"], 1)):
        found = evaluate.sampler(sampler, 20)(params)
        free = np.asarray(flow.sample(velocity.apply, average, x0, steps_, SOLVERS["euler"]))
        assert np.abs(free).max() > 1
        np.testing.assert_allclose(found, np.clip(free, -1, 1), rtol=1e-4, atol=1e-5)
        assert isinstance(found, np.ndarray)
        z = sampler.latents(jax.random.key(2**31), jnp.arange(20))
        np.testing.assert_allclose(sampler.generate(params, z), found, rtol=1e-4, atol=1e-5)


# --- The step ------------------------------------------------------------------------------------


def trained(architecture, recipe, optimizer, data, *, count, batch, each=False, **how):
    """Host state after `count` steps on the data read in order; with `each`, of every step."""
    velocity = nets.build(architecture)
    compiled = parallel.compile_step(
        flow.flow_step(velocity, recipe, optimizer),
        {"real": data[:, None]},
        [0],
        batch,
        needs=Needs(steps_per_call=1 if each else count),
        **how,
    )
    init = jax.vmap(lambda key: flow.init_state(key, velocity, recipe, optimizer))
    state = compiled.place(jax.device_get(jax.jit(init)(jax.vmap(jax.random.key)(np.arange(1)))))
    index = np.arange(count * batch, dtype=np.int32).reshape(count, 1, batch) % len(data)
    states = [jax.device_get(state)]
    for part in np.split(index, count) if each else [index]:
        state, metrics = compiled.run(state, part, len(part))
        states.append(jax.device_get(state))
    return (states if each else states[-1]), jax.device_get(metrics)


def assert_close(left, right, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4), left, right)


def test_four_devices_equal_one():
    data = points(24)[1]
    how = {"count": 3, "batch": 8}
    alone = trained(SMALL, FlowRecipe(0.9), optax.sgd(0.05), data, devices=jax.devices()[:1], **how)
    for mode in ("jit", "pmap"):
        assert_close(
            alone, trained(SMALL, FlowRecipe(0.9), optax.sgd(0.05), data, mode=mode, **how), 2e-6
        )
    assert int(alone[0].step[0]) == 3


def test_the_step_descends_the_mean_loss():
    batch, data = points(8)
    (before, after), metrics = trained(
        SMALL, FlowRecipe(), optax.sgd(1.0), data, count=1, batch=8, each=True
    )
    velocity = nets.build(SMALL)
    key = jax.random.fold_in(jax.random.key(0), 0)

    def mean_loss(params):
        return flow.matching_loss(velocity.apply)(params, batch, key, None)[0].mean()

    params = jax.tree.map(lambda leaf: leaf[0], before.params)
    value, grads = jax.jit(jax.value_and_grad(mean_loss))(params)
    assert_close(jax.tree.map(lambda a, b: (a - b)[0], before.params, after.params), grads, 1e-5)
    assert float(metrics["loss"][0, 0]) == pytest.approx(float(value), rel=1e-5)
    assert set(after.params) == {"velocity"}


def test_the_average_by_its_recurrence():
    recipe = FlowRecipe(ema=0.15)
    states, _ = trained(SMALL, recipe, optax.adam(0.05), points(24)[1], count=4, batch=8, each=True)
    average = states[0].params["velocity"]
    for step, state in enumerate(states[1:]):
        decay = min(0.15, (1 + step) / (10 + step))
        average = jax.tree.map(
            lambda old, new, decay=decay: decay * old + (1 - decay) * new,
            average,
            state.params["velocity"],
        )
        assert_close(state.params["average"], average, 1e-6)
    assert_close(states[0].params["average"], states[0].params["velocity"], 0)


def test_two_modes_are_both_reached():
    sides = RNG.choice([-1.0, 1.0], size=12_800, p=[0.3, 0.7])
    data = (np.stack([sides, 0 * sides], 1) + 0.1 * RNG.normal(size=(12_800, 2))).astype(np.float32)
    architecture = Architecture(shape=(2,), latent=2, g_width=32, d_width=32)
    recipe = FlowRecipe(ema=0.99, steps=20)
    optimizer = steps.with_peak(optax.adam, 1e-2, steps.schedule("cosine", 1000))
    state, metrics = trained(
        architecture, recipe, optimizer, data, count=1000, batch=128, devices=jax.devices()[:1]
    )
    assert np.isfinite(metrics["loss"]).all()
    params = jax.tree.map(lambda leaf: leaf[0], state.params)
    x0 = jax.random.normal(jax.random.key(1), (2000, 2))
    x = np.asarray(flow.generate(nets.build(architecture), recipe, params, x0))
    right = np.hypot(x[:, 0] - 1, x[:, 1]) < 0.4
    left = np.hypot(x[:, 0] + 1, x[:, 1]) < 0.4
    assert left.mean() == pytest.approx(0.3, abs=0.06)
    assert right.mean() == pytest.approx(0.7, abs=0.06)
