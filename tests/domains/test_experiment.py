"""experiments/domains.py as a user meets it: the run folder, a cut run, own texts."""

import json
import shutil

import golden
import jax
import numpy as np
import pytest
import scripts
from scripts import assert_identical, checkpoint
from texts import letters, write_corpus

import genjax
from genjax.core.errors import UsageError
from genjax.domains import experiment

SMOKE = scripts.smoke("domains")
ARMS = ["few", "many", "gru", "ngram", "tuned", "replay", "next", "lora", "proxy", "mixed"]
ARMS += ["far1", "far2", "far4", "rung1", "rung4", "rung16"]


def launch(*args, **how):
    return scripts.launch("domains", *args, **how)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("domains") / "run"
    done = launch(SMOKE, cache, f"--workdir={folder}", fresh=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_run_folder_holds_table_claims_and_pictures(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["arms"] == ARMS
    metrics = summary["metrics"]
    for arm in ARMS:
        assert len(metrics[f"{arm}/seen"]["per_seed"]) == 2
        assert metrics[f"{arm}/excess_seen"]["mean"] > 0
    for arm in ("tuned", "replay", "lora"):
        assert {f"{arm}/{name}" for name in ("gain", "forgetting", "drift")} <= set(metrics)
    for name in ("final", "backward", "forward"):
        assert len(metrics[f"next/sequence_{name}"]["per_seed"]) == 2
    mixture = json.loads((finished / "mixtures" / "proxy.json").read_text())
    assert list(mixture) == summary["trained_on"]["mixed"]
    np.testing.assert_allclose(np.sum(list(mixture.values()), 0), 1, rtol=1e-5)
    for floor in ("unigram", "cache", "cache_bigram"):
        assert metrics[f"{floor}/score"]["mean"] <= 0 < metrics["family/score"]["mean"]
    # many and gru: one start, the same domains.
    assert "an oracle that reads those takes" in str(summary["notes"])
    # s0l0 is held out, and was trained on before.
    assert summary["trained_before"]["next"] == ["s0l0", *summary["trained_on"]["many"]]
    watched = [row for row in scripts.rows(finished) if "valid_new" in row]
    for row in watched:
        parts = [row[f"test/{name}"] for name in summary["trained_on"][row["arm"]]]
        np.testing.assert_allclose(row["test_new"], np.mean(parts), rtol=1e-5)
        if row["arm"] == "next":
            parts = [row[f"test/{name}"] for name in summary["trained_before"]["next"]]
            np.testing.assert_allclose(row["test_old"], np.mean(parts), rtol=1e-5)
            np.testing.assert_allclose(row["test_unseen"], row["test/s2l2"], rtol=1e-5)
    assert watched
    assert [claim["id"] for claim in summary["claims"]] == ["D1a", "D1b", "D1c", "D6"]
    names = {path.name for path in (finished / "plots").iterdir()}
    assert names == {
        "diversity.png", "ladder.png", "domains.png", "front.png", "few_shot.png",
        "adaptation.png", "position.png", "curves.png", "samples.txt",
    }  # fmt: skip
    assert "What is not claimed" in (finished / "report.html").read_text()


def test_the_smoke_run_is_that_of_the_golden_file(finished):
    golden.check("domains", finished)


def test_an_adapted_arm_starts_from_what_its_parent_ended_with(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["trained_on"]["tuned"] == ["s0l0"]
    before = json.loads((finished / "evaluation" / "many.json").read_text())
    after = json.loads((finished / "evaluation" / "tuned.json").read_text())
    gained = np.subtract(before["loss/s0l0"], after["loss/s0l0"])
    np.testing.assert_allclose(after["gain"], gained)
    # LoRA leaves the model that it starts from as it was.
    ends = [checkpoint(finished, arm, step) for arm, step in (("many", 6), ("lora", 4))]
    frozen = [
        {name: leaf for name, leaf in end.items() if name.startswith("['params']['model']")}
        for end in ends
    ]
    assert len(frozen[0]) > 5
    assert_identical(*frozen)


def test_cut_in_its_graph_it_continues_to_the_same_bits(finished, cache, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(finished, folder)
    # lora was killed while it was measured, tuned before its first checkpoint, the others between.
    for arm in ("tuned", "replay", "lora", "proxy"):
        (folder / "evaluation" / f"{arm}.json").unlink()
    for arm, last in (("tuned", 4), ("replay", 4), ("proxy", 6)):
        shutil.rmtree(folder / "models" / arm)
        shutil.rmtree(folder / "checkpoints" / arm / str(last))
    shutil.rmtree(folder / "checkpoints" / "tuned")
    (folder / "mixtures" / "proxy.json").unlink()
    (folder / "summary.json").unlink()
    done = launch(SMOKE, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    for arm, last in (("tuned", 4), ("replay", 4), ("lora", 4), ("proxy", 6)):
        assert_identical(checkpoint(finished, arm, last), checkpoint(folder, arm, last))
        left, right = ((f / "evaluation" / f"{arm}.json").read_text() for f in (finished, folder))
        assert left == right


def test_claims_are_judged_from_the_files(finished, tmp_path):
    run = genjax.open(finished)
    assert run.judge() == run.claims and run.claims
    assert run.config.arms()["tuned"].from_ == "many"
    folder = tmp_path / "other"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("checkpoints", "models"))
    (folder / "manifest.json").unlink()  # With it the change would be named as damage.
    path = folder / "evaluation" / "many.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"few_shot_gain": [99.0, 98.0]}))
    (change,) = (c for c in genjax.open(folder).judge() if c["id"] == "D6")
    assert change["estimate"] == 98.5


def test_losses_at_the_step_that_valid_text_chooses(finished):
    summary = json.loads((finished / "summary.json").read_text())
    rows = [row for row in scripts.rows(finished) if row["arm"] == "tuned" and "valid_new" in row]
    for i, seed in enumerate(summary["seeds"]):
        best = min((row for row in rows if row["seed"] == seed), key=lambda row: row["valid_new"])
        for name in ("new", "old", "unseen"):
            found = summary["metrics"][f"tuned/stopped_{name}"]["per_seed"][i]
            assert found == pytest.approx(best[f"test_{name}"])
        assert summary["metrics"]["tuned/stopped_at"]["per_seed"][i] == best["step"]
    # The last step's are the measures', as every test document is watched.
    last = max(row["step"] for row in rows)
    for name in ("new", "old", "unseen"):
        ends = [row[f"test_{name}"] for row in rows if row["step"] == last]
        np.testing.assert_allclose(ends, summary["metrics"][f"tuned/{name}"]["per_seed"], rtol=1e-5)


def test_a_loaded_model_scores_what_the_run_measured(finished):
    run = genjax.open(finished)
    # Each seed has its own grid.
    sources = [*experiment.read_sources(run.config)]
    test = sources[1].measured("s0l1", "test").windows
    assert (sources[0].measured("s0l1", "test").windows != test).any()
    for arm in ("many", "gru", "lora"):
        model = run.model(arm, 1)
        found = np.asarray(model.log_probs(test[:, :-1]))
        np.testing.assert_allclose(np.exp(found).sum(-1), 1, rtol=1e-4)
        bits = -np.take_along_axis(found, test[:, 1:, None], -1).mean() / np.log(2)
        evaluated = json.loads((finished / "evaluation" / f"{arm}.json").read_text())
        np.testing.assert_allclose(bits, evaluated["loss/s0l1"][1], rtol=1e-5)
        scores = [model.score(model.decode(document[1:])) for document in test]
        np.testing.assert_allclose(np.mean(scores), bits, rtol=1e-5)
        # A token reaches none before it, and a short text is no other.
        np.testing.assert_allclose(model.log_probs(test[:, :9]), found[:, :9], atol=1e-5)
    assert abs(bits - evaluated["loss/s0l1"][0]) > 1e-3, "the seeds differ"
    with pytest.raises(UsageError, match="window of 32"):
        model.log_probs(np.zeros((1, 33), int))


def test_a_loaded_model_generates(finished):
    model = genjax.open(finished).model("many")
    prompts = np.array([[model.bos, 3, 5], [model.bos, 7, 1]])
    made = model.generate(prompts, 6, jax.random.key(0))
    assert made.shape == (2, 9)
    np.testing.assert_array_equal(made[:, :3], prompts)
    assert made.min() >= 0 and made.max() <= model.bos
    # The text of the first prompt alone, and its continuation.
    assert model.generate("3 5", 6, jax.random.key(0)).split()[:2] == ["3", "5"]
    np.testing.assert_array_equal(model.encode("3 5"), [3, 5])
    for words in ("three five", "3 33", "-1"):
        with pytest.raises(UsageError, match="numbers"):
            model.encode(words)
    with pytest.raises(UsageError, match="window of 32"):
        model.generate(prompts, 30, jax.random.key(0))


def test_a_half_finished_arm_is_loaded_from_its_checkpoint(finished, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(finished, folder)
    whole = {arm: genjax.open(finished).model(arm) for arm in ("many", "lora")}
    assert (whole["many"].step, whole["lora"].step) == (6, 4)
    for arm in whole:
        shutil.rmtree(folder / "models" / arm)
    run = genjax.open(folder)
    for arm, model in whole.items():
        left, right = jax.tree.leaves(model.params), jax.tree.leaves(run.model(arm).params)
        for a, b in zip(left, right, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    shutil.rmtree(folder / "checkpoints" / "many" / "6")
    assert run.model("many").step == 3
    (folder / "models" / "replay" / "4" / "record" / "metadata").write_text("{}")
    with pytest.raises(UsageError, match="models/replay: is damaged"):
        run.model("replay")  # The last checkpoint is of weights that are not averaged yet.
    with pytest.raises(UsageError, match="ngram is an n-gram"):
        run.model("ngram")
    shutil.rmtree(folder / "checkpoints" / "gru")
    shutil.rmtree(folder / "models" / "gru")
    with pytest.raises(UsageError, match="no checkpoint of arm gru"):
        run.model("gru")


SIZES = [
    "--grid=3", "--seeds=2", "--batch_size=4", "--context=32", "--pool=32", "--documents=8",
    "--evaluations=1", "--shots=", "--depth=1", "--optimizer=adamw",
]  # fmt: skip


def test_a_model_of_another_run_is_a_base_and_stays_as_it_is(finished, cache, tmp_path):
    base = finished / "models" / "many"
    before = sorted(path for path in base.rglob("*"))
    arm = f"--arm=next:from={base},domains=s0l0,steps=2"
    done = launch(arm, *SIZES, "--width=16", cache, f"--workdir={tmp_path / 'good'}")
    assert done.returncode == 0, done.stderr
    done = launch(arm, *SIZES, "--width=8", cache, f"--workdir={tmp_path / 'bad'}")
    assert done.returncode == 2, done.stderr
    assert "no whole checkpoint of 2 seeds and of this shape" in done.stderr.splitlines()[-1]
    assert sorted(path for path in base.rglob("*")) == before


def test_a_base_that_is_none_is_found_while_running(end):
    """Behind the line that says what runs."""
    code, said, _ = end("domains", "--arm=a:from={folder}", *SIZES, "--width=16")
    said = said.splitlines()[-1]
    assert code == 2 and "--from=" in said and "no whole checkpoint" in said


def test_a_folder_of_texts_is_adapted_to_and_left_out_domain_by_domain(cache, tmp_path):
    rng = np.random.default_rng(1)
    names = ["one", "two", "three", "four", "five", "six"]
    corpus = {name: letters(rng, 3 + 4 * i) for i, name in enumerate(names)}
    write_corpus(tmp_path / "corpus", corpus)
    arms = ["--arm=base:domains=one,steps=4"]
    arms += [f"--arm=to_{name}:from=base,domains={name},steps=2" for name in names[1:]]
    arms += ["--arm=all:model=ngram,domains=all"]
    arms += [f"--arm=no_{name}:model=ngram,domains=all-{name}" for name in names[1:]]
    folder = tmp_path / "run"
    done = launch(
        *arms, *SIZES, "--stride=32", "--width=16", "--samples=8", cache,
        f"--corpus={tmp_path / 'corpus'}", f"--workdir={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["unit"] == "bits a byte"
    assert [claim["id"] for claim in summary["claims"]] == ["D4"]
    for arm in ("unigram", "cache", "cache_bigram"):
        assert len(metrics_of(summary, f"{arm}/seen")) == 2
    metrics = summary["metrics"]
    near, far = (metrics[f"to_{name}/overlap"]["mean"] for name in ("two", "six"))
    assert 0 <= far < near <= 1
    for name in names[1:]:
        assert {f"no_{name}/{measure}" for measure in ("gap", "overlap")} <= set(metrics)
    assert metrics["no_six/gap"]["mean"] > 0
    assert "Rank correlation of the gap" in str(summary["notes"])
    assert {"overlap.png", "samples.txt"} <= {path.name for path in (folder / "plots").iterdir()}
    # Read again without the corpus, a model scores a text as the run did.
    content = (tmp_path / "corpus" / "two" / "test.txt").read_text()
    shutil.rmtree(tmp_path / "corpus")
    model = genjax.open(folder).model("base")
    measured = json.loads((folder / "evaluation" / "base.json").read_text())["loss/two"]
    np.testing.assert_allclose(model.score(content), measured[0], rtol=1e-5)
    assert model.decode(model.encode(content)) == content
    assert model.generate("abc", 5, jax.random.key(0)).startswith("abc")


def metrics_of(summary, name):
    return summary["metrics"][name]["per_seed"]
