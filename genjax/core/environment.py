"""What a run stands on: the machine, the libraries, the cache of compiled programs."""

import contextlib
import importlib.metadata
import math
import os
import platform
import re
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import scipy.linalg  # noqa: F401 - XLA's own LAPACK; a limit reaches what is loaded.
import threadpoolctl
from jax.experimental.compilation_cache import compilation_cache

from genjax.core.beside import InTurn
from genjax.core.errors import UsageError, one_line
from genjax.core.progress import say

# What JAX warns of, for each program anew.
CACHE_WARNING = "Error (reading|writing) persistent compilation cache entry"
# The one entry of the time that is no sum.
STALL = "longest_stall_s"
# Seconds between two notes of the time on the way.
SAVE_EVERY = 5.0


@contextlib.contextmanager
def compile_cache(folder: str):
    """Keeps every compiled program in `folder`; empty: the user's cache directory; off: none.

    A cache that cannot be written, or holds what cannot be read, is one line each: the run goes on
    without it. Raises UsageError where a folder that was named cannot be made.
    """
    if folder == "off":
        yield
        return
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(folder) if folder else Path(base) / "genjax" / "xla"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        flag = f"--compile_cache={folder or path}: {error.strerror}"
        if folder:
            raise UsageError(f"{flag}; name another folder or 'off'") from error
        say(f"{flag}; compiled programs are not kept")
        yield
        return
    least = "jax_persistent_cache_min_compile_time_secs"
    chosen = {
        "jax_compilation_cache_dir": str(path),
        least: 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in chosen}
    said = set()
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=CACHE_WARNING)
        show = warnings.showwarning

        def once(message, *rest, **more):
            found = re.match(CACHE_WARNING, str(message))
            if not found:
                show(message, *rest, **more)
            elif found[1] not in said:
                said.add(found[1])
                reason = one_line(Exception(str(message).split(": ", 1)[-1]))
                say(f"--compile_cache={path}: {found[1]} fails ({reason}); going on without")
            if found and found[1] == "writing":
                jax.config.update(least, math.inf)  # What is there is read all the same.

        warnings.showwarning = once
        try:
            _configure(chosen)
            yield
        finally:
            _configure(before)  # What else the process compiles is not the run's.


def _configure(cache: dict) -> None:
    for name, value in cache.items():
        jax.config.update(name, value)
    # The first program that a process compiles decides, and not what is set later.
    compilation_cache.reset_cache()


def blas_on_one_thread() -> contextlib.AbstractContextManager:
    """Leaves each product and decomposition of NumPy, SciPy and XLA's LAPACK to one thread.

    The threads of OpenBLAS wait for each other at work. Beside another process on the same cores 50
    singular value decompositions of 192 x 192 took 41 s, and 0.1 s so (BUILD_NOTES.md).
    """
    return threadpoolctl.threadpool_limits(1, user_api="blas")


class Clock:
    """Where a run's time went, over all its attempts: by part, in all, and what JAX compiled.

    evaluate_s is what training, or the next arm, waited for; beside_s is of measures beside
    training; longest_stall_s the longest time between two training calls. An attempt that was
    killed counts as far as its last checkpoint or finished part.
    """

    def __init__(self):
        self.begun = self.saved = time.monotonic()
        self.parts: dict[str, float] = {}
        self.compiled = {"compile_s": 0.0, "cache_hits": 0, "cache_misses": 0}
        self.earlier: dict[str, float] = {}
        self._open: dict[str, tuple[float, float]] = {}
        self._lock, self._stall = threading.Lock(), 0.0
        self._save: Callable = lambda timing: None
        jax.monitoring.register_event_duration_secs_listener(self._duration)
        jax.monitoring.register_event_listener(self._event)

    def close(self) -> None:
        """Stops listening to JAX."""
        jax.monitoring.unregister_event_duration_listener(self._duration)
        jax.monitoring.unregister_event_listener(self._event)

    def _duration(self, event: str, duration_secs: float, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            with self._lock:  # Threads compile, too.
                self.compiled["compile_s"] += duration_secs

    def _event(self, event, **_):
        with self._lock:
            self.compiled["cache_hits"] += event == "/jax/compilation_cache/cache_hits"
            self.compiled["cache_misses"] += event == "/jax/compilation_cache/cache_misses"

    def keep(self, folder) -> None:
        """Counts this attempt in a run folder's timing.json, from now on at each checkpoint."""
        self.earlier = folder.read_json("timing.json") or {}
        self._save = folder.write_timing
        folder.at_checkpoint, folder.spent = partial(self.save, every=SAVE_EVERY), self.spent
        self.save()

    def save(self, every: float = 0.0) -> None:
        """Writes timing.json, if `every` seconds have passed since the last time."""
        now = time.monotonic()
        if now - self.saved >= every:
            self.saved = now
            self._save(self.timing())

    def add(self, **seconds: float) -> None:
        """Adds to parts, in seconds."""
        for name, value in seconds.items():
            self.parts[name] = self.parts.get(name, 0.0) + value

    def spent(self, work: InTurn) -> None:
        """Takes what a training waited for its measures out of the part `train`."""
        self.add(train_s=-work.measured, train_cpu_s=-work.measured_cpu)
        self.add(evaluate_s=work.measured, evaluate_cpu_s=work.measured_cpu, beside_s=work.beside)
        self._stall = max(self._stall, work.pace.longest)

    @contextlib.contextmanager
    def part(self, name: str):
        """Adds the time, and the processor's, of what is inside to <name>_s and <name>_cpu_s."""
        self._open[name] = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            self.add(**self._since(name))
            del self._open[name]
        self.save()

    def _since(self, name):
        started, cpu = self._open[name]
        took, used = time.monotonic() - started, time.process_time() - cpu
        return {f"{name}_s": took, f"{name}_cpu_s": used}

    def timing(self) -> dict[str, float]:
        """All of it, in seconds; compiled programs taken from the cache, and others; attempts."""
        rest = {"total_s": time.monotonic() - self.begun} | self.compiled | {"attempts": 1}
        counts = [self.earlier, self.parts, *map(self._since, self._open), rest]
        names = dict.fromkeys(name for count in counts[1:] + counts[:1] for name in count)
        found = {name: sum(count.get(name, 0) for count in counts) for name in names}
        return found | {STALL: max(self.earlier.get(STALL, 0.0), self._stall)}


def device() -> dict[str, str]:
    """What kind of device computes, how many there are, and the cores of the host.

    processor: family and model of the host's, where Linux tells: two may have one name.
    """
    devices, host = jax.devices(), _host()
    family, model = (host.get(key) for key in ("cpu family", "model"))
    return {
        "backend": jax.default_backend(),
        "kind": _cpu_name(host) if devices[0].platform == "cpu" else devices[0].device_kind,
        "count": str(len(devices)),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        **({"processor": f"family {family}, model {model}"} if family and model else {}),
    }


def describe() -> dict[str, dict | str]:
    """What a figure depends on: device, versions of the libraries, commit of the code."""
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "scikit-learn")
    return {
        "device": device(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in names},
        "commit": _commit(),
    }


def _host() -> dict[str, str]:
    """What Linux says of the first core; {} elsewhere."""
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}
    return {}


def _cpu_name(host: dict[str, str]) -> str:
    return host.get("model name") or platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the code, `-dirty` where code that a run imports or its flags were changed."""
    root = Path(__file__).parent.parent
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        commit = _git(root, "describe", "--always", "--abbrev=12")
        changed = _git(root, "status", "--porcelain", "--", ".", "../experiments")
        return commit + ("-dirty" if changed else "")
    return "unknown"


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
