"""Data that do not fit: batches that worker processes read ahead of training, through Grain."""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator

import numpy as np

from genjax.core import extras, machine, processes
from genjax.core.errors import RunError
from genjax.core.progress import say

# Of the free memory, what data may take that are not streamed. On the host the other half is for
# networks and measures; on a device a step's parameters, moments, gradients and activations are not
# known before it is compiled.
HOST_SHARE, DEVICE_SHARE = 0.5, 0.25
# Bytes that worker processes hand over at a time, and that they are ahead at most: they lie in
# shared memory, of which a container may have 64 MB.
BLOCK, AHEAD = 2**20, 2**24
# Bytes of one compiled call's batches; the next call's lie beside them on the device.
CALL = 2**27
# What decodes pictures seldom needs more, and each costs an interpreter.
MOST_WORKERS = 8


def chosen(asked: str, what: str, host: float, device: float) -> bool:
    """Whether --input streams; says why. All processes must ask, and decide alike.

    asked: auto, device or stream. host, device: bytes of memory that the data take on the host and
    on each device where they are not streamed.
    """
    if asked == "device":
        return False
    free = HOST_SHARE * machine.host_free(), DEVICE_SHARE * machine.memory_free()
    fits = host <= free[0] and device <= free[1]
    streams = bool(processes.most(asked == "stream" or not fits))
    needed = (
        f"{what}: {_bytes(host)} on the host, {_bytes(device)} on each device; "
        f"{free[0] / 1e9:,.1f} and {free[1] / 1e9:,.1f} GB may be"
    )
    how = f"streamed by {workers()} worker processes" if streams else "from memory"
    if streams:
        extras.require("stream", f"--input={asked} (stream; {needed})")
    say(f"--input={asked}: {how}; {needed}")
    return streams


def _bytes(count: float) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e7 else f"{count / 1e6:.2g} MB"


def workers() -> int:
    """How many processes read."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MOST_WORKERS, (cores or 1) // 2))


def steps_per_call(size: int) -> int:
    """The most steps of so many bytes that a compiled call takes."""
    # A call of one step is another program, and rounds otherwise.
    return max(2, CALL // size)


@contextlib.contextmanager
def ahead(batches: Callable, steps: int, size: int) -> Iterator[Callable]:
    """Inside, `batches` as worker processes read them before they are asked for.

    batches: (first, count) -> array [count, ...] of that many training steps, of `steps` in all: a
    function of its arguments alone, so that the step is all the state that there is, and a run goes
    on where its checkpoint ends. cloudpickle takes it to the workers. size: bytes of a step.
    """
    reader = _Reader(batches, steps, max(1, min(BLOCK // size, -(-steps // workers()))), size)
    try:
        yield reader
    finally:
        reader.close()


class _Blocks:
    """A Grain data source: its elements are the batches of `size` steps."""

    def __init__(self, batches: Callable, steps: int, size: int):
        self.batches, self.steps, self.size = batches, steps, size

    def __len__(self):
        return -(-self.steps // self.size)

    def __getitem__(self, index: int) -> np.ndarray:
        first = int(index) * self.size
        return self.batches(first, min(self.size, self.steps - first))


class _Reader:
    """(first, count) -> batches, from blocks in their order; another order begins anew."""

    def __init__(self, batches: Callable, steps: int, steps_a_block: int, size: int):
        self.blocks = _Blocks(batches, steps, steps_a_block)
        # A worker has a queue and a thread that empties it into another; three are in their hands.
        self.buffer = max(1, (AHEAD // (workers() * steps_a_block * size) - 3) // 2)
        self.at, self.block, self.iterator = -1, np.empty(0), None

    def __call__(self, first: int, count: int) -> np.ndarray:
        parts = []
        while count:
            block, start = divmod(first, self.blocks.size)
            if block != self.at or self.iterator is None:
                self.block = self.read(block)
            # A copy: the workers' shared memory is given back.
            parts.append(np.array(self.block[start : start + count]))
            first, count = first + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)

    def read(self, block: int) -> np.ndarray:
        if self.iterator is None or block != self.at + 1:
            self.close()
            self.iterator = self.start(block)
        self.at = block
        try:
            return next(self.iterator)
        except Exception as error:
            # One of them holds the block before, and with it shared memory.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, RuntimeError):
                raise RunError(f"--input=stream: {error}") from error
            raise

    def start(self, block: int):
        import grain
        from absl import flags

        # Where nobody parses flags, as in a notebook, Grain fails at one of its own and ignores the
        # other. It marks them like this in its workers.
        flags.FLAGS["grain_enable_multiprocess_worker_profiling"].present = True
        flags.FLAGS["grain_py_traceback_filtering"].present = True
        # Else it writes lines of its own into the errors of those who read.
        grain.config.update("py_traceback_filtering", "off")
        # Processes, not threads: decoding and indexing hold Python's lock.
        reading = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        beside = grain.multiprocessing.MultiprocessingOptions(workers(), self.buffer)
        found = grain.MapDataset.source(self.blocks).slice(slice(block, None))
        return iter(found.to_iter_dataset(reading).mp_prefetch(beside, _begin))

    def close(self) -> None:
        self.block = np.empty(0)  # The last that lies in shared memory.
        if self.iterator is not None:
            self.iterator.close()
        self.iterator = None


def _begin(*_) -> None:
    """In a worker: it ends with the process that started it, however that ends, and not before."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow():
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
