"""What language models minimise."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

# Bytes of a device's logits of one seed [batch, length, vocabulary], float32, beyond which they are
# never there at once.
LOGITS = 2**28
# The same, of the positions whose logits are.
CHUNK = 2**26


def logits(x: jax.Array, table: jax.Array) -> jax.Array:
    """x [..., width] by the output's weights [vocabulary, width]: float32, and so are the sums."""
    return jnp.dot(x, table.T) if x.dtype == jnp.float32 else _half_logits(x, table)


@jax.custom_vjp
def _half_logits(x, table):
    return jnp.dot(x, table.T.astype(x.dtype), preferred_element_type=jnp.float32)


def _half_logits_forward(x, table):
    return _half_logits(x, table), (x, table)


def _half_logits_backward(saved, slope):
    """Products in x's type, of which autodiff would make float32's; the table's sums in float32."""
    x, table = saved
    slope = slope.astype(x.dtype)
    rows = (a.reshape(-1, a.shape[-1]) for a in (slope, x))
    by_table = jnp.einsum("iv,iw->vw", *rows, preferred_element_type=jnp.float32)
    return slope @ table.astype(x.dtype), by_table


_half_logits.defvjp(_half_logits_forward, _half_logits_backward)


def of_logits(found: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy in nats, and whether no token is likelier than the target, of each position.

    Not by an argmax, which is a pass of its own and takes one number after the other on CPU.
    """
    asked = jnp.maximum(target, 0)
    values = optax.softmax_cross_entropy_with_integer_labels(found, asked)
    own = jnp.take_along_axis(found, asked[..., None], -1)[..., 0]
    return values, (own == found.max(-1)) & (target >= 0)


def of_outputs(x: jax.Array, table: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same of x [b, n, width], with no more than LOGITS bytes of logits at once.

    Beyond, positions are taken in chunks of CHUNK bytes, and their logits computed again for the
    gradient.
    """
    vocabulary = table.shape[0]
    if 4 * target.size * vocabulary <= LOGITS:
        return of_logits(logits(x, table), target)

    @jax.checkpoint
    def one(row):
        x, target = row
        return of_logits(logits(x, table), target)

    rows = x.reshape(-1, x.shape[-1]), target.ravel()
    found = jax.lax.map(one, rows, batch_size=max(1, CHUNK // (4 * vocabulary)))
    return tuple(part.reshape(target.shape) for part in found)


def token_loss(apply: Callable, losses: Callable | None = None) -> Callable:
    """Cross-entropy in nats a position of `apply(params, tokens) -> logits`, and the accuracy.

    Averaged over a sequence's positions with a target (not -1), so that each counts alike. losses:
    (params, tokens, target) -> what `of_logits` returns, in the place of `apply`.
    """

    def loss(params, batch, key, gather):
        del key, gather
        tokens, target = batch["tokens"], batch["target"]
        asked = (target >= 0).astype(jnp.float32)
        if losses:
            values, hits = losses(params, tokens, target)
        else:
            values, hits = of_logits(apply(params, tokens), target)
        count = jnp.maximum(asked.sum(-1), 1.0)
        return (values * asked).sum(-1) / count, {"accuracy": (hits * asked).sum(-1) / count}

    return loss
