"""Language models that carry a state from token to token: the contrasts to attention.

The same pre-norm residual blocks, embeddings and output as the transformer; what mixes positions is
an LSTM, a GRU, or a diagonal state-space layer. Products with the input are taken for all positions
at once, before the loop over time (flax's cells take them inside, which costs half the speed).
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.lm.transformer import Model, Network, losses_of, one_by_one


class LSTM(nn.Module):
    """Hochreiter & Schmidhuber (1997), with a forget gate that opens at first (bias 1)."""

    width: int
    dtype: jnp.dtype
    kept: bool = False

    @nn.compact
    def __call__(self, x):
        gates = nn.Dense(4 * self.width, dtype=self.dtype, name="input")(x)
        kernel = _recurrent_kernel(self, 4)

        def step(carry, gate):
            cell, hidden = carry
            gate = gate + hidden @ kernel
            keep, write, show, new = jnp.split(gate, 4, -1)
            cell = jax.nn.sigmoid(keep + 1.0) * cell + jax.nn.sigmoid(write) * jnp.tanh(new)
            hidden = jax.nn.sigmoid(show) * jnp.tanh(cell)
            return (cell, hidden), hidden

        before = _before(self, (2, len(x), self.width), gates.dtype)
        after, out = jax.lax.scan(step, tuple(before), gates.swapaxes(0, 1))
        _keep(self, jnp.stack(after))
        return nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="out")(
            out.swapaxes(0, 1)
        )


class GRU(nn.Module):
    """Cho et al. (2014), the reset gate behind the recurrent product, as cuDNN has it."""

    width: int
    dtype: jnp.dtype
    kept: bool = False

    @nn.compact
    def __call__(self, x):
        gates = nn.Dense(3 * self.width, dtype=self.dtype, name="input")(x)
        kernel = _recurrent_kernel(self, 3)

        def step(hidden, gate):
            own = hidden @ kernel
            keep, reset = jnp.split(
                jax.nn.sigmoid(gate[:, : 2 * self.width] + own[:, : 2 * self.width]), 2, -1
            )
            new = jnp.tanh(gate[:, 2 * self.width :] + reset * own[:, 2 * self.width :])
            hidden = keep * hidden + (1 - keep) * new
            return hidden, hidden

        before = _before(self, (len(x), self.width), gates.dtype)
        after, out = jax.lax.scan(step, before, gates.swapaxes(0, 1))
        _keep(self, after)
        return nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="out")(
            out.swapaxes(0, 1)
        )


class StateSpace(nn.Module):
    """h_t = a_t h_(t-1) + (1 - a_t) u_t, a_t = sigmoid of the input: diagonal and linear in h.

    The recurrence of minGRU (Feng et al. 2024, section 3.1), whose gates do not see the state, with
    a multiplicative output gate as in gated state-space layers (Mehta et al. 2022, eq. 2).
    """

    width: int
    dtype: jnp.dtype
    kept: bool = False

    @nn.compact
    def __call__(self, x):
        parts = nn.Dense(3 * self.width, dtype=self.dtype, name="input")(x)
        keep, new, show = jnp.split(parts, 3, -1)
        keep = jax.nn.sigmoid(keep + 1.0).astype(jnp.float32)
        added = (1 - keep) * new.astype(jnp.float32)

        def join(early, late):
            return early[0] * late[0], early[1] * late[0] + late[1]

        carried, state = jax.lax.associative_scan(join, (keep, added), axis=1)
        if self.kept:
            state += carried * _before(self, (len(x), 1, self.width), state.dtype)
            _keep(self, state[:, -1:])
        out = state.astype(parts.dtype) * nn.silu(show)
        return nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="out")(out)


def _recurrent_kernel(module, gates):
    init = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
    kernel = module.param("kernel", init, (module.width, gates * module.width))
    return kernel.astype(module.dtype)


def _before(module, shape, dtype):
    """The state before the first token: zeros, or what the token before it left."""
    if not module.kept:
        return jnp.zeros(shape, dtype)
    return module.variable("memory", "state", jnp.zeros, shape, dtype).value


def _keep(module, state):
    if module.kept:
        module.put_variable("memory", "state", state)


# Which layer, and whether a feed-forward part follows it.
LAYERS = {"lstm": (LSTM, False), "gru": (GRU, False), "ssm": (StateSpace, True)}


def build(
    kind: str,
    *,
    vocabulary: int,
    width: int = 64,
    depth: int = 2,
    dtype: jnp.dtype = jnp.float32,
) -> Model:
    """A recurrent language model, `kind` of LAYERS."""
    layer, feed_forward = LAYERS[kind]
    make = functools.partial(
        Network, vocabulary, width=width, depth=depth, dtype=dtype, feed_forward=feed_forward
    )
    mixer = functools.partial(layer, width, dtype)
    network = make(mixer)

    def init(key):
        return network.init(key, jnp.zeros((1, 2), jnp.int32))["params"]

    def apply(params, tokens):
        return network.apply({"params": params}, tokens)

    begin, step = one_by_one(make(functools.partial(mixer, kept=True)))
    return Model(init, apply, None, begin, step, losses_of(network))
