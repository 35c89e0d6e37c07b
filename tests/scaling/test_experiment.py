"""The attention script from end to end: a run's files, its continuation, and bad input."""

import json
import os
import re
import shutil

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scripts

import genjax
from genjax.core.errors import UsageError
from genjax.scaling import experiment, lookups, microbenchmark, training
from genjax.scaling.config import Config

SMOKE = scripts.smoke("attention")


def script(*arguments, **how):
    return scripts.launch("attention", *arguments, **how)


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("attention") / "run"
    done = script(SMOKE, cache, f"--workdir={folder}", fresh=True)
    assert done.returncode == 0, done.stderr
    return folder


def processes(folder):
    paths = sorted((folder / "evaluation").glob("process-*.json"))
    return [json.loads(path.read_text()) for path in paths]


def test_a_run_holds_points_fits_quality_claims_and_pictures(run):
    summary = json.loads((run / "summary.json").read_text())
    names = ("full", "flash", "truncated", "sparse_strided", "reformer")
    metrics = summary["metrics"]
    for name in names:
        for mode in ("forward", "both"):
            point = summary["points"][f"{name}/{mode}"]
            assert point["lengths"] == [64, 128]
            assert min(point["seconds"]) > 0 and min(point["predicted_bytes"]) > 0
            assert min(point["peak_bytes"]) >= 0
        assert 0 <= metrics[f"{name}/needles"]["mean"] <= 1
        assert len(metrics[f"{name}/milliseconds/forward"]["per_seed"]) == 2
    # At the length that is timed.
    assert summary["reference"] == 128 and summary["seeds"] == [0, 1]
    assert metrics["full/needles"]["mean"] > 0.9
    assert metrics["full/error"]["mean"] < 1e-5 > metrics["flash/error"]["mean"]
    # Half of the queries, and half of the keys.
    assert metrics["truncated/reached"]["mean"] == pytest.approx(0.25, abs=0.1)
    assert metrics["truncated/needles"]["mean"] == pytest.approx(0.25, abs=0.1)
    assert metrics["flash/captured_error/recall_32"]["mean"] < 1e-5
    assert len(metrics["reformer/recall_accuracy/32"]["per_seed"]) == 2
    # Two processes, or seeds, decide nothing.
    verdicts = {claim["id"]: claim["verdict"] for claim in summary["claims"]}
    assert verdicts == dict.fromkeys(
        ("A1", "A1m", "A2", "A2m", "A4", "A5", "A6a", "A6b", "A8 truncated", "A8 sparse_strided",
         "A8 reformer"),
        "undetermined",
    )  # fmt: skip
    assert {path.stem for path in (run / "plots").glob("*.png")} == {
        "time", "memory", "exponents", "parts", "tradeoff", "lookups", "pareto", "states",
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


def test_every_process_times_every_point_in_every_round(run):
    found = processes(run)
    assert [one["seed"] for one in found] == [0, 1]
    facts = [row for row in scripts.rows(run) if "mode" in row]
    names = [f"{row['arm']} {row['mode']} {row['length']}" for row in facts]
    assert len(set(names)) == len(names) == 44
    for one in found:
        assert one["points"].keys() == set(names)
        assert {len(row["least"]) for row in one["points"].values()} == {2}
    # Peaks of what claims read are every process's, the others the first one's.
    told = [
        {p for p, row in one["points"].items() if row["peak_bytes"] is not None} for one in found
    ]
    assert told[0] == set(names)
    assert {name.split()[0] for name in told[1]} == {"full", "flash", "products", "rows"}
    assert all("forward" in name for name in told[1])
    made = json.loads((run / "summary.json").read_text())["claims"]
    by_memory = [claim for claim in made if claim["id"] in ("A1m", "A2m")]
    assert len(by_memory) == 2 and all(claim["estimate"] is not None for claim in by_memory)
    # Each draws its own numbers.
    errors = [one["quality"]["reformer"]["error"] for one in found]
    assert errors[0] != errors[1]


def test_a_killed_sweep_measures_only_what_is_missing(run, cache, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    before = processes(run)
    (folder / "summary.json").unlink()
    (folder / "evaluation" / "process-1.json").write_text("{}")
    done = script(SMOKE, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    assert "process 2 of 2" in done.stderr and "process 1 of 2" not in done.stderr
    after = processes(folder)
    assert after[0] == before[0]
    assert after[1]["points"].keys() == before[1]["points"].keys()
    assert after[1]["points"] != before[1]["points"]
    # What no clock decides comes out as it was.
    assert after[1]["quality"] == before[1]["quality"]
    assert scripts.rows(folder) == scripts.rows(run)
    done = script(SMOKE, cache, f"--workdir={folder}")
    assert done.returncode == 0 and "nothing is computed again" in done.stderr


BAD = {
    "order": (["--lengths=128,64"], ["--lengths=128,64: must ascend"]),
    "variant": (
        ["--variants=full,sparse"],
        ["--variants=full,sparse: no 'sparse'", "did you mean", "choices: full, flash, truncated"],
    ),
    "block": (
        ["--variants=bigbird", "--lengths=64,100"],
        ["does not divide the length 100"],
    ),
    "task's length": (
        ["--tasks=recall", "--task_lengths=100", "--variants=bigbird"],
        ["--task_lengths=100", "does not divide"],
    ),
    "cudnn": (["--implementation=cudnn"], ["--implementation=cudnn: needs a CUDA GPU"]),
    "cudnn of no flash": (
        ["--implementation=cudnn", "--variants=full,truncated,reformer"],
        ["--implementation=cudnn", "--variants=flash"],
    ),
    "window of none": (["--window=32"], ["--window=32", "--variants=longformer"]),
    "rounds of none": (
        ["--variants=full,truncated", "--chunk=64", "--hash_rounds=2"],
        ["--hash_rounds=2", "--variants=reformer"],
    ),
    "width": (["--widths=24"], ["--widths=24: --head_dim=16 does not divide it"]),
    "cores": (["--cores=999"], ["--cores=999: this process may run on cores"]),
    "pairs": (["--recall_pairs=30"], ["--recall_pairs=30: at most 10 fit"]),
    "cores in words": (["--cores=first"], ["--cores=first: numbers of cores"]),
    "one length": (["--lengths=64"], ["--lengths=64: an exponent takes two lengths"]),
    "no length": (["--lengths="], ["--lengths=: at least one"]),
    "task": (["--tasks=sort"], ["--tasks=sort: no 'sort'", "recall, mqar, copy, listops"]),
    "heads": (["--task_heads=3"], ["--task_heads=3: no even parts of a width of 16"]),
    "words that fit nowhere": (
        ["--tasks=mqar", "--task_lengths=8192", "--mqar_tokens=1048576", "--recall_pairs=2"],
        ["--task_lengths=8192, --mqar_tokens=1048576: about", "GB"],
    ),
    "causal": (["--variants=linformer", "--causal"], ["linformer: is not causal"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line(end, name):
    given, parts = BAD[name]
    scripts.assert_refused(end("attention", SMOKE, *given), parts)


@pytest.mark.parametrize("task, tokens", [("mqar", 5000), ("recall", 65), ("listops", 17)])
def test_memory_is_of_the_task_in_question(task, tokens):
    config = Config(tasks=(task,), symbols=32, mqar_tokens=5000, variants=("flash",), seeds=3)
    model = training.network(config, f"flash-{task}-128")
    made = jax.eval_shape(model.init, jax.random.key(0))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(made))
    needed = experiment.memory_needed(config)
    (weights,) = (size for flags, size in needed.items() if flags.startswith("--width"))
    assert 0.95 < weights / (16 * 3 * parameters) <= 1
    # 100 sequences of 128 are measured at once.
    (measured,) = jax.eval_shape(model.apply, made, jnp.zeros((100, 128), int)).shape[2:]
    assert measured == tokens
    if task == "mqar":
        assert needed["--task_lengths, --mqar_tokens"] == 4 * 100 * 128 * tokens
    assert experiment.memory_needed(config.replace(tasks=())) == {}


def test_what_does_not_fit_is_predicted_and_skipped(cache, tmp_path):
    folder = tmp_path / "run"
    done = script(
        SMOKE, cache, f"--workdir={folder}", "--variants=full,linear", "--keep=512", "--chunk=64",
        "--lengths=64,128,2048", "--memory=0.05", "--tasks=", "--widths=16",
        "--processes=1", "--rounds=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Four matrices of 17 MB, or five.
    line = r"full both 2048: skipped, 0\.0\d+ GB by the compiled program, 0\.05 GB allowed"
    assert re.search(line, done.stderr), done.stderr
    assert "copy forward" not in done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    skipped = [note for note in summary["notes"] if note.startswith("Skipped")]
    assert any("full both at 2048" in note for note in skipped)
    assert summary["points"]["full/both"]["lengths"] == [64, 128]
    assert summary["points"]["linear/forward"]["lengths"] == [64, 128, 2048]
    with pytest.raises(UsageError, match="no model"):
        genjax.open(folder).model()


def test_cores_are_given_back():
    before = os.sched_getaffinity(0)
    with microbenchmark.bound(str(min(before))):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
