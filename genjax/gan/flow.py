"""Flow matching: a generator without a game, by regression on straight paths.

A sample x1 of the data and noise x0 ~ N(0, I), drawn apart, are joined by x_t = (1 - t) x0 + t x1;
a net v(x, t) learns the mean of x1 - x0 at x_t = x, and dx/dt = v(x, t) carries N(0, I) at t = 0 to
the data at t = 1 (Lipman et al. 2023, eq. 20 to 23 with sigma_min = 0; Liu et al. 2023, eq. 1).

The data are not standardised: the noise has unit variance, and samples are taken to be of order 1
(a ring of radius 1, a grid within 4, images in [-1, 1]). Data far from that scale want longer
training and more steps of the solver.

params: {"velocity"} and, where asked, "average" (of the velocity).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from genjax.core import steps
from genjax.core.steps import State, example_noise
from genjax.gan import game, networks_velocity
from genjax.gan.config import Arm, Config
from genjax.gan.method import Method
from genjax.gan.networks_velocity import Velocity
from genjax.gan.objectives import LATENT, moving_average

# One stream of random numbers a purpose, besides those of objectives.
NOISE, TIME = 14, 15


class Solver(NamedTuple):
    """One step of an ordinary differential equation dx/dt = field(x, t).

    step: (field, x, t, dt) -> x at t + dt. evaluations: of the field in a step.
    """

    step: Callable
    evaluations: int


def _euler(field, x, t, dt):
    return x + dt * field(x, t)


def _heun(field, x, t, dt):
    """The trapezoid rule with Euler's step for its end: of second order."""
    slope = field(x, t)
    return x + dt / 2 * (slope + field(x + dt * slope, t + dt))


# A new solver is an entry here, its name in config.py, and its order in tests/gan/test_flow.py.
SOLVERS: dict[str, Solver] = {"euler": Solver(_euler, 1), "heun": Solver(_heun, 2)}


class FlowRecipe(NamedTuple):
    """How a flow is trained and followed.

    ema: decay of the velocity's average, 0 for none. steps: of the solver from noise to a sample.
    """

    ema: float = 0.0
    steps: int = 64
    solver: Solver = SOLVERS["heun"]

    @property
    def evaluations(self) -> int:
        """Passes of the net that a sample costs."""
        return self.steps * self.solver.evaluations


def init_state(
    key: jax.Array, velocity: Velocity, recipe: FlowRecipe, optimizer: optax.GradientTransformation
) -> State:
    """The state before the first step; the average starts at the velocity."""
    params = {"velocity": velocity.init(key)}
    state = steps.init_state(params, optimizer, {"ema": recipe.ema})
    if recipe.ema:
        params["average"] = jax.tree.map(jnp.copy, params["velocity"])
    return state._replace(params=params)


def matching_loss(velocity: Callable) -> Callable:
    """loss(params, batch, key, gather) -> ([b], {}): |v(x_t, t) - (x1 - x0)|^2, summed over x.

    velocity: (params, x [b, *shape], t [b]) -> [b, *shape]. batch: `real` [b, 1, *shape], packs of
    one, and `index` [b]. t is uniform in [0, 1] (Lipman et al. 2023, eq. 23).
    """

    def loss(params, batch, key, gather):
        del gather
        x1 = batch["real"][:, 0]
        x0 = example_noise(jax.random.normal, key, NOISE, batch["index"], x1.shape[1:])
        t = example_noise(jax.random.uniform, key, TIME, batch["index"], ())
        share = t.reshape(-1, *[1] * (x1.ndim - 1))
        found = velocity(params["velocity"], (1 - share) * x0 + share * x1, t)
        error = found - (x1 - x0)
        return (error**2).sum(tuple(range(1, error.ndim))), {}

    return loss


def flow_step(
    velocity: Velocity, recipe: FlowRecipe, optimizer: optax.GradientTransformation
) -> Callable:
    """The step of a flow, step(state, batch, key, *, total, gather) -> (state, metrics).

    batch: as `matching_loss` reads it, and `weight` [b]. metrics: `loss`, a mean over the batch.
    """
    train = steps.training_step(matching_loss(velocity.apply), optimizer)

    def step(state: State, batch: dict, key, *, total: Callable, gather: Callable):
        # The average's decay is no weight of the loss.
        trained = state._replace(params={"velocity": state.params["velocity"]}, weights={})
        moved, metrics = train(trained, batch, key, total=total, gather=gather)
        if recipe.ema:
            average = moving_average(
                moved.params["velocity"], state.params["average"], state.step, state.weights["ema"]
            )
            moved = moved._replace(params=moved.params | {"average": average})
        return moved._replace(weights=state.weights), metrics

    return step


def sample(velocity: Callable, params, x0: jax.Array, count: int, solver: Solver) -> jax.Array:
    """Where the flow carries x0 [b, *shape] from t = 0 to t = 1, in `count` equal steps.

    velocity: (params, x [b, *shape], t [b]) -> [b, *shape].
    """

    def field(x, t):
        return velocity(params, x, jnp.full(len(x), t))

    def body(i, x):
        return solver.step(field, x, i / count, 1 / count)

    return jax.lax.fori_loop(0, count, body, x0)


def generate(velocity: Velocity, recipe: FlowRecipe, params: dict, x0: jax.Array) -> jax.Array:
    """What a trained flow makes of noise [b, *shape]; by the average, if kept.

    Images are cut to [-1, 1], where a GAN's tanh keeps its own.
    """
    net = params.get("average", params["velocity"])
    x = sample(velocity.apply, net, x0, recipe.steps, recipe.solver)
    return jnp.clip(x, -1, 1) if velocity.bounded else x


def method(config: Config, arm: Arm, shape: tuple[int, ...], spread: float = 1.0) -> Method:
    """The flow of an arm, for samples of a shape; with as many parameters as its game would have.

    Its latents are the noise at t = 0, one entry for each value of a sample, drawn as a game's.
    """
    velocity = networks_velocity.build(game.architecture(config, arm, shape, spread))
    adam = partial(optax.adam, b1=arm.beta1, b2=arm.beta2)
    share = steps.schedule(arm.schedule, config.steps)
    optimizer = steps.with_peak(adam, arm.learning_rate, share)
    size, recipe = math.prod(shape), FlowRecipe(ema=arm.ema, solver=SOLVERS[arm.solver])

    def latents(key, index):
        return example_noise(jax.random.normal, key, LATENT, index, (size,))

    def sampled(count):
        how = recipe._replace(steps=count)

        def from_latents(params, z):
            return generate(velocity, how, params, z.reshape(-1, *shape))

        return Method(
            init=lambda key: {"velocity": velocity.init(key)},
            state=lambda key: init_state(key, velocity, recipe, optimizer),
            step=flow_step(velocity, recipe, optimizer),
            latents=latents,
            latent=size,
            generate=from_latents,
            sample=lambda params, key, index: from_latents(params, latents(key, index)),
            note=f"A flow of {velocity.parameters:,} parameters: a sample is {count} steps of "
            f"{arm.solver}, {how.evaluations} passes of the net; slopes of G are those of the "
            "whole way from noise to sample. There is no discriminator to be pictured.",
        )

    first, *others = arm.flow_steps
    return sampled(first)._replace(more={f"@{count}": sampled(count) for count in others})
