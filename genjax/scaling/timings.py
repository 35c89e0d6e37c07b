"""What a sweep measured, by point and process: compiling's facts, times, peaks, quality. No jax."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

MODES = ("forward", "both")
# Programs whose growth is known, and what textbook attention is made of: cases.py.
CONTROLS = ("products", "tiles", "rows", "roots")
PARTS = ("full.scores", "full.softmax", "full.values")
# Of whose peaks claims take one a process; a first call of the others shows all the same.
PEAKS = ("full", "flash", "products", "rows")


class Point(NamedTuple):
    """mode: forward, or both (forward and backward)."""

    arm: str
    mode: str
    length: int

    def __str__(self):
        return f"{self.arm} {self.mode} {self.length}"


def name_of(process: int) -> str:
    """The file of a process in evaluation/."""
    return f"process-{process}"


class Timings:
    """A sweep, from the rows of metrics.jsonl that have a mode, and evaluation/process-<i>.json.

    facts: {point: what compiling said}. skipped: {point: why}. processes: what each measured.
    """

    def __init__(self, rows: Iterable[dict], evaluation: dict[str, dict]):
        self.facts: dict[Point, dict] = {}
        self.skipped: dict[Point, str] = {}
        self.processes: list[dict] = []
        for row in rows:
            if "mode" in row:
                point = Point(row["arm"], row["mode"], row["length"])
                if "skipped" in row:
                    self.skipped[point] = row["skipped"]
                else:
                    self.facts[point] = row
        while name_of(len(self.processes)) in evaluation:
            self.processes.append(evaluation[name_of(len(self.processes))])
        for process in self.processes:
            for text, why in process["skipped"].items():
                arm, mode, length = text.split()
                self.skipped[Point(arm, mode, int(length))] = why

    def table(self, arm: str, mode: str) -> tuple[np.ndarray, np.ndarray]:
        """(lengths [n], seconds [processes, n]) of what all processes timed: the fastest call."""
        return self._table(arm, mode, lambda row: min(row["least"]))

    def peaks(self, arm: str, mode: str) -> tuple[np.ndarray, np.ndarray]:
        """(lengths [n], bytes [processes, n]) by which a first call raised the peak; may be nan."""
        return self._table(arm, mode, lambda row: row["peak_bytes"])

    def _table(self, arm, mode, figure):
        found = [process["points"] for process in self.processes]
        points = [p for p in sorted(self.facts) if p[:2] == (arm, mode)]
        points = [p for p in points if all(str(p) in rows for rows in found)]
        values = [[figure(rows[str(p)]) for p in points] for rows in found]
        lengths = np.array([float(p.length) for p in points])
        return lengths, np.array(values, float).reshape(len(found), len(points))

    def quality(self, name: str, measure: str) -> list[float]:
        """A measure of a variant, one value a process; [] where it was not measured."""
        rows = [process["quality"].get(name, {}) for process in self.processes]
        return [row[measure] for row in rows] if all(measure in row for row in rows) else []
