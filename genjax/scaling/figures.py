"""Figures of the attention sweep: functions of a run that return (caption, figure), or None."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from genjax.attention.catalogue import OTHER_MODELS
from genjax.report.charts import Chart, Panel, Series
from genjax.report.plots import legend, name_points, styles
from genjax.scaling.timings import PARTS

MODES = {"forward": "forward", "both": "forward + backward"}


def _style(run, arm):
    return styles(run["summary"]["arms"])[arm] | {"lw": 1.6}


def _lines(run, mode):
    """(arm, points) of the arms timed in a mode."""
    return [
        (arm, run["summary"]["points"][f"{arm}/{mode}"])
        for arm in run["summary"]["arms"]
        if f"{arm}/{mode}" in run["summary"]["points"]
    ]


def _lengths(axes, lengths):
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: _length(n)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("length n (positions)")
    axes.grid(alpha=0.25, lw=0.6)


def _all_lengths(run):
    found = [points for mode in MODES for _, points in _lines(run, mode)]
    return sorted({n for points in found for n in points["lengths"]})


def _guides(lengths, anchor):
    """n and n^2 through the cheapest point."""
    x = np.array([lengths[0], lengths[-1]])
    return [
        Series(name, x, anchor * (x / x[0]) ** power, guide=True)
        for power, name in ((1, "as n"), (2, "as n²"))
    ]


def _panels(run, series, ylabel, *, log_y=True, limits=None):
    """A chart with a panel a mode. series: mode -> the panel's."""
    modes = [mode for mode in MODES if _lines(run, mode)]
    if not modes:
        return None
    ticks = {n: _length(n) for n in _all_lengths(run)}
    panels = [
        Panel(
            "length n (positions)",
            ylabel,
            series(mode),
            MODES[mode],
            log_x=True,
            log_y=log_y,
            y_range=limits,
            ticks=ticks,
        )
        for mode in modes
    ]
    return Chart(panels, among=run["summary"]["arms"], columns=2, size=(5.8, 4.8))


def _length(n: float) -> str:
    return f"{n / 1024:g}k" if n >= 1024 else f"{n:g}"


def _time(run):
    def series(mode):
        found, lowest = [], np.inf
        for arm, points in _lines(run, mode):
            y, low, high = (1e3 * np.array(points[key]) for key in ("seconds", "low", "high"))
            found.append(Series(arm, points["lengths"], y, low, high))
            lowest = min(lowest, y[0])
        return found + _guides(_all_lengths(run), lowest)

    text = (
        "Time by length: the fastest call of a process, median over fresh processes with the range "
        "of all. Grey: slopes of n and n²."
    )
    made = _panels(run, series, "time (ms a call)")
    return made and (text, made)


def _memory(run):
    def series(mode):
        lines = _lines(run, mode)
        found = [
            Series(arm, points["lengths"], np.array(points["predicted_bytes"]) / 1e6)
            for arm, points in lines
        ]
        for arm, points in lines:
            pairs = zip(points["lengths"], points["peak_bytes"], strict=False)
            peaks = [(n, b / 1e6) for n, b in pairs if b]
            if peaks:
                x, y = zip(*peaks, strict=True)
                found.append(Series(arm, x, y, points=True))
        lowest = min(points["predicted_bytes"][0] for _, points in lines) / 1e6
        return found + _guides(_all_lengths(run), lowest)

    text = (
        "Memory by length: lines, what the compiled program says before anything runs; dots, by "
        "how much the first call of a fresh process raised its peak (median). Grey: slopes of n "
        "and n²."
    )
    made = _panels(run, series, "temporary memory and result (MB)")
    return made and (text, made)


def _exponents(run):
    def series(mode):
        found = []
        for arm, points in _lines(run, mode):
            x = np.array(points["lengths"])
            found.append(Series(arm, np.sqrt(x[1:] * x[:-1]), points["local_exponents"]))
        ends = _all_lengths(run)[:: len(_all_lengths(run)) - 1]
        return found + [Series(f"n^{power}", ends, [power] * 2, guide=True) for power in (1, 2)]

    text = "The local exponent of time, median over processes: where O(n²) becomes visible."
    made = _panels(run, series, "slope (power of n)", log_y=False, limits=(-0.2, 3.2))
    return made and (text, made)


def _parts(run):
    """What textbook attention's time is made of."""
    found = run["summary"]["points"]
    if not all(f"{name}/forward" in found for name in ("full", *PARTS)):
        return None
    whole = found["full/forward"]
    figure = Figure(figsize=(6.6, 4.2), layout="constrained")
    axes = figure.subplots()
    hues = ("#0072B2", "#D55E00", "#009E73")
    for name, colour in zip(PARTS, hues, strict=True):
        points = found[f"{name}/forward"]
        label = name.removeprefix("full.")
        y = np.array(points["seconds"]) * 1e3
        axes.plot(points["lengths"], y, marker="o", ms=4, color=colour, label=label)
    y = np.array(whole["seconds"]) * 1e3
    axes.plot(whole["lengths"], y, color="#333", lw=2, label="full attention")
    axes.set_yscale("log")
    axes.set_ylabel("ms a call, forward")
    _lengths(axes, whole["lengths"])
    axes.legend(fontsize=9, frameon=False)
    text = (
        "Textbook attention and its three parts, each a program of its own: the scores k q^T, "
        "their softmax, and the sum of the values. Median over processes of the fastest call."
    )
    return text, figure


def _tradeoff(run):
    """Look-ups and errors against time, at one and the same length."""
    metrics, arms = run["summary"]["metrics"], run["summary"]["arms"]
    timed = [arm for arm in arms if f"{arm}/milliseconds/forward" in metrics]
    length = run["summary"]["reference"]
    alike = [arm for arm in timed if arm not in OTHER_MODELS]
    if not timed:
        return None
    figure = Figure(figsize=(11.2, 4.8), layout="constrained")
    panels = (
        ("needles", "share of needles found", timed),
        ("error", "relative error, standard normal q, k, v", alike),
    )
    for axes, (measure, name, shown) in zip(figure.subplots(1, 2), panels, strict=True):
        places = []
        for arm in shown:
            x, y, memory = (
                metrics[f"{arm}/{path}"]["mean"]
                for path in ("milliseconds/forward", measure, "predicted/forward")
            )
            size = 20 + 40 * np.log2(1 + memory)
            axes.scatter(x, y, s=size, color=_style(run, arm)["color"], alpha=0.75, lw=0)
            places.append((arm, (x, y)))
        axes.set_xscale("log")
        axes.set_xlabel(f"ms a forward call at n = {length}")
        axes.set_ylabel(name)
        axes.grid(alpha=0.25, lw=0.6)
        name_points(axes, places)
    text = (
        f"Quality against time, both at n = {length} and of the same compiled programs, untrained; "
        "area: memory, on a log scale. Left all variants; right those that stand in for softmax "
        "attention."
    )
    return text, figure


def _tasks(run, draw):
    """A panel a task: draw(axes, {length: {arm: what the trained transformers reached}})."""
    learnt = run["summary"].get("learnt")
    if not learnt:
        return None
    figure = Figure(figsize=(6.2 * len(learnt), 4.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(learnt)))
    for axes, (task, lengths) in zip(panels, learnt.items(), strict=True):
        axes.set_ylim(-0.05, 1.1)
        draw(axes, lengths)
        axes.set_title(task)
        axes.set_ylabel("share of right answers")
        axes.grid(alpha=0.25, lw=0.6)
    return figure


def _lookups(run):
    """Accuracy of the trained transformers by length."""

    def draw(axes, lengths):
        x = [int(n) for n in lengths]
        for arm in run["summary"]["arms"]:
            rows = [found[arm]["accuracy"] for found in lengths.values() if arm in found]
            if len(rows) < len(x):
                continue
            values = np.array(rows)
            style = _style(run, arm)
            axes.plot(x, values.mean(1), marker="o", ms=4, label=arm, **style)
            for i in range(values.shape[1]):
                axes.scatter(x, values[:, i], s=6, color=style["color"], alpha=0.6, lw=0)
        chance = [next(iter(found.values())).get("chance") for found in lengths.values()]
        if all(chance):
            shares = [share[0] for share in chance]
            axes.plot(x, shares, color="#888", lw=1, ls=":", marker="_", ms=14,
                      label="the commonest answer")  # fmt: skip
        _lengths(axes, x)

    figure = _tasks(run, draw)
    if figure:
        legend(figure, "right center")
    text = (
        "Transformers trained to look things up, one for each kind of attention and length: mean "
        "over seeds (points: the seeds). What a variant sees is scaled down with the length."
    )
    return figure and (text, figure)


def _pareto(run):
    """Accuracy of the trained transformers against the time that they take, a line a variant."""

    def draw(axes, lengths):
        names = []
        for arm in run["summary"]["arms"]:
            rows = {int(n): found.get(arm, {}) for n, found in lengths.items()}
            rows = {n: row for n, row in sorted(rows.items()) if "seconds" in row}
            if not rows:
                continue
            x = [1e6 * min(row["seconds"]) / n for n, row in rows.items()]
            y = [np.mean(row["accuracy"]) for row in rows.values()]
            axes.plot(x, y, marker="o", ms=4, **_style(run, arm))
            names += [
                (f"{arm} {n}" if n == max(rows) else f"{n}", place)
                for n, *place in zip(rows, x, y, strict=True)
            ]
        axes.set_xscale("log")
        axes.set_xlabel("µs a position, forward (numbers: the length)")
        name_points(axes, names)

    figure = _tasks(run, draw)
    text = (
        "Trained quality against time: up and to the left is better. Whole transformers of one "
        "variant each, the fastest call of all seeds."
    )
    return figure and (text, figure)


def _states(run):
    """Accuracy at the longest length of a task against what a layer carries on."""
    learnt, metrics = run["summary"].get("learnt"), run["summary"]["metrics"]
    if not learnt:
        return None
    figure = Figure(figsize=(6.2 * len(learnt), 4.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(learnt)))
    for axes, (task, lengths) in zip(panels, learnt.items(), strict=True):
        n = max(lengths, key=int)
        places = []
        for arm, row in lengths[n].items():
            x = metrics[f"{arm}/{task}_state/{n}"]["mean"]
            y = np.array(row["accuracy"])
            style = _style(run, arm)
            axes.scatter(np.full(len(y), x), y, s=8, color=style["color"], alpha=0.6, lw=0)
            axes.scatter(x, y.mean(), s=40, color=style["color"])
            places.append((arm, (x, y.mean())))
        axes.set_xscale("log")
        axes.set_xlabel("numbers that a layer carries from position to position")
        axes.set_ylabel("share of right answers")
        axes.set_title(f"{task}, n = {n}")
        axes.set_ylim(-0.05, 1.1)
        axes.grid(alpha=0.25, lw=0.6)
        name_points(axes, places)
    text = (
        "Trained quality against the size of the state: keys and values that a later position may "
        "see, or the sums that stand for them. Points: the seeds, and their mean."
    )
    return text, figure


FIGURES = {
    "time": _time,
    "memory": _memory,
    "exponents": _exponents,
    "parts": _parts,
    "tradeoff": _tradeoff,
    "lookups": _lookups,
    "pareto": _pareto,
    "states": _states,
}
