"""The variants of attention as a configuration wants them: the only calls to `attention.build`."""

import jax
import numpy as np
from jax.sharding import Mesh

from genjax import attention
from genjax.attention import blocks
from genjax.attention.sharded import spread
from genjax.core.arrangement import whole
from genjax.core.config import shown, written
from genjax.core.errors import UsageError
from genjax.scaling.config import Config


def check(config: Config) -> None:
    """Raises UsageError where a variant cannot have a length of the sweep or of the tasks, and for
    an option that none of them takes.
    """
    for name in config.variants:
        for length in config.lengths:
            build(config, name, length)
        for length in config.task_lengths if config.tasks else ():
            try:
                scaled(config, name, length)
            except UsageError as error:
                raise UsageError(f"--task_lengths={length}: scaled to it, {error}") from error
    _require_taken(config)


def _require_taken(config: Config) -> None:
    for flag, field in config.options().items():
        value = getattr(config, field.name)
        if field.metadata["group"] == "Variants" and value != field.default:
            option = {"hash_rounds": "rounds"}.get(flag, flag)
            takers = [one for one in attention.variant_names() if option in attention.options(one)]
            if not set(takers) & set(config.variants):
                raise UsageError(
                    f"--{flag}={shown(written(value))}: has no effect without "
                    f"--variants={', '.join(takers)}"
                )


def mesh(config: Config) -> Mesh | None:
    """The devices that share the positions; None: one has all. Raises UsageError without them."""
    if not config.shards:
        return None
    devices = jax.local_devices()
    if len(devices) < config.shards:
        how = (
            ""
            if devices[0].platform != "cpu"
            else (
                f"; before Python starts, XLA_FLAGS=--xla_force_host_platform_device_count="
                f"{config.shards} makes them"
            )
        )
        raise UsageError(
            f"--mesh={config.mesh}: {len(devices)} {devices[0].platform} devices are there{how}"
        )
    every = jax.devices()
    if config.shards < len(every) and whole(every):
        there = f"of {len(every)} v5e chips a program is on all or on one (XLA's compiler)"
        raise UsageError(f"--mesh={config.mesh}: {there}; take a slice of eight or fewer")
    return Mesh(devices[: config.shards], ("sequence",))


def build(config: Config, name: str, length: int) -> attention.Variant:
    """A variant for the sweep."""
    options = attention.select(
        name,
        implementation=config.implementation,
        dtype=config.dtype,
        platform=jax.default_backend(),
        window=config.window,
        dilation=config.dilation,
        global_positions=config.global_positions,
        block=config.block,
        random_blocks=config.random_blocks,
        keep=config.keep,
        summary=config.summary,
        rank=config.rank,
        features=config.features,
        chunk=config.chunk,
        rounds=config.hash_rounds,
        # 0: the variant's own.
        **({"stride": config.stride} if config.stride else {}),
    )
    causal = config.causal or attention.find(name).must_be_causal
    devices = mesh(config)
    if devices:
        return spread(name, devices, length, config.head_dim, causal=causal, **options)
    return attention.build(name, length, config.head_dim, causal=causal, **options)


def scaled(config: Config, name: str, length: int) -> attention.Variant:
    """A variant for a short task: what it sees, or remembers, stays well below the length.

    At most as large as the configuration says. Causal where the variant can be: looking up is
    learnt far sooner so.
    """
    entry = attention.find(name)
    short = dict(entry.short(length))
    most = attention.select(
        name,
        window=config.window,
        keep=config.keep,
        rank=config.rank,
        features=config.features,
        chunk=config.chunk,
        rounds=config.hash_rounds,
    )
    for option, value in most.items():
        short[option] = min(value, short.get(option, value))
    head_dim = config.width // config.task_heads
    return attention.build(name, length, head_dim, causal=entry.can_be_causal, **short)


def unmasked(config: Config) -> list[str]:
    """The variants whose transformers see what comes later: they cannot be causal."""
    return [name for name in config.variants if not attention.find(name).can_be_causal]


def state(config: Config, name: str, length: int) -> int:
    """Numbers that a layer of a task's transformer carries from one position to the next, at most.

    Of a pattern the keys and values that a later query sees; of kernelized attention its sums; of
    Linformer, which is not causal, its rows; of Reformer, whose buckets may hold any, all.
    """
    variant, width = scaled(config, name, length), config.width
    if variant.pattern is not None:
        mask = blocks.dense_mask(variant.pattern) > 0
        # later[i, j]: whether a query behind i sees j.
        later = np.flip(np.logical_or.accumulate(np.flip(mask, 0), 0), 0)[1:]
        seen = (later & np.tri(length - 1, length, dtype=bool)).sum(1)
        return int(2 * width * seen.max())
    if name == "reformer":
        return 2 * width * length
    extra = jax.tree.leaves(jax.eval_shape(lambda: variant.init(jax.random.key(0))))
    rows = extra[0].shape[0] if extra else width // config.task_heads
    if variant.trained:
        return 2 * width * rows
    return rows * (width + config.task_heads)
