"""What the tests of the experiments share: whole processes, run folders, refusals."""

import json
import os
import subprocess
import sys
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


# Compiling is most of the suite's time. LLVM's lower level takes a third off a whole script's.
# Where one process compiles many small programs, the lowest level and XLA's older way to emit them
# take two thirds off. XLA aborts at a flag it does not know: the release that has both is named.
LOWER = "--xla_backend_optimization_level=1"
LOWEST = "--xla_backend_optimization_level=0"
if version("jaxlib") == "0.10.2":
    LOWEST += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def environment(devices=1, compiling=LOWER):
    flags = f"--xla_force_host_platform_device_count={devices} {compiling}"
    # As many workers as cores are at it already: threads of OpenBLAS would wait for each other.
    one = {"OPENBLAS_NUM_THREADS": "1"}
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"} | one


def command(name, *args):
    return [sys.executable, str(path(name)), *map(str, args)]


def launch(name, *args, devices=1):
    """Runs experiments/<name>.py to its end in a process of its own."""
    return subprocess.run(
        command(name, *args),
        capture_output=True,
        text=True,
        env=environment(devices),
        timeout=300,
    )


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


# Imports cost seconds and a refusal none: one process imports, and forks for each case before any
# device is started.
FORK = """
import importlib, json, os, runpy, sys
script, room = sys.argv[1:]
places = json.loads(sys.stdin.read())
sys.path.insert(0, os.path.dirname(script))
importlib.import_module(f"genjax.{room}.experiment")
codes = []
for args, devices, said in places:
    child = os.fork()
    if not child:
        stream = os.open(said, os.O_WRONLY | os.O_CREAT)
        os.dup2(stream, 1), os.dup2(stream, 2)
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
        sys.argv = [script, *args]
        runpy.run_path(script, run_name="__main__")
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


def refusals(name, bad, folder, *common):
    """{case: (exit code, what it said, its --workdir)} of {case: (arguments, what to say)}.

    `common` comes before all arguments; `{folder}` in one stands for the folder. A case
    named `pmap` sees four devices.
    """
    places, runs = [], {case: folder / case.replace(" ", "_") for case in bad}
    for case, (args, _) in bad.items():
        args = [arg.replace("{folder}", str(folder)) for arg in [*common, *args]]
        # The case's own --workdir, if it has one, is the later and counts.
        args = [f"--workdir={runs[case]}", "--compile_cache=off", *args]
        said = folder / f"{case.replace(' ', '_')}.said"
        places.append((args, 4 if case == "pmap" else 1, str(said)))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, str(path(name)), ROOMS.get(name, name)],
        input=json.dumps(places),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout)
    said = [Path(place[-1]).read_text().strip() for place in places]
    return dict(zip(bad, zip(codes, said, runs.values(), strict=True), strict=True))


def assert_refused(refusal, parts):
    """Exit code 2, one line that holds all parts, and nothing written."""
    code, said, place = refusal
    assert code == 2, said
    assert "\n" not in said, said
    assert all(part in said for part in parts), said
    assert not place.exists() or not any(place.iterdir())
