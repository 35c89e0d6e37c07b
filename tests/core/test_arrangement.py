"""Who does what on so many devices, and what then travels between them."""

import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.core import arrangement, parallel, steps
from genjax.core.arrangement import Needs, arrange, plan

IMAGE, WINDOW = Needs(), Needs(rows=1024)


@pytest.mark.parametrize(
    ("platform", "devices", "seeds", "batch", "needs", "found"),
    [
        ("cpu", 1, 3, 128, IMAGE, (1, 1, 0)),
        ("cpu", 4, 1, 16, IMAGE, (1, 4, 0)),
        ("cpu", 4, 1, 12, IMAGE, (1, 3, 1)),  # Four rows a core at least.
        ("cpu", 4, 6, 16, IMAGE, (4, 1, 0)),  # By a timetable.
        ("cpu", 2, 3, 128, IMAGE, (2, 1, 0)),
        ("cpu", 3, 2, 16, IMAGE, (2, 1, 1)),
        ("cpu", 64, 65, 16, IMAGE, (13, 4, 12)),  # Too many to hold all seeds each.
        ("cpu", 2, 3, 128, Needs(convolutions=True), (1, 1, 1)),
        ("cpu", 2, 3, 15, Needs(steps_per_call=1), (1, 1, 1)),  # Nothing to cut.
        ("cpu", 2, 2, 128, Needs(convolutions=True), (2, 1, 0)),
        ("cpu", 4, 2, 128, Needs(convolutions=True), (2, 1, 2)),
        # 128 images bring a product that the weights' reading outlasts.
        ("tpu", 64, 1, 128, IMAGE, (1, 1, 63)),
        ("gpu", 64, 20, 128, IMAGE, (20, 1, 44)),
        ("tpu", 8, 1, 1024, IMAGE, (1, 4, 4)),
        ("tpu", 64, 1, 64, WINDOW, (1, 64, 0)),
        ("tpu", 64, 1, 48, WINDOW, (1, 48, 16)),
        ("tpu", 64, 20, 128, WINDOW, (4, 16, 0)),
        ("tpu", 8, 8, 128, WINDOW, (8, 1, 0)),  # Seeds before the batch: they need no collective.
        ("tpu", 8, 1, 4, Needs(rows=128), (1, 2, 6)),
    ],
)
def test_seeds_then_the_batch_share_the_devices(platform, devices, seeds, batch, needs, found):
    made = plan(platform, devices, seeds, batch, needs)
    assert made[:3] == found
    assert made.uneven == (seeds % made.replicas > 0) and batch % made.parts == 0


@pytest.mark.parametrize(
    ("devices", "seeds", "batch", "needs", "found", "copied"),
    [
        (64, 1, 128, IMAGE, (1, 1, 63), False),
        (64, 1, 4096, IMAGE, (1, 16, 48), True),
        (64, 20, 128, IMAGE, (4, 1, 60), True),  # Five seeds a device.
        (64, 1, 48, WINDOW, (1, 16, 48), True),
        (64, 64, 128, IMAGE, (64, 1, 0), False),
        (256, 64, 128, IMAGE, (64, 1, 192), True),
        (64, 1, 24, WINDOW._replace(fsdp=8), (1, 1, 56), True),
    ],
)
def test_where_no_device_may_be_left_out_those_that_are_not_needed_repeat_it(
    devices, seeds, batch, needs, found, copied
):
    made = plan("tpu", devices, seeds, batch, needs._replace(whole=True))
    assert made[:3] == found and made.copied == copied and made.devices == devices
    assert (f"{made.idle} repeat it" in str(made)) == copied


@pytest.mark.parametrize(
    ("kind", "count", "found"),
    [("TPU v5 lite", 8, False), ("TPU v5 lite", 16, True), ("TPU v5", 64, False)],
)
def test_a_program_must_be_on_all_chips_of_a_large_v5e(kind, count, found):
    assert arrangement.whole([SimpleNamespace(device_kind=kind)] * count) == found


@pytest.mark.parametrize(
    ("platform", "devices", "seeds", "needs", "mode", "turns"),
    [
        ("cpu", 2, 4, IMAGE, "jit", True),
        ("cpu", 1, 1, IMAGE, "jit", True),  # As it will be among others.
        ("cpu", 4, 3, IMAGE, "jit", False),  # They share the batch.
        ("cpu", 2, 4, IMAGE, "pmap", False),
        ("cpu", 2, 4, Needs(convolutions=True), "jit", False),
        ("cpu", 2, 4, Needs(fsdp=2), "jit", False),
        ("cpu", 2, 4, Needs(steps_per_call=1), "jit", False),
        ("cpu", 2, 4, Needs(vmapped=True), "jit", False),
        ("gpu", 1, 4, IMAGE, "jit", False),
        ("tpu", 2, 4, WINDOW, "jit", False),
    ],
)
def test_seeds_of_a_core_take_turns(platform, devices, seeds, needs, mode, turns):
    assert plan(platform, devices, seeds, 16, needs, mode).turns == turns


@pytest.mark.parametrize(
    ("platform", "needs", "found"),
    [
        ("cpu", Needs(), (100, False)),
        ("cpu", Needs(convolutions=True), (1, True)),
        ("cpu", Needs(convolutions=True, steps_per_call=7), (7, True)),
        ("tpu", Needs(convolutions=True), (1000, False)),
        ("tpu", Needs(log_every=100), (100, False)),
        ("cpu", Needs(log_every=150), (75, False)),
        ("cpu", Needs(log_every=101), (51, False)),
        ("cpu", Needs(log_every=1), (2, False)),  # A call of one step would round otherwise.
        ("cpu", Needs(log_every=10, steps_per_call=4), (4, False)),
        ("cpu", Needs(log_every=7, steps_per_call=1), (1, False)),
    ],
)
def test_calls_are_as_long_as_the_platform_likes_and_no_longer_than_rows_are_apart(
    platform, needs, found
):
    assert plan(platform, 1, 1, 8, needs)[3:5] == found


def test_a_plan_says_who_does_what():
    assert str(plan("tpu", 64, 1, 128)._replace(steps_per_call=1)).endswith(", 1 step a call")
    assert str(plan("tpu", 64, 1, 128)) == "one device does all, 63 idle, 1000 steps a call"
    both = "seeds over 2, the batch of each over 2, 100 steps a call"
    assert str(plan("cpu", 4, 2, 16)) == both
    assert str(plan("cpu", 2, 4, 16)) == "seeds over 2, on each in turn, 100 steps a call"
    uneven = "seeds over 2, on each in turn and some in parts, 100 steps a call"
    assert str(plan("cpu", 2, 3, 16)) == uneven


def embedding_step(products):
    """Looks up rows of a table, and multiplies with a matrix in another type."""

    def loss(params, batch, key, gather):
        rows = params["table"][batch["index"]].astype(products)
        out = rows @ params["matrix"].astype(products)
        return (out.astype(jnp.float32) ** 2).sum(-1), {}

    return steps.training_step(loss, optax.sgd(0.1))


def collectives(text):
    """[(kind, shapes of what it moves)] of a compiled program."""
    found = re.findall(
        r"= (.*?) (all-reduce|all-gather|all-to-all|reduce-scatter)(?:-start)?\(", text
    )
    return [(kind, re.findall(r"(\w+\[[\d,]*\])", shapes)) for shapes, kind in found]


@pytest.mark.usefixtures("every_row")
@pytest.mark.parametrize(("seeds", "parts"), [(1, 4), (4, 1)])
def test_gradients_travel_in_float32_and_nothing_else_does(seeds, parts):
    """Of a table, too; and of devices that hold nothing: only shapes are given."""
    params = {"table": np.zeros((seeds, 40, 8), np.float32)}
    params["matrix"] = np.zeros((seeds, 8, 8), np.float32)
    state = steps.State(np.zeros(seeds, np.int32), params, (optax.EmptyState(),) * 2)
    made = plan("cpu", 4, seeds, 8, Needs(steps_per_call=2))
    program = parallel.program(embedding_step(jnp.bfloat16), arrange(made, jax.devices()[:4]))
    row = jax.ShapeDtypeStruct((seeds, 8), np.int32)
    given = program.abstract(state, {"image": np.zeros((40, 1))}, row)
    found = collectives(program.function.lower(*given).compile().as_text())
    if parts == 1:
        assert not found
    else:
        assert {kind for kind, _ in found} == {"all-reduce"}
        moved = sum((shapes for _, shapes in found), [])
        assert {"f32[1,40,8]", "f32[1,8,8]"} <= set(moved)
        assert all(shape.startswith("f32") for shape in moved)


def test_pmap_needs_a_batch_that_its_devices_divide():
    assert plan("tpu", 4, 3, 16, mode="pmap")[:3] == (1, 4, 0)
    with pytest.raises(arrangement.UsageError, match="--batch_size=6: .* the 4 devices"):
        plan("tpu", 4, 3, 6, mode="pmap")
