"""The host's own settings, to be made before the first computation, and what memory is free."""

import contextlib
import ctypes
import math
import os
import re
from collections.abc import Collection
from pathlib import Path

import jax

from genjax.core import arrangement
from genjax.core.config import Options, shown, written
from genjax.core.errors import UsageError

# Devices that share seeds unevenly meet twice a call. XLA takes one that another process keeps from
# its core for hung, and ends the process after 40 s; here it warns after minutes, and ends it after
# an hour. A device of the CPU is threads of this process, and does not die alone.
_WAITS = {
    "xla_cpu_collective_call_warn_stuck_timeout_seconds": 300,
    "xla_cpu_collective_call_terminate_timeout_seconds": 3600,
}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def tune_cpu() -> None:
    """Leaves float32 products on CPU to Eigen; call it before the first computation.

    jax 0.10 hands them to YNNPACK, which trains the nets of this project 5 to 20% slower
    (BUILD_NOTES.md). Other versions may not know the option, and XLA dies of an unknown one.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if jax.__version_info__[:2] == (0, 10) and "ynn_fusion" not in given:
        os.environ["XLA_FLAGS"] = f"{given} --xla_cpu_experimental_ynn_fusion_type=".strip()


def for_one_run() -> dict[str, int]:
    """`compiler_options` of a program that runs once, and briefly: initial weights, inputs.

    On CPU LLVM's level 2, where XLA_FLAGS names no level and with jax 0.10, where it was measured:
    random numbers are compiled in 0.37 of level 3's time, to the same bits (docs/notes/core.md).
    Loops may run slower: not for steps, nor for what is timed.
    """
    level = "xla_backend_optimization_level"
    measured = jax.default_backend() == "cpu" and jax.__version_info__[:2] == (0, 10)
    return {level: 2} if measured and level not in os.environ.get("XLA_FLAGS", "") else {}


def split_cpu(seeds: int, batch_size: int) -> None:
    """Makes the CPU's cores devices, as many as share the seeds, and then the batch, evenly.

    To be called before the first computation. What XLA:CPU runs on one core (loops, small products)
    then runs on all of them. What XLA_FLAGS gives stays, and other backends do not care.
    """
    given = os.environ.get("XLA_FLAGS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    plan = arrangement.plan("cpu", cores or 1, seeds, batch_size)
    count = plan.replicas * plan.parts
    if count > 1:
        wanted = {"xla_force_host_platform_device_count": count, **_WAITS}
        flags = [f"--{name}={value}" for name, value in wanted.items() if name not in given]
        os.environ["XLA_FLAGS"] = " ".join((given, *flags)).strip()


def at_once(seeds: int) -> int:
    """Of so many seeds, those that are surely in the midst of a step at the same time.

    On CPU one a device, since they take turns.
    """
    devices = jax.local_devices()
    return min(seeds, len(devices)) if devices[0].platform == "cpu" else seeds


def keep_buffers() -> None:
    """Has glibc keep the memory of large buffers; call it before the first computation.

    By default it returns them to the kernel after each call, and the next call pays for fresh
    pages: 10 to 35% of the time of what streams through memory. Elsewhere a no-op.
    """
    _mallopt(_M_MMAP_THRESHOLD, 2**31 - 1)
    _mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def share_arenas() -> None:
    """Has the threads share two of glibc's arenas; call it before the first computation.

    By default each of jax's threads gets one of its own, which keeps what is freed in it: an eighth
    to a fifth of the peak memory of vae and gan (docs/notes/core.md). Elsewhere a no-op.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        _mallopt(_M_ARENA_MAX, 2)


def _mallopt(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(option, value)


def memory_free() -> float:
    """Bytes that the first device (on CPU the machine) has free."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats["bytes_in_use"])
    return host_free()


def host_free() -> float:
    """Bytes that the host has free."""
    with contextlib.suppress(OSError):  # Linux; with what it keeps of files and can give back.
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return math.inf


def require_memory(
    needed: dict[str, float], config: Options, arms: Collection[Options] = ()
) -> None:
    """Raises UsageError where what is alive at once cannot fit, with the largest part named.

    needed: {the flags that ask for it: bytes, at least}. config, arms: whose values are said; of
    arms, where they have such a flag, each. Devices other than the CPU share it.
    """

    def said(flag: re.Match) -> str:
        owners = [arm for arm in arms if flag[1] in arm.options()] or [config]
        values = dict.fromkeys(shown(written(owner.values()[flag[1]])) for owner in owners)
        return f"{flag[0]}={'/'.join(values)}"

    devices = jax.local_devices()
    free = memory_free() * (1 if devices[0].platform == "cpu" else len(devices))
    total = sum(needed.values())
    if total > free:
        most = max(needed, key=lambda flags: needed[flags])
        flags = re.sub(r"--(\w+)", said, most)
        raise UsageError(
            f"{flags}: about {needed[most] / 1e9:,.1f} GB of {total / 1e9:,.1f} GB needed, "
            f"{free / 1e9:,.1f} GB are free"
        )


def check_batch(mode: str, batch_size: int) -> None:
    """Raises UsageError where pmap's devices, which are all that there are, do not divide it."""
    arrangement.check_batch(mode, batch_size, jax.device_count())
