"""Which network and which loss a model's name stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core.parallel import identity
from genjax.vae import experiment, models, objectives
from genjax.vae.config import Arm, Config
from genjax.vae.models import MODELS

SHAPE = (4, 4, 1)
IMAGES = jnp.round(jax.random.uniform(jax.random.key(3), (5, *SHAPE)))
BATCH = {"image": IMAGES, "index": jnp.array([7, 2, 9, 4, 0]), "weight": jnp.ones(5)}
OWN = {
    "k": 2, "iwae_k": 3, "beta": 7.0, "free_bits": 1.5, "pseudo_inputs": 6, "corruption": 0.4,
    "rae_latent": 0.3, "rae_decoder": 0.02, "mmd_weight": 9.0, "layers": 3,
}  # fmt: skip
# (changes, the loss by name, its options, what the network differs in).
NAMED = {
    "ae": ({}, "reconstruction", {}, (True, (8,), False)),
    "dae": ({}, "reconstruction", {"corruption": 0.4}, (True, (8,), False)),
    "rae": ({}, "reconstruction", {"latent_weight": 0.3, "decoder_l2": 0.02}, (True, (8,), False)),
    "rae gp": (
        {"rae": "gp"}, "reconstruction", {"latent_weight": 0.3, "decoder_gradient": 0.02},
        (True, (8,), False),
    ),
    "rae sn": ({"rae": "sn"}, "reconstruction", {"latent_weight": 0.3}, (True, (8,), False)),
    "wae_mmd": ({}, "reconstruction", {"mmd_weight": 9.0}, (True, (8,), False)),
    "vae": ({}, "elbo", {"k": 2}, (False, (8,), False)),
    "beta_vae": ({}, "elbo", {"k": 2, "beta": 7.0}, (False, (8,), False)),
    "iwae": ({}, "iwae", {"k": 3}, (False, (8,), False)),
    "iwae dreg": ({"dreg": True}, "dreg", {"k": 3}, (False, (8,), False)),
    "vamp": ({}, "elbo", {"k": 2}, (False, (8,), True)),
    "vamp iwae": ({"bound": "iwae"}, "iwae", {"k": 3}, (False, (8,), True)),
    "hvae": ({}, "elbo", {"k": 2}, (False, (8, 4, 2), False)),
    "hvae iwae": ({"bound": "iwae"}, "iwae", {"k": 3}, (False, (8, 4, 2), False)),
    "ladder": ({}, "elbo", {"k": 2, "free_bits": 1.5}, (False, (8, 4, 2), False)),
    "ladder iwae": ({"bound": "iwae"}, "iwae", {"k": 3}, (False, (8, 4, 2), False)),
}  # fmt: skip


def test_every_model_is_here():
    assert {name.split()[0] for name in NAMED} == {*MODELS}


@pytest.mark.parametrize("name", NAMED)
def test_what_a_name_stands_for(name):
    changes, kind, weights, (deterministic, layers, learned_prior) = NAMED[name]
    named = Arm(model=name.split()[0], hidden=(8,), **OWN | changes)
    own = {key: value for key, value in OWN.items() if Arm.readers[key].reads(named)}
    config = Config(model=named.model, hidden=(8,), **own | changes)
    arm = config.arms()[config.model]
    model = experiment.network(config, config.model, SHAPE)
    params = jax.jit(model.init)(jax.random.key(0), IMAGES)
    assert arm.deterministic is deterministic
    assert (model.layers, bool(model.mixture)) == (layers, learned_prior)

    @jax.jit
    def draw_and_mean(params):
        code = model.encode(params, IMAGES)
        noise = jnp.ones((5, model.noise_size))
        return model.draw(params, code, noise).z, model.mean(params, code)

    z, mean = map(np.asarray, draw_and_mean(params))
    assert (z == mean).all() == deterministic

    def value(loss):
        return jax.jit(lambda params: loss(params, BATCH, jax.random.key(1), identity)[0])(params)

    expected = getattr(objectives, f"{kind}_loss")(model, **weights)
    np.testing.assert_array_equal(value(models.loss(arm, model)), value(expected))
    # The options are not those by default, and a loss that ignores one would differ.
    assert {*weights.values()} <= {*OWN.values()}


def test_spectral_norm_is_in_the_network_of_that_arm_alone():
    def changed_by_scale(**changes):
        config = Config(hidden=(8,), **changes)
        model = experiment.network(config, config.model, SHAPE)
        params = jax.jit(model.init)(jax.random.key(0), IMAGES)
        kernels = jax.tree_util.tree_map_with_path(
            lambda path, leaf: 3 * leaf if path[-1].key == "kernel" else leaf, params["decoder"]
        )
        z = jnp.ones((1, 8))
        decode = jax.jit(model.decode)
        left, right = decode(params, z), decode(params | {"decoder": kernels}, z)
        return not np.allclose(left, right, rtol=1e-4, atol=1e-4)

    assert not changed_by_scale(model="rae", rae="sn")
    assert changed_by_scale(model="rae") and changed_by_scale(model="ae")
