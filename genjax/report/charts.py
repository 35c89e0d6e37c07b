"""Curves and scatters as data: drawn once by matplotlib, and by the page where one can ask them.

A room hands over a `Chart`; neither drawing knows which room it is of.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

from genjax.report.plots import legend, small_multiples, styles

# More series than this have no bands: nothing else would be seen.
MOST_BANDS = 6
GREY = "#888888"
Values = Sequence[float] | np.ndarray
DASHES = {"-": "solid", "--": "dash", ":": "dot"}


@dataclass(frozen=True)
class Series:
    """A curve, or points, of one name in a panel.

    y: its mean or median at each x. low, high: a band around it. seeds: {seed: y at each x}, or of
    points {seed: (x, y)}. points: marks, no line. guide: no measurement, drawn thin and grey.
    """

    name: str
    x: Values
    y: Values
    low: Values = ()
    high: Values = ()
    seeds: Mapping[str, Any] = field(default_factory=dict)
    points: bool = False
    guide: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    x, y: labels, with units. span: a stretch of x that is shaded. ticks: places of x that have
    names, {number: text}.
    """

    x: str
    y: str
    series: Sequence[Series]
    title: str = ""
    log_x: bool = False
    log_y: bool = False
    y_range: tuple[float, float] | None = None
    span: tuple[float, float] | None = None
    ticks: Mapping[float, str] = field(default_factory=dict)


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

    @property
    def names(self) -> list[str]:
        """The names of all series that measure something, each once."""
        found = [one.name for panel in self.panels for one in panel.series if not one.guide]
        return list(dict.fromkeys(found))

    @property
    def styles(self) -> dict[str, dict]:
        """How each name is drawn: colour and dash."""
        every = styles(dict.fromkeys([*self.among, *self.names]))
        return {name: every[name] for name in self.names}


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


# --- Drawn once ----------------------------------------------------------------------------------


def draw(chart: Chart) -> Figure:
    """The chart by matplotlib."""
    figure, panels = small_multiples(len(chart.panels), chart.columns, *chart.size)
    bands = len(chart.names) <= MOST_BANDS
    for axes, panel in zip(panels, chart.panels, strict=True):
        for one in panel.series:
            style = {"color": GREY, "ls": "--"} if one.guide else chart.styles[one.name]
            _draw_series(axes, one, style, bands)
        if panel.span:
            axes.axvspan(*panel.span, color="#CC79A7", alpha=0.12, lw=0)
        axes.set(xlabel=panel.x, ylabel=panel.y, title=panel.title)
        if panel.log_x:
            axes.set_xscale("log")
        if panel.log_y:
            axes.set_yscale("log")
        if panel.y_range:
            axes.set_ylim(*panel.y_range)
        if panel.ticks:
            axes.xaxis.set_major_locator(FixedLocator([*panel.ticks]))
            axes.xaxis.set_major_formatter(FixedFormatter([*panel.ticks.values()]))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.25, lw=0.6)
    legend(figure, "right center")
    return figure


def _draw_series(axes, one: Series, style: dict, bands: bool):
    if one.points:
        for x, y in one.seeds.values():
            axes.plot(x, y, "o", color=style["color"], alpha=0.35, ms=4, mew=0)
        style = {"ms": 8, "mec": "black", "mew": 0.6, "color": style["color"]}
        axes.plot(one.x, one.y, "o", label=one.name, **style)
        return
    width = 1.0 if one.guide else 1.5
    mark = "o" if len(one.x) < 12 and not one.guide else ""
    axes.plot(one.x, one.y, label=one.name, lw=width, marker=mark, ms=3, **style)
    if len(one.low) and (bands or one.guide):
        axes.fill_between(one.x, one.low, one.high, color=style["color"], alpha=0.18, lw=0)


# --- As the page takes it ------------------------------------------------------------------------


def as_data(chart: Chart) -> dict:
    """What charts.js draws, as JSON can hold it."""
    drawn = {
        name: {"colour": style["color"], "dash": DASHES[style["ls"]]}
        for name, style in chart.styles.items()
    }
    panels = [_panel_data(panel) for panel in chart.panels]
    return {"names": drawn, "bands": len(drawn) <= MOST_BANDS, "panels": panels}


def _panel_data(panel: Panel) -> dict:
    return {
        "title": panel.title,
        "x": panel.x,
        "y": panel.y,
        "log_x": panel.log_x,
        "log_y": panel.log_y,
        "y_range": panel.y_range and _short(panel.y_range),
        "span": panel.span and _short(panel.span),
        "ticks": [[*panel.ticks], [*panel.ticks.values()]],
        "series": [
            {
                "name": one.name,
                "x": _short(one.x),
                "y": _short(one.y),
                "low": _short(one.low),
                "high": _short(one.high),
                "points": one.points,
                "guide": one.guide,
                "seeds": {
                    seed: [_short(part) for part in found] if one.points else _short(found)
                    for seed, found in one.seeds.items()
                },
            }
            for one in panel.series
        ],
    }


def _short(values) -> list[float | None]:
    """Five digits, more than the eye sees; None for what is not finite."""
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in map(float, np.ravel(values))]
