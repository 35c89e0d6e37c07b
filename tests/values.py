"""Values that nobody can mean, for every option of every script; and which of them say something.

The suite (test_values.py) tries all of them as flags, in Python and in config.json, and as whole
processes those that only a room's data or networks can refuse. All of them as whole processes,
stopped before anything is trained or measured, and the largest value of every bound with them:

    python tests/values.py [vae gan attention domains benchmark report]     by default all
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import typing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scripts

from genjax.core import config as configs
from genjax.core.flags import place_of

# Every room with a configuration; core's is what they have in common.
ROOMS = sorted(
    {place.parent.name for place in (scripts.ROOT / "genjax").glob("*/config.py")} - {"core"}
)
SCRIPTS = {room: script for script, room in scripts.ROOMS.items()}
# A process's own seconds, which others at work do not lengthen, and bytes of its memory that show
# that nothing absurd was made.
LONGEST, MOST = 5.0, 4e9

VALUES = {"nan": "nan", "inf": "inf", "-1": "-1", "0": "0", "empty": "", "10^20": "1" + "0" * 20}
VALUES["300"] = "x" * 300
WRONG = {int: "1.5", float: "1,5", bool: "maybe"}
IN_PYTHON = {"nan": float("nan"), "inf": float("inf"), "-1": -1, "0": 0, "10^20": 10**20}

# What a value says where it says something; all else is refused. Bounds of a type are not believed.
MEANT = {
    # No noise, penalty, limit or interval; the first of a count; a share of none; a rule's default.
    "0": {
        "training": "seed max_seeds steps_per_call log_every checkpoint_every profile live",
        "vae": "beta free_bits corruption rae_latent rae_decoder mmd_weight split_seed",
        "gan": "r1 r2 gp unroll ema reconstruction diversity d_fourier init_std d_learning_rate "
        "window beta1 beta2 data_seed split_seed init_seed noise_seed order_seed",
        "scaling": "cores global_positions random_blocks stride seconds memory weight_decay",
        "domains": "limit weight_decay ewc anchor replay average bpe measured_bytes shared "
        "chains dynamic samples",
        "benchmark": "cores",
    },
    # A list of none, or a text whose absence has a meaning.
    "empty": {
        "training": "compile_cache writers",
        "vae": "compare samplers hidden",
        "scaling": "cores global_positions tasks rates mesh",
        "domains": "from dro held_out shots dynamic mesh",
    },
}  # fmt: skip
# Names of folders, files and arms: any word is one that can be made. 300 letters are none.
NAMES = "workdir compile_cache arm json"
# Folders that are looked into where --data=tfds:..., or --corpus=tfds:..., alone.
UNREAD = "tfds_dir tfds_manual_dir"
# Where an option counts, or is read at all, beside others only.
BESIDE = {
    "vae": {
        "beta": ["--model=beta_vae"], "free_bits": ["--model=ladder"], "layers": ["--model=hvae"],
        "corruption": ["--model=dae"], "rae_latent": ["--model=rae"], "dreg": ["--model=iwae"],
        "rae_decoder": ["--model=rae"], "mmd_weight": ["--model=wae_mmd"],
        "iwae_k": ["--model=iwae"], "pseudo_inputs": ["--model=vamp"], "channels": ["--arch=conv"],
    },
    "gan": {
        "modes": ["--data=modes", "--sigma=0.1"], "flow_steps": ["--method=flow"],
        "solver": ["--method=flow"], "d_fraction": ["--data=stacked", "--arch=dcgan"],
        "classifier_steps": ["--data=stacked"], "split_seed": ["--data=stacked"],
        "n_critic": ["--updates=alternating"], "diversity": ["--generators=4"],
    },
    "scaling": {
        name: ["--tasks=recall,copy", "--recall_pairs=4", "--task_lengths=32", "--variants=flash"]
        for name in ("recall_pairs", "symbols", "width", "depth", "task_heads", "task_lengths",
                     "learning_rate")
    },
    "domains": {
        name: ["--corpus={folder}/good", "--context=64", "--shots=", "--stride=32"]
        for name in ("held_out", "bpe", "stride", "measured_bytes", "leak_window")
    } | {
        name: ["--arm=a", "--arm=b:from=a,domains=s0l0,{option}"]
        for name in ("replay", "ewc", "anchor", "average", "lora_rank")
    },
    "benchmark": {name: ["--only=attention"] for name in ("lengths", "cores")},
}  # fmt: skip
# Small, so that what is looked at is the value alone.
SMALL = {"scaling": ["--lengths=512,1024"]}


class Case(NamedTuple):
    """An option's value as a command line. meant: whether it says something; None: it may."""

    option: str
    label: str
    args: list[str]
    meant: bool | None

    def __str__(self):
        return f"{self.option} {self.label}"


def config_of(room: str) -> type:
    """The dataclass of a room's configuration."""
    return importlib.import_module(f"genjax.{room}.config").Config


def options(room: str) -> dict[str, tuple]:
    """{flag: (field, its type, whether a tuple)} of a script."""
    found = {}
    for kind in (config_of(room), place_of(config_of(room))):
        hints = typing.get_type_hints(kind)
        for name, field in kind.options().items():
            found[name] = (field, *configs.describe(hints[field.name])[:2])
    return found


def is_meant(room: str, name: str, label: str, kind: type) -> bool:
    """Whether a value says something."""
    if name in NAMES.split():
        return label in ("nan", "inf", "-1", "0", "10^20") or in_table(room, name, label)
    if name in UNREAD.split():
        return label != "empty"
    return kind is bool and label == "0" or in_table(room, name, label)


def in_table(room, name, label) -> bool:
    rows = MEANT.get(label, {})
    return name in " ".join((rows.get("training", ""), rows.get(room, ""))).split()


def cases(room: str, *, largest: bool = False) -> list[Case]:
    """Every option of a script with every value. largest: and with the largest of its bounds."""
    made = []
    for name, (field, kind, several) in options(room).items():
        values = VALUES | {"type": "1,x" if several else WRONG.get(kind, "x:x=x")}
        if kind is str and not field.metadata["choices"]:
            del values["type"]  # Every text is one.
        if largest and kind in (int, float):
            high, below = field.metadata["high"], field.metadata["below"]
            values["largest"] = str(configs.LARGEST if high is None else high)
            values["largest"] = "0.999999" if below else values["largest"]
        for label, value in values.items():
            meant = None if label == "largest" else is_meant(room, name, label, kind)
            made.append(Case(name, label, args_of(room, name, value), meant))
    for name in ("help", "helpfull", "flagfile", "no_such_flag"):
        for label, value in VALUES.items():
            meant = name.startswith("help") and label == "0"
            made.append(Case(name, label, [*SMALL.get(room, []), f"--{name}={value}"], meant))
    return made


def args_of(room: str, name: str, value: str) -> list[str]:
    """The command line of an option beside what it needs."""
    beside = BESIDE.get(room, {}).get(name, [])
    inside = [text.replace("{option}", f"{name}={value}") for text in beside]
    return [*SMALL.get(room, []), *inside, *([f"--{name}={value}"] if inside == beside else [])]


def in_python(name: str, kind: type, several: bool, label: str):
    """The value as Python would have it: numbers as numbers."""
    value = IN_PYTHON.get(label, VALUES.get(label, object()))
    return (value,) if several and label not in ("empty", "type") else value


def write_corpus(folder: Path) -> None:
    """Two domains of text in <folder>/good."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        place = folder / "good" / name
        place.mkdir(parents=True)
        for split, size in (("train", 3000), ("valid", 600), ("test", 900)):
            letters = rng.integers(97, 123, size).astype(np.uint8)
            (place / f"{split}.txt").write_bytes(bytes(letters))


# --- Whole processes -----------------------------------------------------------------------------


# One process imports, and forks for each case. What comes after the folder was opened is a stop.
WARM = """
import importlib, json, os, resource, runpy, signal, sys, time, traceback
script, room, folder, limit = sys.argv[1:]
cases = json.loads(sys.stdin.read())
os.chdir(folder)
sys.path.insert(0, os.path.dirname(script))
import genjax.run
if room:
    import sklearn.datasets
    made = importlib.import_module(f"genjax.{room}.experiment")
    def stop(*args):
        os._exit(0)
    if room == "benchmark":
        made.harness.measure = stop
    else:
        made.EXPERIMENT = made.EXPERIMENT._replace(work=stop)
found = []
for i, args in enumerate(cases):
    begun, child = time.monotonic(), os.fork()
    if not child:
        stream = os.open(f"{i}.said", os.O_WRONLY | os.O_CREAT)
        os.dup2(stream, 1), os.dup2(stream, 2)
        resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))
        sys.argv = [script, *args]
        code = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:  # What follows takes the longest, and is the same for all.
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code or 0)
    done, killed = 0, False
    while not done:
        done, status, used = os.wait4(child, os.WNOHANG)
        if not done and time.monotonic() - begun > float(limit):
            os.kill(child, signal.SIGKILL)
            _, status, used = os.wait4(child, 0)
            done, killed = child, True
        time.sleep(0 if done else 0.002)
    code = None if killed else os.waitstatus_to_exitcode(status)
    own = used.ru_utime + used.ru_stime
    found.append((code, time.monotonic() - begun, own, 1024 * used.ru_maxrss))
print(json.dumps(found))
"""


class Outcome(NamedTuple):
    """code: None where it was killed. said: all it said. seconds, and those of the processor."""

    code: int | None
    said: str
    seconds: float
    own: float
    bytes: float


def outcomes(script: str, room: str, given: list[list[str]], folder: Path, limit=60.0) -> list:
    """What whole processes of a script do with command lines; `{folder}` stands for the folder."""
    if room:
        given = [[f"--workdir={i}.run", "--compile_cache=off", *a] for i, a in enumerate(given)]
    given = [[arg.replace("{folder}", str(folder)) for arg in args] for args in given]
    known = [scripts.path(script), room, folder, str(limit)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WARM, *known],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env=scripts.environment(),
    )
    assert done.returncode == 0, done.stderr
    said = [(folder / f"{i}.said").read_text(errors="replace").strip() for i in range(len(given))]
    rows = json.loads(done.stdout)
    return [Outcome(row[0], text, *row[1:]) for row, text in zip(rows, said, strict=True)]


def wrong(case: Case, outcome: Outcome) -> str:
    """What is wrong with an outcome; '' where nothing is."""
    code, said = outcome.code, outcome.said
    if code is None:
        return f"no end after {outcome.seconds:.0f} s"
    if code not in (0, 2) or "Traceback" in said:
        return f"code {code}: {said[-300:]}"
    if code == 2 and ("\n" in said or len(said) > 700 or not said.isprintable()):
        return f"more than a line: {said[-300:]}"
    if code == 2 and case.option not in said and case.option not in ("help", "helpfull"):
        return f"the flag is not named: {said}"
    if case.meant is not None and case.meant != (code == 0):
        return f"{'refused' if code else 'accepted'}: {said[-300:]}"
    if outcome.own > LONGEST:
        return f"{outcome.own:.1f} s: {said[-300:]}"
    if outcome.bytes > MOST:
        return f"{outcome.bytes / 1e9:.1f} GB: {said[-300:]}"
    return ""


def of_report() -> list[Case]:
    """report.py: flags of yes and no, of which 0 is no; none of the values is a run."""
    made = [Case("", label, [value], False) for label, value in VALUES.items()]
    for name in ("table", "judge", "no_such_flag"):
        made += [
            Case("" if k == "0" else name, k, [f"--{name}={v}", "."], False)
            for k, v in VALUES.items()
        ]
        made += [Case("", f"{name} {k}", [f"--{name}", v], False) for k, v in VALUES.items()]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scripts", nargs="*", help="by default all")
    parser.add_argument("--only", nargs="*", default=[], help="names of options; by default all")
    flags = parser.parse_args()
    asked = flags.scripts
    failed = 0
    for room in (*ROOMS, ""):
        script = SCRIPTS.get(room, room) or "report"
        if asked and script not in asked:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_corpus(folder)
            given = cases(room, largest=True) if room else of_report()
            given = [case for case in given if not flags.only or case.option in flags.only]
            found = outcomes(script, room, [case.args for case in given], folder)
        for case, outcome in zip(given, found, strict=True):
            why = wrong(case, outcome)
            failed += bool(why)
            if why:
                print(f"{script} --{case}: {why}", flush=True)
        slowest = max(range(len(found)), key=lambda i: found[i].own)
        print(
            f"{script}: {len(found)} tried, {sum(o.code == 2 for o in found)} refused, "
            f"{sum(o.code == 0 for o in found)} accepted, {failed} wrong so far; the longest "
            f"{found[slowest].own:.1f} s ({given[slowest]}), the largest "
            f"{max(o.bytes for o in found) / 1e9:.1f} GB",
            flush=True,
        )
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
