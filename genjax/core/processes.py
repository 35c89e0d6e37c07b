"""Several processes as one run, by jax.distributed; everywhere else the answers of one alone.

All processes run the same code on the same numbers, and so decide alike; what one of them alone
knows (its files, a signal, its share of the measures) it tells the others here.
"""

import contextlib
import ctypes
import os
import pickle
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.core import progress
from genjax.core.config import shown
from genjax.core.errors import UsageError, one_line

# Seconds without a sign of life after which a process counts as dead; and those to find each other.
DEAD, MEETING = 20, 300
# Seconds between two looks at who lives.
LOOK = 2.0
FORM = "<host>:<port>,<processes>,<rank>"
# Bytes that a device holds, at most, of what processes tell each other, or one array.
PIECE = 2**26


class Address(NamedTuple):
    """Where process 0 listens, how many there are, which one this is."""

    coordinator: str
    total: int
    rank: int


class _ThisProcess:
    """This process among the others."""

    count, rank = 1, 0
    scratch: tempfile.TemporaryDirectory | None = None
    aborted: Callable | None = None


_ending = threading.Lock()


def parse(asked: str) -> Address | None:
    """What --distributed names; None of `off` and `auto`. Raises UsageError for anything else."""
    if asked in ("off", "auto"):
        return None
    flag = f"--distributed={shown(asked)}"
    coordinator, *numbers = asked.split(",")
    host, colon, port = coordinator.rpartition(":")
    whole = [text for text in (port, *numbers) if text.isascii() and text.isdigit()]
    if not host or not colon or len(numbers) != 2 or len(whole) != 3:
        raise UsageError(f"{flag}: off, auto or {FORM}")
    number, count, rank = (int(text[:9]) for text in whole)
    if not 0 < number < 2**16:
        raise UsageError(f"{flag}: a port from 1 to 65535")
    if not 1 <= count <= 2**16:
        raise UsageError(f"{flag}: from 1 to 65,536 processes")
    if rank >= count:
        raise UsageError(f"{flag}: ranks of {count} processes are 0 to {count - 1}")
    return Address(coordinator, count, rank)


@contextlib.contextmanager
def joined(asked: str) -> Iterator[None]:
    """Inside, this process is one of those that --distributed names. Before the first computation.

    Raises UsageError where they do not find each other. A process that dies ends the others within
    a minute. At the end each waits for all.
    """
    address = parse(asked)
    if asked == "off" or (address and address.total == 1):
        yield
        return
    # Of devices of the CPU; others have their own.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Its handler of SIGTERM would take the place of ours.
    jax.config.update("jax_enable_preemption_service", False)
    # Of a dead process the others are told in a line, and end; JAX would abort with a stack.
    jax.config.update("jax_enable_recoverability", True)
    more: dict[str, Any] = {}
    if address:
        more = {
            "coordinator_address": address.coordinator,
            "num_processes": address.total,
            "process_id": address.rank,
            "cluster_detection_method": "deactivate",
        }
        if address.coordinator.startswith(("127.", "localhost:")):
            more["coordinator_bind_address"] = address.coordinator
    try:
        jax.distributed.initialize(
            **more, heartbeat_timeout_seconds=DEAD, initialization_timeout=MEETING
        )
    except (RuntimeError, ValueError, OSError) as error:
        why = one_line(error)
        if not address and isinstance(error, ValueError):
            why = f"JAX finds no TPU pod, SLURM, Open MPI or GKE here; name {FORM} ({why})"
        raise UsageError(f"--distributed={shown(asked)}: {why}") from error
    from jax._src import distributed  # Its numbers are public only once devices are started.

    state = distributed.global_state
    assert state.client is not None and state.coordinator_address is not None
    _ThisProcess.count, _ThisProcess.rank = state.num_processes, state.process_id
    over = threading.Event()
    if rank():
        _speak_at_abort(state.coordinator_address, over)
    watch = threading.Thread(target=_watch, args=(state.client, over), daemon=True)
    watch.start()
    if rank():
        progress.silence()
    try:
        yield
        state.client.wait_at_barrier("genjax/end", 1000 * MEETING)
    except Exception as error:
        # The runtime's errors begin with a status: most likely who was to answer is dead, which
        # is known for certain, and said, a little later.
        if re.match("[A-Z_]{4,}: ", str(error)):
            watch.join(DEAD + 5 * LOOK)
        raise
    finally:
        over.set()
    watch.join()
    # Process 0 has the service: it leaves last, since whoever still talks to it would be aborted.
    while rank() == 0 and set(state.client.get_live_nodes([*range(count())])) != {0}:
        time.sleep(0.05)
    jax.distributed.shutdown()
    _ThisProcess.count, _ThisProcess.rank = 1, 0


def _watch(client, over: threading.Event) -> None:
    """Ends this process when another one died: what waits for it would wait for ever."""
    everybody = set(range(count()))
    while not over.wait(LOOK):
        try:
            gone = everybody - set(client.get_live_nodes([*everybody]))
        except Exception:  # The error of a service that is gone has no type of its own.
            gone = {0}
        if gone and not over.is_set():
            _end(gone)


def _end(gone: set[int]) -> None:
    """The last line, and the end."""
    _ending.acquire()  # Of two threads that see it the first one says so.
    names = ", ".join(map(str, sorted(gone)))
    with contextlib.suppress(OSError):
        said = "died; the same commands continue from the last checkpoint"
        os.write(2, f"process {rank()}: process {names} {said}\n".encode())
        if _ThisProcess.scratch:
            _ThisProcess.scratch.cleanup()
    os._exit(1)


def _speak_at_abort(coordinator: str, over: threading.Event) -> None:
    """Has the process end with our line where JAX aborts it, since process 0 is gone.

    With process 0 goes the service by which JAX's processes find each other. Its client then aborts
    at once; the callback that it takes instead cannot be one of Python's, which have no type for
    the status that it is called with (jaxlib 0.10.2).
    """
    host, _, port = coordinator.rpartition(":")

    def aborted(number):
        del number
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK).close()
        except OSError:
            if not over.is_set():
                _end({0})
        # Of anything else it dies as it would.

    _ThisProcess.aborted = ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted)
    ctypes.CDLL(None).signal(signal.SIGABRT, _ThisProcess.aborted)


def numbers(asked: str) -> tuple[int, int]:
    """(how many processes --distributed names, which one this is), none of which waits on."""
    address = parse(asked)
    if address:
        return address.total, address.rank
    with joined(asked):
        return count(), rank()


def count() -> int:
    """How many processes there are."""
    return _ThisProcess.count


def rank() -> int:
    """Which one this is; 0 keeps the run folder."""
    return _ThisProcess.rank


def gather(value) -> list:
    """`value` of every process, in their order; all of them must ask."""
    if count() == 1:
        return [value]
    content = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = np.ravel(multihost_utils.process_allgather(np.array(content.size)))
    rows = multihost_utils.process_allgather(_padded(content, int(sizes.max())))
    return [pickle.loads(row[:n].tobytes()) for row, n in zip(rows, sizes, strict=True)]


def told(value):
    """`value` of process 0; all of them must ask. Those of the others count for nothing."""
    if count() == 1:
        return value
    content = np.frombuffer(pickle.dumps(None if rank() else value), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.array(content.size)))
    # As long as that of process 0; it counts for nothing.
    content, found = np.zeros(size, np.uint8) if rank() else content, []
    for first in range(0, size, PIECE):
        piece = content[first : first + PIECE]
        # As bytes: of floats the sum with zeros would lose a sign of zero.
        row = multihost_utils.broadcast_one_to_all(_padded(piece, len(piece)))
        found.append(np.asarray(row, np.uint8)[: len(piece)])
    return pickle.loads(np.concatenate(found).data)


def _padded(content: np.ndarray, size: int) -> np.ndarray:
    """To a power of two, so that few programs are compiled."""
    return np.pad(content, (0, (1 << max(size - 1, 0).bit_length()) - len(content)))


def most(number: int) -> int:
    """The largest of all processes' numbers; all of them must ask."""
    if count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.array(number, np.int32)).max())


def own_seeds(seeds: int) -> slice:
    """Of so many seeds, those that this process measures."""
    return slice(rank() * seeds // count(), (rank() + 1) * seeds // count())


def in_turn(function: Callable, items: Sequence) -> list:
    """[function(item) for item in items]."""
    return [function(item) for item in items]


def map_shared(function: Callable, items: Sequence, each: Callable = in_turn) -> list:
    """[function(item) for item in items]; each process computes its part, and all have all.

    each: (function, items) -> the part's values.
    """
    mine = each(function, [items[i] for i in range(rank(), len(items), count())])
    parts = gather(mine)
    return [parts[i % count()][i // count()] for i in range(len(items))]


def fetch(tree, mesh: Mesh):
    """The arrays on a mesh, on the host of every process; all of them must ask."""
    if count() == 1:
        return jax.device_get(tree)
    owners = {device.process_index for device in mesh.devices.flat}
    leaves, shape = jax.tree.flatten(tree)
    found = []
    for piece in _pieces(leaves):
        whole = jax.jit(_same, out_shardings=NamedSharding(mesh, P()))(piece)
        here = []
        if rank() in owners:
            here = [np.asarray(leaf.addressable_data(0)) for leaf in whole]
        # A mesh is of the first devices: process 0 has some of it.
        found += here if len(owners) == count() else told(here)
    return jax.tree.unflatten(shape, found)


def _pieces(leaves: list) -> Iterator[list]:
    """The same arrays, in lists of at most PIECE bytes, or of one array."""
    piece, size = [], 0
    for leaf in leaves:
        if piece and size + leaf.nbytes > PIECE:
            yield piece
            piece, size = [], 0
        piece.append(leaf)
        size += leaf.nbytes
    yield piece


def _same(tree):
    return tree


def place(tree, shardings):
    """Host arrays, the same in every process, on a mesh; each process holds what its devices do.

    What lies there already stays. shardings: one, or a tree of them.
    """
    if count() == 1:
        return jax.device_put(tree, shardings)

    def one(leaf, sharding):
        if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
            return leaf
        leaf = np.asarray(leaf)
        leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))
        return jax.make_array_from_callback(
            leaf.shape, sharding, leaf.__getitem__, dtype=leaf.dtype
        )

    if isinstance(shardings, NamedSharding):
        return jax.tree.map(lambda leaf: one(leaf, shardings), tree)
    return jax.tree.map(one, tree, shardings)


def scratch() -> Path:
    """A folder of this process alone, gone at its end."""
    if _ThisProcess.scratch is None:
        _ThisProcess.scratch = tempfile.TemporaryDirectory(prefix="genjax-")
    return Path(_ThisProcess.scratch.name)
