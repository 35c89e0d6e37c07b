"""What is an argument of a program, and no constant: arms that differ in it are compiled once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_gan import SGD, SMALL, assert_close, build

from genjax.core import parallel
from genjax.core.parallel import identity
from genjax.gan import data, evaluate, experiment, mixtures, objectives
from genjax.gan.config import Config
from genjax.gan.losses import ADVERSARIAL
from genjax.gan.objectives import Recipe

# Options of an arm, the same with other numbers, and without one of them.
ARMS = {
    "rates": ({"learning_rate": 1e-3}, {"d_learning_rate": 3e-3}, {"beta1": 0.3}),
    "penalties": ({"r1": 0.1, "r2": 0.2}, {"r1": 0.3, "r2": 0.4, "penalty_scale": 2.0}, {"r2": 0}),
    "WGAN-GP": ({"loss": "wgan", "gp": 1.0}, {"gp": 3.0}, {"gp": 0.0, "spectral_norm": True}),
    "average": ({"ema": 0.9}, {"ema": 0.99}, {"ema": 0.0}),
    "VEEGAN": ({"reconstruction": 0.5}, {"reconstruction": 2.0}, {"reconstruction": 0.0}),
    "MGAN": (
        {"generators": 2, "diversity": 0.5},
        {"generators": 2, "diversity": 2.0},
        {"generators": 3},
    ),
    "flow": (
        {"method": "flow", "ema": 0.9},
        {"method": "flow", "ema": 0.5, "learning_rate": 1e-3},
        {"ema": 0.0},
    ),
}


def methods(name: str) -> tuple:
    a, b, c = ARMS[name]
    small = {"g_width": 8, "d_width": 8}
    variants = {"a": small | a, "b": small | a | b, "c": small | a | c}
    config = Config(seeds=1, steps=100, variants=variants)
    return tuple(experiment.method_of(config, arm, (2,), 1.5) for arm in variants)


def batch_of(method) -> dict:
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(8, 1, 2)), jnp.float32)
    return {"real": rows, "index": jnp.arange(8), "weight": jnp.ones(8)}


@pytest.mark.parametrize("name", ARMS)
def test_arms_that_differ_in_rates_and_weights_are_one_program(name):
    def program(method):
        key = jax.random.key(3)
        state = jax.eval_shape(method.state, key)
        step = functools.partial(method.step, total=identity, gather=identity)
        return jax.jit(step).lower(state, batch_of(method), key).as_text()

    a, b, c = map(program, methods(name))
    assert a == b != c


RECIPES = {
    "penalties": ({"r1": 0.3, "r2": 0.2, "scale": 1.7}, {"r1": 1.3, "r2": 0.7, "scale": 0.4}),
    "WGAN-GP": ({"gp": 3.0, "scale": 1.0}, {"gp": 0.5, "scale": 2.0}),
    "average": ({"ema": 0.05}, {"ema": 0.02}),
    "VEEGAN": ({"reconstruction": 0.5}, {"reconstruction": 4.0}),
    "MGAN": ({"generators": 3, "diversity": 0.5}, {"generators": 3, "diversity": 3.0}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_weight_of_the_state_is_that_of_the_step(name):
    """The step of one recipe, with the weights of another in its state, is that of the other."""
    a, b = (Recipe(loss=ADVERSARIAL["hinge"])._replace(**numbers) for numbers in RECIPES[name])
    networks = build(
        **SMALL, generators=a.generators, reconstructor=a.reconstruction > 0, ratio=False
    )
    begun = [
        jax.jit(
            functools.partial(objectives.init_state, networks=networks, recipe=r, optimizers=SGD)
        )(jax.random.key(0))
        for r in (a, b)
    ]
    batch, key = batch_of(None), jax.random.key(3)

    @jax.jit
    def stepped(state):
        step = objectives.adversarial_step(networks, a, SGD)
        return step(state, batch, key, total=identity, gather=identity)[0]

    @jax.jit
    def expected(state):
        step = objectives.adversarial_step(networks, b, SGD)
        return step(state._replace(weights={}), batch, key, total=identity, gather=identity)[0]

    found = stepped(begun[1])
    assert_close(found.params, expected(begun[1]).params, 1e-6)
    own = stepped(begun[0])
    apart = jax.tree.map(lambda x, y: np.abs(x - y).max(), found.params, own.params)
    assert max(jax.tree.leaves(apart)) > 1e-4


def test_the_picture_of_a_discriminator_is_one_program_for_all_parameters(monkeypatch):
    networks, mixture = build(**SMALL), mixtures.mixture("ring4")
    task, texts = data.mixture_task(mixture, 100, 1, 0), []
    batched = parallel.batched

    def lowered(function, points, **how):
        texts.append(function.func.lower(*function.args, points[: how["size"]]).as_text())
        return batched(function, points, **how)

    monkeypatch.setattr(parallel, "batched", lowered)
    for seed in range(2):
        params = networks.init(jax.random.key(seed))
        evaluate.landscape(networks, Recipe(), params, task, mixture, 5)
    assert len(texts) > 2 and len({*texts}) == 1
