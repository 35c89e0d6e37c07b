"""The script as a user meets it: whole processes, their files, their exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = str(ROOT / "experiments" / "vae.py")
FLAGFILES = sorted((ROOT / "experiments" / "flags").glob("*.flags"))
TINY = [
    "--steps=40",
    "--log_every=10",
    "--checkpoint_every=10",
    "--steps_per_call=5",
    "--hidden=16",
    "--latent=3",
    "--nll_samples=20",
    "--samplers=normal,gmm",
    "--seeds=2",
]


def command(*args, script=SCRIPT):
    return [sys.executable, str(script), *map(str, args)]


def environment(devices=1, **more):
    flag = f"--xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": flag, "JAX_PLATFORMS": "cpu"} | more


def launch(*args, devices=1, script=SCRIPT, **more):
    return subprocess.run(
        command(*args, script=script),
        capture_output=True,
        text=True,
        env=environment(devices, **more),
        timeout=300,
    )


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def checkpoint(folder, arm, step):
    """The arrays of a checkpoint, by path."""
    import orbax.checkpoint as ocp

    path = (folder / "checkpoints" / arm / str(step) / "state").absolute()
    import jax

    flat, _ = jax.tree_util.tree_flatten_with_path(ocp.StandardCheckpointer().restore(path))
    return {jax.tree_util.keystr(key): np.asarray(leaf) for key, leaf in flat}


def assert_identical(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.fixture(scope="module")
def compared(tmp_path_factory, cache):
    """A finished small comparison."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    done = launch("--compare=ae,vae", *TINY, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def test_run_folder_holds_what_a_run_promises(compared):
    summary = json.loads((compared / "summary.json").read_text())
    assert summary["arms"] == ["ae", "vae"] and summary["seeds"] == [0, 1]
    assert {claim["id"] for claim in summary["claims"]} == {"V1", "V2", "V3", "V4", "V5", "V6"}
    for path in ("vae/gmm/kfid", "ae/normal/recall", "pca/mse", "floor/kfid", "vae/nll/k=10"):
        assert np.isfinite(summary["metrics"][path]["mean"]), path
    assert len(summary["metrics"]["vae/elbo"]["per_seed"]) == 2
    logged = [row for row in rows(compared) if row["arm"] == "vae" and "loss" in row]
    assert [row["step"] for row in logged] == [10, 10, 20, 20, 30, 30, 40, 40]
    assert (compared / "report.html").stat().st_size > 10_000
    assert len(list((compared / "plots").glob("*.png"))) >= 7


def test_flags_txt_repeats_the_run(compared, cache, tmp_path):
    again = launch(f"--flagfile={compared / 'flags.txt'}", cache, f"--workdir={tmp_path / 'again'}")
    assert again.returncode == 0, again.stderr
    assert_identical(checkpoint(compared, "vae", 40), checkpoint(tmp_path / "again", "vae", 40))
    left, right = (
        json.loads((folder / "summary.json").read_text())["metrics"]
        for folder in (compared, tmp_path / "again")
    )
    assert left == right


def test_second_start_compiles_nothing(compared, cache, tmp_path):
    folder = tmp_path / "second"
    done = launch("--compare=ae,vae", *TINY, cache, f"--workdir={folder}")
    timing = json.loads((folder / "summary.json").read_text())["timing"]
    assert done.returncode == 0
    assert timing["cache_misses"] == 0 and timing["cache_hits"] > 10
    first = json.loads((compared / "summary.json").read_text())["timing"]
    assert first["cache_misses"] > 10


def test_finished_run_is_not_trained_again(compared, cache):
    before = (compared / "metrics.jsonl").read_text()
    stamp = (compared / "checkpoints" / "vae" / "40").stat().st_mtime_ns
    done = launch("--compare=ae,vae", *TINY, cache, f"--workdir={compared}")
    assert done.returncode == 0, done.stderr
    assert (compared / "metrics.jsonl").read_text() == before
    assert (compared / "checkpoints" / "vae" / "40").stat().st_mtime_ns == stamp
    assert "finished" in done.stderr and "V1" in done.stderr


KILLED = ["--model=vae", *TINY[1:], "--steps=4000", "--checkpoint_every=100", "--log_every=50"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = launch(*KILLED, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def kill_after_a_checkpoint(folder, cache, delay):
    process = subprocess.Popen(
        command(*KILLED, cache, f"--workdir={folder}"),
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    saved = folder / "checkpoints" / "vae"
    deadline = time.monotonic() + 120
    while not (saved.exists() and any(p.name.isdigit() for p in saved.iterdir())):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return max(int(p.name) for p in saved.iterdir() if p.name.isdigit())


def test_killed_run_continues_to_the_same_bits(uninterrupted, cache, tmp_path):
    folder = tmp_path / "killed"
    delay = np.random.default_rng(time.time_ns()).uniform(0, 0.3)
    reached = kill_after_a_checkpoint(folder, cache, delay)
    assert reached < 4000, "the run ended before it could be killed"
    done = launch(*KILLED, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    assert_identical(checkpoint(uninterrupted, "vae", 4000), checkpoint(folder, "vae", 4000))
    assert rows(folder) == rows(uninterrupted)


def test_damaged_checkpoint_is_named_and_not_trained_on(uninterrupted, cache, tmp_path):
    folder = tmp_path / "damaged"
    reached = kill_after_a_checkpoint(folder, cache, 0.2)
    saved = folder / "checkpoints" / "vae" / str(reached)
    largest = max((p for p in saved.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(bytes(content))
    done = launch(*KILLED, cache, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    assert f"{saved} is damaged" in done.stderr
    assert_identical(checkpoint(uninterrupted, "vae", 4000), checkpoint(folder, "vae", 4000))


def test_pmap_runs_the_whole_script(compared, cache, tmp_path):
    folder = tmp_path / "pmap"
    done = launch("--model=ae", *TINY, "--parallel=pmap", cache, f"--workdir={folder}", devices=4)
    assert done.returncode == 0, done.stderr
    alone, spread = checkpoint(compared, "ae", 40), checkpoint(folder, "ae", 40)
    for name in alone:
        np.testing.assert_allclose(alone[name], spread[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_loss_that_is_not_finite_names_step_and_seed(cache, tmp_path):
    done = launch(
        "--model=vae", *TINY, "--learning_rate=1e30", cache, f"--workdir={tmp_path / 'nan'}"
    )
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert "at step" in message and "seed" in message and "Traceback" not in done.stderr


BAD = {
    "model": (["--model=gan"], ["--model", "gan", "hvae"]),
    "compared model": (["--compare=vae,gan"], ["--compare", "gan", "hvae"]),
    "compare of one": (["--compare=vae"], ["--compare=vae", "two"]),
    "compare twice": (["--compare=vae,vae"], ["--compare", "twice"]),
    "data": (["--data=digit"], ["--data=digit", "digits"]),
    "missing folder": (["--data=idx:nowhere"], ["--data=idx:nowhere"]),
    "sampler": (["--samplers=normal,gnn"], ["--samplers", "gnn", "gmm"]),
    "latent": (["--latent=0"], ["--latent=0", "positive"]),
    "seeds": (["--seeds=0"], ["--seeds=0", "positive"]),
    "batch": (["--batch_size=2000"], ["--batch_size=2000", "1150"]),
    "hidden": (["--hidden=64,x"], ["--hidden=64,x"]),
    "decoder_std": (["--decoder_std=-1"], ["--decoder_std=-1", "learned"]),
    "decoder_std twice": (["--decoder_std=0.1,0.1"], ["--decoder_std=0.1,0.1", "twice"]),
    "scale of no Gaussian": (
        ["--likelihood=bernoulli", "--decoder_std=0.1"],
        ["--decoder_std=0.1", "--likelihood=gaussian"],
    ),
    "tfds name": (["--data=tfds:no_such_set"], ["--data=tfds:no_such_set"]),
    "pmap": (["--parallel=pmap", "--batch_size=130"], ["--batch_size=130", "pmap", "4"]),
    "unwritable": (["--workdir=/proc/run"], ["--workdir=/proc/run"]),
    "misspelt flag": (["--latnet=3"], ["latnet"]),
    "no flag": (["vae"], ["vae"]),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusals")

    def attempt(item):
        name, (args, _) = item
        place = folder / name.replace(" ", "_")
        base = [f"--workdir={place}", "--compile_cache=off"]
        devices = 4 if name == "pmap" else 1
        return name, (launch(*base, *args, devices=devices), place)

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(attempt, BAD.items()))


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line(refusals, name):
    done, place = refusals[name]
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert all(part in lines[0] for part in BAD[name][1]), lines[0]
    assert not place.exists() or not any(place.iterdir())


def test_another_configuration_is_refused(compared, cache):
    before = {path: path.stat().st_mtime_ns for path in compared.rglob("*")}
    done = launch("--compare=ae,vae", *TINY, "--latent=4", cache, f"--workdir={compared}")
    assert done.returncode == 2
    line = done.stderr.strip()
    assert "--latent=4" in line and str(compared) in line and "\n" not in line
    assert {path: path.stat().st_mtime_ns for path in compared.rglob("*")} == before


def test_folder_that_is_no_run_is_refused(cache, tmp_path):
    (tmp_path / "thesis.tex").write_text("the only copy")
    done = launch("--model=ae", *TINY, cache, f"--workdir={tmp_path}")
    assert done.returncode == 2 and "no run" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


PARSE = """
import importlib.util, sys
from absl import flags
from absl.testing import flagsaver
script, *files = sys.argv[1:]
spec = importlib.util.spec_from_file_location("script", script)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
flags.FLAGS([script])
for name in files:
    with flagsaver.flagsaver():
        flags.FLAGS([script, f"--flagfile={name}"])
        if "vae" in script:
            module.parse_arms()
        elif "gan" in script:
            module.parse_arms("stacked" in flags.FLAGS.data)
        elif "domains" in script:
            if not flags.FLAGS.held_out:
                arms = module.recipes.parse(flags.FLAGS.arm, module.RECIPE)
                module.plan(arms)
        else:
            module.check_flags()
    print(name)
"""


@pytest.mark.parametrize("name", ["vae", "gan", "attention", "domains"])
def test_flagfiles_parse(name):
    script = ROOT / "experiments" / f"{name}.py"
    starts = {"vae": ("vae_", "iwae_")}.get(name, (f"{name}_",))
    files = [f for f in FLAGFILES if f.name.startswith(starts)]
    for file in files:
        command = f"python experiments/{name}.py --flagfile=experiments/flags/{file.name}"
        assert command in file.read_text(), f"no command in the header of {file.name}"
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(script), *map(str, files)],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(map(str, files))
