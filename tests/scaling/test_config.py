"""The attention experiment's configuration, and what its rows are read as."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from genjax.core.errors import UsageError
from genjax.scaling import variants
from genjax.scaling.config import Config, Learner
from genjax.scaling.timings import Point, Timings


def test_a_transformer_is_trained_of_every_variant_but_full():
    asked = Config(variants=("full", "flash"), tasks=("copy", "recall"), task_lengths=(32, 64))
    labels = ["flash-copy-32", "flash-copy-64", "flash-recall-32", "flash-recall-64"]
    assert list(asked.arms()) == labels
    assert asked.arms()["flash-recall-64"] == Learner("flash", "recall", 64)
    assert Config().arms() == {}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"lengths": (128, 128)}, "--lengths=128,128: must ascend"),
        ({"variants": ()}, "--variants=: at least one"),
        ({"variants": ("flash", "flash")}, "--variants=flash,flash: a value is named twice"),
        ({"cores": "0,0"}, "--cores=0,0: numbers of cores"),
        ({"tasks": ("recall",), "task_lengths": (16,)}, "--recall_pairs=8: at most 5 fit"),
        ({"tasks": ("copy",), "task_lengths": (2,)}, "--task_lengths=2: a whole number from 4"),
        ({"tasks": ("copy",), "task_lengths": ()}, "--task_lengths=: at least one"),
        ({"mesh": "sequence:1"}, "--mesh=sequence:1: sequence:<devices>, two or more"),
        ({"mesh": "batch:8"}, "--mesh=batch:8: sequence:<devices>"),
        ({"mesh": "sequence:8", "tasks": ("copy",)}, "--mesh=sequence:8: of the sweep alone"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(asked, said):
    with pytest.raises(UsageError) as refused:
        Config(**asked)
    assert said in str(refused.value)


def test_a_variant_has_the_options_that_are_asked_for():
    asked = Config(window=32, variants=("longformer",), lengths=(128, 256), head_dim=16)
    narrow, wide = (
        variants.build(c, "longformer", 256).cost.flops for c in (asked, asked.replace(window=128))
    )
    assert narrow < wide
    # sparse_* are causal whatever is asked; for a task all are that can be.
    assert not variants.build(asked, "flash", 64).causal
    assert variants.build(asked.replace(causal=True), "flash", 64).causal
    assert variants.build(asked, "sparse_fixed", 256).causal
    assert variants.scaled(asked, "flash", 64).causal
    assert not variants.scaled(asked, "linformer", 64).causal
    both = asked.replace(variants=("bigbird", "flash", "linformer"))
    assert variants.unmasked(both) == ["bigbird", "linformer"]


def test_a_mesh_takes_devices_that_are_there_and_parts_that_are_equal():
    asked = Config(variants=("flash",), lengths=(128, 256), mesh="sequence:4")
    assert variants.build(asked, "flash", 128).shardings[0].mesh.size == 4
    assert variants.build(asked.replace(mesh=""), "flash", 128).shardings is None
    for changed, said in (
        (
            {"mesh": "sequence:5"},
            "--mesh=sequence:5: 4 cpu devices .*_count=5 makes them",
        ),
        ({"lengths": (128, 250)}, "--mesh=sequence:4: does not divide the length 250"),
        ({"variants": ("full",)}, "--mesh=sequence:4: --variants=full: forms the whole matrix"),
    ):
        with pytest.raises(UsageError, match=said):
            variants.check(asked.replace(**changed))


def test_a_mesh_on_a_part_of_a_large_v5e_is_refused_before_its_compiler_does(monkeypatch):
    for count, refused in ((8, False), (64, True)):
        chips = [SimpleNamespace(device_kind="TPU v5 lite", platform="tpu")] * count
        monkeypatch.setattr(jax, "devices", lambda chips=chips: chips)
        monkeypatch.setattr(jax, "local_devices", lambda chips=chips: chips)
        monkeypatch.setattr(variants, "Mesh", lambda devices, axes: devices)
        for shards in (4, count):
            asked = Config(variants=("flash",), lengths=(128, 256), mesh=f"sequence:{shards}")
            if refused and shards < count:
                with pytest.raises(UsageError, match="=sequence:4: of 64 v5e chips a program is"):
                    variants.mesh(asked)
            else:
                assert len(variants.mesh(asked)) == shards


def test_rows_and_processes_are_read_by_point():
    point = {"arm": "full", "mode": "both", "length": 64}

    def process(long=None):
        rows = {"full both 64": {"least": [3.0, 2.0], "peak_bytes": 7}}
        rows |= {"full both 128": {"least": [long, 9.0], "peak_bytes": None}} if long else {}
        skipped = {} if long else {"full both 128": "about 9 s a call"}
        return {"points": rows, "skipped": skipped, "quality": {"full": {"needles": 1.0}}}

    rows = [
        {"arm": "flash-copy-8", "seed": 0, "step": 1, "loss": 2.0},
        point | {"flops": 3.0},
        point | {"flops": 6.0, "length": 128},
        point | {"length": 256, "skipped": "too large"},
    ]
    found = Timings(rows, {"process-0": process(4.0), "process-1": process(1.0), "setting": {}})
    assert found.facts == {Point("full", "both", row.get("length")): row for row in rows[1:3]}
    assert found.skipped == {Point("full", "both", 256): "too large"}
    lengths, times = found.table("full", "both")
    assert lengths.tolist() == [64, 128] and times.tolist() == [[2, 4], [2, 1]]
    assert found.peaks("full", "both")[1][:, 0].tolist() == [7, 7]
    assert np.isnan(found.peaks("full", "both")[1][:, 1]).all()
    assert found.quality("full", "needles") == [1.0, 1.0] and not found.quality("full", "error")
    assert found.table("full", "forward")[1].shape == (2, 0)
    # What one process left out is nobody's; a process that is not there ends the count.
    found = Timings(rows, {"process-0": process(), "process-1": process(1.0), "process-3": {}})
    assert len(found.processes) == 2
    assert found.table("full", "both")[0].tolist() == [64]
    assert found.skipped[Point("full", "both", 128)] == "about 9 s a call"
