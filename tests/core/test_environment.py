"""The cache of compiled programs, the clock that counts it, and what a run stands on."""

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import environment
from genjax.core.errors import UsageError

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


def settings():
    """jax's own of the cache."""
    return [getattr(jax.config, name) for name in SETTINGS]


def counts(clock):
    return clock.compiled["cache_hits"], clock.compiled["cache_misses"]


def test_every_program_is_kept_in_the_folder_and_found_again(tmp_path):
    with (
        environment.compile_cache(str(tmp_path / "deep" / "cache")),
        contextlib.closing(environment.Clock()) as clock,
    ):
        assert settings() == [str(tmp_path / "deep" / "cache"), 0, -1]

        def run():
            # A new function each time: only the folder knows the program.
            return float(jax.jit(lambda x: jnp.sin(x) * 3)(np.float32(2)))

        first = run()
        assert counts(clock) == (0, 1) and clock.compiled["compile_s"] > 0
        assert list((tmp_path / "deep" / "cache").iterdir())
        jax.clear_caches()
        assert run() == first == pytest.approx(3 * np.sin(2))
        assert counts(clock) == (1, 1)


@pytest.mark.parametrize("base", ("XDG_CACHE_HOME", "HOME"))
def test_without_a_name_it_is_the_users_cache(tmp_path, monkeypatch, base):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(base, str(tmp_path))
    wanted = tmp_path / (".cache" if base == "HOME" else "") / "genjax" / "xla"
    with environment.compile_cache(""):
        assert settings()[0] == str(wanted) and wanted.is_dir()


def test_off_changes_nothing():
    before = settings()
    with environment.compile_cache("off"):
        assert settings() == before


def test_a_folder_that_cannot_be_made_is_refused_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    before = settings()
    refusal = pytest.raises(UsageError, match=r"--compile_cache=.*file/x: .*'off'")
    with refusal as refused, environment.compile_cache(str(tmp_path / "file" / "x")):
        pass
    assert "\n" not in str(refused.value) and settings() == before


def test_a_clock_adds_up_what_jax_reports():
    clock = environment.Clock()
    for seconds in (1.5, 2.25):
        jax.monitoring.record_event_duration_secs(
            "/jax/core/compile/backend_compile_duration", seconds
        )
    jax.monitoring.record_event_duration_secs("/jax/core/compile/jaxpr_trace_duration", 100.0)
    for event in ("cache_hits", "cache_misses", "cache_hits", "tasks_using_cache"):
        jax.monitoring.record_event(f"/jax/compilation_cache/{event}")
    assert clock.compiled["compile_s"] == 3.75 and counts(clock) == (2, 1)


def test_a_description_names_device_versions_and_commit():
    found = environment.describe()
    assert found["device"]["backend"] == "cpu"
    assert found["device"]["count"] == str(jax.device_count()) == "4"
    assert found["device"]["cores"] == str(len(os.sched_getaffinity(0)))
    host = Path("/proc/cpuinfo").read_text()
    assert f": {found['device']['kind']}\n" in host
    family, model = re.findall(r"\d+", found["device"]["processor"])
    assert f"cpu family\t: {family}\n" in host and f"\nmodel\t\t: {model}\n" in host
    assert found["versions"].pop("python") == platform.python_version()
    assert {"jax", "numpy", "scipy"} < set(found["versions"])
    for name, version in found["versions"].items():
        assert version == importlib.metadata.version(name)
    root = Path(environment.__file__).parent
    command = ["git", "-C", str(root), "log", "-1", "--abbrev=12", "--format=%h %D"]
    names = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    # A tag may stand in for the number; a copy without its history knows neither.
    commit = found["commit"].removesuffix("-dirty").split("-g")[-1]
    assert commit in names if names else commit == "unknown"


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.describe()["commit"] == "unknown"
