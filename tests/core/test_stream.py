"""Batches that worker processes read ahead: the same as in this process, from any step on."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import scripts

from genjax.core import machine, order, stream
from genjax.core.errors import UsageError
from genjax.core.training_options import Training

STEPS = 13
index = order.batches([0, 1], 50, 8)


@pytest.mark.parametrize(
    ("workers", "calls"),
    [(1, ((2, 1), (8, 1), (9, 1), (10, 3), (2, 11))), (2, ((5, 4), (9, 1), (10, 3)))],
    ids=["on, and back", "two workers"],
)
def test_steps_come_as_they_are_and_from_any_step_on(workers, calls, monkeypatch):
    def batches(first, count):
        assert first + count <= STEPS
        return index(first, count)

    monkeypatch.setattr(stream, "workers", lambda: workers)
    monkeypatch.setattr(stream, "BLOCK", 3 * 64)  # Three steps, so that calls end within blocks.
    with stream.ahead(batches, STEPS, 64) as read:
        for first, count in calls:
            np.testing.assert_array_equal(read(first, count), index(first, count))
        assert len(multiprocessing.active_children()) == workers
    assert not multiprocessing.active_children()


def test_workers_are_no_further_ahead_than_memory_has_room(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "workers", lambda: 1)
    monkeypatch.setattr(stream, "AHEAD", 20 * 2**20)

    def batches(first, count):
        (tmp_path / str(first)).touch()
        return np.zeros((count, 1))

    with stream.ahead(batches, 10**6, 2**20) as read:
        read(0, 1)
        found = [-1, 0]
        while found[-1] > found[-2]:
            time.sleep(0.5)
            found.append(len([*tmp_path.iterdir()]))
    assert found[-1] <= 20


RAISED = """
import os, sys
import numpy as np
from absl import flags
from genjax.core import stream
from genjax.core.errors import UsageError

def broken(first, count):
    if first + count > 2:
        raise UsageError(f"row {first} is damaged")
    return np.full((count, 1), os.getpid())

if __name__ == "__main__":
    with stream.ahead(broken, 4, 2**20) as read:
        print(os.getpid() in read(0, 1))
        try:
            read(1, 3)
        except UsageError as error:
            kept = error  # As a notebook keeps it, with what its frames hold.
    print(kept, getattr(kept, "__notes__", ""), flags.FLAGS.is_parsed())
"""


def test_the_workers_read_and_what_they_raise_is_raised_here(tmp_path):
    """And nothing is left behind: no parsed flags, no line of Grain's own."""
    (tmp_path / "raised.py").write_text(RAISED)
    done = subprocess.run(
        [sys.executable, tmp_path / "raised.py"],
        capture_output=True,
        env=scripts.environment(),
        text=True,
        timeout=60,
    )
    assert done.stdout == "False\nrow 2 is damaged  False\n", done.stderr
    # Of a block that a worker hands over as reading stops Python's tracker says that it is left.
    said = [line for line in done.stderr.splitlines() if "resource_tracker" not in line]
    assert not "".join(line for line in said if "warnings.warn" not in line)


KILLED = """
import os, sys, time
import numpy as np
from genjax.core import stream

def batches(first, count):
    return np.full((count, 1), os.getpid())

if __name__ == "__main__":
    with stream.ahead(batches, 10**6, 2**20) as read:
        print(read(0, 1)[0, 0], flush=True)
        time.sleep(60)
"""


def test_workers_end_with_a_process_that_is_killed(tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    begun = subprocess.Popen(
        [sys.executable, tmp_path / "killed.py"],
        stdout=subprocess.PIPE,
        env=scripts.environment(),
        text=True,
    )
    assert begun.stdout
    worker = int(begun.stdout.readline())
    begun.kill()
    try:
        begun.communicate(timeout=30)  # The worker has the same end of the pipe.
    except subprocess.TimeoutExpired:
        os.kill(worker, signal.SIGKILL)
        raise


def test_data_are_streamed_where_they_do_not_fit(monkeypatch):
    said = []
    monkeypatch.setattr(stream, "say", said.append)
    monkeypatch.setattr(machine, "host_free", lambda: 8e9)
    monkeypatch.setattr(machine, "memory_free", lambda: 4e9)
    assert not stream.chosen("device", "x", 9e9, 9e9) and not said
    assert stream.chosen("stream", "x", 0.0, 0.0) and len(said) == 1
    assert stream.chosen("auto", "x", 4e9, 1.1e9)  # More than a quarter of a device's.
    assert stream.chosen("auto", "x", 4.1e9, 1e9)  # More than half of the host's.
    assert said[-1].startswith("--input=auto: streamed by ")
    assert not stream.chosen("auto", "x", 4e9, 1e9)
    assert (stream._bytes(3e4), stream._bytes(2e7)) == ("0.03 MB", "0.02 GB")
    needed = "x: 4.00 GB on the host, 1.00 GB on each device; 4.0 and 1.0 GB may be"
    assert said[-1] == f"--input=auto: from memory; {needed}"
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(
        UsageError, match=r"^--input=auto .*needs grain: pip install '.*\[stream\]'"
    ):
        stream.chosen("auto", "x", 9e9, 0.0)


def test_what_is_in_no_file_is_refused():
    with pytest.raises(UsageError, match="^--input=stream: what this experiment trains on is in"):
        Training(input="stream")
    assert Training(input="device").input == "device"
