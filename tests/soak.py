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
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import scripts

from genjax.core import files, rows
from genjax.core.errors import UsageError
from genjax.core.files import Manifest

# What a clock says differs between two runs.
CLOCKS = ("seconds", "least", "calls", "compile_s", "first_s", "rss_bytes", "timing")
SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
DAMAGES = ("flip", "truncate", "empty", "delete", "garbage", "move", "lines")
LIMIT = 900  # Seconds that a run may take.


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

    def folder(self, name: str) -> Path:
        return self.place / f"{name}{time.monotonic_ns()}"

    def command(self, folder: Path) -> list[str]:
        return scripts.command(self.experiment, *self.flags, f"--workdir={folder}")

    def start(self, folder: Path, said: Path) -> subprocess.Popen:
        with said.open("w") as stream:
            return subprocess.Popen(
                self.command(folder),
                stdout=stream,
                stderr=stream,
                env=scripts.environment(),
                preexec_fn=_heed_signals,
            )

    def finish(self, folder: Path) -> tuple[int, str]:
        """(exit code, what it said) of the run, or its continuation, in a fork of this process."""
        said = folder.with_suffix(".said")
        child = os.fork()
        if not child:
            stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1), os.dup2(stream, 2)
            os.environ |= scripts.environment()
            sys.argv = self.command(folder)[1:]
            sys.path.insert(0, str(Path(sys.argv[0]).parent))
            code = 99
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as end:
                code = end.code or 0
            else:
                code = 0
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                if code == 99:
                    import traceback

                    traceback.print_exc()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, said.read_text()

    def fail(self, what: str, said: str = ""):
        self.failures.append(what)
        print(f"FAILED {what}\n{said}", flush=True)

    def check_end(self, folder: Path, what: str):
        """The run, continued, ends as the one left alone."""
        code, said = self.finish(folder)
        if code or "Traceback" in said:
            self.fail(f"{what}: exit code {code}", said)
            return
        for difference in differences(self.alone, folder):
            self.fail(f"{what}: {difference}", said)

    # --- Kills -----------------------------------------------------------------------------------

    def kill(self):
        folder, number = self.folder("killed"), self.rng.choice(list(SIGNALS))
        said = folder.with_suffix(".out")
        lines = [line for line in self.said.splitlines() if line]
        by_file = self.rng.random() < 0.7
        event = str(self.rng.choice(self.files) if by_file else self.rng.choice(lines))
        key = re.split(r"[\d,]", event)[0]  # Numbers of lines differ.
        what = f"kill by {number.name} at {event!r}"
        process = self.start(folder, said)
        deadline = time.monotonic() + LIMIT
        while process.poll() is None and time.monotonic() < deadline:
            if (folder / event).exists() if by_file else key in said.read_text():
                break
            time.sleep(0.002)
        time.sleep(self.rng.choice([0, 0, 0.01, 0.1, 1]))
        process.send_signal(number)
        try:
            code = process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            self.fail(f"{what}: it goes on", said.read_text())
            return
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
        sources = [self.alone, *self.killed]
        folder = self.folder("damaged")
        source = self.rng.choice(sources)
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
        code, said = self.finish(folder)
        if code == 2 and said.count("\n") == 1 and "config.json" in said:
            self.counts["refused in one line"] += 1
            return
        if code or "Traceback" in said:
            self.fail(f"{what}: exit code {code}", said)
            return
        self.counts["named"] += "damaged" in said or "is missing" in said
        for difference in differences(self.alone, folder):
            self.fail(f"{what}: {difference}", said)

    def read(self, folder: Path, what: str):
        """A reader gets a line or what is there."""
        import genjax

        try:
            run = genjax.open(folder)
            _ = run.metrics, run.claims, repr(run)
            if run.summary:
                run.judge()
        except UsageError as error:
            if "\n" in str(error):
                self.fail(f"{what}: read in more than a line: {error}")
        except Exception as error:
            self.fail(f"{what}: reading it raises {error!r}")

    # --- Two at once -----------------------------------------------------------------------------

    def pair(self):
        folder = self.folder("pair")
        outs = [folder.with_suffix(f".{i}") for i in range(2)]
        both = [self.start(folder, out) for out in outs]
        codes = [process.wait(LIMIT) for process in both]
        texts = [out.read_text() for out in outs]
        if sorted(codes) != [0, 2]:
            self.fail(f"two at once: exit codes {codes}", "\n".join(texts))
            return
        refused = texts[codes.index(2)]
        first = both[codes.index(0)].pid
        if refused.count("\n") != 1 or f"process {first} is working" not in refused:
            self.fail(f"two at once: refused with {refused!r}, the other is {first}")
        self.check_end(folder, "two at once")


def _heed_signals():
    """A shell's background jobs ignore Ctrl-C, and so would what they start."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
            not np.array_equal(both[0][key], both[1][key], equal_nan=True) for key in both[0]
        ):
            found.append(f"{name} differs")
    kept = [name for name in Manifest.read(left).files if "/" in name and (left / name).is_dir()]
    for name in kept:
        both = [json.loads((f / name / "record" / "metadata").read_bytes()) for f in (left, right)]
        if both[0]["arrays"] != both[1]["arrays"]:
            found.append(f"the parameters of {name} differ")
    summaries = [_text(f / "summary.json") for f in (left, right)]
    timed = any("seed" not in row for row in rows.decode((left / "metrics.jsonl").read_bytes())[0])
    if not timed and any(summaries[0][key] != summaries[1][key] for key in ("metrics", "claims")):
        found.append("summary.json differs")
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
    parser.add_argument("flags", nargs="*", help="flags after --; the smoke flagfile without any")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    end = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory() as place:
        flags = asked.flags or [scripts.smoke(asked.experiment)]
        flags = [*flags, f"--compile_cache={place}/cache"]
        soak = Soak(asked.experiment, flags, Path(place), random.Random(asked.seed))
        for name, count in (
            ("kill", asked.kills),
            ("damage", asked.damages),
            ("pair", asked.pairs),
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
