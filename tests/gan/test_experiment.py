"""experiments/gan.py as a user meets it: whole processes, their files, their exit codes."""

import contextlib
import json
import shutil
from types import SimpleNamespace

import golden
import image_files
import numpy as np
import pytest
import scripts
from PIL import Image
from scripts import assert_identical, checkpoint, rows

from genjax.core.folder import Folder
from genjax.gan import experiment
from genjax.gan.config import Config
from genjax.gan.watch import Watch

SMOKE = scripts.smoke("gan")


def gan(*args, **how):
    return scripts.launch("gan", *args, **how)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    """The smoke run: three arms, two seeds. It is watched, which changes no number of it."""
    folder = tmp_path_factory.mktemp("gan") / "run"
    done = gan(SMOKE, cache, f"--workdir={folder}", "--live=0", "--tensorboard", fresh=True)
    assert done.returncode == 0, done.stderr
    assert "--live: http://127.0.0.1:" in done.stderr and "cannot" not in done.stderr
    assert any((folder / "tensorboard").iterdir())
    assert "modes" in done.stderr and "G1" in done.stderr
    return folder


def test_run_folder_holds_table_claims_and_pictures(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["arms"] == ["gan", "pacgan2", "rpgan_r1r2"]
    for measure in ("modes", "mode_tv", "recall", "vendi", "ndb", "log_jacobian", "spread"):
        for arm in summary["arms"]:
            assert len(summary["metrics"][f"{arm}/{measure}"]["per_seed"]) == 2
    # Perfect samples are the last row, by the measure that needs no trained model.
    assert list(summary["metrics"])[-1].startswith("truth/")
    assert summary["metrics"]["truth/high_quality"]["mean"] == pytest.approx(0.989, abs=0.01)
    claims = ["G1", "G2a", "G2b", "G3", "G4a", "G4b", "G6a", "G6b", "G6c"]
    assert [c["id"] for c in summary["claims"]] == claims
    assert {c["verdict"] for c in summary["claims"]} == {"undetermined"}
    names = {path.name for path in (finished / "plots").iterdir()}
    assert names == {
        "samples.png", "over_training.png", "training.gif", "curves.png", "landscape.png",
        "slopes.png",
    }  # fmt: skip
    with Image.open(finished / "plots" / "training.gif") as film:
        assert film.n_frames > 2
    page = (finished / "report.html").read_text()
    assert page.count("data:image/gif;base64") == 1 and ">truth<" in page


def test_the_smoke_run_is_that_of_the_golden_file(finished):
    golden.check("gan", finished)


def test_modes_are_counted_along_training_and_all_else_less_often(finished):
    found = [row for row in rows(finished) if "modes" in row]
    steps = {row["step"] for row in found}
    assert steps == set(range(5, 65, 5))
    assert {(row["arm"], row["seed"]) for row in found} == {
        (arm, seed) for arm in ("gan", "pacgan2", "rpgan_r1r2") for seed in (0, 1)
    }
    near = [row for row in found if "recall" in row]
    assert {row["step"] for row in near} == {15, 30, 45, 50, 55, 60}
    assert all({"precision", "recall_thinned", "log_jacobian"} <= row.keys() for row in near)
    slow = [row for row in found if "vendi" in row]
    assert {row["step"] for row in slow} == {50, 60}
    assert all({"vendi", "ndb", "contrast"} <= row.keys() for row in slow)


def test_figures_are_means_over_the_final_window(finished):
    """The last quarter of 60 steps has evaluations at 50, 55 and 60; early are 10 of 6 to 12."""
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["window"] == [50, 60]
    logged = {(row["arm"], row["seed"], row["step"]): row for row in rows(finished)}
    for arm, seed in (("gan", 1), ("rpgan_r1r2", 0)):
        for name in ("modes", "mode_tv", "recall", "vendi"):
            at = {step: logged[arm, seed, step].get(name) for step in (10, 50, 55, 60)}
            known = [at[step] for step in (50, 55, 60) if at[step] is not None]
            for row, expected in (("", np.mean(known)), ("@last", at[60]), ("@early", at[10])):
                if expected is not None:
                    found = summary["metrics"][f"{arm}{row}/{name}"]["per_seed"][seed]
                    assert found == pytest.approx(expected, rel=1e-12)
    assert "3 evaluations of a final window, steps 50 to 60" in " ".join(summary["notes"])
    # Before training a net of eight units has no shape of the ring.
    for arm in summary["arms"]:
        assert summary["metrics"][f"{arm}@untrained/high_quality"]["mean"] < 0.05
    # With noise in every second sample, in the final window; neighbours are not asked.
    found = summary["metrics"]
    at = [logged["gan", 1, step]["@noised/mode_tv"] for step in (50, 55, 60)]
    assert found["gan@noised/mode_tv"]["per_seed"][1] == pytest.approx(np.mean(at), rel=1e-12)
    assert "gan@noised/held" in found and "gan@noised/recall" not in found


def test_killed_between_arms_it_continues_to_the_same_bits(finished, cache, tmp_path):
    """A run cut where one arm is trained but not judged, one half trained, one not begun."""
    folder = tmp_path / "cut"
    args = [SMOKE, cache, f"--workdir={folder}"]
    shutil.copytree(finished, folder)
    for name in ("gan", "pacgan2", "rpgan_r1r2"):
        (folder / "evaluation" / f"{name}.json").unlink()
    (folder / "summary.json").unlink()
    saved = sorted((folder / "checkpoints" / "rpgan_r1r2").iterdir(), key=lambda p: p.name)
    last = max(int(p.name) for p in saved if p.name.isdigit())
    shutil.rmtree(folder / "checkpoints" / "rpgan_r1r2" / str(last))
    shutil.rmtree(folder / "checkpoints" / "pacgan2")
    done = gan(*args)
    assert done.returncode == 0, done.stderr
    for arm in ("gan", "pacgan2", "rpgan_r1r2"):
        assert_identical(checkpoint(finished, arm, 60), checkpoint(folder, arm, 60))
    left, right = (
        json.loads((f / "summary.json").read_text())["metrics"] for f in (finished, folder)
    )
    assert left == right

    def in_order(folder):
        return sorted(json.dumps(row, sort_keys=True) for row in rows(folder))

    assert in_order(finished) == in_order(folder)


@pytest.mark.parametrize(("plays", "said"), [(True, ", COLLAPSE: seed 1 lost modes"), (False, "")])
def test_a_collapse_is_announced_after_a_pause_too(plays, said, tmp_path, monkeypatch):
    """What was reached before the pause is read from the folder; of a game alone."""
    config = Config(seeds=2, steps=20)

    def opened():
        return contextlib.closing(Folder(tmp_path / "run", config, experiment="gan", room="gan"))

    with opened() as folder:
        (folder.path / "checkpoints" / "gan").mkdir(parents=True)
        folder.write("gan", [{"seed": s, "step": 10, "modes": m} for s, m in ((0, 3.0), (1, 9.0))])
    watch = object.__new__(Watch)
    vars(watch).update(arm="gan", task=SimpleNamespace(modes=8), seeds=[0, 1])
    vars(watch).update(text="", plays=plays)
    monkeypatch.setattr(Watch, "measure", lambda self, state: {"modes": [3.0, 5.0]})
    with opened() as watch.folder:
        watch(None)
    assert watch.text == f"modes 4.0 of 8{said}"


def test_rows_that_were_changed_are_computed_again(finished, cache, tmp_path):
    """A log without recall, as an older version wrote it: named, and the end is the same."""
    folder = tmp_path / "old"
    shutil.copytree(finished, folder)
    logged = [{k: v for k, v in row.items() if k != "recall"} for row in rows(finished)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in logged))
    done = gan(SMOKE, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    assert "rows of gan are damaged or missing; computed again" in done.stderr
    left, right = (
        json.loads((f / "summary.json").read_text())["metrics"] for f in (finished, folder)
    )
    assert left == right


def test_samples_that_are_not_finite_end_the_run(cache, tmp_path):
    """The first update of such a rate leaves a finite loss and a generator of nan."""
    tiny = [*scripts.smoke_of("gan", "gan"), "--steps=1", "--evaluations=1", cache]
    deep = ["--learning_rate=1e6", "--g_depth=8", "--g_layer=leaky_relu"]
    done = gan(*tiny, *deep, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 1, done.stderr
    assert "gan: samples are not finite after step 1, seed 0" in done.stderr.splitlines()[-1]


def test_stacked_digits_name_their_modes(cache, tmp_path):
    folder = tmp_path / "stacked"
    arms = scripts.smoke_of(
        "gan", "gan", "r3:loss=rpgan,r1=0.1,r2=0.1,pack=2,resample=2", "flow:method=flow"
    )
    tiny = ["--data=stacked", "--latent=8", "--steps=4", "--evaluations=2", "--flow_steps=2,1",
            "--classifier_steps=400"]  # fmt: skip
    # Its classifier is one of convolutions.
    done = gan(*arms, *tiny, cache, f"--workdir={folder}", level=scripts.LOWER)
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["modes"] == 1000 and summary["classifier"]["test_accuracy"] > 0.95
    truth = summary["metrics"]["truth/kl"]
    # 999 / (2 * 200) nats, less what so few samples of 1000 modes can show.
    assert 1.0 < truth["low"] <= truth["mean"] <= truth["high"] < 2.5
    assert {"gan/modes", "gan/kl", "gan/vendi"} <= summary["metrics"].keys()
    assert {"flow/kl", "flow/log_jacobian", "flow@1/kl"} <= summary["metrics"].keys()
    assert {"G1", "G2a", "G6a", "G8a", "G8b", "G8c", "G8e"} <= {c["id"] for c in summary["claims"]}
    names = {path.name for path in (folder / "plots").iterdir()}
    assert names == {
        "samples.png", "over_training.png", "training.gif", "curves.png", "mode_histogram.png",
        "slopes.png",
    }  # fmt: skip


BAD = {
    "looking far ahead": (["--unroll=101"], ["--unroll=101", "from 0 to 100"]),
    "pack": (["--pack=0"], ["--pack=0", "from 1 to 1,024"]),
    "arm's pack": (["--arm=pac:pack=0"], ["--arm=pac: --pack=0", "from 1"]),
    "arm's flag": (["--arm=pac:packs=2"], ["--arm=pac:packs=2", "packs=2", "did you mean pack?"]),
    "arm's name": (["--arm=a", "--arm=a"], ["--arm=a", "taken"]),
    "the classifier's name": (["--arm=classifier"], ["--arm=classifier", "taken"]),
    "fewer points than bins": (["--points=20", "--batch_size=8"], ["--points=20", "32 bins"]),
    "loss's name": (["--loss=wgn"], ["--loss=wgn", "did you mean wgan?"]),
    "arm's game": (["--arm=w:loss=wgan"], ["--arm=w: --loss=wgan", "--gp"]),
    "a game's option of a flow": (
        ["--arm=gan", "--arm=f:method=flow,pack=2"],
        ["--arm=f: --pack=2", "--method=gan"],
    ),
    "convolutions of a flow": (
        ["--data=stacked", "--arch=dcgan", "--arm=f:method=flow"],
        ["--arm=f: --arch=dcgan", "--arch=mlp"],
    ),
    "no learning": (["--learning_rate=0"], ["--learning_rate=0", "above 0"]),
    "beta": (["--beta2=1"], ["--beta2=1", "below 1"]),
    "loss": (["--loss=wgan"], ["--loss=wgan", "--gp"]),
    "penalties": (["--gp=10", "--r1=1"], ["--gp", "--r1"]),
    "penalty and batch": (["--r1=1", "--minibatch=stddev"], ["penalty", "--minibatch"]),
    "critic": (["--n_critic=5"], ["--n_critic=5", "--updates=alternating"]),
    "images of points": (["--arch=dcgan"], ["--arch=dcgan", "--data=stacked"]),
    "skip of images": (
        ["--data=stacked", "--arch=dcgan", "--g_skip"],
        ["--g_skip", "--arch=mlp"],
    ),
    "data": (["--data=rings"], ["--data=rings", "ring8", "stacked"]),
    "grid": (["--data=grid24"], ["--data=grid24", "grid16"]),
    "modes": (["--data=modes"], ["--modes is missing"]),
    "sigma": (["--data=stacked", "--sigma=1"], ["--sigma=1", "mixture"]),
    "weights of images": (["--data=stacked", "--imbalance=3"], ["--imbalance=3", "mixture"]),
    "waves of images": (
        ["--data=stacked", "--arch=metz", "--d_fourier=1"],
        ["--d_fourier=1", "--arch=mlp"],
    ),
    "width of convolutions": (
        ["--data=stacked", "--arch=metz", "--g_width=64"],
        ["--g_width=64", "--arch=mlp"],
    ),
    "scale of no penalty": (["--penalty_scale=2"], ["--penalty_scale=2", "--gp, --r1 or --r2"]),
    "classifier of one generator": (["--arm=a:diversity=2"], ["--arm=a: --diversity=2", "--gener"]),
    "classifier of points": (["--classifier_steps=9"], ["--classifier_steps=9", "--data=stacked"]),
    "channels of points": (["--d_fraction=0.5"], ["--d_fraction=0.5", "--arch=dcgan, metz"]),
    "critic without a bound": (
        ["--loss=wgan", "--spectral_norm", "--minibatch=stddev"],
        ["--loss=wgan", "--spectral_norm", "--minibatch"],
    ),
    "critic with batch norm": (
        ["--loss=wgan", "--spectral_norm", "--d_norm"],
        ["--loss=wgan", "--spectral_norm", "--d_norm"],
    ),
    "critic of waves": (
        ["--loss=wgan", "--spectral_norm", "--d_fourier=1"],
        ["--loss=wgan", "--spectral_norm", "--d_fourier"],
    ),
    "few samples": (["--eval_samples=50"], ["--eval_samples=50", "100"]),
    "few points": (["--points=60", "--batch_size=64"], ["--points=60", "64"]),
    "unroll": (
        ["--unroll=100", "--seeds=100", "--d_width=2048"],
        ["--unroll=100", "--seeds=100", "GB"],
    ),
    "unroll of images": (
        ["--data=stacked", "--arch=dcgan", "--unroll=100", "--seeds=100"],
        ["--unroll=100", "--seeds=100", "GB"],
    ),
    "packs of many points": (
        ["--points=100000000", "--pack=1024"],
        ["--points=100000000 or --pack=1024: about", "GB"],
    ),
    "nets without end": (["--g_width=65536", "--g_depth=100"], ["--g_width", "--seeds", "GB"]),
    "too many modes": (["--data=ring" + "9" * 20], ["--data=ring999", "2 to 10,000 modes"]),
    "a mode far away": (
        ["--data=modes", "--sigma=1", "--modes=0,0;1e30,0"],
        ["--modes=0,0;1e30,0", "1,000,000"],
    ),
    "slopes of large images": (
        ["--data=stacked:idx:{folder}/large", "--method=flow"],
        ["--flow_steps=64", "2,352 latents", "hours"],
    ),
    "slopes of many latents": (["--latent=16384"], ["--latent=16384", "16,384 latents", "hours"]),
    "images without labels": (["--data=stacked:idx:{folder}"], ["without labels"]),
    "veegan of images": (
        ["--data=stacked", "--reconstruction=1"],
        ["--reconstruction", "points in the plane"],
    ),
    "missing folder": (["--data=stacked:idx:nowhere"], ["nowhere"]),
    "pmap": (["--parallel=pmap", "--batch_size=130"], ["--batch_size=130", "pmap", "4"]),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of images without labels, and one of large ones in it."""
    folder = tmp_path_factory.mktemp("images")
    blank = np.zeros((40, 8, 8), np.uint8)
    image_files.write_folder(folder, blank, blank, classes=1)
    (folder / "large").mkdir()
    image_files.write_folder(folder / "large", *np.zeros((2, 40, 28, 28), np.uint8))
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line(end, name, images):
    given, parts = BAD[name]
    scripts.assert_refused(end("gan", *given, folder=images), parts)


def test_pmap_runs_the_whole_script(finished, cache, tmp_path):
    folder = tmp_path / "pmap"
    arms = scripts.smoke_of("gan", "gan")
    done = gan(*arms, "--parallel=pmap", cache, f"--workdir={folder}", devices=4)
    assert done.returncode == 0, done.stderr
    alone, spread = checkpoint(finished, "gan", 60), checkpoint(folder, "gan", 60)
    for name in alone:
        np.testing.assert_allclose(alone[name], spread[name], rtol=1e-2, atol=2e-3, err_msg=name)


@pytest.mark.parametrize(
    ("name", "most"), [("modes", 8), ("held", 8), ("precision", 1), ("density", np.inf)]
)
def test_ends_of_intervals_lie_in_the_possible_range(name, most):
    """Of two seeds at both ends a t interval is wider than all that can be."""
    top = min(most, 2.0) if name == "density" else most
    found = experiment.figure(f"gan/{name}", [0.0, top], 8)
    assert found["low"] == 0 and found["high"] == (
        pytest.approx(13.706, abs=1e-3) if most > 8 else most
    )
    assert experiment.figure("gan/log_jacobian", [-1.0, -3.0], 8)["low"] < -3
