"""What claims G8c and G8d call equal: parameters and operations of training, of flow and GAN."""

import math

import jax
import jax.numpy as jnp
import pytest
import scripts

from genjax.core import flags, parallel
from genjax.gan import experiment, limits
from genjax.gan.claims import roles
from genjax.gan.config import Config

FLAGFILES = sorted(path.name for path in scripts.FLAGS.glob("gan_flow*.flags"))


def multiplications(jaxpr) -> int:
    """Of all matrix products of a program; what it repeats counts as often."""
    total = 0
    for equation in jaxpr.eqns:
        params = equation.params
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            size = math.prod(equation.outvars[0].aval.shape)
            total += size * math.prod(shape[axis] for axis in contracted)
        assert equation.primitive.name != "while"
        inside = multiplications_inside(params)
        total += inside * params.get("length", 1)
    return total


def multiplications_inside(params) -> int:
    parts = [
        value for value in params.values() if hasattr(value, "eqns") or hasattr(value, "jaxpr")
    ]
    return sum(multiplications(getattr(part, "jaxpr", part)) for part in parts)


def cost(config, name, shape):
    """(multiplications of a training step, parameters) of an arm."""
    method = experiment.method_of(config, name, shape)
    arm, rows = config.arms()[name], config.batch_size
    state = jax.eval_shape(method.state, jax.random.key(0))
    batch = {"real": jnp.zeros((rows, arm.pack, *shape)), "index": jnp.arange(rows)}
    batch["weight"] = jnp.ones(rows)

    def step(state, batch):
        same = parallel.identity
        return method.step(state, batch, jax.random.key(0), total=same, gather=same)

    return multiplications(jax.make_jaxpr(step)(state, batch).jaxpr), limits.parameters(method)


def test_multiplications_of_a_program_by_hand():
    def program(x, y):
        def body(x, _):
            return x @ y, None

        return jax.jit(lambda x: jax.lax.scan(body, x, None, length=7)[0])(x) @ y

    jaxpr = jax.make_jaxpr(program)(jnp.zeros((3, 5)), jnp.zeros((5, 5))).jaxpr
    assert multiplications(jaxpr) == 8 * 3 * 5 * 5


@pytest.mark.parametrize("name", FLAGFILES)
def test_a_flow_is_as_large_as_the_pair_and_trains_for_no_more(name):
    config = flags.parse(Config, "gan", [f"--flagfile={scripts.FLAGS / name}"]).config
    played = roles(config)
    shape = (2,) if config.is_plane else (8, 8, 3)
    (flow, own), (game, pair) = (cost(config, played[role], shape) for role in ("f", "v"))
    assert own == pytest.approx(pair, rel=0.02)
    assert 0.3 * game < flow <= game
