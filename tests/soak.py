"""Kills, damages and crowds runs, continues them, and compares with a run that was left alone.

    python tests/soak.py --experiment=vae --kills=20 --damages=200 --pairs=10

A kill waits for a file or for a line, drawn from those of the run that was left alone. A damage
flips, cuts, empties, removes, overwrites, moves or (of the log) doubles one file or line, of a
finished run or of one that was killed. A pair starts twice at once. Each ends bit-identical to the
run left alone, without a traceback, or is refused in one line where only config.json could tell.
Prints counts; exits with 1 where anything failed. Linux and macOS.
"""

import argparse
import importlib
import json
import os
import random
import re
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import scripts

import genjax
from genjax.core import files, rows
from genjax.core.errors import UsageError
from genjax.core.files import Manifest
from genjax.report import page

# What a clock says differs between two runs.
CLOCKS = ("seconds", "least", "calls", "compile_s", "first_s", "peak_bytes", "timing")
SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
DAMAGES = ("flip", "truncate", "empty", "delete", "garbage", "move", "lines")
LIMIT = 900  # Seconds that a run may take.
FLAGS = Path(__file__).parent / "soak_flags"


class Soak:
    """Runs of one experiment. failures: lines that say what went wrong."""

    def __init__(self, experiment: str, flags: list[str], place: Path, rng: random.Random):
        self.experiment, self.flags, self.place, self.rng = experiment, flags, place, rng
        self.failures, self.counts, self.killed = [], Counter(), []
        room = scripts.ROOMS.get(experiment, experiment)
        importlib.import_module(f"genjax.{room}.experiment")  # Forked children need not.
        self.alone = self.folder("alone")
        code, self.said = self.finish(self.alone)
        assert code == 0, self.said
        self.files = sorted(p.relative_to(self.alone) for p in self.alone.rglob("*") if p.is_file())
        self.models = self.read_models()

    def read_models(self) -> dict[str, str]:
        """{arm: step and checksum of its parameters} of the run left alone."""
        arms = list(genjax.open(self.alone).config.arms())
        return {arm: line for arm in arms if (line := self.model(self.alone, arm))}

    def model(self, folder: Path, arm: str) -> str:
        """What a reader finds of an arm's model: its step, and a checksum of its parameters; ''
        where it is refused."""
        said = folder.with_suffix(".read")
        if _wait(_fork(lambda: _look(folder, arm), said)):
            self.fail(f"reading {folder.name}", said.read_text())
        return next((x for x in said.read_text().splitlines() if x.startswith("model ")), "")

    def folder(self, name: str) -> Path:
        return self.place / f"{name}{time.monotonic_ns()}"

    def start(self, folder: Path, said: Path, pictures: bool = True) -> int:
        """The pid of a run, or its continuation: a fork, which imports nothing again."""
        command = scripts.command(self.experiment, *self.flags, f"--workdir={folder}")[1:]

        def work():
            if not pictures:
                page._written = lambda run, figures: []
            sys.argv = command
            sys.path.insert(0, str(Path(command[0]).parent))
            runpy.run_path(command[0], run_name="__main__")

        return _fork(work, said)

    def finish(self, folder: Path, pictures: bool = True) -> tuple[int, str]:
        """(exit code, what it said) of the run, or its continuation."""
        said = folder.with_suffix(".said")
        code = _wait(self.start(folder, said, pictures))
        return code, said.read_text()

    def fail(self, what: str, said: str = ""):
        self.failures.append(what)
        print(f"FAILED {what}\n{said}", flush=True)

    def check_end(self, folder: Path, what: str, source: Path | None = None):
        """The run, continued, ends as the one left alone. Pictures take as long as all the rest,
        and are drawn one time in four. source: what was damaged; where config.json alone could
        tell, a line is an end too."""
        pictures = self.rng.random() < 0.25
        code, said = self.finish(folder, pictures)
        told = code == 2 and said.count("\n") == 1
        if source and told and ("config.json" in said or not (source / "config.json").exists()):
            self.counts["refused in one line"] += 1
            return
        if code or "Traceback" in said:
            self.fail(f"{what}: exit code {code}", said)
            return
        self.counts["named"] += "damaged" in said or "is missing" in said
        for difference in differences(self.alone, folder):
            if pictures or not difference.startswith("plots/"):
                self.fail(f"{what}: {difference}", said)

    # --- Kills -----------------------------------------------------------------------------------

    def kill(self):
        folder, number = self.folder("killed"), self.rng.choice(list(SIGNALS))
        said = folder.with_suffix(".out")
        lines = [line for line in self.said.splitlines() if _start(line)]
        by_file = self.rng.random() < 0.7
        event = str(self.rng.choice(self.files) if by_file else self.rng.choice(lines))
        what = f"kill by {number.name} at {event!r}"
        said.touch()
        pid, code, deadline = self.start(folder, said), None, time.monotonic() + LIMIT
        while code is None and time.monotonic() < deadline:
            if (folder / event).exists() if by_file else _start(event) in said.read_text():
                break
            time.sleep(0.002)
            done, status = os.waitpid(pid, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if done else None
        if code is None:
            time.sleep(self.rng.choice([0, 0, 0.01, 0.1, 1]))
            os.kill(pid, number)  # It waits to be waited for where it has ended.
            code = _wait(pid, 120)
        text = said.read_text()
        told = number is signal.SIGKILL or text.count("interrupted by") == 1
        if code not in (0, SIGNALS[number]) or "Traceback" in text or (code and not told):
            self.fail(f"{what}: exit code {code}", text)
        self.counts["killed before its end"] += code != 0
        if code and folder.exists():
            kept = folder.with_suffix(".kept")
            shutil.copytree(folder, kept)
            self.killed.append(kept)
        self.check_end(folder, what)

    # --- Damages ---------------------------------------------------------------------------------

    def damage(self):
        folder = self.folder("damaged")
        source = self.rng.choice([self.alone, self.rng.choice(self.killed or [self.alone])])
        shutil.copytree(source, folder)
        groups = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            groups.setdefault(path.relative_to(folder).parts[0], []).append(path)
        path = self.rng.choice(groups[self.rng.choice(sorted(groups))])
        kind = self.rng.choice(DAMAGES)
        if kind == "lines":
            path = folder / "metrics.jsonl"
        if not path.exists():
            return
        what = f"{kind} of {path.relative_to(folder)} in {source.name}"
        before = path.read_bytes()
        _damage(path, kind, self.rng)
        self.counts["changed something"] += not path.exists() or path.read_bytes() != before
        self.read(folder, what)
        self.check_end(folder, what, source)

    def read(self, folder: Path, what: str):
        """A reader gets a line or what is there; of a finished arm the parameters of the run left
        alone."""
        arm = self.rng.choice(list(self.models))
        found, known = self.model(folder, arm), self.models[arm]
        if found and found.split()[1] == known.split()[1]:  # At the same step.
            self.counts["models read"] += 1
            if found != known:
                self.fail(f"{what}: {arm} is read with other parameters")

    # --- Two at once -----------------------------------------------------------------------------

    def pair(self):
        folder = self.folder("pair")
        outs = [folder.with_suffix(f".{i}") for i in range(2)]
        both = [self.start(folder, out) for out in outs]
        codes = [_wait(pid) for pid in both]
        texts = [out.read_text() for out in outs]
        if sorted(codes) != [0, 2]:
            self.fail(f"two at once: exit codes {codes}", "\n".join(texts))
            return
        refused, first = texts[codes.index(2)], both[codes.index(0)]
        if refused.count("\n") != 1 or f"process {first} is working" not in refused:
            self.fail(f"two at once: refused with {refused!r}, the other is {first}")
        self.check_end(folder, "two at once")


def _start(line: str) -> str:
    """A line up to its numbers, which differ."""
    return re.split(r"[\d,]", line)[0]


def _fork(work: Callable, said: Path) -> int:
    """The pid of a child that does `work`, and says everything in a file."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1), os.dup2(stream, 2)
        os.environ |= scripts.environment(compiling=scripts.LOWEST)
        work()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def _wait(pid: int, limit: float = LIMIT) -> int:
    """The exit code of a child; -9 also where it does not end in time."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _look(folder: Path, arm: str):
    """Reads a run in all ways; prints what it is refused with, and a model's checksum."""

    def model():
        found = run.model(arm)
        sums = [zlib.crc32(np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(found.params)]
        print("model", found.step, files.crc32(sums), flush=True)

    try:
        run = genjax.open(folder)
    except UsageError as error:
        print(error)
        return
    for look in (lambda: run.metrics, lambda: run.summary and run.judge(), model):
        try:
            look()
        except UsageError as error:
            assert "\n" not in str(error), error
            print(error)


def _damage(path: Path, kind: str, rng: random.Random):
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content)) if content else 0
    if kind == "delete":
        path.unlink()
    elif kind == "move":
        path.rename(path.with_name(f"{path.name}.old"))
    elif kind == "lines":
        lines = path.read_bytes().splitlines(keepends=True)
        i = rng.randrange(len(lines)) if lines else 0
        now = rng.choice([lines[:i] + lines[i + 1 :], lines[: i + 1] + lines[i:], lines[:i]])
        path.write_bytes(b"".join(now))
    else:
        if kind == "flip" and content:
            content[place] ^= 1 << rng.randrange(8)
        path.write_bytes(
            {
                "flip": bytes(content),
                "truncate": bytes(content[:place]),
                "empty": b"",
                "garbage": rng.randbytes(rng.randrange(1, 2000)),
            }[kind]
        )


# --- Comparing -----------------------------------------------------------------------------------


def differences(left: Path, right: Path) -> list[str]:
    """What differs between two finished runs, and what the manifest of the second does not bear
    out; clocks aside."""
    found = []
    manifest = Manifest.read(right)
    for name, sums in manifest.files.items():
        if sums != [files.checksum(right / name)]:
            found.append(f"{name} is not what the manifest says")
    if _rows(left) != _rows(right):
        found.append("metrics.jsonl differs")
    names = {p.relative_to(f) for f in (left, right) for p in f.glob("evaluation/*.json")}
    for name in sorted(names | {Path("data.json"), Path("config.json"), Path("flags.txt")}):
        if _text(left / name) != _text(right / name):
            found.append(f"{name} differs")
    names = {p.relative_to(f) for f in (left, right) for p in f.glob("arrays/*.npz")}
    for name in sorted(names):
        both = [dict(np.load(f / name)) if (f / name).exists() else {} for f in (left, right)]
        if both[0].keys() != both[1].keys() or any(
            both[0][key].tobytes() != both[1][key].tobytes() for key in both[0]
        ):
            found.append(f"{name} differs")
    kept = [name for name in Manifest.read(left).files if "/" in name and (left / name).is_dir()]
    for name in kept:
        both = [json.loads((f / name / "record" / "metadata").read_bytes()) for f in (left, right)]
        if both[0]["arrays"] != both[1]["arrays"]:
            found.append(f"the parameters of {name} differ")
    for path in sorted(p for p in left.rglob("*") if p.is_file() and "." in p.name[1:]):
        name = path.relative_to(left)
        if (
            name.parts[0] not in ("checkpoints", "models", "timing.json")
            and not (right / name).exists()
        ):
            found.append(f"{name} is not there")
    summaries = [_text(f / "summary.json") for f in (left, right)]
    timed = any("seed" not in row for row in rows.decode((left / "metrics.jsonl").read_bytes())[0])
    for key in ("metrics", "claims"):
        both = [summary[key] for summary in summaries]
        if timed:  # Only what there is.
            both = [list(x) if isinstance(x, dict) else [c["id"] for c in x] for x in both]
        if both[0] != both[1]:
            found.append(f"{key} of summary.json differ")
    return found


def _rows(folder: Path) -> dict:
    """Rows by key; of timings only which there are."""
    found = {}
    for row in rows.decode((folder / "metrics.jsonl").read_bytes())[0]:
        if "seed" in row:
            key, value = (row["arm"], row["seed"], row["step"], tuple(row)), row
        else:
            key = tuple(v for k, v in row.items() if isinstance(v, str | int) and k not in CLOCKS)
            value = None
        assert key not in found, f"twice: {key}"
        found[key] = value
    return found


def _text(path: Path):
    if path.suffix != ".json":
        return path.read_text()
    return _without_clocks(json.loads(path.read_text())) if path.exists() else None


def _without_clocks(found):
    if isinstance(found, dict):
        return {key: _without_clocks(v) for key, v in found.items() if key not in CLOCKS}
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", default="vae")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--damages", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing after these")
    parser.add_argument("flags", nargs="*", help="flags after --; without any soak_flags/<name>")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    end = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory() as place:
        flags = asked.flags or [f"--flagfile={FLAGS / asked.experiment}.flags"]
        flags = [*flags, f"--compile_cache={place}/cache"]
        soak = Soak(asked.experiment, flags, Path(place), random.Random(asked.seed))
        for name, count in (
            ("kill", asked.kills),
            ("pair", asked.pairs),
            ("damage", asked.damages),
        ):
            before = len(soak.failures)
            done = 0
            while done < count and time.monotonic() < end:
                getattr(soak, name)()
                done += 1
            print(f"{name}: {done} done, {len(soak.failures) - before} failures", flush=True)
        print(", ".join(f"{count} {name}" for name, count in soak.counts.items()))
    raise SystemExit(bool(soak.failures))


if __name__ == "__main__":
    main()
