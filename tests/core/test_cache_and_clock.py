"""The cache of compiled programs when it fails, and the clock over a run's attempts."""

import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
import scripts

from genjax.core import environment
from genjax.core.folder import Folder
from genjax.core.training_options import Training

COMPILE = """
import sys, warnings
import jax
from genjax.core import environment
with environment.compile_cache(sys.argv[1]):
    for i in range(5):
        assert jax.jit(lambda x: x * i + 0.5)(2.0) == 2.0 * i + 0.5
    warnings.warn("something else")
"""


def compiled(folder) -> list[str]:
    """What is said where five programs are compiled."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(folder)],
        capture_output=True,
        text=True,
        env=scripts.environment(),
        cwd=scripts.ROOT,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "something else" not in line]
    assert len(lines) < len(done.stderr.splitlines())  # Other warnings are left alone.
    return lines


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder that is never writable")
def test_a_cache_that_cannot_be_written_is_one_line():
    (line,) = compiled("/sys")
    assert line.startswith("--compile_cache=/sys: writing fails (")


def test_a_cache_that_cannot_be_read_is_one_line(tmp_path):
    assert compiled(tmp_path) == []
    kept = [path for path in tmp_path.iterdir() if path.name.endswith("-cache")]
    assert len(kept) >= 5
    for path in kept:
        path.write_bytes(path.read_bytes()[:50])
    (line,) = compiled(tmp_path)
    assert line.startswith(f"--compile_cache={tmp_path}: reading fails (")


def test_a_cache_is_of_its_run_alone(tmp_path):
    """Also in a process that compiled before; and what is compiled later is not kept in it."""
    jax.jit(lambda x: x + 1.25)(2.0)
    names = [name for name in dir(jax.config) if "_cache_" in name]
    before = [getattr(jax.config, name) for name in names]
    for folder in (tmp_path / "one", tmp_path / "two"):
        with environment.compile_cache(str(folder)):
            jax.jit(lambda x: x * 3.5)(2.0)
        kept = sorted(folder.iterdir())
        jax.jit(lambda x: x * 4.5)(2.0)
        assert sorted(folder.iterdir()) == kept != []
    assert [getattr(jax.config, name) for name in names] == before


def test_time_is_summed_over_attempts(tmp_path):
    """Also of one that is killed in the middle of a part, as far as its last checkpoint."""
    config, totals = Training(), []
    for attempt in range(3):
        kept = Folder(tmp_path / "run", config, experiment="vae", room="vae")
        clock = environment.Clock()
        clock.keep(kept)
        with pytest.raises(KeyboardInterrupt), clock.part("train"):
            time.sleep(0.2)
            clock.save()
            totals.append(kept.read_json("timing.json"))
            clock._save = lambda timing: None  # Killed here: no word of the rest.
            raise KeyboardInterrupt
        clock.close()
        kept.close()
        found = totals[-1]
        assert found["attempts"] == attempt + 1
        least = 0.2 * (attempt + 1)
        assert least <= found["train_s"] <= found["total_s"]


def test_a_clock_that_is_closed_listens_no_more():
    first, second = environment.Clock(), environment.Clock()
    first.close()
    jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
    assert (first.compiled["cache_hits"], second.compiled["cache_hits"]) == (0, 1)
    second.close()
