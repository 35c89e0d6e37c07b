"""A transformer that was trained to look things up, used: log_probs, answer."""

from collections.abc import Callable
from typing import NamedTuple

import jax

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


def model(run, arm: str, step: int, params: dict) -> Transformer:
    """The functions of an arm with parameters of a step."""
    net = training.network(run.config, arm)
    answer = training.answers(net)

    @jax.jit
    def log_probs(tokens):
        return jax.nn.log_softmax(net.apply(params, tokens))

    return Transformer(params, step, log_probs, lambda tokens: answer(params, tokens))
