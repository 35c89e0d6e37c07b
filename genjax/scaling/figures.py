"""Figures of the attention sweep: functions of a run that return (caption, figure), or None."""

import numpy as np

from genjax.attention.catalogue import OTHER_MODELS
from genjax.report.charts import Axis, Chart, Panel, Series, cloud, ranged
from genjax.scaling.timings import PARTS

MODES = {"forward": "forward", "both": "forward + backward"}
RIGHT = Axis("right answers", "share", range=(-0.05, 1.1))
# Of two panels in a row.
WIDE = (5.8, 4.8)


def _lines(run, mode):
    """(arm, points) of the arms timed in a mode."""
    return [
        (arm, run["summary"]["points"][f"{arm}/{mode}"])
        for arm in run["summary"]["arms"]
        if f"{arm}/{mode}" in run["summary"]["points"]
    ]


def _lengths(lengths) -> Axis:
    return Axis("length n", "positions", log=True, ticks={n: _length(n) for n in lengths})


def _all_lengths(run):
    return sorted({n for mode in MODES for n in _timed_lengths(run, mode)})


def _timed_lengths(run, mode):
    return sorted({n for _, points in _lines(run, mode) for n in points["lengths"]})


def _guides(lengths, anchor):
    """n and n^2 through the cheapest point."""
    x = np.array([lengths[0], lengths[-1]])
    return [
        Series(name, x, anchor * (x / x[0]) ** power, guide=True)
        for power, name in ((1, "as n"), (2, "as n²"))
    ]


def _panels(run, series, axis):
    """A chart with a panel a mode. series: mode -> the panel's."""
    modes = [mode for mode in MODES if _lines(run, mode)]
    if not modes:
        return None
    x = _lengths(_all_lengths(run))
    panels = [Panel(x, axis, series(mode), MODES[mode]) for mode in modes]
    return Chart(panels, among=run["summary"]["arms"], columns=2, size=WIDE)


def _length(n: float) -> str:
    return f"{n / 1024:g}k" if n >= 1024 else f"{n:g}"


def _time(run):
    def series(mode):
        found, lowest = [], np.inf
        for arm, points in _lines(run, mode):
            y, low, high = (1e3 * np.array(points[key]) for key in ("seconds", "low", "high"))
            found.append(Series(arm, points["lengths"], y, low, high))
            lowest = min(lowest, y[0])
        return found + _guides(_timed_lengths(run, mode), lowest)

    text = (
        "Time by length: the fastest call of a process, median over fresh processes with the range "
        "of all. Grey: slopes of n and n²."
    )
    made = _panels(run, series, Axis("time", "ms a call", log=True))
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
        return found + _guides(_timed_lengths(run, mode), lowest)

    text = (
        "Memory by length: lines, what the compiled program says before anything runs; dots, by "
        "how much the first call of a fresh process raised its peak (median). Grey: slopes of n "
        "and n²."
    )
    made = _panels(run, series, Axis("temporary memory and result", "MB", log=True))
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
    made = _panels(run, series, Axis("slope", "power of n", range=(-0.2, 3.2)))
    return made and (text, made)


def _parts(run):
    """What textbook attention's time is made of."""
    found = run["summary"]["points"]
    if not all(f"{name}/forward" in found for name in ("full", *PARTS)):
        return None
    series = []
    for name in ("full", *PARTS):
        points = found[f"{name}/forward"]
        y, low, high = (1e3 * np.array(points[key]) for key in ("seconds", "low", "high"))
        label = "all of it" if name == "full" else name.removeprefix("full.")
        series.append(Series(label, points["lengths"], y, low, high))
    panel = Panel(_lengths(series[0].x), Axis("time, forward", "ms a call", log=True), series)
    text = (
        "Textbook attention and its three parts, each a program of its own: the scores k q^T, "
        "their softmax, and the sum of the values. The fastest call of a process, median over "
        "processes with the range of all."
    )
    return text, Chart([panel], size=(6.6, 4.2))


def _tradeoff(run):
    """Look-ups and errors against time, at one and the same length."""
    metrics, arms = run["summary"]["metrics"], run["summary"]["arms"]
    timed = [arm for arm in arms if f"{arm}/milliseconds/forward" in metrics]
    length = run["summary"]["reference"]
    alike = [arm for arm in timed if arm not in OTHER_MODELS]
    if not timed:
        return None

    def point(arm, measure):
        x, y, memory = (
            metrics[f"{arm}/{path}"]
            for path in ("milliseconds/forward", measure, "predicted/forward")
        )
        every = [value for value in y["per_seed"] if value is not None]
        ends = ([min(every)], [max(every)]) if len(every) > 1 else ((), ())
        return Series(
            arm,
            np.array([x["mean"]], float),  # None, where it is not finite.
            np.array([y["mean"]], float),
            *ends,
            points=True,
            labels=[arm],
            note=f"memory {memory['mean']:.3g} MB",
            area=0.3 + 0.6 * np.log2(1 + memory["mean"]),
        )

    time = Axis(f"a forward call at n = {length}", "ms", log=True)
    panels = [
        Panel(time, axis, [point(arm, measure) for arm in shown], title)
        for measure, axis, shown, title in (
            ("needles", Axis("needles found", "share"), timed, "all variants"),
            (
                "error",
                Axis("error, standard normal q, k, v", "relative"),
                alike,
                "stand-ins for softmax",
            ),
        )
        if shown
    ]
    text = (
        f"Quality against time, both at n = {length} and of the same compiled programs, untrained; "
        "area: memory, on a log scale; bars: the range of all. Errors are of those that stand in "
        "for softmax attention."
    )
    return text, Chart(panels, among=arms, columns=2, size=WIDE)


def _tasks(run, panel):
    """A chart with a panel a task: panel(task, {length: {arm: what its transformers reached}})."""
    learnt = run["summary"].get("learnt")
    if not learnt:
        return None
    panels = [panel(task, lengths) for task, lengths in learnt.items()]
    return Chart(panels, among=run["summary"]["arms"], columns=2, size=WIDE)


def _lookups(run):
    """Accuracy of the trained transformers by length."""
    summary = run["summary"]

    def panel(task, lengths):
        x = [int(n) for n in lengths]
        series = []
        for arm in summary["arms"]:
            rows = [found[arm]["accuracy"] for found in lengths.values() if arm in found]
            if len(rows) == len(x):
                series.append(ranged(arm, x, np.array(rows).T, summary["seeds"]))
        chance = [next(iter(found.values())).get("chance") for found in lengths.values()]
        if all(chance):
            shares = [share[0] for share in chance]
            series.append(Series("without reading the question", x, shares, guide=True))
        return Panel(_lengths(x), RIGHT, series, task)

    text = (
        "Transformers trained to look things up, one for each kind of attention and length: mean "
        "over seeds, with the range of all. What a variant sees is scaled down with the length."
    )
    made = _tasks(run, panel)
    return made and (text, made)


def _pareto(run):
    """Accuracy of the trained transformers against the time that they take, a line a variant."""
    summary = run["summary"]

    def panel(task, lengths):
        series = []
        for arm in summary["arms"]:
            rows = {int(n): found.get(arm, {}) for n, found in lengths.items()}
            rows = {n: row for n, row in sorted(rows.items()) if "seconds" in row}
            if not rows:
                continue
            x = [1e6 * min(row["seconds"]) / n for n, row in rows.items()]
            y = [row["accuracy"] for row in rows.values()]
            names = [f"{arm} {n}" if n == max(rows) else f"{n}" for n in rows]
            series.append(ranged(arm, x, np.array(y).T, summary["seeds"], labels=names))
        time = Axis("time of a position, forward", "µs", log=True)
        return Panel(time, RIGHT, series, task)

    text = (
        "Trained quality against time: up and to the left is better; numbers are lengths. Whole "
        "transformers of one variant each, the fastest call of all seeds; mean over seeds, with "
        "the range of all."
    )
    made = _tasks(run, panel)
    return made and (text, made)


def _states(run):
    """Accuracy at the longest length of a task against what a layer carries on."""
    summary, metrics = run["summary"], run["summary"]["metrics"]

    def panel(task, lengths):
        n = max(lengths, key=int)
        series = []
        for arm, row in lengths[n].items():
            y = np.array(row["accuracy"])
            x = np.full(len(y), metrics[f"{arm}/{task}_state/{n}"]["mean"])
            series.append(cloud(arm, x, y, summary["seeds"], labels=[arm]))
        state = Axis("carried by a layer from position to position", "numbers", log=True)
        return Panel(state, RIGHT, series, f"{task}, n = {n}")

    text = (
        "Trained quality against the size of the state: keys and values that a later position may "
        "see, or the sums that stand for them. Small marks: the seeds; large ones: their mean."
    )
    made = _tasks(run, panel)
    return made and (text, made)


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
