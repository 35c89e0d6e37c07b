"""The host's settings before the first computation, and its memory."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from genjax.core import machine
from genjax.core.errors import UsageError
from genjax.core.training_options import Training


@pytest.mark.parametrize(
    ("cores", "seeds", "batch", "count"),
    [
        (2, 4, 16, 2),
        (2, 3, 16, 2),
        (2, 3, 15, 2),
        (2, 1, 15, 1),
        (6, 3, 16, 6),
        (5, 3, 16, 4),
        (1, 4, 16, 1),
        (64, 3, 16, 12),
    ],
)
def test_cores_share_seeds_and_then_the_batch(monkeypatch, cores, seeds, batch, count):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setenv("XLA_FLAGS", "")
    asked = f"--xla_force_host_platform_device_count={count}"
    # And that XLA does not soon give up a device which waits for another.
    wait = "--xla_cpu_collective_call_{}_timeout_seconds={}"
    waits = [wait.format("warn_stuck", 300), wait.format("terminate", 3600)]
    asked = [asked, *waits] if count > 1 else []
    for _ in range(2):
        machine.split_cpu(seeds, batch)
        assert machine.os.environ["XLA_FLAGS"].split() == asked


ARENAS = """
import ctypes, threading
from genjax.core import machine

machine.share_arenas()
libc, together = ctypes.CDLL("libc.so.6"), threading.Barrier(8)

def allocate():
    together.wait()
    libc.malloc(1000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
@pytest.mark.parametrize(("asked", "arenas"), [({}, 2), ({"MALLOC_ARENA_MAX": "4"}, 4)])
def test_threads_share_two_arenas_unless_the_environment_says_how_many(asked, arenas):
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"} | asked
    told = subprocess.run([sys.executable, "-c", ARENAS], env=environment, capture_output=True)
    assert told.stdout.count(b"<heap nr=") == arenas


def test_free_memory_is_asked_of_the_device_then_of_the_kernel_then_counted_in_pages(monkeypatch):
    def device(platform, **stats):
        made = SimpleNamespace(platform=platform, memory_stats=lambda: stats)
        monkeypatch.setattr(machine.jax, "local_devices", lambda: [made])

    def kernel(text):
        def read(path):
            assert path == "/proc/meminfo"
            if text is None:
                raise FileNotFoundError
            return text

        monkeypatch.setattr(
            machine, "Path", lambda path: SimpleNamespace(read_text=lambda: read(path))
        )

    pages = {"SC_AVPHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(machine.os, "sysconf", pages.__getitem__)
    kernel("MemTotal:  9 kB\nMemAvailable:     2048 kB\nBuffers:  7 kB\n")
    device("gpu", bytes_limit=80e9, bytes_in_use=30e9)
    assert machine.memory_free() == 50e9
    device("tpu")
    assert machine.memory_free() == 2048 * 1024
    device("cpu", bytes_limit=80e9, bytes_in_use=30e9)
    assert machine.memory_free() == 2048 * 1024
    for text in (None, "MemTotal:  9 kB\n"):
        kernel(text)
        assert machine.memory_free() == 4096000
    monkeypatch.delattr(machine.os, "sysconf")
    assert machine.memory_free() == np.inf


def test_memory_that_is_not_there_is_refused_with_the_largest_part_named(monkeypatch):
    monkeypatch.setattr(machine, "memory_free", lambda: 5e9)
    config, arms = Training(seeds=7, steps=30), [Training(steps=9), Training(steps=8)]
    machine.require_memory({"--steps": 1e9, "--seeds": 4e9}, config)
    needed = {"--steps": 1e9, "--steps, --batch_size or --seeds": 4.5e9}
    end = ", --batch_size=128 or --seeds=7: about 4.5 GB of 5.5 GB needed, 5.0 GB are free$"
    with pytest.raises(UsageError, match=f"^--steps=30{end}"):
        machine.require_memory(needed, config)
    end = ", --batch_size=128 or --seeds=3: about 4.5 GB of 5.5 GB needed, 5.0 GB are free$"
    with pytest.raises(UsageError, match=f"^--steps=9/8{end}"):  # Of arms each.
        machine.require_memory(needed, config, arms)


@pytest.mark.parametrize(
    ("version", "given", "found"),
    [
        ((0, 10, 2), "", "--xla_cpu_experimental_ynn_fusion_type="),
        ((0, 10, 0), "--xla_a=1", "--xla_a=1 --xla_cpu_experimental_ynn_fusion_type="),
        ((0, 10, 2), "--xla_cpu_experimental_ynn_fusion_type=2", None),
        ((0, 9, 10), "--xla_a=1", None),
        ((0, 11, 0), "--xla_a=1", None),
        ((1, 10, 0), "--xla_a=1", None),
    ],
)
def test_products_are_left_to_eigen_where_the_option_is_known(monkeypatch, version, given, found):
    """XLA ends the process at an option that it does not know, and what a person gives stays."""
    monkeypatch.setattr(machine.jax, "__version_info__", version)
    monkeypatch.setenv("XLA_FLAGS", given)
    machine.tune_cpu()
    assert machine.os.environ["XLA_FLAGS"] == (found or given)


@pytest.mark.parametrize(
    ("platform", "version", "flags", "options"),
    [
        ("cpu", (0, 10, 2), "", {"xla_backend_optimization_level": 2}),
        ("cpu", (0, 10, 2), "--xla_backend_optimization_level=0", {}),
        ("cpu", (0, 9, 0), "", {}),
        ("gpu", (0, 10, 2), "", {}),
    ],
)
def test_what_runs_once_is_compiled_quickly_where_nobody_says_how(
    monkeypatch, platform, version, flags, options
):
    monkeypatch.setattr(machine.jax, "default_backend", lambda: platform)
    monkeypatch.setattr(machine.jax, "__version_info__", version)
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert machine.for_one_run() == options
