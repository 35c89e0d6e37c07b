"""Rates in rounds: every row once a round, ours and the peers', in an order drawn anew. No jax.

The peers are rows of a process of their own, which sleeps while ours are measured, and the other
way round.
"""

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from genjax.benchmark.counts import Counts, Rates
from genjax.core.errors import RunError
from genjax.core.progress import say


class Row(NamedTuple):
    """What is measured: `run`, called again and again, does `work` units each time.

    run: returns what it computed, when it is there. counts: of its compiled program, where that is
    known.
    """

    run: Callable[[], Any]
    work: float
    unit: str
    counts: Counts | None = None


class Part(NamedTuple):
    """A part of the benchmark.

    settle: readies threads and devices, before the first computation; raises UsageError for what
    is not there. rows: () -> {name: Row}. ratios: rates -> {title: one value a round}. peers: what
    `serve` is given. cores: that this process is bound to; '': all.
    """

    settle: Callable[[], Any]
    rows: Callable[[], dict[str, Row]]
    ratios: Callable[[Rates], dict[str, np.ndarray]]
    peers: Callable[[], dict[str, Row]]
    cores: str = ""


def rate(row: Row, seconds: float) -> float:
    """Units a second: runs the row for that long, at least once."""
    calls, begun = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - begun < seconds:
        row.run()
        calls += 1
    return calls * row.work / (time.perf_counter() - begun)


def measure(part: Part, rounds: int, seconds: float) -> tuple[dict, dict, dict[str, Counts]]:
    """({row: its rate in each round}, {row: its unit}, {row: its counts}) of our rows and, if they
    are installed, the peers'; all are warmed up first."""
    rows = part.rows()
    with started(part.peers) as peers:
        units = {name: row.unit for name, row in rows.items()} | peers.units
        measures = {name: partial(rate, row) for name, row in rows.items()}
        measures |= {name: partial(peers.rate, name) for name in peers.units}
        for take in measures.values():
            take(0.1)
        rates: dict[str, list[float]] = {name: [] for name in measures}
        order = np.random.default_rng(0)
        for round_ in range(rounds):
            for name in order.permutation(list(measures)):
                rates[name].append(measures[name](seconds))
            say(f"round {round_ + 1} of {rounds}")
    counts = {name: row.counts for name, row in rows.items() if row.counts}
    return rates, units, counts


def ratio(rates: Rates, above: str, below: str) -> np.ndarray:
    """Round by round."""
    return np.divide(rates[above], rates[below])


def against(rates: Rates, peers: Mapping[str, Iterable[str]]) -> dict[str, np.ndarray]:
    """Of each row beside its peers, those that are there."""
    return {
        f"{row} / {peer}": ratio(rates, row, peer)
        for row, theirs in peers.items()
        for peer in theirs
        if peer in rates
    }


def table(rates: Rates, units: Mapping[str, str], ratios: Mapping[str, Any]) -> list[str]:
    """Lines: each row's median and range over the rounds, and the ratios with theirs."""
    lines = [f"{'row':36} {'median':>10} {'least':>10} {'most':>10}"]
    for name, values in rates.items():
        giga = units[name] in ("FLOP/s", "B/s")
        shown = (f"{f(values) / (1e9 if giga else 1):10.1f}" for f in (np.median, np.min, np.max))
        lines.append(f"{name:36} {' '.join(shown)} {'G' if giga else ''}{units[name]}")
    lines.append(f"{'ratio':58} {'median':>8} {'least':>8} {'most':>8}")
    for title, values in ratios.items():
        shown = (f"{f(values):8.2f}" for f in (np.median, np.min, np.max))
        lines.append(f"{title:58} {' '.join(shown)}")
    return lines


# --- The peers' process ---------------------------------------------------------------------------


class Peers:
    """The rows of the other process; units: {name: unit}."""

    def __init__(self, connection, units: dict[str, str]):
        self.connection, self.units = connection, units

    def rate(self, name: str, seconds: float) -> float:
        """Of a row, as `rate` of ours. Raises RunError where the process has died."""
        self.connection.send((name, seconds))
        return _received(self.connection)


@contextlib.contextmanager
def started(make: Callable[[], dict[str, Row]]) -> Iterator[Peers]:
    """The peers that `make` finds in a process of its own; none where a package is missing."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, make), daemon=True)
    process.start()
    there.close()
    try:
        units = _received(here)
        if isinstance(units, str):
            say(f"no peers: {units}; pip install -r requirements-peers.txt")
            units = {}
        yield Peers(here, units)
    finally:
        here.close()  # It ends when it reads on; what is in the middle of a row is ended.
        process.join(2.0)
        process.terminate()
        process.join()


def _received(connection):
    try:
        return connection.recv()
    except (EOFError, ConnectionError) as error:
        raise RunError("the process of the peers has died") from error


def serve(connection, make: Callable[[], dict[str, Row]]) -> None:
    """Sends {name: unit} of the rows, then answers each (name, seconds) with its rate.

    Where a package is missing it sends the error in their place, and ends.
    """
    with contextlib.suppress(ValueError):  # Elsewhere than in a process's main thread.
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Who started it ends it.
    try:
        rows = make()
    except ImportError as error:
        connection.send(str(error))
        return
    connection.send({name: row.unit for name, row in rows.items()})
    with contextlib.suppress(EOFError):
        while True:
            name, seconds = connection.recv()
            connection.send(rate(rows[name], seconds))
