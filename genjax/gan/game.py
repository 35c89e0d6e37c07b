"""A generator against a discriminator, as a `Method`."""

from functools import partial

import jax.numpy as jnp

from genjax.gan import evaluate, losses, networks, objectives
from genjax.gan.architecture import Architecture
from genjax.gan.config import Arm, Config
from genjax.gan.method import Method
from genjax.gan.players import Recipe


def method(config: Config, arm: Arm, shape: tuple[int, ...], spread: float = 1.0) -> Method:
    """The game of an arm, for samples of a shape and a spread.

    Its `discriminate` judges each sample in a pack with the `pack` - 1 that follow it, around the
    end; where a logit depends on the batch (d_norm, minibatch), what it is given is the batch. The
    zero of a loss of differences alone (rpgan, wgan) says nothing.
    """
    net, recipe = players(config, arm, shape, spread), recipe_of(arm, spread)
    optimizers = objectives.optimizers(
        recipe,
        arm.learning_rate,
        arm.d_learning_rate or arm.learning_rate,
        (arm.beta1, arm.beta2),
        schedule=arm.schedule,
        steps=config.steps,
    )

    def latents(key, index):
        return objectives.latents(key, net, recipe, index, 1)[:, 0]

    def discriminate(params, samples):
        x = jnp.stack([jnp.roll(samples, -i, 0) for i in range(recipe.pack)], 1)
        return evaluate.judge(net, recipe, params, x[None])[0]

    return Method(
        init=net.init,
        state=lambda key: objectives.init_state(key, net, recipe, optimizers),
        step=objectives.adversarial_step(net, recipe, optimizers),
        latents=latents,
        latent=net.latent,
        generate=partial(objectives.propose, net),
        sample=partial(objectives.sample, net, recipe),
        passes=recipe.resample,
        note=""
        if recipe.resample == 1
        else f"A sample is one of {recipe.resample} proposals of the generator, drawn by a density "
        "ratio learned alongside; slopes of G are those of the generator alone.",
        discriminate=discriminate,
        landscape=partial(evaluate.landscape, net, recipe),
    )


def players(config: Config, arm: Arm, shape, spread: float = 1.0) -> networks.Networks:
    """The networks of an arm of a game, for samples of a shape and a spread."""
    return networks.build(architecture(config, arm, shape, spread))


def architecture(config: Config, arm: Arm, shape, spread: float = 1.0) -> Architecture:
    """What the networks of an arm are made of, for samples of a shape and a spread."""
    names = (
        "latent", "pack", "generators", "arch", "g_width", "g_depth", "g_layer", "g_skip",
        "g_norm", "d_width", "d_depth", "d_layer", "d_norm", "d_fraction", "init_std",
        "spectral_norm", "minibatch",
    )  # fmt: skip
    return Architecture(
        shape=shape,
        reconstructor=arm.reconstruction > 0,
        ratio=arm.resample > 1,
        squash="none" if len(shape) == 1 else "tanh",
        dtype=jnp.dtype(config.precision),
        d_fourier=arm.d_fourier * spread,
        **{name: getattr(arm, name) for name in names},
    )


def recipe_of(arm: Arm, spread: float) -> Recipe:
    """The switches that the step of a game itself takes."""
    names = (
        "r1", "r2", "gp", "pack", "unroll", "n_critic", "ema", "reconstruction", "generators",
        "diversity", "resample",
    )  # fmt: skip
    return Recipe(
        loss=losses.ADVERSARIAL[arm.loss],
        scale=arm.penalty_scale * spread,
        simultaneous=arm.updates == "simultaneous",
        **{name: getattr(arm, name) for name in names},
    )
