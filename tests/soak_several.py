"""Kills one of two processes at random, lets the run go on, and compares with one left alone.

    python tests/soak_several.py FOLDER 20 vae     # or gan, domains, line

The smallest run of a room (`several.SMALLEST`) over four devices of two processes, gloo on
loopback. Every other kill falls after a step that is drawn, the others at a moment of the run that
is drawn. What the folders hold is compared bit for bit (`soak.differences`): rows, figures, arrays,
checkpoints. One run in three goes on in one process of four devices, where a convolution is cut for
other threads: there rows and measures are compared to 1e-6. Exits with 1 where anything failed.
"""

import importlib
import json
import signal
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import scripts
import several
import soak

import genjax

DELAYS = (0, 0, 0.05, 0.5)  # Seconds after a step.
JOINED = 3  # Seconds until two processes have found each other.


def at_moment(address: str, work, rank: int, seconds: float) -> None:
    """`work` of a process; that of a rank dies after so many seconds."""
    if int(address.rpartition(",")[2]) == rank:
        threading.Timer(seconds, several.die).start()
    work(address)


def kills(folder: Path, count: int, room: str, rng: np.random.Generator) -> list[str]:
    """What went wrong: kills that did not end both processes, and ends that differ."""
    genjax.__path__.append(str(Path(__file__).parent / "extension"))
    importlib.import_module(f"genjax.{room}.experiment")  # Forked children need not.
    run = partial(several.whole, room=room, programs=str(folder / "programs"))
    every, steps = several.SMALLEST[room]["log_every"], several.SMALLEST[room]["steps"]
    for name in ("compiling", "alone"):
        began = time.monotonic()
        assert several.start(2, partial(run, folder=folder / name)) == [0, 0]
        lasts = time.monotonic() - began
    wrong = [f"left alone twice: {one}" for one in _differ(folder, folder / "compiling")]
    done = Counter()
    for number in range(count):
        place, rank = folder / str(number), int(rng.integers(2))
        if number % 2:
            step, delay = every * int(rng.integers(1, steps // every + 1)), rng.choice(DELAYS)
            what = f"kill of process {rank}, {delay} s after step {step}"
            end = partial(_later, delay)
            killed = partial(run, folder=place, end=end, rank=rank, step=step)
        else:
            moment = rng.uniform(JOINED, max(JOINED, lasts))
            what = f"kill of process {rank}, after {moment:.1f} of {lasts:.1f} s"
            own = partial(run, folder=place)
            killed = partial(at_moment, work=own, rank=rank, seconds=moment)
        ends = several.start(2, killed)
        done["killed"] += ends[rank] == -signal.SIGKILL
        if ends[rank] not in (0, -signal.SIGKILL) or ends[1 - rank] not in (0, 1):
            wrong.append(f"{what}: {ends}")
        again = 1 if number % 3 == 2 else 2
        found = several.start(again, partial(run, folder=place))
        done[f"gone on in {again}"] += 1
        if any(found):
            wrong.append(f"{what}: {found} at the second start")
        differ = _differ(folder, place)
        done[f"the same bits in {again}"] += not differ
        differ = differ if again == 2 else _far(folder / "alone", place)
        wrong += [f"{what}, {again} go on: {one}" for one in differ]
        print(f"{what}: {ends}, {again} go on: {found}", flush=True)
    print(f"{room}: {count} runs, {dict(done)}, {len(wrong)} failures", flush=True)
    return wrong


def _later(delay: float) -> None:
    threading.Timer(delay, several.die).start() if delay else several.die()


def _differ(folder: Path, place: Path) -> list[str]:
    return soak.differences(folder / "alone", place)


def _far(left: Path, right: Path) -> list[str]:
    """Measures and rows that differ by more than 1e-6 of them, and 1e-9."""

    def read(folder):
        found = {}
        for row in scripts.rows(folder):
            found |= {(row["arm"], row["seed"], row["step"], name): row[name] for name in row}
        for name, metric in json.loads((folder / "summary.json").read_text())["metrics"].items():
            found["summary", name] = metric["mean"]
        return found

    both = [read(folder) for folder in (left, right)]
    if both[0].keys() != both[1].keys():
        return ["other rows or measures"]
    return [
        f"{key}: {value} and {both[1][key]}"
        for key, value in both[0].items()
        if value != both[1][key]
        and not (isinstance(value, float) and np.isclose(value, both[1][key], 1e-6, 1e-9))
    ]


if __name__ == "__main__":
    where, runs, asked = sys.argv[1:]
    seed = time.time_ns() % 10**6
    print(f"seed {seed}", flush=True)
    failed = kills(Path(where), int(runs), asked, np.random.default_rng(seed))
    print("\n".join(failed))
    raise SystemExit(bool(failed))
