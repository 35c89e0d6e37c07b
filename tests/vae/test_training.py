"""The program of an arm: what is an argument of it, and what it is made for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import steps
from genjax.core.parallel import identity
from genjax.vae import experiment, models, training
from genjax.vae.config import Config

IMAGES = jnp.round(jax.random.uniform(jax.random.key(3), (5, 4, 4, 1)))
BATCH = {"image": IMAGES, "index": jnp.array([7, 2, 9, 4, 0]), "weight": jnp.ones(5)}
KEY = jax.random.key(11)
# Weights of each model's loss, none of them the default.
WEIGHTS = {
    "beta_vae": {"beta": 7.0},
    "dae": {"corruption": 0.4},
    "rae": {"rae_latent": 0.3, "rae_decoder": 0.02},
    "rae gp": {"rae_latent": 0.3, "rae_decoder": 0.02},
    "wae_mmd": {"mmd_weight": 9.0},
    "ladder": {"free_bits": 50.0},
}


def arms_of(name: str) -> tuple[Config, dict]:
    """A configuration of arms `a`, and `b` with other weights and another rate, and `c`."""
    model, _, penalty = name.partition(" ")
    common = {"model": model, "hidden": (8,)} | ({"rae": penalty} if penalty else {})
    rate = {"learning_rate": 3e-3}
    zeros = {option: 0.0 for option in WEIGHTS.get(name, {})} or {"adam_eps": 1e-3}
    variants = {
        "a": common,
        "b": common | rate | WEIGHTS.get(name, {}),
        "c": common | zeros,
    }
    config = Config(steps=100, seeds=1, variants=variants)
    return config, config.arms()


@pytest.mark.parametrize("name", ["vae", *WEIGHTS])
def test_arms_that_differ_in_rates_and_weights_are_one_program(name):
    """Without a term of weight 0 the program is another, as it is with another constant of Adam."""
    config, _ = arms_of(name)

    def program(arm):
        net = experiment.network(config, arm, IMAGES.shape[1:])
        state = jax.eval_shape(training.first_of(config, arm, net, IMAGES), KEY)
        step = training.step_of(config, arm, net)
        alone = functools.partial(step, total=identity, gather=identity)
        return jax.jit(alone).lower(state, BATCH, KEY).as_text()

    a, b, c = map(program, "abc")
    assert a == b != c


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_weight_of_the_state_is_that_of_the_loss(name):
    """The loss of arm a with the weights of b is that of b."""
    config, arms = arms_of(name)
    net = experiment.network(config, "a", IMAGES.shape[1:])
    params = jax.jit(net.init)(KEY, IMAGES)

    def mean(arm, weights):
        loss = models.loss(arms[arm], net)
        return jax.jit(lambda weights: loss(params, BATCH, KEY, identity, **weights)[0].mean())(
            steps.arguments(weights)
        )

    own, others = models.weights(arms["a"]), models.weights(arms["b"])
    np.testing.assert_allclose(mean("a", own), mean("a", {}), rtol=1e-6)
    np.testing.assert_allclose(mean("a", others), mean("b", {}), rtol=1e-6)
    assert abs(mean("a", others) - mean("a", own)) > 1e-3 * abs(mean("a", own))
