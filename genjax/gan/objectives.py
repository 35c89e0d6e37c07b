"""The adversarial step: two networks in one state, a step of the contract like any other.

params: {"generator", "discriminator", "statistics" (of the generator's batch norm) and, where
asked, "average" (of the generator), "reconstructor", "ratio" (of densities)}; opt_state:
{"generator", "discriminator" and, where asked, "ratio"}; the reconstructor is the generator's.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from genjax.core import steps as training_steps
from genjax.core.steps import State, example_noise
from genjax.gan import losses
from genjax.gan.networks import Networks, pack

# One stream of random numbers a purpose.
LATENT, COMPONENT, BLEND, CHOICE = range(10, 14)
# Losses whose derivative by the generated logit is above 0 everywhere, and what stands for it where
# it is less: nothing to the discriminator, and still a number to divide by.
NEVER_FLAT, TINY = ("ns", "minimax", "rpgan"), 1e-20


class Recipe(NamedTuple):
    """How the pair is trained; every field is a switch of its own.

    loss: a key of losses.ADVERSARIAL. r1, r2: gamma of the gradient penalties on real and on
        generated samples (Mescheder et al. 2018; both, Huang et al. 2024, R3GAN). gp: weight of
        WGAN-GP's (Gulrajani et al. 2017). scale: the data's spread, in whose units gradients are
        taken.
    pack: samples judged together (PacGAN, Lin et al. 2018). unroll: discriminator steps that the
        generator looks ahead (Metz et al. 2017). n_critic: discriminator steps a generator step.
    simultaneous: both players move from the same point; otherwise the discriminator moves first.
    ema: decay of the generator's average, 0 for none.
    reconstruction: weight of VEEGAN's latent error (Srivastava et al. 2017).
    generators, diversity: of a mixture, and the weight of its classifier (MGAN, Hoang et al. 2018).
    resample: proposals of which a sample is one, chosen by a density ratio that is learned
        alongside (`sample`).
    """

    loss: str = "ns"
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


class Drawn(NamedTuple):
    """What one update looks at: samples [b, pack, *shape], latents [b, pack, latent (+ one-hot)].

    codes: the reconstructor's of the real samples. blend: uniform [b], for WGAN-GP. None where a
    recipe has no use for them.
    """

    real: jax.Array
    fake: jax.Array | None
    z: jax.Array
    codes: jax.Array | None
    blend: jax.Array | None


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

    def falling(peak, updates=1):
        return training_steps.schedule(schedule, peak, updates * steps)

    # Unrolling differentiates the root of a second moment, zero for what maxout did not choose.
    eps_root = 1e-16 if recipe.unroll else 0.0
    return {
        "generator": optax.adam(falling(rate), *betas, eps_root=eps_root),
        "discriminator": optax.adam(falling(d_rate, recipe.n_critic), *betas, eps_root=eps_root),
        # No game: a classifier, with Adam's own averages. It must see where the generator ends:
        # where the players' rates vanish as a square, its own does as a line.
        "ratio": optax.adam(
            optax.linear_schedule(d_rate, 0.0, steps) if schedule == "cosine" else d_rate
        ),
    }


def init_state(key, networks: Networks, recipe: Recipe, optimizers: dict) -> State:
    """The state before the first step; the average starts at the generator."""
    params = networks.init(key)
    if recipe.ema:
        params["average"] = jax.tree.map(jnp.copy, params["generator"])
    opt_state = {
        "generator": optimizers["generator"].init(_maker(params)),
        "discriminator": optimizers["discriminator"].init(params["discriminator"]),
    }
    if recipe.resample > 1:
        opt_state["ratio"] = optimizers["ratio"].init(params["ratio"])
    return State(jnp.zeros((), jnp.int32), params, opt_state)


def _maker(params):
    """What the generator's optimizer trains."""
    return {name: params[name] for name in ("generator", "reconstructor") if name in params}


def latents(key, networks: Networks, recipe: Recipe, index, members: int):
    """Latents [b, members, latent] of examples, N(0, I); a one-hot component behind, if several."""
    z = example_noise(jax.random.normal, key, LATENT, index, (members, networks.latent))
    if recipe.generators == 1:
        return z

    def draw(key, shape):
        return jax.random.randint(key, shape, 0, recipe.generators)

    component = example_noise(draw, key, COMPONENT, index, (members,))
    return jnp.concatenate([z, jax.nn.one_hot(component, recipe.generators)], -1)


def propose(networks: Networks, params, z):
    """What a trained generator makes of latents [b, latent]: [b, *shape]; the average, if kept."""
    generator = params.get("average", params["generator"])
    return networks.generate(generator, params["statistics"], z[None], None)[0][0]


def sample(networks: Networks, recipe: Recipe, params, key, index):
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


def adversarial_step(networks: Networks, recipe: Recipe, optimizers: dict) -> Callable:
    """The step of a recipe, step(state, batch, key, *, total, gather) -> (state, metrics).

    batch: `real` [n_critic * b, pack, *shape] and `index`; whole batches only, every weight 1.
    optimizers: {"generator", "discriminator"} and, where samples are chosen, "ratio".
    metrics, means over the batch: `loss` (the discriminator's), `generator_loss`, `penalty`, the
        mean logits `real_score` and `fake_score`, and the errors of the other nets (`ratio_loss`:
        cross-entropy in nats of telling data from samples, 2 log 2 for perfect ones).
    """
    of_discriminator, of_generator = losses.ADVERSARIAL[recipe.loss]
    relativistic = recipe.loss == "rpgan"
    one_pass = (
        recipe.simultaneous
        and recipe.loss in NEVER_FLAT
        and networks.separate
        and recipe.generators == 1
        and not (recipe.r1 or recipe.r2 or recipe.gp or recipe.unroll or recipe.reconstruction)
    )
    d_optimizer, g_optimizer = optimizers["discriminator"], optimizers["generator"]

    def step(state: State, batch: dict, key, *, total: Callable, gather: Callable):
        params, opt_state = dict(state.params), dict(state.opt_state)
        step_key = jax.random.fold_in(key, state.step)
        maker = _maker(params)

        def make(generator, z):
            # Each member of a pack is a pass of its own through batch norm.
            x, statistics = networks.generate(
                generator, params["statistics"], jnp.swapaxes(z, 0, 1), total
            )
            return jnp.swapaxes(x, 0, 1), statistics

        def judge(discriminator, x):
            return networks.discriminate(discriminator, x, total, gather)

        def slopes(discriminator, x):
            """The squared gradient of each logit by its own input [groups, b], and the outputs."""

            def score(x):
                outputs = judge(discriminator, x)
                return outputs[..., 0].sum(), outputs

            slope, outputs = jax.grad(score, has_aux=True)(x)
            return recipe.scale**2 * (slope**2).sum(tuple(range(2, x.ndim))), outputs

        def discriminator_loss(discriminator, drawn):
            x = _inputs(drawn)
            penalty = jnp.zeros(x.shape[1])
            if recipe.r1 or recipe.r2:
                squared, outputs = slopes(discriminator, x)
                penalty = 0.5 * (recipe.r1 * squared[0] + recipe.r2 * squared[1])
            else:
                outputs = judge(discriminator, x)
            if recipe.gp:
                blend = drawn.blend.reshape(-1, *[1] * (x.ndim - 2))
                squared, _ = slopes(discriminator, (blend * x[0] + (1 - blend) * x[1])[None])
                penalty += recipe.gp * (jnp.sqrt(squared[0] + 1e-12) - 1) ** 2
            real, fake = outputs[..., 0]
            values = of_discriminator(real, fake) + penalty
            metrics = {"penalty": penalty, "real_score": real, "fake_score": fake}
            if recipe.generators > 1:
                error = _naming_error(outputs, drawn.z, recipe.generators)
                values += error
                metrics["naming_error"] = error
            metrics = {"loss": values} | metrics
            return values.sum(), {name: value.sum() for name, value in metrics.items()}

        def move(grads, discriminator, moments):
            updates, moments = d_optimizer.update(grads, moments, discriminator)
            return optax.apply_updates(discriminator, updates), moments

        def advance(discriminator, moments, drawn):
            grads, sums = jax.grad(discriminator_loss, has_aux=True)(discriminator, drawn)
            grads, metrics = _mean(total, (grads, sums), len(drawn.real))
            return *move(grads, discriminator, moments), metrics

        def generator_loss(maker, ahead, drawn):
            fake, _ = make(maker["generator"], drawn.z)
            drawn = drawn._replace(fake=fake)
            discriminator, moments = ahead
            for _ in range(recipe.unroll):
                discriminator, moments, _ = advance(discriminator, moments, drawn)
            x = _inputs(drawn)
            # Apart from the real samples, whose gradient nobody asks for.
            outputs = judge(discriminator, x[1:])
            real = judge(discriminator, jax.lax.stop_gradient(x[:1])) if relativistic else outputs
            values = of_generator(real[0, :, 0], outputs[0, :, 0])
            metrics = {"generator_loss": values}
            if recipe.generators > 1:
                values += recipe.diversity * _naming_error(outputs, drawn.z, recipe.generators)
            if recipe.reconstruction:
                codes = networks.reconstruct(maker["reconstructor"], fake)
                error = ((codes - drawn.z[..., : networks.latent]) ** 2).mean((-2, -1))
                values += recipe.reconstruction * error
                metrics["reconstruction_error"] = error
            sums = {name: value.sum() for name, value in metrics.items()}
            return values.sum(), sums

        def from_one_pass(discriminator, maker, drawn):
            """Both players' gradients by one way back through the discriminator.

            Where a logit depends on its own samples alone, the two players' slopes by a sample
            differ by one number, the ratio of the losses' derivatives by that logit.
            """
            fake, pull_maker, statistics = jax.vjp(
                lambda maker: make(maker["generator"], drawn.z), maker, has_aux=True
            )
            outputs, pull = jax.vjp(
                lambda discriminator, fake: judge(
                    discriminator, _inputs(drawn._replace(fake=fake))
                ),
                discriminator,
                fake,
            )
            real, generated = outputs[..., 0]
            values, by_logits = jax.vjp(of_discriminator, real, generated)
            down, below = by_logits(jnp.ones_like(values))
            # A sample that is rejected for certain has a derivative that float32 takes for 0.
            below = jnp.maximum(below, TINY)
            g_values, by_logit = jax.vjp(lambda logit: of_generator(real, logit), generated)
            (up,) = by_logit(jnp.ones_like(values))
            d_grads, slopes = pull(jnp.stack([down, below])[..., None])
            ratio = (up / below).reshape(-1, *[1] * (fake.ndim - 1))
            (g_grads,) = pull_maker(slopes * ratio)
            metrics = {
                "loss": values,
                "generator_loss": g_values,
                "penalty": jnp.zeros_like(values),
            }
            metrics |= {"real_score": real, "fake_score": generated}
            sums = {name: value.sum() for name, value in metrics.items()}
            return (d_grads, g_grads), sums, statistics

        before = params["discriminator"], opt_state["discriminator"]
        after = before
        for part in _split(batch, recipe.n_critic):
            z = latents(step_key, networks, recipe, part["index"], recipe.pack)
            if one_pass:
                drawn = Drawn(part["real"], None, z, None, None)
                grads, sums, statistics = from_one_pass(before[0], maker, drawn)
                (d_grads, grads), metrics = _mean(total, (grads, sums), len(z))
                after = move(d_grads, *before)
                continue
            fake, statistics = make(maker["generator"], z)
            codes = None
            if recipe.reconstruction:
                codes = networks.reconstruct(maker["reconstructor"], part["real"])
            blend = example_noise(jax.random.uniform, step_key, BLEND, part["index"], ())
            drawn = Drawn(part["real"], fake, z, codes, blend)
            *after, metrics = advance(*after, drawn)

        if not one_pass:
            # The samples are made again inside the generator's gradient; XLA computes them once.
            facing = before if recipe.simultaneous else after
            grads, sums = jax.grad(generator_loss, has_aux=True)(maker, facing, drawn)
            grads, more = _mean(total, (grads, sums), len(z))
            metrics |= more
        updates, opt_state["generator"] = g_optimizer.update(grads, opt_state["generator"], maker)
        params |= optax.apply_updates(maker, updates)
        params["discriminator"], opt_state["discriminator"] = after
        params["statistics"] = statistics
        if recipe.ema:
            # A short memory at first, so that the average forgets where it started.
            decay = jnp.minimum(recipe.ema, (1 + state.step) / (10 + state.step))
            params["average"] = optax.incremental_update(
                params["generator"], params["average"], 1 - decay
            )
        if recipe.resample > 1:
            # Every member of a pack is an example of its own.
            real = part["real"].reshape(-1, *networks.shape)
            fake = propose(networks, params, z.reshape(-1, z.shape[-1]))

            def ratio_loss(ratio):
                score = networks.log_ratio(ratio, jnp.concatenate([real, fake]))
                signed = jnp.where(jnp.arange(len(score)) < len(real), -score, score)
                return jax.nn.softplus(signed).sum()

            value, grads = jax.value_and_grad(ratio_loss)(params["ratio"])
            grads, metrics["ratio_loss"] = _mean(total, (grads, value), len(real))
            updates, opt_state["ratio"] = optimizers["ratio"].update(grads, opt_state["ratio"])
            params["ratio"] = optax.apply_updates(params["ratio"], updates)
        return State(state.step + 1, params, opt_state), metrics

    return step


def _inputs(drawn: Drawn):
    """What the discriminator judges, real and generated: [2, b, *packed shape]."""
    x = jnp.stack([drawn.real, drawn.fake])
    if drawn.codes is not None:
        x = jnp.concatenate([x, jnp.stack([drawn.codes, drawn.z])], -1)
    return pack(x)


def _naming_error(outputs, z, generators: int):
    """Cross-entropy in nats of naming the generator of each pack's first member: [b]."""
    return optax.softmax_cross_entropy(outputs[-1, :, 1:], z[:, 0, -generators:])


def _split(batch, parts: int):
    return [{name: batch[name][i::parts] for name in ("real", "index")} for i in range(parts)]


def _mean(total, sums, count: int):
    sums, count = total((sums, jnp.float32(count)))
    return jax.tree.map(lambda value: value / count, sums)
