"""What a run would take of memory and hours, refused where it does not fit."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.core import machine, parallel
from genjax.core.errors import UsageError
from genjax.gan import evaluate, flow, game, watch
from genjax.gan.config import Arm, Config
from genjax.gan.method import Method

# Operations that slopes may take on a CPU, more than an hour of two cores.
MOST_WORK = 3e14


class Size(NamedTuple):
    """Of an arm: numbers of a sample, latents, and numbers that are trained."""

    values: int
    latent: int
    parameters: int


def check(config: Config, arm: Arm, shape: tuple[int, ...], method: Method) -> None:
    """Raises UsageError where an arm's training or measures do not fit memory or a day."""
    size = Size(math.prod(shape), method.latent, parameters(method))
    machine.require_memory(memory_needed(config, arm, size), config, [arm])
    check_memory(config, arm, shape)
    check_slopes(config, arm, size)


def memory_needed(config: Config, arm: Arm, size: Size) -> dict[str, float]:
    """{flags: bytes, at least} of an arm's data, training and measures."""
    rows, calls = 4.0 * config.batch_size * arm.n_critic, config.seeds * config.steps_per_call
    # Of dense nets: convolutions have widths of their own, and take one seed after the other.
    made, judged, wide = arm.g_width * arm.g_depth, arm.d_width * arm.d_depth, arm.g_width
    seeds = machine.at_once(config.seeds)
    if arm.convolutional:
        made, judged, wide, seeds = 0, 0, 0, 1
    return {
        "--points or --pack": config.points * arm.pack * (16.0 if config.is_plane else 12.0),
        # Weights, two moments and gradients.
        "--seeds, --generators, --pack, --latent, --g_width, --g_depth, --d_width, --d_depth or "
        "--d_fraction": 16.0 * config.seeds * size.parameters,
        # Real and generated.
        "--batch_size, --n_critic, --pack, --g_width, --g_depth, --d_width, --d_depth or --seeds": 2
        * seeds
        * rows
        * (arm.pack * (size.values + made) + judged),
        "--steps_per_call, --batch_size, --n_critic or --seeds": rows * calls,
        "--eval_samples or --seeds": 4.0 * config.eval_samples * config.seeds * size.values,
        "--latent or --g_width": 4.0
        * evaluate.SLOPES_AT_ONCE
        * size.latent
        * max(wide, size.values),
    }


def check_slopes(config: Config, arm: Arm, size: Size) -> None:
    """Raises UsageError where the slopes of samples by their latents would take hours."""
    passes = watch.NEAR_ALONG + watch.NEAR_FINAL + 2
    flag = f"--latent={arm.latent}"
    if arm.method == "flow":
        first, *others = arm.flow_steps
        steps = first * passes + sum(others) * watch.NEAR_FINAL
        passes = steps * flow.SOLVERS[arm.solver].evaluations
        flag = f"--flow_steps={','.join(map(str, arm.flow_steps))}"
    work = 2.0 * size.parameters * passes * size.latent * evaluate.LATENTS * config.seeds
    most = MOST_WORK if jax.default_backend() == "cpu" else 1000 * MOST_WORK
    if work > most:
        raise UsageError(
            f"{flag}: slopes of samples by {size.latent:,} latents, {passes:,} passes of the net "
            f"in all, take {work:.0e} operations, hours; at most {most:.0e}: fewer steps, latents, "
            "--seeds or units (--g_width, --g_depth), or smaller images"
        )


def parameters(method: Method) -> int:
    """Numbers that an arm trains."""
    return count(jax.eval_shape(method.init, jax.random.key(0)))


def check_memory(config: Config, arm: Arm, shape) -> None:
    """Raises UsageError where the steps that a generator looks ahead do not fit memory."""
    if not arm.unroll:
        return
    needed = machine.at_once(config.seeds) * arm.unroll * look_ahead_bytes(config, arm, shape)
    free = machine.memory_free()
    if needed > free:
        raise UsageError(
            f"--unroll={arm.unroll} with --seeds={config.seeds} needs about "
            f"{needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: fewer seeds or steps"
        )


def look_ahead_bytes(config: Config, arm: Arm, shape) -> float:
    """What one seed keeps of a discriminator step that the generator looks ahead."""
    networks = game.players(config, arm, shape)
    params = jax.eval_shape(networks.init, jax.random.key(0))["discriminator"]
    *sides, last = shape
    last += arm.latent if arm.reconstruction else 0
    judged = (2, config.batch_size, *sides, arm.pack * last)

    def kept(params, x):
        def judge(params, x):
            return networks.discriminate(params, x, parallel.identity, parallel.identity)

        return jax.vjp(judge, params, x)[1]

    on_the_way = jax.eval_shape(kept, params, jax.ShapeDtypeStruct(judged, jnp.float32))
    # Weights, two moments, gradients and theirs; the way forth, back, and back through both.
    return 4.0 * (6 * count(params) + 3 * count(on_the_way))


def count(tree) -> int:
    """Numbers in the arrays of a tree."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
