"""Seeds one after the other, on cores that divide them or not: the bits of each seed alone."""

import functools

import jax
import numpy as np
import optax
import pytest

from genjax.core import parallel, steps
from genjax.core.arrangement import Needs
from genjax.core.turns import timetable

SHARES = [(3, 2), (5, 2), (4, 4), (5, 4), (6, 4), (7, 4), (16, 5), (7, 6), (13, 8)]


@pytest.mark.parametrize(("seeds", "devices"), SHARES)
def test_a_timetable_has_no_gap_and_no_seed_twice_at_a_time(seeds, devices):
    table, where, done = timetable(seeds, devices), {}, dict.fromkeys(range(seeds), 0)
    assert table.slots.shape == (devices, seeds * table.pieces // devices, 2)
    moves = {time: {seed: (a, b) for a, b, seed in table.moves[time]} for time in table.moves}
    for time in range(table.slots.shape[1]):
        for seed, (giver, taker) in moves.get(time, {}).items():
            assert where[seed] == giver != taker
            where[seed] = taker
        now = table.slots[:, time, 0]
        assert len({*now}) == devices
        for device, seed in enumerate(map(int, now)):
            # Its pieces come in order, on the device that has what came before.
            assert table.slots[device, time, 1] == done[seed]
            assert where.setdefault(seed, device) == device
            done[seed] += 1
    assert {*done.values()} == {table.pieces}
    assert [where[seed] for seed in range(seeds)] == table.owners.tolist()


def walk(calls, seeds, devices=1, size=6, state=None, **needs):
    """(state, losses [steps, seeds]) after calls of so many steps: noise, rows and their number."""

    def loss(params, batch, key, gather):
        noise = steps.example_noise(jax.random.normal, key, 0, batch["index"], (5,))
        out = jax.numpy.tanh((batch["image"] + noise) @ params["w"])
        return (out**2).sum(-1), {"first": out[:, 0]}

    optimizer, rng = optax.adam(1e-2), np.random.default_rng(0)
    images = rng.normal(size=(20, 5)).astype(np.float32)
    compiled = parallel.compile_step(
        steps.training_step(loss, optimizer), {"image": images}, seeds, 4,
        needs=Needs(steps_per_call=size, **needs), devices=jax.devices()[:devices],
    )  # fmt: skip
    begin = lambda key: steps.init_state({"w": jax.random.normal(key, (5, 3))}, optimizer)  # noqa: E731
    if state is None:
        state = jax.vmap(begin)(jax.vmap(jax.random.key)(np.asarray(seeds)))
    state, losses = compiled.place(jax.device_get(state)), []
    for first, count in calls:
        index = np.stack([np.random.default_rng(s).integers(0, 20, (40, 4)) for s in seeds], 1)
        index = np.resize(index[first : first + count], (size, *index.shape[1:])).astype(np.int32)
        state, metrics = compiled.run(state, index, count)
        losses.append(jax.tree.map(lambda m, n=count: np.asarray(m)[:n], metrics))
    return jax.device_get(state), jax.tree.map(lambda *parts: np.concatenate(parts), *losses)


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


CALLS = [(0, 6), (6, 4), (10, 1)]


@functools.cache
def alone(seed):
    return walk(CALLS, [seed])


@pytest.mark.parametrize(("seeds", "devices"), [(1, 1), (3, 1), (3, 2), (4, 2), (5, 4), (6, 4)])
def test_a_seed_among_others_is_that_seed_alone_bit_for_bit(seeds, devices):
    numbers = [11 + 3 * i for i in range(seeds)]
    state, metrics = walk(CALLS, numbers, devices)
    assert state.step.tolist() == [11] * seeds
    assert metrics["loss"].shape == (11, seeds) and np.isfinite(metrics["loss"]).all()
    for i, seed in enumerate(numbers):
        own, losses = alone(seed)
        same(jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], state), own)
        same({name: m[:, i : i + 1] for name, m in metrics.items()}, losses)


def test_training_goes_on_in_another_layout():
    numbers = [4, 5, 6]
    whole, _ = walk(CALLS, numbers)
    half, _ = walk(CALLS[:1], numbers, 2)
    same(walk(CALLS[1:], numbers, 1, state=half)[0], whole)
    other, _ = walk(CALLS[1:], numbers, 1, state=half, vmapped=True)
    for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
