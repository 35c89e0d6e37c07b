"""Small nets, and one step of the game by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.core import parallel
from genjax.gan import networks as gan
from genjax.gan import objectives
from genjax.gan.architecture import Architecture

SMALL = {"shape": (2,), "latent": 3, "g_width": 8, "d_width": 8}
SGD = {name: optax.sgd(0.05) for name in ("generator", "discriminator", "ratio")}


def build(**options):
    """Its `init` is one program: each operation alone would be one."""
    made = gan.build(Architecture(**options))
    return made._replace(init=jax.jit(made.init))


def assert_close(left, right, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4), left, right)


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
    rows, rng = 6 * recipe.n_critic, np.random.default_rng(0)
    batch = {
        "real": jnp.asarray(rng.normal(size=(rows, recipe.pack, 2)), jnp.float32),
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


def moved(loss, params):
    """Parameters after a step of SGD of rate 1."""
    return jax.tree.map(lambda p, g: p - g, params, jax.jit(jax.grad(loss))(params))


def outputs(networks, discriminator, x):
    return networks.discriminate(discriminator, x[None], parallel.identity, parallel.identity)[0]
