"""Flow matching: a generator without a game, by regression on straight paths.

A sample x1 of the data and noise x0 ~ N(0, I), drawn apart, are joined by x_t = (1 - t) x0 + t x1;
a net v(x, t) learns the mean of x1 - x0 at x_t = x, and dx/dt = v(x, t) carries N(0, I) at t = 0 to
the data at t = 1 (Lipman et al. 2023, eq. 20 to 23 with sigma_min = 0; Liu et al. 2023, eq. 1).

The data are not standardised: the noise has unit variance, and samples are taken to be of order 1
(a ring of radius 1, a grid within 4, images in [-1, 1]). Data far from that scale want longer
training and more steps of the solver.

params: {"velocity"} and, where asked, "average" (of the velocity).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.core import parallel, steps
from genjax.core.steps import State, example_noise
from genjax.gan.networks_velocity import Velocity
from genjax.gan.objectives import moving_average

# One stream of random numbers a purpose, besides those of objectives.
NOISE, TIME = 14, 15
# Samples made at once.
CHUNK = 8192


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


# A new solver is an entry here, and its order in tests/gan/test_flow.py.
SOLVERS: dict[str, Solver] = {"euler": Solver(_euler, 1), "heun": Solver(_heun, 2)}


class FlowRecipe(NamedTuple):
    """How a flow is trained and followed.

    ema: decay of the velocity's average, 0 for none. steps: of the solver from noise to a sample.
    """

    ema: float = 0.0
    steps: int = 50
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
    state = steps.init_state(params, optimizer)
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
        trained = state._replace(params={"velocity": state.params["velocity"]})
        moved, metrics = train(trained, batch, key, total=total, gather=gather)
        if recipe.ema:
            average = moving_average(
                moved.params["velocity"], state.params["average"], state.step, recipe.ema
            )
            moved = moved._replace(params=moved.params | {"average": average})
        return moved, metrics

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


def sampler(velocity: Velocity, recipe: FlowRecipe, count: int) -> Callable:
    """params -> samples [count, *shape], NumPy; the same noise for all."""
    key = jax.random.key(2**31)

    @jax.jit
    def some(params, index):
        x0 = example_noise(jax.random.normal, key, NOISE, index, velocity.shape)
        return generate(velocity, recipe, params, x0)

    return lambda params: parallel.batched(partial(some, params), np.arange(count), size=CHUNK)
