"""Figures of the domains experiment: functions of a run that return (caption, figure), or None."""

import numpy as np
from matplotlib.figure import Figure

from genjax import claims
from genjax.domains.arms import alike, preferred
from genjax.domains.figures_more import arms_of, band, ladder, samples
from genjax.report.charts import Chart, Panel, Series, over_seeds
from genjax.report.plots import COLOURS, colours, legend, seeds

# Counts that do not compose.
FLOORS = {"unigram": (0, (1, 3)), "cache": (0, (1, 1)), "cache_bigram": (0, (4, 2))}
LINES = {"known": ("#444444", ":"), "family": ("#009E73", "--"), "seen": ("#D55E00", "-.")}


def _bases(run):
    """Arms that start from no other of this run."""
    arms = arms_of(run)
    return [name for name, arm in arms.items() if arm.from_ not in arms]


def _heat(run):
    summary, arms = run["summary"], run["summary"]["arms"]
    names = summary["domains"]
    losses = np.array([run["arrays"][arm]["losses"].mean(0) for arm in arms])
    label = summary["unit"]
    if "known" in run["arrays"][arms[0]]:
        losses = losses - run["arrays"][arms[0]]["known"]
        label += " above `known`"
    figure = Figure(figsize=(2.5 + 0.55 * len(names), 1.4 + 0.42 * len(arms)), layout="constrained")
    axes = figure.subplots()
    # Arms that overfit on purpose would take the whole scale.
    usual = [i for i, arm in enumerate(arms_of(run).values()) if not arm.limit]
    most = losses[usual].max() if usual else losses.max()
    picture = axes.imshow(losses, cmap="viridis", aspect="auto", vmax=most)
    middle = (losses.min() + most) / 2
    for i, arm in enumerate(arms):
        for j, name in enumerate(names):
            trained = name in summary["trained_on"][arm]
            axes.annotate(
                f"{losses[i, j]:.2f}",
                (j, i),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if losses[i, j] < middle else "black",
                fontweight="bold" if trained else "normal",
            )
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    for tick, name in zip(axes.get_xticklabels(), names, strict=True):
        tick.set_color("#D55E00" if name in summary["held_out"] else "black")
    axes.set_yticks(range(len(arms)), arms, fontsize=8)
    held_out = " (held out in orange)" if summary["held_out"] else ""
    axes.set_xlabel(f"tested on{held_out}; bold: the arm was trained on it last")
    figure.colorbar(picture, label=label, fraction=0.03, pad=0.01)
    return f"Every arm on every domain, mean over seeds: {label}.", figure


def _diversity(run):
    summary, every = run["summary"], arms_of(run)
    arms = {arm: every[arm] for arm in _bases(run) if f"{arm}/unseen" in summary["metrics"]}
    groups = [group for group in alike(arms, "domains") if len(group) > 1]
    if not groups:
        return None
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, (group, colour) in enumerate(zip(groups, COLOURS, strict=False)):
        group = sorted(group, key=lambda arm: len(summary["trained_on"][arm]))
        x = [len(summary["trained_on"][arm]) for arm in group]
        for name, style in (("unseen", "o-"), ("seen", "s:")):
            values = np.stack([seeds(summary, f"{arm}/{name}") for arm in group], 1)
            model = arms[group[0]].model
            band(axes, x, values, color=colour, ls=style[1:], marker=style[0],
                  label=f"{model}, {name} domains")  # fmt: skip
        lines = [run["arrays"][arm].get("position_unseen_lines") for arm in group]
        for row, dash in FLOORS.items() if number == 0 else ():
            loss = summary["metrics"][f"{row}/unseen"]["mean"]
            axes.axhline(loss, color="#888888", lw=1, ls=dash, label=f"floor on unseen: {row}")
        if lines[0] is not None and number == 0:
            for i, (line, (grey, dash)) in enumerate(LINES.items()):
                row = "memory" if line == "seen" else line  # As the table calls it.
                axes.plot(x, [found[i].mean() for found in lines], color=grey, ls=dash, lw=1.2,
                          label=f"exact on unseen: {row}")  # fmt: skip
        axes.set_xticks(x)
    axes.set_xlabel("training domains, at one token budget")
    axes.set_ylabel(summary["unit"])
    axes.grid(alpha=0.25, lw=0.6)
    legend(figure, "right center")
    return (
        "Loss on domains that were never seen, against the number that were. Floors count tokens "
        "and do not compose. `memory`: the best that perfect memory of the seen could do there, "
        "`family`: perfect composition, `known`: the domain given. Bands: 95% intervals.",
        figure,
    )


def _tuned(run):
    """Finetuned arms; those that overfit on purpose would set the scale."""
    metrics = run["summary"]["metrics"]
    return {
        name: arm
        for name, arm in arms_of(run).items()
        if f"{name}/forgetting" in metrics and not arm.limit
    }


def _front(run):
    """A panel for each start and new domain: losses on other domains do not compare."""
    summary, groups = run["summary"], {}
    for name, arm in _tuned(run).items():
        title = f"{arm.from_} to {'+'.join(summary['trained_on'][name])}"
        groups.setdefault(title, []).append(name)
    groups = {title: arms for title, arms in groups.items() if len(arms) > 1}
    if not groups:
        return None
    unit = summary["unit"]
    panels = []
    for title, arms in groups.items():
        found = {arm: [seeds(summary, f"{arm}/{n}") for n in ("new", "forgetting")] for arm in arms}
        series = [
            Series(
                arm,
                [x.mean()],
                [y.mean()],
                seeds={
                    str(seed): ([a], [b]) for seed, a, b in zip(summary["seeds"], x, y, strict=True)
                },
                points=True,
            )
            for arm, (x, y) in found.items()
        ]
        ends = [min(x.min() for x, _ in found.values()), max(x.max() for x, _ in found.values())]
        series.append(Series("no forgetting", ends, [0.0, 0.0], guide=True))
        panels.append(
            Panel(
                f"loss on the new domains ({unit})",
                f"forgetting ({unit})",
                series,
                title,
            )
        )
    text = (
        "Learning and forgetting (old domains' loss, after - before): down and to the left is "
        "better. Large marks: means over seeds, small ones the seeds."
    )
    return text, Chart(panels, columns=2, size=(6.4, 4.8))


def _overlap(run):
    """What adapting gains, and what leaving out costs, against how far the domain is."""
    summary, metrics = run["summary"], run["summary"]["metrics"]
    kinds = {"gain": "gained by adapting to it", "gap": "lost by not having seen it"}
    found = {}
    for kind in kinds:
        arms = {
            name: arm
            for name, arm in arms_of(run).items()
            if {f"{name}/{kind}", f"{name}/overlap"} <= metrics.keys() and not arm.limit
        }
        groups = [group for group in alike(arms, "domains") if len(group) > 3]
        if groups:
            found[kind] = sum(groups, [])
    if not found:
        return None
    figure = Figure(figsize=(6.4 * len(found), 4.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(found)))
    for axes, (kind, arms) in zip(panels, found.items(), strict=True):
        models = {name: arms_of(run)[name].model for name in arms}
        shade, places = colours(dict.fromkeys(models.values())), {}
        for arm in arms:
            x, y = metrics[f"{arm}/overlap"]["mean"], seeds(summary, f"{arm}/{kind}")
            colour = shade[models[arm]]
            axes.plot([x] * len(y), y, "o", color=colour, ms=4, alpha=0.5, mew=0)
            axes.plot(x, y.mean(), "o", color=colour, ms=8, mec="black", mew=0.6, label=models[arm])
            own = summary["trained_on"][arm]
            if kind == "gap":
                own = [name for name in summary["domains"] if name not in own]
            places.setdefault((x, "+".join(own)), []).append(y.mean())
        for place, y in places.items():
            # The higher of two neighbours is named above its marks, the other below.
            near = min((p for p in places if p != place), key=lambda p: abs(p[0] - place[0]),
                       default=place)  # fmt: skip
            high = max(y) >= max(places[near])
            axes.annotate(place[1], (place[0], max(y) if high else min(y)), fontsize=8, ha="center",
                          va="bottom" if high else "top", xytext=(0, 7 if high else -7),
                          textcoords="offset points")  # fmt: skip
        axes.margins(0.12)
        axes.set_xlabel("share of its test text's 5-grams that the training texts hold")
        axes.set_ylabel(f"{kinds[kind]} ({summary['unit']})")
        axes.grid(alpha=0.25, lw=0.6)
    legend(figure, "upper right", ncols=3)
    return "Does distance matter? Left is far. Large marks: means over seeds.", figure


def _few_shot(run):
    summary = run["summary"]
    arms = [arm for arm in _bases(run) if "few_shot" in run["arrays"][arm]]
    if not arms:
        return None
    shots = summary["flags"]["shots"]
    places = np.log2(1 + np.array(shots))
    series = []
    for arm in arms:
        values = run["arrays"][arm]["few_shot"]
        fits = np.array([claims.interval(column) for column in values.T])
        ends = fits[:, 1:].T if np.isfinite(fits).all() else ((), ())
        by_seed = dict(zip(map(str, summary["seeds"]), values, strict=False))
        series.append(Series(arm, places, fits[:, 0], *ends, seeds=by_seed))
    panel = Panel(
        "examples in context (on the scale of log2(1 + k))",
        f"loss on the next example ({summary['unit']})",
        series,
        ticks=dict(zip(places.tolist(), map(str, shots), strict=True)),
    )
    text = (
        "Loss on an example of an unseen domain behind k others of the same domain: mean over "
        "seeds with its 95% interval."
    )
    return text, Chart([panel], among=arms, size=(6.6, 4.2))


def _adaptation(run):
    """Arms of one recipe that differ in how much of their domains they saw.

    Of several lengths or rates of training the valid text of those domains takes one.
    """
    summary = run["summary"]
    arms = {name: arm for name, arm in arms_of(run).items() if arm.limit}
    valid = {arm: summary["metrics"][f"{arm}/valid"]["mean"] for arm in arms}
    groups = preferred(arms, valid, "limit", "steps", "learning_rate")
    groups = [group for group in groups if len(group) > 2]
    if not groups:
        return None
    figure, drawn, sizes = Figure(figsize=(7.2, 4.4), layout="constrained"), None, set()
    axes = figure.subplots()
    for group, colour in zip(groups, COLOURS, strict=False):
        x = [arms[arm].limit for arm in group]
        sizes |= set(x)
        names = summary["trained_on"][group[0]]
        where = [summary["domains"].index(name) for name in names]
        values = [run["arrays"][arm]["losses"][:, where].mean(1) for arm in group]
        parent = arms[group[0]].from_
        label = f"{'+'.join(names)}, from {parent or 'scratch'}"
        band(axes, x, np.stack(values, 1), color=colour, marker="o", ms=4, label=label)
        if parent in summary["arms"]:
            before = run["arrays"][parent]["losses"][:, where].mean()
            axes.axhline(before, color=colour, lw=1, ls=(0, (1, 3)))
            axes.annotate(f"{parent}, before", (x[0], before), fontsize=7, color=colour,
                          va="bottom")  # fmt: skip
        for line, (grey, dash) in LINES.items():
            if line in run["arrays"][group[0]] and names != drawn:
                bits = run["arrays"][group[0]][line][where].mean()
                label = f"exact: {line}, {'+'.join(names)}"
                axes.axhline(bits, color=grey, lw=1.2, ls=dash, label=label)
        drawn = names
    axes.set_xscale("log", base=4)
    axes.set_xticks(sorted(sizes), [f"{size:,}" for size in sorted(sizes)])
    axes.minorticks_off()
    axes.set_xlabel("tokens of the new domain that training saw")
    axes.set_ylabel(f"loss on it ({summary['unit']})")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.25, lw=0.6)
    text = (
        "Adaptation to a new domain, against how much of it was seen; of arms that differ in steps "
        "or rate alone, the one that the domain's valid text prefers. `known`: the domain is "
        "given, `family`: only its kind is, and the context tells the rest."
    )
    return text, figure


def _position(run):
    arms = _bases(run)
    groups = [
        (group, found)
        for group in ("seen", "unseen")
        if (found := [arm for arm in arms if f"position_{group}" in run["arrays"][arm]])
    ]
    figure = Figure(figsize=(5.4 * len(groups), 4.2), layout="constrained")
    shade = colours(arms)
    for axes, (group, found) in zip(
        np.atleast_1d(figure.subplots(1, len(groups))), groups, strict=True
    ):
        lines = None
        for arm in found:
            values, lines = (run["arrays"][arm].get(f"position_{group}{s}") for s in ("", "_lines"))
            shown = values.mean(0) - (0 if lines is None else lines[0])
            width = max(1, len(shown) // 32)
            shown = shown[: len(shown) // width * width].reshape(-1, width).mean(1)
            axes.plot((np.arange(len(shown)) + 0.5) * width, shown, color=shade[arm], label=arm)
        axes.set_title(f"{group} domains")
        axes.set_xlabel("position in the window")
        unit = run["summary"]["unit"]
        axes.set_ylabel(unit if lines is None else f"{unit} above `known`")
        axes.grid(alpha=0.25, lw=0.6)
    legend(figure, "right center")
    return "Loss by position: what a model infers about its domain from the context.", figure


def _curves(run):
    groups = ("test_new", "test_old", "test_unseen")
    summary, found = run["summary"], {}
    for arm in summary["arms"]:
        own = [row for row in run["rows"] if row["arm"] == arm]
        series = [over_seeds(group[5:], own, "step", group) for group in groups]
        series = [one for one in series if one.x]
        if series:
            found[arm] = series
    if not found:
        return None
    # One scale: arms are compared.
    every = [v for series in found.values() for one in series for v in (*one.low, *one.high)]
    limits = (min(every) - 0.1, max(every) + 0.1)
    panels = [
        Panel("step", f"loss ({summary['unit']})", series, arm, y_range=limits)
        for arm, series in found.items()
    ]
    return (
        "Test text along training: what is trained on now (new), what was before (old), what never "
        "was (unseen). Mean over seeds, with the range of all seeds.",
        Chart(panels, among=[group[5:] for group in groups], size=(3.4, 2.8)),
    )


FIGURES = {
    "diversity": _diversity,
    "ladder": ladder,
    "domains": _heat,
    "front": _front,
    "overlap": _overlap,
    "few_shot": _few_shot,
    "adaptation": _adaptation,
    "position": _position,
    "curves": _curves,
    "samples": samples,
}
