"""The experiments' training steps for devices that are described only, such as a slice of TPUs.

    compiled = described.vae(genjax.vae.Config(), "vae", topology.devices).compile()

What a run would train with, but for its data, of which the shapes alone count.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from genjax.attention.variants.flash import flash
from genjax.core import arrangement, parallel, steps, training
from genjax.domains import networks
from genjax.domains import training as language
from genjax.domains.config import Config as LmConfig
from genjax.gan import experiment as gans
from genjax.gan.config import Config as GanConfig
from genjax.images.stored import LEVELS, store
from genjax.lm import finetune, objectives, transformer
from genjax.lm.transformer import Large
from genjax.scaling.config import Config as AttentionConfig
from genjax.scaling.training import optimizer
from genjax.vae import experiment as vaes
from genjax.vae import training as autoencoders
from genjax.vae.config import Config as VaeConfig

# Examples that lie on the devices: MNIST's images, PacGAN's points, sequences.
IMAGES, POINTS, SEQUENCES = 60_000, 100_000, 20_000


class Step(NamedTuple):
    """A program, its arguments as shapes with shardings, the precision of its products, and what
    makes the first state: seeds -> leaves [seeds, ...]."""

    program: parallel.Program
    shapes: tuple
    precision: str
    first: Callable

    def compile(self):
        """The compiled program, by the compiler of the devices' own platform."""
        with jax.default_matmul_precision(self.precision):
            made = cast(jax.stages.Wrapped, self.program.function)
            return made.lower(*self.shapes).compile()

    def compile_first(self):
        """Likewise the program that makes the first state where the step takes it."""
        there, keys = (jax.tree.map(lambda x: x.sharding, self.shapes[i]) for i in (0, 3))
        seeds = jax.ShapeDtypeStruct(self.shapes[3].shape, np.int32, sharding=keys)
        return jax.jit(self.first, out_shardings=there).lower(seeds).compile()


def vae(config: VaeConfig, name: str, devices: Sequence, shape=(28, 28, 1)) -> Step:
    """An autoencoder's, on bytes of images [h, w, c]."""
    arm = config.arms()[name]
    needs = training.needs(config, training.schedule(config), convolutions=arm.arch == "conv")
    model = vaes.network(config, name, shape)
    grey = np.resize(np.arange(256, dtype=np.float32) / LEVELS[-1], (2, *shape))
    kept = store(grey)
    return _step(
        config,
        autoencoders.step_of(config, name, model),
        autoencoders.first_of(config, name, model, jnp.asarray(grey)),
        {"image": jax.ShapeDtypeStruct((IMAGES, kept.rows.shape[1]), kept.rows.dtype)},
        needs,
        devices,
        take=kept.take,
    )


def gan(config: GanConfig, name: str, devices: Sequence) -> Step:
    """A GAN's, on packs of points."""
    arm, when = config.arms()[name], training.schedule(config, evaluations=config.evaluations)
    method, rows = gans.method_of(config, name, (2,)), config.batch_size * arm.n_critic
    needs = training.needs(config, when, convolutions=arm.convolutional)
    config = config.replace(batch_size=rows)  # That a step takes.
    return _step(
        config,
        method.step,
        method.state,
        {"real": jax.ShapeDtypeStruct((POINTS, arm.pack, 2), np.float32)},
        needs,
        devices,
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
        training.needs(config, training.schedule(config), rows=length),
        devices,
    )


def lm(config: LmConfig, vocabulary: int, devices: Sequence) -> Step:
    """A language model's, from scratch, of the only arm of a configuration.

    vocabulary: tokens that the data have. Raises UsageError as a run would.
    """
    ((name, arm),) = config.arms().items()
    method, copies = finetune.Method(arm.train), max(1, config.fsdp)
    when = training.schedule(config, steps=arm.steps, evaluations=config.evaluations)
    large = Large(config.remat, copies)
    net = networks.build(arm, vocabulary, config.context, config.precision, large)
    adam = language.optimizer(arm, method, arm.steps)
    return _step(
        config,
        language.step_of(config, arm, method, net, copies),
        lambda key: steps.init_state(finetune.start(key, net.init(key), method), adam),
        {},
        training.needs(config, when, rows=config.context)._replace(fsdp=copies),
        devices,
        take=language.take_windows,
        row=(config.context + 3,),
    )


def _step(
    config, step, init, arrays, needs, devices, take: Callable = parallel.take, row=()
) -> Step:
    """row: what the index holds of an example."""
    seeds, rows = config.seeds, config.batch_size
    plan = arrangement.plan_on(devices, seeds, rows, needs, config.parallel)
    program = parallel.program(step, arrangement.arrange(plan, devices, config.parallel), take)
    first = jax.vmap(lambda seed: init(jax.random.key(seed)))
    state = jax.eval_shape(first, np.zeros(seeds, int))
    index = jax.ShapeDtypeStruct((seeds, rows, *row), np.int32)
    shapes = program.abstract(state, arrays, index)
    return Step(program, shapes, config.matmul_precision, first)
