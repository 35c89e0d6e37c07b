"""A transformer that was trained to look things up, used: log_probs, answer."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.core.checkpoints import last_params
from genjax.core.errors import UsageError
from genjax.scaling import training


class Transformer(NamedTuple):
    """A trained model as plain functions of tokens [b, n], n the length of its task.

    log_probs: tokens -> [b, n, vocabulary] in nats, what the model says of each position's target.
    answer: tokens -> [b, n], the likeliest target of each position.
    """

    params: dict
    step: int
    log_probs: Callable
    answer: Callable


def model(run, arm: str, seed: int) -> Transformer:
    """The model of an arm and seed at its last checkpoint; UsageError where there is none."""
    config = run.config
    net = training.network(config, arm)
    step, all_params = last_params(run.folder / "checkpoints" / arm)
    if all_params is None:
        raise UsageError(f"{run.folder}: no checkpoint of arm {arm} yet")
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf[config.all_seeds.index(seed)]), all_params)
    answer = training.answers(net)

    @jax.jit
    def log_probs(tokens):
        return jax.nn.log_softmax(net.apply(params, tokens))

    return Transformer(params, step, log_probs, lambda tokens: answer(params, tokens))
