"""How an arm is trained: its step, its first state, and its loss on held-out images."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import optax

from genjax import data
from genjax.core import order, parallel, processes, steps, training
from genjax.images import stored
from genjax.vae import models, networks, objectives
from genjax.vae.config import Arm, Config

if TYPE_CHECKING:
    from genjax.vae.experiment import Job

# Initialisation and validation look at no more images than this.
FIRST = 1000


def optimizer_of(config: Config, arm: Arm) -> optax.GradientTransformation:
    """Adam with the arm's schedule."""
    adam, share = partial(optax.adam, eps=arm.adam_eps), steps.schedule(arm.schedule, config.steps)
    return steps.with_peak(adam, arm.learning_rate, share)


def step_of(config: Config, name: str, model: networks.Model) -> Callable:
    """The training step of an arm."""
    arm = config.arms()[name]
    return steps.training_step(
        models.loss(arm, model),
        optimizer_of(config, arm),
        reduction=arm.reduction,
        prepare=objectives.binarize if config.binarize == "dynamic" else None,
    )


def first_of(config: Config, name: str, model: networks.Model, images) -> Callable:
    """key -> the state before the first step; images as `Model.init`'s."""
    arm = config.arms()[name]
    optimizer, weights = optimizer_of(config, arm), models.weights(arm)
    return lambda key: steps.init_state(model.init(key, images), optimizer, weights)


def begin(config: Config, name: str, model: networks.Model, images):
    """The states of all seeds before the first step, on the host."""
    return training.initial(first_of(config, name, model, images), config.all_seeds)


def train(job: "Job", folder, name: str):
    """Trains all seeds of an arm, or continues; returns params with leaves [seeds, ...]."""
    config, model, arm = job.config, job.models[name], job.config.arms()[name]
    loss, dynamic = models.loss(arm, model), config.binarize == "dynamic"
    when, seeds = training.schedule(config), config.all_seeds
    kept, first = stored.kept(job.images), data.floats(job.images[:FIRST])
    needs = training.needs(config, when, convolutions=arm.arch == "conv")
    compiled = parallel.compile_step(
        step_of(config, name, model),
        kept.arrays,
        seeds,
        config.batch_size,
        mode=config.parallel,
        needs=stored.needs(kept, needs, len(seeds) * config.batch_size),
        take=kept.take,
    )
    state = begin(config, name, model, first)
    validate = validation(loss, job.splits["valid"]["image"][:FIRST], seeds, dynamic)
    index = order.batches(seeds, len(job.images), config.batch_size)
    with stored.reading(kept, index, compiled, when.steps) as batches:
        state = training.train(folder, name, compiled, state, when, batches, validate=validate)
    return state.params


def validation(loss, images, seeds, dynamic):
    """state -> {"valid_loss": [seeds]}: the training loss on held-out images, the same noise."""
    index = jnp.arange(len(images))

    @jax.jit
    def mean_loss(params, weights, key):
        pixels = objectives.bernoulli_pixels(key, index, images) if dynamic else images
        batch = {"image": pixels, "index": index, "weight": jnp.ones(len(images))}
        return loss(params, batch, key, parallel.identity, **weights)[0].mean()

    def validate(state):
        def of(one):
            return mean_loss(*one[0], jax.random.key(one[1]))

        trees = parallel.each((state.params, state.weights), len(seeds))
        pairs = list(zip(trees, seeds, strict=True))
        return {"valid_loss": jax.device_get(processes.map_shared(of, pairs))}

    return validate
