"""The attention script from end to end: a run's files, its continuation, and bad input."""

import json
import os
import shutil

import golden
import numpy as np
import pytest
import scripts

import genjax
from genjax.core.errors import RunError, UsageError
from genjax.scaling import lookups, microbenchmark, sweep
from genjax.scaling.config import Config
from genjax.scaling.timings import Point

SMOKE = scripts.smoke("attention")


def script(*arguments):
    return scripts.launch("attention", *arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("attention") / "run"
    done = script(SMOKE, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def rows(folder):
    return [row for row in scripts.rows(folder) if "mode" in row]


def test_a_run_holds_points_fits_probes_claims_and_pictures(run):
    summary = json.loads((run / "summary.json").read_text())
    names = ("full", "flash", "truncated", "sparse_strided", "reformer")
    for name in names:
        for mode in ("forward", "both"):
            point = summary["points"][f"{name}/{mode}"]
            assert point["lengths"] == [64, 128]
            assert min(point["seconds"]) > 0 and min(point["temp_bytes"]) > 0
            assert point["rss_bytes"][0] is None
        assert point["rss_bytes"][1] is not None
        assert summary["metrics"][f"{name}/needle16_top1"]["mean"] >= 0
    assert summary["metrics"]["full/needle16_top1"]["mean"] > 0.9
    assert summary["metrics"]["flash/error_s1"]["mean"] < 1e-5
    assert summary["metrics"]["flash/captured_error/recall_32"]["mean"] < 1e-5
    assert len(summary["metrics"]["reformer/recall_accuracy/32"]["per_seed"]) == 2
    verdicts = {claim["id"]: claim["verdict"] for claim in summary["claims"]}
    # Through two lengths goes any curve.
    grown = [verdicts[id] for id in ("A1f", "A2b", "A4f", "A6 halves d=16")]
    assert grown == ["inconclusive"] * 4
    assert {
        "A1f",
        "A1fm",
        "A2b",
        "A4f",
        "A5b",
        "A6 halves d=16",
        "A6 whole d=16",
        "A7",
        "A8 recall",
    } <= verdicts.keys()
    assert {path.stem for path in (run / "plots").glob("*.png")} == {
        "time", "memory", "exponents", "tradeoff", "lookups", "pareto",
    }  # fmt: skip
    assert "What is not claimed" in (run / "report.html").read_text()


def test_the_smoke_run_is_that_of_the_golden_file(run):
    golden.check("attention", run)


def test_a_trained_transformer_answers_as_it_was_measured(run):
    found = genjax.open(run)
    assert found.judge() == found.claims
    model = found.model("flash-recall-32", seed=1)
    data = lookups.recall(1000, 32, np.random.default_rng(2000), pairs=4)
    asked = data["target"] >= 0
    right = (np.asarray(model.answer(data["tokens"])) == data["target"])[asked]
    measured = json.loads((run / "evaluation" / "flash-recall-32.json").read_text())
    assert model.step == 4 and right.mean() == measured["accuracy"][1] != measured["accuracy"][0]
    # The logarithms of shares that add up to one, largest where the answer is.
    logs = np.asarray(model.log_probs(data["tokens"][:2]))
    assert logs.shape == (2, 32, 33)
    np.testing.assert_allclose(np.exp(logs).sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(logs.argmax(-1), model.answer(data["tokens"][:2]))
    with pytest.raises(UsageError, match="no arm 'full-recall-32'"):
        found.model("full-recall-32")


def test_every_point_is_timed_once_a_round(run):
    timed = [row for row in rows(run) if "round" in row]
    keys = [(row["arm"], row["mode"], row["length"], row["round"]) for row in timed]
    assert len(set(keys)) == len(keys)
    points = {key[:3] for key in keys}
    assert len(keys) == 3 * len(points)
    # Interleaved: the rounds come one after the other, each in an order of its own.
    assert [row["round"] for row in timed] == sorted(row["round"] for row in timed)
    orders = [[k[:3] for k in keys if k[3] == r] for r in range(3)]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_a_killed_sweep_measures_only_what_is_missing(run, cache, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "summary.json").unlink()
    before = rows(folder)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    timed = [i for i, line in enumerate(lines) if '"round": 2' in line]
    lost = lines[timed[5]]
    kept = [line for i, line in enumerate(lines) if i != timed[5]]
    (folder / "metrics.jsonl").write_text("".join(kept) + '{"arm": "full", "mo')
    done = script(SMOKE, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    again = rows(folder)
    assert len(again) == len(before)
    key = ("arm", "mode", "length", "round")
    assert [again[-1][k] for k in key] == [json.loads(lost)[k] for k in key]
    done = script(SMOKE, cache, f"--workdir={folder}")
    assert done.returncode == 0 and "nothing is computed again" in done.stderr


BAD = {
    "order": (["--lengths=128,64"], ["--lengths=128,64: must ascend"]),
    "variant": (
        ["--variants=full,sparse"],
        ["--variants=full,sparse: no 'sparse'", "did you mean"],
    ),
    "block": (
        ["--variants=bigbird", "--lengths=64,100"],
        ["does not divide the length 100"],
    ),
    "probe": (
        ["--variants=bigbird", "--lengths=64,128", "--probe_length=1000"],
        ["--probe_length=1000", "does not divide"],
    ),
    "task's length": (
        ["--tasks=recall", "--task_lengths=100", "--variants=bigbird"],
        ["--task_lengths=100", "does not divide"],
    ),
    "cudnn": (["--implementation=cudnn"], ["--implementation=cudnn: needs a GPU"]),
    "width": (["--widths=24"], ["--widths=24: --head_dim=16 does not divide it"]),
    "cores": (["--cores=999"], ["--cores=999: this process may run on cores"]),
    "pairs": (["--recall_pairs=30"], ["--recall_pairs=30: at most 10 fit"]),
    "cores in words": (["--cores=first"], ["--cores=first: numbers of cores"]),
    "one length": (["--lengths=64"], ["--lengths=64: an exponent takes two lengths"]),
    "no length": (["--lengths="], ["--lengths=: at least one"]),
    "odd head": (["--head_dim=15"], ["--head_dim=15: even"]),
    "task": (["--tasks=sort"], ["--tasks=sort: no 'sort'", "recall, copy, listops"]),
    "heads": (["--task_heads=3"], ["--task_heads=3: no even parts of a width of 16"]),
    "causal": (["--variants=linformer", "--causal"], ["linformer: is not causal"]),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    return scripts.refusals("attention", BAD, tmp_path_factory.mktemp("refusals"), SMOKE)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line(refusals, name):
    scripts.assert_refused(refusals[name], BAD[name][1])


def test_what_does_not_fit_is_predicted_and_skipped(cache, tmp_path):
    folder = tmp_path / "run"
    done = script(
        SMOKE, cache, f"--workdir={folder}", "--variants=full,linear", "--lengths=64,128,2048,4096",
        "--memory=0.04", "--tasks=", "--peaks=0", "--widths=16", "--rounds=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    skipped = [note for note in summary["notes"] if note.startswith("Skipped")]
    assert any("full forward at 4096: about 0.1 GB needed" in note for note in skipped)
    assert summary["points"]["full/forward"]["lengths"] == [64, 128, 2048]
    assert summary["points"]["linear/forward"]["lengths"] == [64, 128, 2048, 4096]
    with pytest.raises(UsageError, match="no model"):
        genjax.open(folder).model()


def test_a_peak_that_cannot_be_measured_says_why():
    config = Config(variants=("linear",), lengths=(64, 128))
    with pytest.raises(RunError, match="--variants=nothing: unknown"):
        sweep.fresh_peak(config, Point("nothing", "both", 64))


def test_cores_are_given_back():
    before = os.sched_getaffinity(0)
    with microbenchmark.bound(str(min(before))):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
