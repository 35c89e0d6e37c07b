"""What language models minimise."""

from collections.abc import Callable

import jax.numpy as jnp
import optax


def token_loss(apply: Callable) -> Callable:
    """Cross-entropy in nats a position of `apply(params, tokens) -> logits`, and the accuracy.

    Averaged over a sequence's positions with a target (not -1), so that each counts alike.
    """

    def loss(params, batch, key, gather):
        del key, gather
        logits, target = apply(params, batch["tokens"]), batch["target"]
        asked = (target >= 0).astype(jnp.float32)
        values = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(target, 0))
        count = jnp.maximum(asked.sum(-1), 1.0)
        hits = (jnp.argmax(logits, -1) == target) * asked
        return (values * asked).sum(-1) / count, {"accuracy": hits.sum(-1) / count}

    return loss
