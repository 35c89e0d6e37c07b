"""The adversarial step: two networks in one state, a step of the contract like any other.

params: {"generator", "discriminator", "statistics" (of the generator's batch norm) and, where
asked, "average" (of the generator), "reconstructor", "ratio" (of densities)}; opt_state:
{"generator", "discriminator" and, where asked, "ratio"}; the reconstructor is the generator's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from genjax.core import steps as training_steps
from genjax.core.steps import State, example_noise
from genjax.gan.networks import Networks
from genjax.gan.players import Drawn, Players, Recipe, mean, shares_a_pass

# One stream of random numbers a purpose.
LATENT, COMPONENT, BLEND, CHOICE = range(10, 14)
# What of a recipe is an argument of its program (`steps.State`); `scale` too, of penalties.
WEIGHTS = ("r1", "r2", "gp", "ema", "reconstruction", "diversity")


def optimizers(
    recipe: Recipe,
    rate: float,
    d_rate: float,
    betas: tuple[float, float],
    *,
    schedule: str,
    steps: int,
) -> dict:
    """Adam for each net of a run of `steps`; a player's rate falls over the updates it makes."""

    b1, b2 = betas
    # Unrolling differentiates the root of a second moment, zero for what maxout did not choose.
    adam = partial(optax.adam, b1=b1, b2=b2, eps_root=1e-16 if recipe.unroll else 0.0)
    # No game: a classifier, with Adam's own averages. It must see where the generator ends: where
    # the players' rates vanish as a square, its own does as a line.
    line = optax.linear_schedule(1.0, 0.0, steps)
    falling = partial(training_steps.schedule, schedule)
    return {
        "generator": training_steps.with_peak(adam, rate, falling(steps)),
        "discriminator": training_steps.with_peak(adam, d_rate, falling(recipe.n_critic * steps)),
        "ratio": training_steps.with_peak(
            optax.adam, d_rate, line if schedule == "cosine" else optax.constant_schedule(1.0)
        ),
    }


def init_state(key: jax.Array, networks: Networks, recipe: Recipe, optimizers: dict) -> State:
    """The state before the first step; the average starts at the generator."""
    params = networks.init(key)
    if recipe.ema:
        params["average"] = jax.tree.map(jnp.copy, params["generator"])
    opt_state = {
        "generator": optimizers["generator"].init(_g_params(params)),
        "discriminator": optimizers["discriminator"].init(params["discriminator"]),
    }
    if recipe.resample > 1:
        opt_state["ratio"] = optimizers["ratio"].init(params["ratio"])
    names = (*WEIGHTS, "scale") if recipe.penalised else WEIGHTS
    weights = {name: getattr(recipe, name) for name in names}
    return State(jnp.zeros((), jnp.int32), params, opt_state, training_steps.arguments(weights))


def moving_average(params: Any, average: Any, step: jax.Array, decay: Any) -> Any:
    """The average after `params`, those of update number `step` (from 0), joined it."""
    # A short memory at first, so that the average forgets where it started.
    shorter = jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(params, average, 1 - shorter)


def _g_params(params: dict) -> dict:
    """What the generator's optimizer trains."""
    return {name: params[name] for name in ("generator", "reconstructor") if name in params}


def latents(
    key: jax.Array, networks: Networks, recipe: Recipe, index: jax.Array, members: int
) -> jax.Array:
    """Latents [b, members, latent] of examples, N(0, I); a one-hot component behind, if several."""
    z = example_noise(jax.random.normal, key, LATENT, index, (members, networks.latent))
    if recipe.generators == 1:
        return z

    def draw(key, shape):
        return jax.random.randint(key, shape, 0, recipe.generators)

    component = example_noise(draw, key, COMPONENT, index, (members,))
    return jnp.concatenate([z, jax.nn.one_hot(component, recipe.generators)], -1)


def propose(networks: Networks, params: dict, z: jax.Array) -> jax.Array:
    """What a trained generator makes of latents [b, latent]: [b, *shape]; the average, if kept."""
    generator = params.get("average", params["generator"])
    return networks.generate(generator, params["statistics"], z[None], None)[0][0]


def sample(
    networks: Networks, recipe: Recipe, params: dict, key: jax.Array, index: jax.Array
) -> jax.Array:
    """Samples of a trained GAN, one an index [b]: [b, *shape].

    Of several proposals one is drawn in proportion to the estimated ratio of densities: as they
    grow in number, samples of the data's density wherever the generator reaches (sampling
    importance resampling by a classifier, Grover et al. 2019, section 4; Metropolis-Hastings GAN,
    Turner et al. 2019, has the same limit).
    """
    z = latents(key, networks, recipe, index, recipe.resample)
    x = propose(networks, params, z.reshape(-1, z.shape[-1]))
    if recipe.resample == 1:
        return x
    weight = networks.log_ratio(params["ratio"], x).reshape(z.shape[:2])
    noise = example_noise(jax.random.gumbel, key, CHOICE, index, (recipe.resample,))
    chosen = (weight + noise).argmax(1)
    return x.reshape(*z.shape[:2], *x.shape[1:])[jnp.arange(len(z)), chosen]


class Played(NamedTuple):
    """What the game gives in one step: the discriminator and its moments as they are after it, the
    generator's gradients, means over the batch, the generator's statistics, and what the last
    update looked at."""

    discriminator: Any
    moments: Any
    g_grads: Any
    metrics: dict
    statistics: Any
    drawn: Drawn


def adversarial_step(networks: Networks, recipe: Recipe, optimizers: dict) -> Callable:
    """The step of a recipe, step(state, batch, key, *, total, gather) -> (state, metrics).

    batch: `real` [n_critic * b, pack, *shape] and `index`; whole batches only, every weight 1.
    optimizers: {"generator", "discriminator"} and, where samples are chosen, "ratio".
    metrics, means over the batch: `loss` (the discriminator's), `generator_loss`, `penalty`, the
        mean logits `real_score` and `fake_score`, and the errors of the other nets (`ratio_loss`:
        cross-entropy in nats of telling data from samples, 2 log 2 for perfect ones).
    """
    play = _at_once if shares_a_pass(networks, recipe) else _in_turn

    def step(state: State, batch: dict, key, *, total: Callable, gather: Callable):
        before: Any = state.params, state.opt_state
        params, opt_state = map(dict, before)
        weights = recipe._replace(**state.weights)
        players = Players(
            networks,
            recipe,
            weights,
            optimizers["discriminator"],
            params["statistics"],
            total,
            gather,
        )
        played = play(players, state, batch, jax.random.fold_in(key, state.step))
        metrics = played.metrics
        trained = _g_params(params)
        updates, opt_state["generator"] = optimizers["generator"].update(
            played.g_grads, opt_state["generator"], trained
        )
        moved: Any = optax.apply_updates(trained, updates)
        params |= moved
        params["discriminator"], opt_state["discriminator"] = played.discriminator, played.moments
        params["statistics"] = played.statistics
        if recipe.ema:
            params["average"] = moving_average(
                params["generator"], params["average"], state.step, weights.ema
            )
        if recipe.resample > 1:
            grads, more = _ratio_gradients(networks, params, played.drawn, total)
            metrics |= more
            updates, opt_state["ratio"] = optimizers["ratio"].update(grads, opt_state["ratio"])
            params["ratio"] = optax.apply_updates(params["ratio"], updates)
        moved = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
        return moved, metrics

    return step


def _at_once(players: Players, state: State, batch: dict, key: jax.Array) -> Played:
    """Both players from the same point, by one way back through the discriminator."""
    params: Any = state.params
    opt_state: Any = state.opt_state
    drawn = _draw(players, params, batch["real"], batch["index"], key)
    grads, sums, statistics = players.joint_gradients(
        params["discriminator"], _g_params(params), drawn
    )
    (d_grads, g_grads), metrics = mean(players.total, (grads, sums), len(drawn.z))
    discriminator, moments = players.move_discriminator(
        d_grads, params["discriminator"], opt_state["discriminator"]
    )
    return Played(discriminator, moments, g_grads, metrics, statistics, drawn)


def _in_turn(players: Players, state: State, batch: dict, key: jax.Array) -> Played:
    """The discriminator's steps, each on its own part of the batch, then the generator's."""
    params: Any = state.params
    opt_state: Any = state.opt_state
    recipe = players.recipe
    before = params["discriminator"], opt_state["discriminator"]
    (discriminator, moments), played = before, []
    for i in range(recipe.n_critic):
        real, index = (batch[name][i :: recipe.n_critic] for name in ("real", "index"))
        drawn = _draw(players, params, real, index, key)
        fake, statistics = players.generate(params["generator"], drawn.z)
        discriminator, moments, metrics = players.discriminator_step(
            discriminator, moments, drawn, fake
        )
        played.append((drawn, statistics, metrics))
    drawn, statistics, metrics = played[-1]
    # The samples are made again inside the generator's gradient; XLA computes them once.
    facing = before if recipe.simultaneous else (discriminator, moments)
    grads, sums = jax.grad(players.generator_loss, has_aux=True)(_g_params(params), facing, drawn)
    g_grads, more = mean(players.total, (grads, sums), len(drawn.z))
    return Played(discriminator, moments, g_grads, metrics | more, statistics, drawn)


def _draw(
    players: Players, params: dict, real: jax.Array, index: jax.Array, key: jax.Array
) -> Drawn:
    """The noise of one update, beside its real samples; XLA drops what a recipe has no use for."""
    networks, recipe = players.networks, players.recipe
    z = latents(key, networks, recipe, index, recipe.pack)
    codes = None
    if recipe.reconstruction:
        codes = networks.reconstruct(params["reconstructor"], real)
    blend = example_noise(jax.random.uniform, key, BLEND, index, ())
    return Drawn(real, z, blend, codes)


def _ratio_gradients(
    networks: Networks, params: dict, drawn: Drawn, total: Callable
) -> tuple[Any, dict]:
    """Of the net that tells data from samples; every member of a pack is an example of its own."""
    real = drawn.real.reshape(-1, *networks.shape)
    fake = propose(networks, params, drawn.z.reshape(-1, drawn.z.shape[-1]))

    def loss(ratio):
        score = networks.log_ratio(ratio, jnp.concatenate([real, fake]))
        signed = jnp.where(jnp.arange(len(score)) < len(real), -score, score)
        return jax.nn.softplus(signed).sum()

    value, grads = jax.value_and_grad(loss)(params["ratio"])
    grads, value = mean(total, (grads, value), len(real))
    return grads, {"ratio_loss": value}
