"""The experiments' training steps for devices that are described only, such as a slice of TPUs.

    program, shapes = described.vae(genjax.vae.Config(), "vae", topology.devices)
    compiled = program.function.lower(*shapes).compile()

What a run would train with, but for its data, of which the shapes alone count.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from genjax.attention.variants.flash import flash
from genjax.core import arrangement, parallel, steps, training
from genjax.domains import described as language
from genjax.domains.config import Config as LmConfig
from genjax.gan import experiment as gans
from genjax.gan.config import Config as GanConfig
from genjax.images.stored import LEVELS, store
from genjax.lm import objectives, transformer
from genjax.scaling.config import Config as AttentionConfig
from genjax.scaling.training import optimizer
from genjax.vae import experiment as vaes
from genjax.vae.config import Config as VaeConfig

# Examples that lie on the devices: MNIST's images, PacGAN's points, sequences.
IMAGES, POINTS, SEQUENCES = 60_000, 100_000, 20_000


class Step(NamedTuple):
    """A program, its arguments as shapes with shardings, and the precision of its products."""

    program: parallel.Program
    shapes: tuple
    precision: str

    def compile(self):
        """The compiled program, by the compiler of the devices' own platform."""
        with jax.default_matmul_precision(self.precision):
            made = cast(jax.stages.Wrapped, self.program.function)
            return made.lower(*self.shapes).compile()


def vae(config: VaeConfig, name: str, devices: Sequence, shape=(28, 28, 1)) -> Step:
    """An autoencoder's, on bytes of images [h, w, c]."""
    arm, when = config.arms()[name], training.schedule(config)
    model = vaes.network(config, name, shape)
    grey = np.resize(np.arange(256, dtype=np.float32) / LEVELS[-1], (2, *shape))
    kept = store(grey)
    adam = vaes.optimizer_of(config, arm)
    return _step(
        config,
        vaes.step_of(config, name, model),
        lambda key: steps.init_state(model.init(key, jnp.asarray(grey)), adam),
        {"image": jax.ShapeDtypeStruct((IMAGES, kept.rows.shape[1]), kept.rows.dtype)},
        _plan(devices, config, training.needs(config, when, convolutions=arm.arch == "conv")),
        kept.take,
    )


def gan(config: GanConfig, name: str, devices: Sequence) -> Step:
    """A GAN's, on packs of points."""
    arm, when = config.arms()[name], training.schedule(config, evaluations=config.evaluations)
    method, rows = gans.method_of(config, name, (2,)), config.batch_size * arm.n_critic
    config = config.replace(batch_size=rows)  # That a step takes.
    return _step(
        config,
        method.step,
        method.state,
        {"real": jax.ShapeDtypeStruct((POINTS, arm.pack, 2), np.float32)},
        _plan(devices, config, training.needs(config, when, convolutions=arm.convolutional)),
    )


def attention(config: AttentionConfig, length: int, devices: Sequence) -> Step:
    """The transformer of exact attention that the sweep's tasks train."""
    variant = flash(length, config.width // config.task_heads, causal=True)
    model = transformer.build(
        variant, vocabulary=config.symbols, length=length, width=config.width,
        depth=config.depth, heads=config.task_heads, dtype=jnp.dtype(config.precision),
    )  # fmt: skip
    adam = optimizer(config)
    tokens = jax.ShapeDtypeStruct((SEQUENCES, length), np.int32)
    return _step(
        config,
        steps.training_step(objectives.token_loss(model.apply), adam),
        lambda key: steps.init_state(model.init(key), adam),
        {"tokens": tokens, "target": tokens},
        _plan(devices, config, training.needs(config, training.schedule(config), rows=length)),
    )


def lm(config: LmConfig, vocabulary: int, devices: Sequence) -> Step:
    """A language model's, from scratch, of the only arm of a configuration."""
    (name,) = config.arms()
    program, shapes = language.step(config, name, vocabulary, devices)
    return Step(program, shapes, config.matmul_precision)


def _plan(devices, config, needs: arrangement.Needs) -> arrangement.Arrangement:
    planned = arrangement.plan(
        devices[0].platform, len(devices), config.seeds, config.batch_size, needs, config.parallel
    )
    return arrangement.arrange(planned, devices, config.parallel)


def _step(config, step, init, arrays, arranged, take: Callable = parallel.take) -> Step:
    program = parallel.program(step, arranged, take)
    keys = jax.eval_shape(jax.vmap(jax.random.key), np.zeros(config.seeds, int))
    state = jax.eval_shape(jax.vmap(init), keys)
    row = jax.ShapeDtypeStruct((config.seeds, config.batch_size), np.int32)
    return Step(program, program.abstract(state, arrays, row), config.matmul_precision)
