"""What a run stands on: the machine, the libraries, the cache of compiled programs."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

import jax

from genjax.core.errors import UsageError


def enable_compile_cache(folder: str) -> None:
    """Keeps every compiled program in `folder`; empty: the user's cache directory; off: none."""
    if folder == "off":
        return
    if not folder:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = str(Path(base) / "genjax" / "xla")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--compile_cache={folder}: {error.strerror}; name another folder or 'off'"
        ) from error
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class Clock:
    """Where a run's time went: by part, in all, and what JAX compiled meanwhile."""

    def __init__(self):
        self.begun = time.monotonic()
        self.parts: dict[str, float] = {}
        self.compiled = {"compile_s": 0.0, "cache_hits": 0, "cache_misses": 0}
        jax.monitoring.register_event_duration_secs_listener(self._duration)
        jax.monitoring.register_event_listener(self._event)

    def _duration(self, event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            self.compiled["compile_s"] += seconds

    def _event(self, event, **_):
        self.compiled["cache_hits"] += event == "/jax/compilation_cache/cache_hits"
        self.compiled["cache_misses"] += event == "/jax/compilation_cache/cache_misses"

    def add(self, **seconds: float) -> None:
        """Adds to parts, in seconds."""
        for name, value in seconds.items():
            self.parts[name] = self.parts.get(name, 0.0) + value

    @contextlib.contextmanager
    def part(self, name: str):
        """Adds the time, and the processor's, of what is inside to <name>_s and <name>_cpu_s."""
        started, cpu = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            more = {f"{name}_s": time.monotonic() - started}
            self.add(**more, **{f"{name}_cpu_s": time.process_time() - cpu})

    def timing(self) -> dict[str, float]:
        """All of it, in seconds; compiled programs taken from the cache, and others."""
        return self.parts | {"total_s": time.monotonic() - self.begun} | self.compiled


def describe() -> dict[str, dict | str]:
    """What a figure depends on: device, versions of the libraries, commit of the code."""
    devices = jax.devices()
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "scikit-learn")
    return {
        "device": {
            "backend": jax.default_backend(),
            "kind": _cpu_name() if devices[0].platform == "cpu" else devices[0].device_kind,
            "count": str(len(devices)),
            "cores": str(
                len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
            ),
        },
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in names},
        "commit": _commit(),
    }


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    root = Path(__file__).parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return "unknown"
