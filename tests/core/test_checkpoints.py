"""Checkpoints: what comes back, bit for bit, and what damage is noticed."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from genjax.core.checkpoints import SUMS, Checkpoints
from genjax.core.errors import RunError


def state(step):
    rng = np.random.default_rng(step)
    return {
        "params": {
            "kernel": rng.standard_normal((3, 4)).astype(np.float32),
            "bias": np.arange(2.0) - step,
        },
        "moments": (jnp.asarray(rng.standard_normal(5), jnp.bfloat16), np.int32(step)),
    }


@pytest.fixture
def saved(tmp_path):
    """A folder with three steps saved, of which two are kept."""
    kept = Checkpoints(tmp_path / "checkpoints" / "arm")
    for step in (10, 20, 30):
        kept.save(step, state(step))
    kept.close()
    return tmp_path / "checkpoints" / "arm"


def restore(folder, **options):
    said = []
    kept = Checkpoints(folder)
    step, found = kept.restore(state(0), said.append, **options)
    kept.close()
    return step, found, said


def assert_is(found, step):
    wanted = state(step)
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(found["params"][name], wanted["params"][name])
    moment, count = found["moments"]
    assert moment.dtype == jnp.bfloat16 and count == step
    np.testing.assert_array_equal(moment, wanted["moments"][0])


def test_the_last_comes_back_bit_for_bit(saved):
    step, found, said = restore(saved)
    assert step == 30 and not said
    assert_is(found, 30)
    assert sorted(path.name for path in saved.iterdir()) == ["20", "30", SUMS]


def test_nothing_saved_is_step_0(tmp_path):
    assert restore(tmp_path / "bias") == (0, None, [])


def test_a_state_may_change_while_it_is_being_written(tmp_path):
    """Saving is asynchronous: what the caller overwrites at once was copied before."""
    kept, live = Checkpoints(tmp_path), {"kernel": np.ones(1000)}
    kept.save(1, live)
    live["kernel"][:] = np.nan
    kept.close()
    kept = Checkpoints(tmp_path)
    np.testing.assert_array_equal(kept.restore(live)[1]["kernel"], np.ones(1000))
    kept.close()


def test_training_waits_for_one_copy_of_a_state(tmp_path):
    """Each more is memory, and most of the time that saving holds it up."""
    kept, live = Checkpoints(tmp_path), {"kernel": np.ones(2**21), "bias": np.ones(2**20)}
    kept.save(1, live)  # The first one imports and allocates.
    kept.close()
    kept = Checkpoints(tmp_path)
    tracemalloc.start()
    kept.save(2, live)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept.close()
    assert sum(x.nbytes for x in live.values()) < most < 1.3 * sum(x.nbytes for x in live.values())


@pytest.mark.parametrize("bad", (np.nan, np.inf))
def test_what_is_not_finite_is_not_saved(saved, bad):
    kept, wrong = Checkpoints(saved), state(40)
    wrong["params"]["kernel"][1, 2] = bad
    with pytest.raises(RunError, match=r"\['params'\]\['kernel'\] is not finite at step 40"):
        kept.save(40, wrong)
    kept.close()
    assert restore(saved)[0] == 30


def alter(saved):
    """Step 30 with the last number of one array changed, beside the checksum that it had; of the
    files there is none."""
    (saved / SUMS).unlink()
    manager = ocp.CheckpointManager(saved, item_names=("state", "record"))
    record = ocp.args.Composite(record=ocp.args.JsonRestore())
    record = manager.restore(30, args=record)["record"]
    manager.delete(30)
    wrong = state(30)
    wrong["params"]["kernel"][-1, -1] += 1
    items = {"state": ocp.args.StandardSave(wrong), "record": ocp.args.JsonSave(record)}
    manager.save(30, args=ocp.args.Composite(**items))
    manager.wait_until_finished()
    manager.close()


def cut(saved):
    """The largest file of the arrays loses its second half."""
    files = [path for path in (saved / "30").rglob("*") if path.is_file()]
    largest = max((path for path in files if "state" in path.parts), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def lose(saved):
    for path in (saved / "30" / "record").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "reason"), ((alter, "its checksum differs"), (cut, ""), (lose, ""))
)
def test_damage_is_named_and_set_aside_and_the_one_before_taken(saved, damage, reason):
    damage(saved)
    # Of another run: named, but left where it is.
    step, found, said = restore(saved, set_aside=False)
    assert step == 20 and len(said) == 1 and "cannot be read" in said[0]
    assert (saved / "30").exists()
    assert_is(found, 20)
    kept, said = Checkpoints(saved), []
    step, found = kept.restore(state(0), said.append)
    assert step == 20 and len(said) == 1 and "\n" not in said[0]
    assert str(saved / "30") in said[0] and "falling back" in said[0] and reason in said[0]
    assert_is(found, 20)
    assert (saved.parent.parent / "damaged" / f"{saved.parent.name}-arm-30").is_dir() and not (
        saved / "30"
    ).exists()
    # Training goes on from there, and saves under the same number.
    kept.save(30, state(30))
    kept.close()
    step, found, said = restore(saved)
    assert step == 30 and not said
    assert_is(found, 30)


def test_damaged_files_are_not_read(saved, monkeypatch):
    """Threads of tensorstore print tracebacks then, whatever is caught."""
    cut(saved)
    kept, read = Checkpoints(saved), []
    real = kept._manager.restore
    monkeypatch.setattr(
        kept._manager, "restore", lambda step, **how: read.append(step) or real(step, **how)
    )
    assert kept.restore(state(0), lambda text: None)[0] == 20 and read == [20]
    kept.save(30, state(30))
    kept.close()
    assert restore(saved)[::2] == (30, [])


@pytest.mark.parametrize("name", [SUMS, "20/_CHECKPOINT_METADATA", "30/_CHECKPOINT_METADATA"])
@pytest.mark.parametrize("content", [b"", b"[" * 10**5, b'{"30": 1', b"\xff"])
def test_what_is_beside_the_arrays_may_be_damaged(saved, name, content):
    (saved / name).write_bytes(content)
    step, found, said = restore(saved)
    assert step in (20, 30) and all("\n" not in line for line in said)
    assert_is(found, step)


def test_where_all_are_damaged_nothing_is_left(saved):
    cut(saved)
    (saved / "20").rename(saved / "30x")
    for path in (saved / "30x").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    (saved / "30x").rename(saved / "20")
    step, found, said = restore(saved)
    assert (step, found) == (0, None) and len(said) == 2
