"""What the tests of the experiments share: whole processes, run folders, refusals."""

import atexit
import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from genjax.core import rows as log

ROOT = Path(__file__).parent.parent
FLAGS = ROOT / "experiments" / "flags"


# The script of a room has its name, but for this one.
ROOMS = {"attention": "scaling"}


def path(name):
    return ROOT / "experiments" / f"{name}.py"


def smoke(name):
    return f"--flagfile={FLAGS / f'{name}_smoke.flags'}"


def smoke_of(name, *arms):
    """The smoke run's flags with these arms in the place of its own."""
    lines = (FLAGS / f"{name}_smoke.flags").read_text().splitlines()
    common = [line for line in lines if line.startswith("--") and not line.startswith("--arm=")]
    return [*common, *(f"--arm={arm}" for arm in arms)]


# Compiling is most of the suite's time. LLVM's lower levels and XLA's older way to emit programs
# take half to two thirds off. XLA aborts at a flag it does not know: the release that has them is
# named.
LOWER = "--xla_backend_optimization_level=1"
LOWEST = "--xla_backend_optimization_level=0"
if version("jaxlib") == "0.10.2":
    LOWER += " --xla_cpu_use_fusion_emitters=false"
    LOWEST += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def environment(devices=1, compiling=LOWER):
    flags = f"--xla_force_host_platform_device_count={devices} {compiling}"
    # As many workers as cores are at it already: threads of OpenBLAS would wait for each other.
    one = {"OPENBLAS_NUM_THREADS": "1"}
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"} | one


def compiling(name):
    """How a whole script is compiled: the classifier's convolutions crawl at the lowest level."""
    return LOWER if name == "vae" else LOWEST


def command(name, *args):
    return [sys.executable, str(path(name)), *map(str, args)]


def launch(name, *args, devices=1, level=None, fresh=False):
    """Runs experiments/<name>.py to its end in a process of its own; level: how it is compiled.

    fresh: as a shell begins it. Else the process is a fork of one that has imported what scripts
    import, half of what a small run takes, and has computed nothing.
    """
    line, env = command(name, *args), environment(devices, level or compiling(name))
    if fresh:
        return subprocess.run(line, capture_output=True, text=True, env=env, timeout=300)
    with tempfile.TemporaryDirectory() as folder:
        forked = _forks().Process(target=_begin, args=(line[1:], env, folder))
        forked.start()
        forked.join(300)
        if forked.is_alive():
            forked.kill()
        said = [(Path(folder) / where).read_text() for where in ("1", "2")]
    assert forked.exitcode is not None, f"still running after 300 s: {said}"
    return subprocess.CompletedProcess(line, forked.exitcode, *said)


@functools.cache
def _forks():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [f"genjax.{room}.experiment" for room in ("vae", "gan", "scaling", "domains")]
        + ["sklearn.cluster", "sklearn.linear_model", "sklearn.mixture", "scipy.stats"]
        + ["matplotlib.backends.backend_agg", "genjax_cli.launch"]
    )
    return context


def _begin(line, env, folder):
    """A script's command line, in a process that was forked for it."""
    for number in (1, 2):
        os.dup2(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY), number)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = line
    sys.path.insert(0, str(Path(line[0]).parent))
    try:
        runpy.run_path(line[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # Which such a process leaves out.


def rows(folder):
    found, damaged = log.decode((folder / "metrics.jsonl").read_bytes())
    assert not damaged
    return found


def verdicts(made):
    """{claim or part: verdict} of judged claims."""
    parts = [part for claim in made for part in claim.get("parts", [])]
    return {claim["id"]: claim["verdict"] for claim in [*parts, *made]}


def checkpoint(folder, arm, step):
    """The arrays of a checkpoint, by path."""
    import jax
    import orbax.checkpoint as ocp

    place = (folder / "checkpoints" / arm / str(step) / "state").absolute()
    flat, _ = jax.tree_util.tree_flatten_with_path(ocp.StandardCheckpointer().restore(place))
    return {jax.tree_util.keystr(key): np.asarray(leaf) for key, leaf in flat}


def assert_identical(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def assert_refused(refusal, parts):
    """Exit code 2, one line that holds all parts, and nothing written."""
    code, said, place = refusal
    assert code == 2, said
    assert "\n" not in said, said
    assert all(part in said for part in parts), said
    assert not place.exists() or not any(place.iterdir())
