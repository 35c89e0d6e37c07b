"""Parameters in parts over devices: the same training, and a part on each device."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from genjax import attention
from genjax.core import arrangement, fsdp, parallel, steps
from genjax.core.arrangement import Needs
from genjax.core.checkpoints import Checkpoints
from genjax.core.errors import UsageError
from genjax.lm import objectives, transformer

LENGTH, VOCABULARY, SEEDS = 8, 24, [0, 1]
OPTIMIZERS = {
    "sgd": optax.sgd(0.5),
    "adamw": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2)),
    "muon": optax.chain(optax.clip_by_global_norm(1.0), optax.contrib.muon(1e-2)),
}


def windows(first, count):
    """[count, seeds, 8, length + 1]; every other batch has two rows of padding."""
    rng = np.random.default_rng(0)
    every = rng.integers(0, VOCABULARY, (4, len(SEEDS), 8, LENGTH + 1)).astype(np.int32)
    every[1::2, :, 6:] = -1
    return every[first : first + count]


def take(arrays, rows):
    del arrays
    tokens = jnp.maximum(rows, 0)
    weight = (rows[:, 0] >= 0).astype(jnp.float32)
    return {"tokens": tokens[:, :-1], "target": tokens[:, 1:], "weight": weight}


def compiled(name, parts=1, devices=1, **how):
    """A step of a transformer of two blocks, and what makes its first state of the seeds."""
    variant, optimizer = attention.build("flash", LENGTH, 4, causal=True), OPTIMIZERS[name]
    net = transformer.build(
        variant, vocabulary=VOCABULARY, length=LENGTH, width=8, depth=2, heads=2,
        large=transformer.Large(parts=parts),
    )  # fmt: skip
    step = steps.training_step(
        objectives.token_loss(net.apply, net.losses), optimizer, parts=parts, **how
    )
    made = parallel.compile_step(
        step, {}, SEEDS, 8, take=take, needs=Needs(steps_per_call=2, fsdp=parts),
        devices=jax.devices()[:devices],
    )  # fmt: skip
    return made, jax.vmap(lambda n: steps.init_state(net.init(jax.random.key(n)), optimizer))


def run(made, begin, calls=(0, 2), found=None):
    """The state on the devices, and the losses, after calls of two steps each."""
    state, losses = made.place(found) if found else made.begin(begin)(np.asarray(SEEDS)), []
    for first in calls:
        state, metrics = made.run(state, windows(first, 2), 2)
        losses.append(np.asarray(metrics["loss"]))
    return state, np.concatenate(losses)


def close(left, right):
    """To 1e-6 of the largest number of an array."""

    def one(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(b).max())

    jax.tree.map(one, jax.device_get(left), jax.device_get(right))


@pytest.mark.parametrize(
    ("name", "parts", "how"),
    [("sgd", 4, {}), ("adamw", 2, {"microbatches": 2}), ("muon", 4, {})],
)
def test_parts_do_not_matter(name, parts, how, tmp_path):
    """On four devices, two of which share a copy or all; and from a checkpoint on one."""
    made, begin = compiled(name)
    alone, losses = run(made, begin)
    assert (losses[0] != losses[-1]).all()
    spread, begin = compiled(name, parts, devices=4, **how)
    assert spread.plan.fsdp == parts and spread.plan.idle == 0
    half, _ = run(spread, begin, calls=(0,))
    for leaf in jax.tree.leaves(half):
        split = fsdp.axis_of(leaf.shape[1:], parts) != fsdp.WHOLE
        assert leaf.addressable_shards[0].data.size * (parts if split else 1) == (
            leaf.size // spread.plan.replicas
        )
    kept = Checkpoints(tmp_path / "checkpoints")
    kept.save(2, half)
    kept.close()
    _, found = Checkpoints(tmp_path / "checkpoints").restore(half)
    close(run(made, begin, calls=(2,), found=found)[0].params, alone.params)
    state, others = run(spread, begin)
    close(state.params, alone.params)
    np.testing.assert_allclose(others, losses, rtol=1e-6)


def test_the_first_state_is_made_in_parts_and_no_device_has_it_whole():
    """The bits of one device, in a part of its memory, what is computed on the way too."""
    seeds, (spread, begin) = np.asarray(SEEDS), compiled("adamw", 4, devices=4)
    wanted, found = jax.jit(begin)(seeds), spread.begin(begin)(seeds)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), jax.device_get(wanted))
    needed = []
    for state in (wanted, found):
        there = jax.tree.map(lambda leaf: leaf.sharding, state)
        made = jax.jit(begin, out_shardings=there).lower(seeds).compile().memory_analysis()
        needed.append((made.output_size_in_bytes, made.temp_size_in_bytes))
    (whole, whole_temporary), (part, temporary) = needed
    assert whole >= sum(leaf.nbytes for leaf in jax.tree.leaves(wanted))
    assert part < 0.35 * whole and temporary < 0.45 * whole_temporary


def test_microbatches_are_the_batch():
    made, first = compiled("sgd")
    wanted, losses = run(made, first)
    found, others = run(compiled("sgd", microbatches=4)[0], first)
    close(found.params, wanted.params)
    np.testing.assert_allclose(others, losses, rtol=1e-6)
    asked = []
    again, _ = run(compiled("sgd", microbatches=lambda rows: asked.append(rows) or 4)[0], first)
    assert set(asked) == {8}
    jax.tree.map(np.testing.assert_array_equal, again.params, found.params)
    with pytest.raises(UsageError, match="--microbatches=3: does not divide the 8 examples"):
        run(compiled("sgd", microbatches=3)[0], first)


def test_the_longest_axis_that_parts_divide_is_split():
    shapes = {(24, 8): 0, (8, 24): 1, (8, 8): 0, (8, 27): 0, (8,): fsdp.WHOLE, (7, 9): fsdp.WHOLE}
    assert {shape: fsdp.axis_of(shape, 4) for shape in shapes} == shapes
    assert fsdp.axis_of((24, 8), 1) == fsdp.WHOLE


def test_copies_share_seeds_and_batch_as_devices_do():
    plan = arrangement.plan("tpu", 64, 1, 512, Needs(rows=1024, fsdp=8))
    assert (plan.replicas, plan.parts, plan.fsdp, plan.idle) == (1, 8, 8, 0)
    assert "over 64, its parameters over 8" in str(plan)
    plan = arrangement.plan("tpu", 64, 4, 8, Needs(rows=1024, fsdp=8))
    assert (plan.replicas, plan.parts, plan.idle) == (4, 1, 32)
    with pytest.raises(UsageError, match="--mesh=fsdp:8: does not divide the devices, 4"):
        arrangement.plan("cpu", 4, 1, 8, Needs(fsdp=8))
    with pytest.raises(UsageError, match="--batch_size=6: --mesh=fsdp:4 needs a multiple"):
        arrangement.plan("cpu", 4, 1, 6, Needs(fsdp=4))
