"""Curves and scatters as data: drawn once by matplotlib, and by the page where one can ask them.

A room hands over a `Chart`; neither drawing knows which room it is of.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullFormatter, NullLocator

from genjax.report.plots import legend, name_points, small_multiples, styles

# More series than this have no bands: nothing else would be seen.
MOST_BANDS = 6
GREY = "#888888"
Values = Sequence[float] | np.ndarray
# {a line, as matplotlib calls it: (as plotly does, its points in both)}.
STYLES = {
    "-": ("solid", "o", "circle"),
    "--": ("dash", "s", "square"),
    ":": ("dot", "^", "triangle-up"),
}
# {as plotly calls a line: as matplotlib does}; what is no measurement is told apart by these.
GUIDES = {
    "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 3, 1, 3)), "solid": "-",
}  # fmt: skip
# Diameter in points of a mark of area 1.
MARK = 8.0


@dataclass(frozen=True)
class Axis:
    """A scale. unit: "nats", "count", "share". ticks: places that have names, {number: text}."""

    name: str
    unit: str
    log: bool = False
    range: tuple[float, float] | None = None
    ticks: Mapping[Any, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """With the unit."""
        return f"{self.name} ({self.unit})"


@dataclass(frozen=True)
class Series:
    """A curve, or points, of one name in a panel.

    y: its mean or median at each x. low, high: a band around it, of points an interval each. seeds:
    {seed: y at each x}, or of points {seed: (x, y)}. points: marks, no line. guide: no measurement,
    drawn thin and grey. labels: a text beside each x, or none. note: what the pointer is told
    behind the name. open: marks that are not filled: no measurement of this run. area: of a mark.
    """

    name: str
    x: Values
    y: Values
    low: Values = ()
    high: Values = ()
    seeds: Mapping[str, Any] = field(default_factory=dict)
    points: bool = False
    guide: bool = False
    labels: Sequence[str] = ()
    note: str = ""
    open: bool = False
    area: float = 1.0


@dataclass(frozen=True)
class Panel:
    """One pair of axes. span: a stretch of x that is shaded."""

    x: Axis
    y: Axis
    series: Sequence[Series]
    title: str = ""
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """Panels that share their names.

    among: names in whose order colours are given, where other charts share them. size: of a panel
    of the drawing, in inches.
    """

    panels: Sequence[Panel]
    among: Sequence[str] = ()
    columns: int = 4
    size: tuple[float, float] = (4.2, 3.3)

    def _named(self, guide: bool) -> list[str]:
        found = (one.name for panel in self.panels for one in panel.series if one.guide == guide)
        return list(dict.fromkeys(found))

    @property
    def names(self) -> list[str]:
        """The names of all series that measure something, each once."""
        return self._named(guide=False)

    @property
    def styles(self) -> dict[str, dict]:
        """How each name is drawn: colour and dash."""
        every = styles(dict.fromkeys([*self.among, *self.names]))
        return {name: every[name] for name in self.names}

    @property
    def guides(self) -> dict[str, str]:
        """The dash of each guide, as plotly calls it."""
        return dict(zip(self._named(guide=True), itertools.cycle(GUIDES)))


def over_seeds(name: str, rows: Sequence[dict], x: str, y: str) -> Series:
    """Mean over seeds of a logged value by step, with the range of all seeds."""
    table: dict[float, dict[str, float]] = {}
    for row in rows:
        if row.get(y) is not None:
            table.setdefault(row[x], {})[str(row["seed"])] = row[y]
    places = sorted(table)
    values = [list(table[place].values()) for place in places]
    seeds = dict.fromkeys(seed for found in table.values() for seed in found)
    return Series(
        name,
        places,
        [float(np.mean(v)) for v in values],
        [min(v) for v in values],
        [max(v) for v in values],
        {seed: [table[place].get(seed, math.nan) for place in places] for seed in seeds},
    )


def ranged(name: str, x: Values, values: np.ndarray, seeds: Sequence, **how) -> Series:
    """Mean over seeds of values [seeds, x], with the range of all seeds."""
    ends = values.min(0), values.max(0)
    return Series(name, x, values.mean(0), *ends, by_seed(x, values, seeds, **how), **how)


def by_seed(x: Values, values: np.ndarray, seeds: Sequence, *, points: bool = False, **_) -> dict:
    """A series' seeds, of values [seeds, x]."""
    found = zip(map(str, seeds), values, strict=False)
    return {seed: (x, own) if points else own for seed, own in found}


def cloud(name: str, x: np.ndarray, y: np.ndarray, seeds: Sequence, **how) -> Series:
    """A point at the means over seeds of x and y [seeds], and a small one a seed."""
    by_seed = {str(seed): ([a], [b]) for seed, a, b in zip(seeds, x, y, strict=False)}
    return Series(name, [x.mean()], [y.mean()], seeds=by_seed, points=True, **how)


# --- Drawn once ----------------------------------------------------------------------------------


def draw(chart: Chart) -> Figure:
    """The chart by matplotlib."""
    figure, panels = small_multiples(len(chart.panels), chart.columns, *chart.size)
    bands = len(chart.names) <= MOST_BANDS
    for axes, panel in zip(panels, chart.panels, strict=True):
        for one in panel.series:
            if one.guide:
                style = {"color": GREY, "ls": GUIDES[chart.guides[one.name]], "lw": 1.0}
                axes.plot(one.x, one.y, label=one.name, **style)
                _band(axes, one, style)
            elif one.points:
                _draw_points(axes, one, chart.styles[one.name])
            else:
                style = chart.styles[one.name]
                mark = "o" if len(one.x) < 12 else ""
                axes.plot(one.x, one.y, label=one.name, lw=1.5, marker=mark, ms=3, **style)
                if bands:
                    _band(axes, one, style)
        if panel.span:
            axes.axvspan(*panel.span, color="#CC79A7", alpha=0.12, lw=0)
        axes.set(xlabel=panel.x.label, ylabel=panel.y.label, title=panel.title)
        axes.grid(alpha=0.25, lw=0.6)
        if any(one.labels for one in panel.series):
            axes.margins(0.12)
        for scale, axis in ((panel.x, axes.xaxis), (panel.y, axes.yaxis)):
            _scale(axes, scale, axis)
    legend(figure, "right center")
    for axes, panel in zip(panels, chart.panels, strict=True):
        named = [
            ((text, place), _radius(one))
            for one in panel.series
            for text, *place in zip(one.labels, one.x, one.y, strict=False)
            if text and np.isfinite(place).all()
        ]
        if named:
            name_points(axes, *map(list, zip(*named, strict=True)))
    return figure


def _radius(one: Series) -> float:
    return MARK * math.sqrt(one.area) / 2 if one.points else 2.0


def _band(axes, one: Series, style: dict):
    if len(one.low):
        axes.fill_between(one.x, one.low, one.high, color=style["color"], alpha=0.18, lw=0)


def _draw_points(axes, one: Series, style: dict):
    mark, colour = STYLES[style["ls"]][1], style["color"]
    for x, y in one.seeds.values():
        axes.plot(x, y, mark, color=colour, alpha=0.35, ms=4, mew=0)
    if len(one.low):
        ends = [np.subtract(one.y, one.low), np.subtract(one.high, one.y)]
        axes.errorbar(one.x, one.y, ends, fmt="none", ecolor=colour, capsize=2, lw=1)
    look = {"mec": "black", "mew": 0.6 if one.area >= 0.5 else 0}
    if one.open:
        look = {"mec": colour, "mew": 1.2, "mfc": "white"}
    look = {"color": colour, "ms": 2 * _radius(one), **look}
    axes.plot(one.x, one.y, mark, label=one.name, **look)


def _scale(axes, scale: Axis, axis):
    set_ = axes.set_xscale if axis is axes.xaxis else axes.set_yscale
    if scale.log:
        set_("log")
    if scale.range:
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(*scale.range)
    low, high = axis.get_view_interval()
    if scale.ticks:
        axis.set_major_locator(FixedLocator([*scale.ticks]))
        axis.set_major_formatter(FixedFormatter([*scale.ticks.values()]))
        axis.set_minor_formatter(NullFormatter())
    elif scale.log and high < 30 * low:
        # Powers of ten alone would leave such a scale without a number.
        axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


# --- As the page takes it ------------------------------------------------------------------------


def as_data(chart: Chart) -> dict:
    """What charts.js draws, as JSON can hold it."""
    drawn = {}
    for name, style in chart.styles.items():
        dash, _, symbol = STYLES[style["ls"]]
        drawn[name] = {"colour": style["color"], "dash": dash, "symbol": symbol}
    return {
        "names": drawn,
        "guides": {name: {"colour": GREY, "dash": dash} for name, dash in chart.guides.items()},
        "bands": len(drawn) <= MOST_BANDS,
        "panels": [_panel_data(panel) for panel in chart.panels],
    }


def _panel_data(panel: Panel) -> dict:
    return {
        "title": panel.title,
        "x": _axis_data(panel.x),
        "y": _axis_data(panel.y),
        "span": panel.span and _short(panel.span),
        "series": [_series_data(one) for one in panel.series],
    }


def _axis_data(axis: Axis) -> dict:
    return {
        "label": axis.label,
        "log": axis.log,
        "range": axis.range and _short(axis.range),
        "ticks": [[*axis.ticks], [*axis.ticks.values()]],
    }


def _series_data(one: Series) -> dict:
    return {
        "name": one.name,
        "x": _short(one.x),
        "y": _short(one.y),
        "low": _short(one.low),
        "high": _short(one.high),
        "points": one.points,
        "guide": one.guide,
        "labels": [*one.labels],
        "note": one.note,
        "open": one.open,
        "area": one.area,
        "seeds": {
            seed: [_short(part) for part in found] if one.points else _short(found)
            for seed, found in one.seeds.items()
        },
    }


def _short(values) -> list[float | None]:
    """Five digits, more than the eye sees; None for what is not finite."""
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in map(float, np.ravel(values))]
