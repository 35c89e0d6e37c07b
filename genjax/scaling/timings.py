"""What the rows of a sweep say, by point: counts, timings, peaks, what was skipped. No jax."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

MODES = ("forward", "both")


class Point(NamedTuple):
    """mode: forward, or both (forward and backward)."""

    arm: str
    mode: str
    length: int

    def __str__(self):
        return f"{self.arm} {self.mode} {self.length}"


class Timings:
    """The points of a sweep, from its rows of metrics.jsonl; rows without a mode are no part of it.

    facts: {point: what compiling said}. skipped: {point: why}. times: {point: {round: row}}.
    peaks: {point: bytes by which a fresh process grew}.
    """

    def __init__(self, rows: Iterable[dict] = ()):
        self.facts: dict[Point, dict] = {}
        self.skipped: dict[Point, str] = {}
        self.times: dict[Point, dict[int, dict]] = {}
        self.peaks: dict[Point, int] = {}
        for row in rows:
            if "mode" in row:
                self.add(row)

    def add(self, row: dict) -> None:
        """Enters a row: {"arm", "mode", "length", ...}."""
        point = Point(row["arm"], row["mode"], row["length"])
        if "skipped" in row:
            self.skipped[point] = row["skipped"]
        elif "round" in row:
            self.times.setdefault(point, {})[row["round"]] = row
        elif "rss_bytes" in row:
            self.peaks[point] = row["rss_bytes"]
        else:
            self.facts[point] = row

    def table(self, arm: str, mode: str, figure: str = "seconds") -> tuple[np.ndarray, np.ndarray]:
        """(lengths [n], figures [rounds, n]) of the points that were timed."""
        points = sorted(p for p in self.times if p[:2] == (arm, mode))
        rounds = sorted(set.intersection(*(set(self.times[p]) for p in points))) if points else []
        found = [[self.times[p][r][figure] for p in points] for r in rounds]
        lengths = np.array([float(p.length) for p in points])
        return lengths, np.array(found, float).reshape(len(rounds), len(points))
