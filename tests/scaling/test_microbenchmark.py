"""Compiled programs in files, and the fresh processes that load and time them."""

import os
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import config as configs
from genjax.core.errors import RunError
from genjax.scaling import cases, children, microbenchmark, replicate
from genjax.scaling.config import Config
from genjax.scaling.timings import Point

CONFIG = Config(variants=("linformer",), lengths=(64, 128), head_dim=16, heads=1, rank=8)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    place = str(tmp_path_factory.mktemp("programs"))
    points = [Point("linformer", "forward", n) for n in (64, 128)]
    points += [Point("products", "forward", 64), Point("full", "both", 64)]
    question = {"config": configs.to_json(CONFIG), "points": points, "folder": place}
    taken = [str(tmp_path_factory.mktemp("taken")) for _ in range(2)]
    (told,) = children.ask("compiling", [question | {"taken": taken[0]}])
    before = {path: os.stat(path).st_mtime_ns for path in _files(told)}
    (again,) = children.ask("compiling", [question | {"taken": taken[1]}])
    # The same programs, compiled once.
    assert again == told
    assert {path: os.stat(path).st_mtime_ns for path in _files(told)} == before
    return told["points"]


def _files(told):
    return {row["file"] for row in told["points"]} | {
        file for row in told["points"] for file in row["inputs"]
    }


def asked(rows, **changed):
    about = {
        "seed": 3,
        "rounds": 2,
        "seconds": 0.0,
        "longest": 60.0,
        "cores": "",
        "first": True,
        "peaks": ("products",),
    }
    return {"points": rows, "variants": {}, "parent": os.getppid()} | about | changed


def test_a_program_is_told_by_its_counts_and_bytes(rows):
    facts = {str(Point(*row["point"])): row["facts"] for row in rows}
    assert facts["products forward 64"]["flops"] == 4 * 64**2 * 16
    assert facts["products forward 64"]["argument_bytes"] == 3 * 4 * 64 * 16
    assert facts["products forward 64"]["result_bytes"] == 4 * 64 * 16
    assert facts["full both 64"]["temp_bytes"] >= 4 * 64**2
    # q, k and v are the same arrays to all; rows of its own are Linformer's alone.
    inputs = {str(Point(*row["point"])): row["inputs"] for row in rows}
    assert inputs["products forward 64"][0] == inputs["full both 64"][0]
    assert inputs["linformer forward 64"][0] == inputs["full both 64"][0]
    assert inputs["linformer forward 64"][1] != inputs["full both 64"][1]


def test_a_replicate_computes_what_was_compiled(rows):
    loaded = replicate._Loaded(3)
    for row in rows:
        loaded.load(Point(*row["point"]), row)
    q, k, v, _ = (np.asarray(x) for x in cases.normal((1, 64, 1, 16), "float32", 3))
    point = Point("products", "forward", 64)
    given = loaded.arguments(point)
    for ours, theirs in zip(given, (q, k, v), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    q, k, v = (x[0, :, 0].astype(np.float64) for x in (q, k, v))
    np.testing.assert_allclose(loaded.call(point)()[0, :, 0], q @ k.T @ v / 4, rtol=1e-4, atol=1e-3)
    other = replicate._Loaded(4)
    other.load(point, rows[2])
    assert np.abs(np.asarray(other.arguments(point)[0]) - given[0]).max() > 1


def test_a_replicate_times_every_round_and_asks_for_needles(rows):
    about = {"linformer": {"causal": False, "shared_qk": False}}
    found = replicate.replicate(asked(rows, variants=about))
    assert found["seed"] == 3 and not found["skipped"]
    assert set(found["points"]) == {str(Point(*row["point"])) for row in rows}
    for row in found["points"].values():
        # Long ones too.
        assert len(row["seconds"]) == len(row["least"]) == 2
        assert 0 < min(row["least"]) <= min(row["seconds"]) and row["first_s"] > 0
    quality = found["quality"]["linformer"]
    assert quality["length"] == 128 and quality["error"] > 0.5 > quality["needles"]


def test_devices_compute_what_one_does(rows, tmp_path):
    """Of the same numbers; the bytes of a CPU's devices are all its own."""
    config = CONFIG.replace(mesh="sequence:4")
    points = [Point("linformer", mode, n) for mode in ("forward", "both") for n in (64, 128)]
    question = {"config": configs.to_json(config), "points": points}
    question |= {"folder": str(tmp_path / "programs"), "taken": str(tmp_path)}
    (told,) = children.ask("compiling", [question])
    facts = {str(Point(*row["point"])): row["facts"] for row in told["points"]}
    # q, k, v and their sums' projection, [8, 64].
    assert facts["linformer forward 64"]["argument_bytes"] == 3 * 4 * 64 * 16 + 4 * 8 * 64
    about = {"linformer": {"causal": False, "shared_qk": False}}
    found, one = (
        replicate.replicate(asked(some, variants=about)) for some in (told["points"], rows)
    )
    assert set(found["points"]) == {str(point) for point in points}
    ours, its = (process["quality"]["linformer"] for process in (found, one))
    assert ours["error"] == pytest.approx(its["error"], rel=1e-4)


def test_a_point_is_timed_until_two_rounds_agree(monkeypatch):
    """At most as often as asked, whatever the first call took."""
    wanted = {
        Point("steady", "forward", 1): [1, 1.04],
        Point("disturbed", "forward", 1): [9, 1, 1.01],
        Point("restless", "forward", 1): [1, 1.2, 1.3, 1.25],
    }
    told = {point: iter(times) for point, times in wanted.items()}
    found = {str(point): {"seconds": [], "least": []} for point in wanted}
    order = []

    def measure(call, seconds):
        order.append(call)
        least = next(told[call])
        return {"seconds": 2 * least, "least": least, "calls": 1}

    monkeypatch.setattr(replicate, "measure", measure)
    loaded = SimpleNamespace(call=lambda point: point)
    replicate._time(asked([], rounds=4), loaded, list(wanted), found)
    for point, times in wanted.items():
        assert found[str(point)]["least"] == times
        assert found[str(point)]["seconds"] == [2 * least for least in times]
    # Round after round.
    assert {*order[:3]} == {*order[3:6]} == {*wanted} and order[-1].arm == "restless"


def test_peaks_that_no_claim_reads_are_the_first_processs_affair(rows):
    found = replicate.replicate(asked(rows, seconds=0.05, rounds=1, first=False))["points"]
    assert found.pop("products forward 64")["peak_bytes"] >= 0
    assert {row["peak_bytes"] for row in found.values()} == {None}


def test_what_would_take_too_long_is_skipped_by_the_first(rows):
    assert not replicate.replicate(asked(rows, longest=1e-9, first=False))["skipped"]
    found = replicate.replicate(asked(rows, longest=1e-9))
    assert list(found["skipped"]) == ["linformer forward 128"]
    assert found["skipped"]["linformer forward 128"].endswith("s a call, 1e-09 s allowed")
    assert "linformer forward 64" in found["points"]


def test_long_calls_are_made_once_and_short_ones_warm_up(monkeypatch):
    """By a clock that the calls alone move; the first of short ones is not counted."""
    now = [0.0]

    def counted(first, *others):
        lasts = iter((first, *others, *[others[-1]] * 9))
        clock = SimpleNamespace(perf_counter=lambda: now[0])
        monkeypatch.setattr(microbenchmark, "time", clock)
        return microbenchmark.measure(lambda: now.__setitem__(0, now[0] + next(lasts)), 1.0)

    assert counted(0.75, 0.25, 0.5) == {"seconds": 0.5, "least": 0.25, "calls": 3}
    assert counted(2.0, 1.5) == {"seconds": 1.75, "least": 1.5, "calls": 2}
    assert counted(3.0, 1.5) == {"seconds": 3.0, "least": 3.0, "calls": 1}


def test_nobody_waits_for_it():
    with pytest.raises(RunError, match="has ended"):
        replicate._stop_if_alone(os.getppid() + 1)


def test_a_process_that_fails_says_why_in_one_line():
    with pytest.raises(RunError, match="KeyError: 'seed'"):
        children.ask("replicate", [{"points": []}])


def test_what_does_not_fit_is_told_by_the_compiled_program():
    _, facts = microbenchmark.compile_program(cases.product(64))
    # Two squares, and the result.
    needed = 3 * 4 * 64**2
    assert microbenchmark.too_large(facts, needed) == ""
    assert "4.9e-05 GB by the compiled program" in microbenchmark.too_large(facts, needed - 1)


def test_a_peak_is_what_a_call_takes():
    kept = []
    call = lambda: kept.append(np.ones(2**23))  # noqa: E731
    # What the kernel takes back from this process meanwhile is missing.
    assert max(microbenchmark.peak_growth(call) for _ in range(3)) == pytest.approx(2**26, rel=0.1)
    assert microbenchmark.peak_growth(lambda: jnp.zeros(1)) < 2**24
