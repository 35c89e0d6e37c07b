"""The two players of a GAN: how they are trained, what each minimises, and by which gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from genjax.gan.losses import ADVERSARIAL, Loss
from genjax.gan.networks import Networks, pack

# What stands for a slope that float32 takes for 0: nothing to the discriminator, and still a number
# to divide by.
TINY = 1e-20


class Recipe(NamedTuple):
    """How the pair is trained; every field is a switch of its own.

    loss: of both players. r1, r2: gamma of the gradient penalties on real and on generated samples
        (Mescheder et al. 2018; both, Huang et al. 2024, R3GAN). gp: weight of WGAN-GP's (Gulrajani
        et al. 2017). scale: the data's spread, in whose units gradients are taken.
    pack: samples judged together (PacGAN, Lin et al. 2018). unroll: discriminator steps that the
        generator looks ahead (Metz et al. 2017). n_critic: discriminator steps a generator step.
    simultaneous: both players move from the same point; otherwise the discriminator moves first.
    ema: decay of the generator's average, 0 for none.
    reconstruction: weight of VEEGAN's latent error (Srivastava et al. 2017).
    generators, diversity: of a mixture, and the weight of its classifier (MGAN, Hoang et al. 2018).
    resample: proposals of which a sample is one, chosen by a density ratio that is learned
        alongside (`objectives.sample`).
    """

    loss: Loss = ADVERSARIAL["ns"]
    r1: float = 0.0
    r2: float = 0.0
    gp: float = 0.0
    scale: float = 1.0
    pack: int = 1
    unroll: int = 0
    n_critic: int = 1
    simultaneous: bool = True
    ema: float = 0.0
    reconstruction: float = 0.0
    generators: int = 1
    diversity: float = 0.0
    resample: int = 1

    @property
    def penalised(self) -> bool:
        """Whether a gradient is."""
        return self.r1 > 0 or self.r2 > 0 or self.gp > 0


class Drawn(NamedTuple):
    """What one update draws: real samples [b, pack, *shape], latents [b, pack, latent (+ one-hot)].

    blend: uniform [b], for WGAN-GP. codes: the reconstructor's of the real samples, if any.
    """

    real: jax.Array
    z: jax.Array
    blend: jax.Array
    codes: jax.Array | None


def shares_a_pass(networks: Networks, recipe: Recipe) -> bool:
    """Whether both players' gradients may come from one way back (`Players.joint_gradients`)."""
    return (
        recipe.simultaneous
        and recipe.loss.monotone
        and networks.separate
        and recipe.generators == recipe.n_critic == 1
        and not (recipe.penalised or recipe.unroll or recipe.reconstruction)
    )


@dataclass(frozen=True)
class Players:
    """Both players' losses in one update.

    Losses are sums over the batch, beside a dict of sums to report. g_params: {"generator" and,
    where asked, "reconstructor"}, what the generator's optimizer trains.
    weights: the recipe with its numbers as the program takes them, where `recipe` says which terms
    there are.
    statistics: the generator's batch norm's. total, gather: over the devices that share the batch.
    """

    networks: Networks
    recipe: Recipe
    weights: Recipe
    d_optimizer: optax.GradientTransformation
    statistics: Any
    total: Callable
    gather: Callable

    def generate(self, generator, z: jax.Array) -> tuple[jax.Array, Any]:
        """(samples [b, pack, *shape], new statistics) of latents [b, pack, latent]."""
        # Each member of a pack is a pass of its own through batch norm.
        x, statistics = self.networks.generate(
            generator, self.statistics, jnp.swapaxes(z, 0, 1), self.total
        )
        return jnp.swapaxes(x, 0, 1), statistics

    def discriminate(self, discriminator, x: jax.Array) -> jax.Array:
        """Outputs [groups, b, 1 + k] of inputs [groups, b, *packed shape]."""
        return self.networks.discriminate(discriminator, x, self.total, self.gather)

    def squared_gradients(self, discriminator, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The squared gradient of each logit by its own input [groups, b], and the outputs."""

        def score(x):
            outputs = self.discriminate(discriminator, x)
            return outputs[..., 0].sum(), outputs

        gradient, outputs = jax.grad(score, has_aux=True)(x)
        return self.weights.scale**2 * (gradient**2).sum(tuple(range(2, x.ndim))), outputs

    def discriminator_loss(
        self, discriminator, drawn: Drawn, fake: jax.Array
    ) -> tuple[jax.Array, dict]:
        """The discriminator's loss: adversarial, penalties, and naming a mixture's generators."""
        recipe, weights = self.recipe, self.weights
        x = _inputs(drawn, fake)
        penalty = jnp.zeros(x.shape[1])
        if recipe.r1 or recipe.r2:
            squared, outputs = self.squared_gradients(discriminator, x)
            penalty = 0.5 * (weights.r1 * squared[0] + weights.r2 * squared[1])
        else:
            outputs = self.discriminate(discriminator, x)
        if recipe.gp:
            blend = drawn.blend.reshape(-1, *[1] * (x.ndim - 2))
            between = (blend * x[0] + (1 - blend) * x[1])[None]
            squared, _ = self.squared_gradients(discriminator, between)
            penalty += weights.gp * (jnp.sqrt(squared[0] + 1e-12) - 1) ** 2
        real, generated = outputs[..., 0]
        values = recipe.loss.discriminator(real, generated) + penalty
        metrics = {"penalty": penalty, "real_score": real, "fake_score": generated}
        if recipe.generators > 1:
            error = _naming_error(outputs, drawn.z, recipe.generators)
            values += error
            metrics["naming_error"] = error
        return values.sum(), _sums({"loss": values} | metrics)

    def generator_loss(self, g_params: dict, ahead: tuple, drawn: Drawn) -> tuple[jax.Array, dict]:
        """The generator's loss, its samples made again; ahead: (discriminator, its moments)."""
        recipe, weights = self.recipe, self.weights
        fake, _ = self.generate(g_params["generator"], drawn.z)
        discriminator, moments = ahead
        for _ in range(recipe.unroll):
            discriminator, moments, _ = self.discriminator_step(discriminator, moments, drawn, fake)
        x = _inputs(drawn, fake)
        # Apart from the real samples, whose gradient nobody asks for.
        outputs = self.discriminate(discriminator, x[1:])
        real = outputs
        if recipe.loss.relativistic:
            real = self.discriminate(discriminator, jax.lax.stop_gradient(x[:1]))
        values = recipe.loss.generator(real[0, :, 0], outputs[0, :, 0])
        metrics = {"generator_loss": values}
        if recipe.generators > 1:
            values += weights.diversity * _naming_error(outputs, drawn.z, recipe.generators)
        if recipe.reconstruction:
            codes = self.networks.reconstruct(g_params["reconstructor"], fake)
            error = ((codes - drawn.z[..., : self.networks.latent]) ** 2).mean((-2, -1))
            values += weights.reconstruction * error
            metrics["reconstruction_error"] = error
        return values.sum(), _sums(metrics)

    def discriminator_step(
        self, discriminator, moments, drawn: Drawn, fake: jax.Array
    ) -> tuple[Any, Any, dict]:
        """(discriminator, moments, mean metrics) after a step on what was drawn."""
        grads, sums = jax.grad(self.discriminator_loss, has_aux=True)(discriminator, drawn, fake)
        grads, metrics = mean(self.total, (grads, sums), len(drawn.real))
        return *self.move_discriminator(grads, discriminator, moments), metrics

    def move_discriminator(self, grads, discriminator, moments) -> tuple[Any, Any]:
        """(discriminator, moments) after its optimizer's update by these gradients."""
        updates, moments = self.d_optimizer.update(grads, moments, discriminator)
        return optax.apply_updates(discriminator, updates), moments

    def joint_gradients(
        self, discriminator, g_params: dict, drawn: Drawn
    ) -> tuple[tuple[Any, Any], dict, Any]:
        """((discriminator's, generator's gradients), sums, statistics) by one way back.

        Where a logit depends on its own samples alone, the two players' gradients by a sample
        differ by one number, the ratio of the losses' derivatives by that logit.
        """
        loss = self.recipe.loss
        fake, pull_generator, statistics = jax.vjp(
            lambda g_params: self.generate(g_params["generator"], drawn.z), g_params, has_aux=True
        )
        outputs, pull = jax.vjp(
            lambda discriminator, fake: self.discriminate(discriminator, _inputs(drawn, fake)),
            discriminator,
            fake,
        )
        real, generated = outputs[..., 0]
        values, by_logits = jax.vjp(loss.discriminator, real, generated)
        by_real, by_fake = by_logits(jnp.ones_like(values))
        # A sample that is rejected for certain has a derivative that float32 takes for 0.
        by_fake = jnp.maximum(by_fake, TINY)
        g_values, by_logit = jax.vjp(lambda logit: loss.generator(real, logit), generated)
        (g_by_fake,) = by_logit(jnp.ones_like(values))
        d_grads, by_samples = pull(jnp.stack([by_real, by_fake])[..., None])
        ratio = (g_by_fake / by_fake).reshape(-1, *[1] * (fake.ndim - 1))
        (g_grads,) = pull_generator(by_samples * ratio)
        metrics = {"loss": values, "generator_loss": g_values, "penalty": jnp.zeros_like(values)}
        metrics |= {"real_score": real, "fake_score": generated}
        return (d_grads, g_grads), _sums(metrics), statistics


def mean(total: Callable, sums, count: int):
    """Sums over a device's `count` examples -> means over those of all devices."""
    sums, count = total((sums, jnp.float32(count)))
    return jax.tree.map(lambda value: value / count, sums)


def _sums(metrics: dict) -> dict:
    return {name: value.sum() for name, value in metrics.items()}


def _inputs(drawn: Drawn, fake: jax.Array) -> jax.Array:
    """What the discriminator judges, real and generated: [2, b, *packed shape]."""
    x = jnp.stack([drawn.real, fake])
    if drawn.codes is not None:
        x = jnp.concatenate([x, jnp.stack([drawn.codes, drawn.z])], -1)
    return pack(x)


def _naming_error(outputs: jax.Array, z: jax.Array, generators: int) -> jax.Array:
    """Cross-entropy in nats of naming the generator of each pack's first member: [b]."""
    return optax.softmax_cross_entropy(outputs[-1, :, 1:], z[:, 0, -generators:])
