"""One device, four devices by sharding, four by pmap, replicas and loops: the same numbers.

With SGD, since Adam hides a gradient that is too large by a factor; with noise, and with an uneven
last batch.
"""

import functools

import jax
import numpy as np
import optax
import pytest

from genjax.core import arrangement, parallel, steps
from genjax.core.arrangement import Needs
from genjax.core.errors import UsageError
from genjax.vae import networks, objectives
from genjax.vae.architecture import Architecture

IMAGES = np.asarray(jax.random.uniform(jax.random.key(3), (20, 4, 4, 1)))
OPTIMIZER = optax.sgd(0.05)
pytestmark = pytest.mark.usefixtures("every_row")


def model_of(**more):
    return networks.build(Architecture((4, 4, 1), latent=3, hidden=(8,), channels=4, **more))


OBJECTIVES = {
    "elbo": (objectives.elbo_loss, {}, {}),
    "free_bits": (objectives.elbo_loss, {"family": "ladder", "layers": 2}, {"free_bits": 0.3}),
    "iwae": (objectives.iwae_loss, {}, {"k": 4}),
    "dreg": (objectives.dreg_loss, {}, {"k": 4}),
    "wae": (objectives.reconstruction_loss, {"deterministic": True}, {"mmd_weight": 5.0}),
}


def indices(seeds, count=5, batch=8):
    """Batches of 8 out of 20, each third with weight 4: uneven over four devices."""
    out = np.full((count, len(seeds), batch), -1, np.int32)
    for i in range(count):
        for s, seed in enumerate(seeds):
            size = 4 if i % 3 == 2 else batch
            rng = np.random.default_rng([seed, i])
            out[i, s, :size] = rng.permutation(20)[:size]
    return out


FIVE = Needs(steps_per_call=5)


def train(name="elbo", seeds=(0,), mode="jit", devices=1, needs=FIVE, **more):
    loss, shape, options = OBJECTIVES[name]
    model = model_of(**shape | more)
    step = steps.training_step(loss(model, **options), OPTIMIZER, prepare=objectives.binarize)
    seeds = list(seeds)
    compiled = parallel.compile_step(
        step, {"image": IMAGES}, seeds, 8, mode=mode, needs=needs, devices=jax.devices()[:devices]
    )
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    init = jax.jit(jax.vmap(lambda key: steps.init_state(model.init(key, IMAGES), OPTIMIZER)))
    state, index, losses = compiled.place(jax.device_get(init(keys))), indices(seeds), []
    size = needs.steps_per_call or 1
    for first in range(0, len(index), size):
        part = index[first : first + size]
        padding = np.full((size - len(part), *part.shape[1:]), -1, np.int32)
        state, metrics = compiled.run(state, np.concatenate([part, padding]), len(part))
        losses.append(np.asarray(metrics["loss"])[: len(part)])
    return jax.device_get(state.params), np.concatenate(losses)


def close(left, right, rtol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol), left, right)


alone_on_one = functools.cache(train)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_devices_do_not_matter(name):
    alone = alone_on_one(name)
    assert not np.allclose(alone[1][0], alone[1][-1])
    close(train(name, devices=4), alone, 1e-6)
    # To an objective both modes are `total` and `gather`: one needs the first, one both.
    if name in ("elbo", "free_bits"):
        close(train(name, devices=4, mode="pmap"), alone, 1e-6)


def test_a_forgotten_reduction_would_be_seen(monkeypatch):
    alone = alone_on_one("elbo")
    monkeypatch.setattr(jax.lax, "psum", lambda tree, axis: tree)
    with pytest.raises(AssertionError):
        close(train(devices=4, mode="pmap"), alone, 1e-6)


@pytest.mark.parametrize("arch", ["mlp", "conv"])
def test_a_replica_is_that_seed_alone(arch):
    unrolled = Needs(convolutions=True) if arch == "conv" else FIVE
    together = train(seeds=(0, 1, 2), needs=unrolled, arch=arch)
    alone = train(seeds=(1,), needs=unrolled, arch=arch)
    close(jax.tree.map(lambda leaf: leaf[1:2], together[0]), alone[0], 1e-5)
    close(together[1][:, 1:2], alone[1], 1e-5)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_devices_that_repeat_what_the_others_do_do_not_matter(seeds, monkeypatch):
    monkeypatch.setattr(arrangement, "CPU_ROWS", 4 if len(seeds) == 1 else 8)
    needs = FIVE._replace(vmapped=True, whole=True)
    made = arrangement.plan("cpu", 4, len(seeds), 8, needs)
    assert (made.replicas * made.parts, made.idle, made.copied) == (2, 2, True)
    close(train(seeds=seeds, devices=4, needs=needs), train(seeds=seeds), 1e-6)


@pytest.mark.parametrize("needs", [FIVE, Needs(convolutions=True)])
def test_replicas_over_devices(needs):
    seeds, arch = (0, 1, 2, 3), "conv" if needs.convolutions else "mlp"
    alone = train(seeds=seeds, needs=needs, arch=arch)
    for devices in (2, 4):
        close(train(seeds=seeds, devices=devices, needs=needs, arch=arch), alone, 1e-6)
    close(train(seeds=seeds[:2], devices=4, needs=needs, arch=arch)[1], alone[1][:, :2], 1e-6)


def test_a_convolutions_batch_stays_whole_on_cpu():
    for needs, most in ((FIVE, 4), (Needs(convolutions=True), 2)):
        compiled = parallel.compile_step(
            lambda state, *_, **__: (state, {}), {"image": IMAGES}, [0, 1], 8, needs=needs,
            devices=jax.devices()[:4],
        )  # fmt: skip
        assert len(compiled.place(np.zeros(2)).devices()) == most


def test_the_plan_changes_speed_alone():
    plans = [FIVE, Needs(convolutions=True), Needs(convolutions=True, steps_per_call=3)]
    found = [train(seeds=(0, 1), needs=plan) for plan in plans]
    for other in found[1:]:
        close(other, found[0], 1e-5)


def test_calls_of_any_length_end_in_the_same_bits():
    whole, parts = alone_on_one("elbo"), train(needs=Needs(steps_per_call=3))
    jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_short_calls_compile_nothing():
    traced = []

    def step(state, batch, key, *, total, gather):
        traced.append(1)
        return state + batch["image"].sum(), {"loss": total(batch["weight"].sum())}

    compiled = parallel.compile_step(
        step, {"image": IMAGES}, [0], 4, needs=FIVE, devices=jax.devices()[:1]
    )
    state, index = compiled.place(np.zeros(1, np.float32)), np.zeros((5, 1, 4), np.int32)
    state, _ = compiled.run(state, index, 5)
    before = len(traced)
    for count in (1, 3, 5):
        state, _ = compiled.run(state, index, count)
    assert len(traced) == before


def test_pmap_refuses_a_batch_that_does_not_divide():
    with pytest.raises(UsageError, match="--batch_size=6: --parallel=pmap .* 4 devices"):
        parallel.compile_step(
            lambda *a, **k: None, {"image": IMAGES}, [0], 6, mode="pmap", devices=jax.devices()
        )


def test_what_is_measured_by_seed_is_each_seed_alone():
    params = {"w": np.arange(18.0).reshape(6, 3)}
    x = np.linspace(-1, 1, 12).reshape(4, 3)
    measure = parallel.by_seed(lambda p, x, scale: (scale * (x @ p["w"]), p["w"].sum()))
    placed = parallel.place_seeds(params)
    for given in (params, placed):
        found = measure(given, x, 2.0)
        # Six seeds on four devices: three share them evenly.
        assert found[1].sharding == placed["w"].sharding
        assert len(found[1].sharding.device_set) == 3
        np.testing.assert_allclose(found[0], 2.0 * params["w"] @ x.T, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found[1], params["w"].sum(1))


def test_a_batch_is_the_rows_of_its_index_and_padding_weighs_nothing():
    arrays = {"image": np.arange(8.0).reshape(4, 2), "label": np.array([7, 8, 9, 6])}
    batch = parallel.take(arrays, np.array([3, 0, -1]))
    assert set(batch) == {"image", "label", "index", "weight"}
    np.testing.assert_array_equal(batch["image"][:2], [[6, 7], [0, 1]])
    np.testing.assert_array_equal(batch["label"][:2], [6, 7])
    np.testing.assert_array_equal(batch["index"], [3, 0, 0])
    np.testing.assert_array_equal(batch["weight"], [1, 1, 0])


def test_without_a_plan_steps_are_those_of_dense_nets():
    step = lambda state, *_, **__: (state, {})  # noqa: E731
    compiled = parallel.compile_step(step, {"image": IMAGES}, [0], 8)
    assert compiled.plan[3:5] == (arrangement.CPU_STEPS_PER_CALL, False)


def test_rows_in_batches_of_one_shape_are_those_of_one_call():
    shapes = []

    def twice(x, i):
        shapes.append((len(x), len(i)))
        return {"double": 2 * x, "index": i}

    x = np.arange(14.0).reshape(7, 2)
    found = parallel.batched(twice, x, np.arange(7), size=3)
    np.testing.assert_array_equal(found["double"], 2 * x)
    np.testing.assert_array_equal(found["index"], np.arange(7))
    assert shapes == [(3, 3)] * 3
    # No larger than what there is.
    parallel.batched(twice, x, np.arange(7))
    assert shapes[3:] == [(7, 7)]


def counting(devices, needs):
    """A step that counts, compiled; and what `run` takes for one step."""

    def step(state, batch, key, *, total, gather):
        return state + 1, {"loss": total(batch["weight"].sum())}

    compiled = parallel.compile_step(
        step, {"image": IMAGES}, [0], 8, needs=needs, devices=jax.devices()[:devices]
    )
    index = np.zeros((needs.steps_per_call, 1, 8), np.int32)
    return compiled, (compiled.place(np.zeros(1, np.float32)), index, 1)


def test_of_several_devices_one_program_is_in_flight(monkeypatch):
    """Their collectives share a pool of threads on CPU, and two programs' can wait for ever."""
    waited = []
    monkeypatch.setattr(parallel.jax, "block_until_ready", lambda out: waited.append(1) or out)
    for devices, times in ((1, 0), (4, 1)):
        compiled, given = counting(devices, Needs(steps_per_call=2))
        compiled.run(*given)
        assert len(waited) == times


@pytest.mark.parametrize("count", [1, 2])
def test_a_call_of_one_step_holds_no_loop(count):
    """In which XLA:CPU's convolutions are slow."""
    compiled, given = counting(1, Needs(steps_per_call=count))
    assert ("while[" in str(jax.make_jaxpr(compiled.run)(*given))) == (count > 1)
