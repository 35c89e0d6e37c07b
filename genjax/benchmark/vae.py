"""Rows of the autoencoders: training and likelihood, images a second."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.benchmark import peers, repeated, roofs
from genjax.benchmark.config import Config
from genjax.benchmark.harness import Part, Rates, Row, against, ratio
from genjax.benchmark.sizes import Autoencoders, Net
from genjax.core import machine, parallel, steps
from genjax.vae import networks
from genjax.vae.architecture import Architecture
from genjax.vae.likelihood import importance_bounds
from genjax.vae.objectives import elbo_loss


def part(config: Config, size: Autoencoders) -> Part:
    """The autoencoders; `config` says nothing of them."""
    del config
    return Part(
        machine.tune_cpu,
        partial(rows, size),
        partial(ratios, size),
        partial(peers.vae_rows, size),
    )


def rows(size: Autoencoders) -> dict[str, Row]:
    """Each by itself, and several seeds at once or in turn."""
    rng, one, all_ = np.random.default_rng, [0], list(range(size.seeds))
    images = rng(0).random((size.net.images, size.net.pixels), np.float32)
    few = rng(0).random((size.small.images, size.small.pixels), np.float32)
    made = {
        "train": training(size.net, images, one),
        "nll": likelihood(size.net, images[: size.nll_images], size.nll_samples),
        "small, one seed": training(size.small, few, one),
        "small, ten in turn": training(size.small, few, one, repeat=size.seeds),
        "small, ten at once": training(size.small, few, all_),
        "ten in turn": training(size.net, images, one, repeat=size.seeds),
        "ten at once": training(size.net, images, all_),
    }
    return roofs.beside(made, size.roofs)


def ratios(size: Autoencoders, rates: Rates) -> dict[str, np.ndarray]:
    """Seeds against one, and against the peers that there are."""
    seeds = size.seeds
    found = {
        "small: ten seeds at once / in turn": ratio(
            rates, "small, ten at once", "small, ten in turn"
        ),
        "ten seeds at once / in turn": ratio(rates, "ten at once", "ten in turn"),
        "small: time of ten seeds / of one": seeds
        * ratio(rates, "small, one seed", "small, ten at once"),
        "time of ten seeds / of one": seeds * ratio(rates, "train", "ten at once"),
    }
    return found | against(rates, {"train": peers.LOOPS, "nll": ("pythae get_nll",)})


def training(net: Net, images: np.ndarray, seeds: list[int], repeat: int = 1) -> Row:
    """Images a second through the real step: build, elbo_loss, training_step, compile_step."""
    shape = (net.side, net.side, 1)
    model = networks.build(Architecture(shape, latent=net.latent, hidden=net.hidden))
    optimizer = optax.adam(1e-3)
    arrays = {"image": images.reshape(-1, *shape)}
    compiled = parallel.compile_step(
        steps.training_step(elbo_loss(model), optimizer), arrays, seeds, net.batch
    )
    calls = (compiled.plan.steps_per_call, len(seeds), net.batch)
    return repeated.row(
        compiled,
        lambda key: steps.init_state(model.init(key, arrays["image"][:9]), optimizer),
        seeds,
        np.random.default_rng(1).integers(0, len(images), calls, np.int32),
        work=float(np.prod(calls)),
        unit="images/s",
        repeat=repeat,
    )


def likelihood(net: Net, images: np.ndarray, samples: int) -> Row:
    """Images a second of the bound of so many samples (5,000: Burda et al. 2016)."""
    shape = (net.side, net.side, 1)
    model = networks.build(Architecture(shape, latent=net.latent, hidden=net.hidden))
    shown = jnp.asarray(images.reshape(-1, *shape))
    params = model.init(jax.random.key(0), shown)
    bounds = importance_bounds(model, samples=samples)
    arguments = params, shown, jnp.arange(len(shown)), jax.random.key(0)
    return Row(lambda: jax.block_until_ready(bounds(*arguments)), len(shown), "images/s")
