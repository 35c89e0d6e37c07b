"""An arm's training step for devices that are described only, such as a slice of TPUs.

program, shapes = described.step(config, "model", vocabulary=32_768, devices=topology.devices)
compiled = program.function.lower(*shapes).compile()
"""

from collections.abc import Sequence

import jax
import numpy as np

from genjax.core import arrangement, parallel, steps, training
from genjax.domains import networks
from genjax.domains.config import Config
from genjax.domains.training import optimizer, step_of, take_windows
from genjax.lm import finetune
from genjax.lm.transformer import Large


def step(
    config: Config, name: str, vocabulary: int, devices: Sequence
) -> tuple[parallel.Program, tuple]:
    """The program of an arm that starts from scratch, and its arguments as shapes.

    vocabulary: tokens that the data have. Raises UsageError as a run would.
    """
    arm, seeds = config.arms()[name], config.seeds
    method, copies = finetune.Method(arm.train), max(1, config.fsdp)
    shape = vocabulary, config.context
    when = training.schedule(config, steps=arm.steps, evaluations=config.evaluations)
    needs = training.needs(config, when, rows=config.context)._replace(fsdp=copies)
    plan = arrangement.plan(
        devices[0].platform, len(devices), seeds, config.batch_size, needs, config.parallel
    )
    net = networks.build(arm, *shape, config.precision, Large(config.remat, copies))
    made = parallel.program(
        step_of(config, arm, method, net, copies),
        arrangement.arrange(plan, devices, config.parallel),
        take_windows,
    )

    def begin(key):
        params = finetune.start(key, net.init(key), method)
        return steps.init_state(params, optimizer(arm, method))

    keys = jax.eval_shape(jax.vmap(jax.random.key), np.zeros(seeds, int))
    state = jax.eval_shape(jax.vmap(begin), keys)
    row = jax.ShapeDtypeStruct((seeds, config.batch_size, config.context + 2), np.int32)
    return made, made.abstract(state, {}, row)
