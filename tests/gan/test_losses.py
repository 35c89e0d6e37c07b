"""Adversarial losses: their formulas in NumPy, what they say of themselves, and that they train."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.core import parallel
from genjax.core.steps import State
from genjax.gan.losses import ADVERSARIAL, Loss
from genjax.gan.networks import Networks
from genjax.gan.objectives import Recipe, adversarial_step, latents


def softplus(x):
    return np.log1p(np.exp(x))


# The discriminator's loss and the generator's, of (real, fake).
FORMULAS = {
    "ns": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
    "minimax": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: -softplus(f)),
    "lsgan": (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (f - 1) ** 2 / 2),
    "hinge": (
        lambda r, f: np.maximum(1 - r, 0) + np.maximum(1 + f, 0),
        lambda r, f: -f,
    ),
    "wgan": (lambda r, f: f - r, lambda r, f: -f),
    "rpgan": (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
    # Jolicoeur-Martineau 2019's least squares of pairs: a loss that the table does not have.
    "rplsgan": (lambda r, f: (r - f - 1) ** 2, lambda r, f: (f - r - 1) ** 2),
}
LOSSES = ADVERSARIAL | {"rplsgan": Loss(*FORMULAS["rplsgan"], relativistic=True)}
# Logits of a good discriminator, a bad one, and one that is sure.
LOGITS = np.array([(1.2, -0.7), (-0.4, 0.9), (0.3, 0.2), (9.0, -8.0), (-6.0, 7.0)])


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_losses_by_their_formulas(name):
    real, fake = LOGITS.T
    for found, formula in zip(ADVERSARIAL[name][:2], FORMULAS[name], strict=True):
        values = found(jnp.float32(real), jnp.float32(fake))
        np.testing.assert_allclose(values, formula(real, fake), rtol=1e-5, atol=1e-6)


def slopes(loss, real, fake):
    """By logits: of the discriminator's loss (real, fake), of the generator's (real, fake)."""

    def every(value):
        grads = jax.vmap(jax.grad(value, (0, 1)))(jnp.float32(real), jnp.float32(fake))
        return [np.asarray(grad) for grad in grads]

    return *every(loss.discriminator), *every(loss.generator)


@pytest.mark.parametrize("name", LOSSES)
def test_what_a_loss_says_of_itself_is_so(name):
    loss = LOSSES[name]
    real, fake = np.meshgrid(np.linspace(-20, 20, 41), np.linspace(-20, 20, 41))
    real, fake = real.ravel(), fake.ravel()
    _, d_by_fake, g_by_real, _ = slopes(loss, real, fake)
    assert loss.relativistic == bool(np.abs(g_by_real).max() > 0)
    if loss.monotone:
        assert d_by_fake.min() > 0
    shifted = slopes(loss, real + 1.5, fake + 1.5)
    gap = max(np.abs(a - b).max() for a, b in zip(slopes(loss, real, fake), shifted, strict=True))
    assert loss.shift_invariant == (gap < 1e-5)
    # Without a bound: a discriminator with steeper logits lessens it for ever.
    falls = float(loss.discriminator(jnp.float32(1e4), jnp.float32(-1e4))) < -1e3
    assert loss.lipschitz == falls


def line(recipe):
    """One step of SGD of rate 1 on the line: G(z) = shift + z / 8, D(x) = slope x + offset."""
    networks = Networks(
        init=lambda key: None,
        generate=lambda params, statistics, z, total: (params["shift"] + z / 8, statistics),
        discriminate=lambda params, x, total, gather: params["slope"] * x + params["offset"],
        reconstruct=lambda params, x: None,
        log_ratio=lambda params, x: None,
        latent=1,
        shape=(1,),
        separate=True,
    )
    params = {
        "generator": {"shift": jnp.float32(-0.5)},
        "discriminator": {"slope": jnp.float32(0.3), "offset": jnp.float32(0.1)},
        "statistics": {},
    }
    sgd = {name: optax.sgd(1.0) for name in ("generator", "discriminator")}
    moments = {name: sgd[name].init(params[name]) for name in sgd}
    state = State(jnp.zeros((), jnp.int32), params, moments)
    batch = {"real": jnp.linspace(0.8, 1.2, 8).reshape(8, 1, 1), "index": jnp.arange(8)}
    key = jax.random.key(0)
    step = jax.jit(adversarial_step(networks, recipe, sgd), static_argnames=("total", "gather"))
    after, metrics = step(state, batch, key, total=parallel.identity, gather=parallel.identity)
    z = latents(jax.random.fold_in(key, 0), networks, recipe, batch["index"], 1)
    z = np.asarray(z, np.float64)
    real = np.asarray(batch["real"], np.float64)
    return SimpleNamespace(after=after.params, metrics=metrics, z=z, real=real)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("simultaneous", [True, False])
def test_every_loss_moves_both_players(name, simultaneous):
    """By finite differences of the formulas; the samples lie left of the data."""
    found = line(Recipe(loss=LOSSES[name], simultaneous=simultaneous))
    of_discriminator, of_generator = FORMULAS[name]

    def value(formula, slope, offset, shift):
        real, fake = slope * found.real + offset, slope * (shift + found.z / 8) + offset
        return formula(real, fake).mean()

    def derivative(f, x, nudge=1e-5):
        return (f(x + nudge) - f(x - nudge)) / (2 * nudge)

    slope = 0.3 - derivative(lambda w: value(of_discriminator, w, 0.1, -0.5), 0.3)
    offset = 0.1 - derivative(lambda b: value(of_discriminator, 0.3, b, -0.5), 0.1)
    facing = (0.3, 0.1) if simultaneous else (slope, offset)
    shift = -0.5 - derivative(lambda s: value(of_generator, *facing, s), -0.5)
    # The discriminator grows steeper, and the generator goes where real samples are.
    assert slope > 0.3 + 1e-2 and shift > -0.5 + 1e-2
    moved = found.after["discriminator"]
    assert float(moved["slope"]) == pytest.approx(slope, abs=1e-5)
    assert float(moved["offset"]) == pytest.approx(offset, abs=1e-5)
    assert float(found.after["generator"]["shift"]) == pytest.approx(shift, abs=1e-5)
    expected = value(of_generator, *facing, -0.5)
    assert float(found.metrics["generator_loss"]) == pytest.approx(expected, abs=1e-5)
