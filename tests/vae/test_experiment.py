"""experiments/vae.py as a user meets it: whole processes, their files, their exit codes."""

import json
import signal
import subprocess
import time

import golden
import numpy as np
import pytest
import scripts
from scripts import assert_identical, checkpoint, rows

SMOKE = scripts.smoke("vae")
TINY = [
    "--steps=40",
    "--log_every=10",
    "--checkpoint_every=10",
    "--steps_per_call=5",
    "--hidden=16",
    "--latent=3",
    "--nll_samples=20",
    "--classifier_steps=50",
    "--samplers=normal,gmm",
    "--seeds=2",
]


def launch(*args, **how):
    return scripts.launch("vae", *args, **how)


@pytest.fixture(scope="module")
def compared(tmp_path_factory, cache):
    """The smoke run: autoencoder and VAE, two seeds."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    done = launch(SMOKE, cache, f"--workdir={folder}", fresh=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_run_folder_holds_what_a_run_promises(compared):
    summary = json.loads((compared / "summary.json").read_text())
    assert summary["arms"] == ["ae", "vae"] and summary["seeds"] == [0, 1]
    # V2 takes the sampler `gaussian`, V6 also `posterior`.
    judged = ["V1", "V3", "V3b", "V4", "V5a", "V5b"]
    assert [claim["id"] for claim in summary["claims"]] == judged
    for path in ("vae/gmm/kfid", "ae/normal/recall", "pca/mse", "floor/kkid", "vae/nll/k=10"):
        assert np.isfinite(summary["metrics"][path]["mean"]), path
    assert len(summary["metrics"]["vae/elbo"]["per_seed"]) == 2
    logged = [row for row in rows(compared) if row["arm"] == "vae" and "loss" in row]
    assert [row["step"] for row in logged] == sorted([*range(1, 41)] * 2)
    assert (compared / "report.html").stat().st_size > 10_000
    assert len(list((compared / "plots").glob("*.png"))) >= 7


def test_the_smoke_run_is_that_of_the_golden_file(compared):
    golden.check("vae", compared)


def test_flags_txt_repeats_the_run_and_compiles_nothing(compared, cache, tmp_path):
    folder = tmp_path / "again"
    again = launch(f"--flagfile={compared / 'flags.txt'}", cache, f"--workdir={folder}")
    assert again.returncode == 0, again.stderr
    assert_identical(checkpoint(compared, "vae", 40), checkpoint(folder, "vae", 40))
    left, right = (json.loads((f / "summary.json").read_text()) for f in (compared, folder))
    assert left["metrics"] == right["metrics"]
    assert left["timing"]["cache_misses"] > 10
    assert right["timing"]["cache_misses"] == 0 and right["timing"]["cache_hits"] > 10


def test_finished_run_is_not_trained_again(compared, cache):
    before = (compared / "metrics.jsonl").read_text()
    stamp = (compared / "checkpoints" / "vae" / "40").stat().st_mtime_ns
    done = launch(SMOKE, cache, f"--workdir={compared}")
    assert done.returncode == 0, done.stderr
    assert (compared / "metrics.jsonl").read_text() == before
    assert (compared / "checkpoints" / "vae" / "40").stat().st_mtime_ns == stamp
    assert "finished" in done.stderr and "V1" in done.stderr


KILLED = ["--model=vae", *TINY[1:], "--steps=2000", "--checkpoint_every=100", "--log_every=50"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = launch(*KILLED, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def kill_after_a_checkpoint(folder, cache, delay, number=signal.SIGKILL):
    """(the last checkpoint's step, exit code, what was said)."""
    process = subprocess.Popen(
        scripts.command("vae", *KILLED, cache, f"--workdir={folder}"),
        stderr=subprocess.PIPE,
        text=True,
        env=scripts.environment(),
    )
    saved = folder / "checkpoints" / "vae"
    deadline = time.monotonic() + 120
    while not (saved.exists() and any(p.name.isdigit() for p in saved.iterdir())):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(number)
    said = process.communicate()[1]
    last = max(int(p.name) for p in saved.iterdir() if p.name.isdigit())
    return last, process.returncode, said


def test_killed_run_continues_to_the_same_bits(uninterrupted, cache, tmp_path):
    folder = tmp_path / "killed"
    delay = np.random.default_rng(time.time_ns()).uniform(0, 0.3)
    reached, _, _ = kill_after_a_checkpoint(folder, cache, delay)
    assert reached < 2000, "the run ended before it could be killed"
    done = launch(*KILLED, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    assert_identical(checkpoint(uninterrupted, "vae", 2000), checkpoint(folder, "vae", 2000))
    assert rows(folder) == rows(uninterrupted)


def test_interrupted_run_with_a_damaged_checkpoint_ends_the_same(uninterrupted, cache, tmp_path):
    folder = tmp_path / "damaged"
    reached, code, said = kill_after_a_checkpoint(folder, cache, 0.05, signal.SIGTERM)
    assert code == 143 and said.count("interrupted by SIGTERM") == 1 and "Traceback" not in said
    assert said.count("vae.py: stops after the present call") == 1
    saved = folder / "checkpoints" / "vae" / str(reached)
    largest = max((p for p in saved.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(bytes(content))
    done = launch(*KILLED, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    assert f"{saved} is damaged" in done.stderr
    assert_identical(checkpoint(uninterrupted, "vae", 2000), checkpoint(folder, "vae", 2000))
    assert rows(folder) == rows(uninterrupted)
    assert json.loads((folder / "summary.json").read_text())["timing"]["attempts"] == 2


def test_pmap_runs_the_whole_script(compared, cache, tmp_path):
    folder = tmp_path / "pmap"
    done = launch(
        SMOKE, "--compare=", "--model=ae", "--parallel=pmap", cache, f"--workdir={folder}",
        devices=4,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone, spread = checkpoint(compared, "ae", 40), checkpoint(folder, "ae", 40)
    for name in alone:
        np.testing.assert_allclose(alone[name], spread[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_loss_that_is_not_finite_names_step_and_seed(cache, tmp_path):
    done = launch(
        "--model=vae", *TINY, "--learning_rate=1e6", cache, f"--workdir={tmp_path / 'nan'}"
    )
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert "at step" in message and "seed" in message and "Traceback" not in done.stderr


BAD = {
    "model": (["--model=gan"], ["--model", "gan", "hvae"]),
    "compared model": (["--compare=vae,gan"], ["--compare", "gan", "hvae"]),
    "compare of one": (["--compare=vae"], ["--compare=vae", "two"]),
    "a model that is not compared": (
        ["--compare=ae,vae", "--model=hvae"],
        ["--model=hvae", "ae,vae"],
    ),
    "compare twice": (["--compare=vae,vae"], ["--compare", "twice"]),
    "data": (["--data=digit"], ["--data=digit", "digits"]),
    "missing folder": (["--data=idx:nowhere"], ["--data=idx:nowhere"]),
    "sampler": (["--samplers=normal,gnn"], ["--samplers", "gnn", "gmm"]),
    "latent": (["--latent=0"], ["--latent=0", "from 1 to"]),
    "seeds": (["--seeds=0"], ["--seeds=0", "from 1 to"]),
    "batch": (["--batch_size=2000"], ["--batch_size=2000", "at most 1150"]),
    "hidden": (["--hidden=64,x"], ["--hidden=64,x"]),
    "decoder_std": (["--decoder_std=-1"], ["--decoder_std=-1", "learned"]),
    "decoder_std twice": (["--decoder_std=0.1,0.1"], ["--decoder_std=0.1,0.1", "twice"]),
    "scale of no Gaussian": (
        ["--likelihood=bernoulli", "--decoder_std=0.1"],
        ["--decoder_std=0.1", "--likelihood=gaussian"],
    ),
    "density of binary pixels": (
        ["--binarize=threshold"],
        ["--binarize=threshold", "--likelihood=gaussian", "--likelihood=bernoulli"],
    ),
    "beta of no beta_vae": (["--compare=ae,vae", "--beta=3"], ["--beta=3", "--model=beta_vae"]),
    "an arm's inputs": (
        ["--arm=a:pseudo_inputs=9", "--arm=b:model=vamp"],
        ["--arm=a: --pseudo_inputs=9", "--model=vamp"],
    ),
    "samples of one bound": (
        ["--model=vamp", "--iwae_k=5"],
        ["--iwae_k=5", "--model=iwae or --bound=iwae"],
    ),
    "draws of none": (["--model=ae", "--k=5"], ["--k=5", "vae, beta_vae, vamp, hvae, ladder"]),
    "weight of spectral norm": (
        ["--model=rae", "--rae=sn", "--rae_decoder=1"],
        ["--rae_decoder=1", "--model=rae and --rae=l2, gp"],
    ),
    "channels of none": (["--channels=8"], ["--channels=8", "--arch=conv"]),
    "tfds name": (["--data=tfds:no_such_set"], ["--data=tfds:no_such_set"]),
    "a net that fits nowhere": (
        ["--hidden=65536,65536", "--arm=a", "--arm=b:hidden=9"],
        ["--hidden=65536,65536/9, ", "--seeds=3", "GB"],
    ),
    "draws that fit nowhere": (
        ["--model=iwae", "--iwae_k=100000", "--batch_size=1000", "--seeds=99"],
        ["--iwae_k=100000", "--batch_size=1000", "GB"],
    ),
    "nobody's folder": (["--data=idx:~nobody/x"], ["--data=idx:~nobody/x", "no such folder"]),
    "pmap": (["--parallel=pmap", "--batch_size=130"], ["--batch_size=130", "pmap", "4"]),
    "unwritable": (["--workdir=/proc/run"], ["--workdir=/proc/run"]),
    "misspelt flag": (["--latnet=3"], ["--latnet=3: no such flag; did you mean latent?"]),
    "misspelt sampler": (["--samplers=gausian"], ["did you mean gaussian? choices: normal, "]),
    "a file": (["--workdir={folder}/file"], ["--workdir=", " is a file; name a folder"]),
    "below a file": (
        ["--workdir={folder}/file/x"],
        ["--workdir=", " is a file; name a folder"],
    ),
    "no flag": (["vae"], ["vae"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line(end, name, tmp_path):
    (tmp_path / "file").write_text("no folder")
    given, parts = BAD[name]
    scripts.assert_refused(end("vae", *given), parts)


def test_a_refusal_is_the_same_in_a_process_of_its_own(end, tmp_path):
    """Of data that do not fit, which are read first."""
    given, parts = BAD["batch"]
    code, said, place = end("vae", *given)
    done = launch(*given, f"--workdir={place}", "--compile_cache=off", fresh=True)
    assert done.stdout == "" and done.returncode == code
    assert done.stderr.strip() == said.replace("genjax vae", "vae.py")


def test_another_configuration_is_refused(compared, cache):
    before = {path: path.stat().st_mtime_ns for path in compared.rglob("*")}
    done = launch(SMOKE, "--latent=4", cache, f"--workdir={compared}")
    assert done.returncode == 2
    line = done.stderr.strip()
    assert "--latent=4" in line and str(compared) in line and "\n" not in line
    assert {path: path.stat().st_mtime_ns for path in compared.rglob("*")} == before


def test_folder_that_is_no_run_is_refused(cache, tmp_path):
    (tmp_path / "thesis.tex").write_text("the only copy")
    done = launch("--model=ae", *TINY, cache, f"--workdir={tmp_path}")
    assert done.returncode == 2 and "no run" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
