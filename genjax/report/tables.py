"""Figures of summary.json in words and tables."""

import math
from typing import NamedTuple


class Measure(NamedTuple):
    """A column. better: "less" or "more", None where neither is."""

    name: str
    unit: str
    better: str | None


class Table(NamedTuple):
    """keys: what names a row, "model" and "sampler" say. rows: a key each, then a figure each."""

    title: str
    keys: list[str]
    measures: list[Measure]
    rows: list[list[str]]

    @property
    def columns(self) -> list[str]:
        """The headings, in words."""
        return [*self.keys, *(heading(*measure) for measure in self.measures)]


def tables(summary: dict) -> list[Table]:
    """Models x measures, then models and samplers x measures, where there are any."""
    plain, sampled = {}, {}
    samplers = summary.get("samplers", ())
    for path, value in summary["metrics"].items():
        arm, _, rest = path.partition("/")
        sampler, _, measure = rest.partition("/")
        if measure and sampler in samplers:
            sampled.setdefault((arm, sampler), {})[measure] = value
        elif samplers and arm in ("floor", "noise"):
            sampled.setdefault((arm, ""), {})[rest] = value
        else:
            plain.setdefault((arm,), {})[rest] = value
    made = [_table("Models", ["model"], plain)]
    if sampled:
        made.append(_table("Models and samplers", ["model", "sampler"], sampled))
    return made


def _table(title: str, keys: list[str], cells: dict[tuple, dict]) -> Table:
    first = {name: value for row in reversed(cells.values()) for name, value in row.items()}
    names = dict.fromkeys(name for row in cells.values() for name in row)
    measures = [Measure(n, first[n]["unit"], first[n].get("better")) for n in names]
    rows = [
        [*key, *(figure(row[name]) if name in row else "" for name in names)]
        for key, row in cells.items()
    ]
    return Table(title, keys, measures, rows)


def heading(name: str, unit: str, better: str | None) -> str:
    arrow = {"less": "↓", "more": "↑"}.get(better or "", "")
    return " ".join(part for part in (name, arrow, f"({unit})" if unit else "") if part)


def figure(value: dict) -> str:
    mean, low, high = value["mean"], value["low"], value["high"]
    if mean is None:
        return "not finite"
    if low is None:
        return f"{mean:.4g}"
    if high is None:
        return f"{mean:.4g} (from {low:.3g})"
    half = (high - low) / 2
    if abs(mean - (low + high) / 2) > 1e-3 * half:
        return f"{mean:.4g} ({low:.3g} to {high:.3g})"
    digits = max(0, min(5, 1 - math.floor(math.log10(half)))) if half > 0 else 3
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def plural(word: str) -> str:
    """seeds, processes"""
    return word + ("es" if word.endswith("s") else "s")
