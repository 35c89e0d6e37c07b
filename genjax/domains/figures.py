"""Figures of the domains experiment: functions of a run that return (caption, figure), or None."""

import numpy as np
from matplotlib.figure import Figure

from genjax.domains.arms import alike, preferred
from genjax.domains.figures_more import arms_of, band, ladder, samples
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
    figure = Figure(figsize=(7.2 * len(groups), 4.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(groups)))
    for axes, (title, arms) in zip(panels, groups.items(), strict=True):
        shade = colours(arms)
        for i, arm in enumerate(arms):
            x, y = (seeds(summary, f"{arm}/{name}") for name in ("new", "forgetting"))
            marker = "osD^v<>P"[i // len(COLOURS) % 8]
            axes.plot(x, y, marker, color=shade[arm], alpha=0.35, ms=5, mew=0)
            axes.plot(
                x.mean(), y.mean(), marker, color=shade[arm], ms=9, mec="black", mew=0.6, label=arm
            )
        axes.axhline(0, color="#888", lw=0.8)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(f"loss on the new domains ({summary['unit']})")
        axes.set_ylabel("forgetting: old domains' loss, after - before")
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        axes.grid(alpha=0.25, lw=0.6)
    return (
        "Learning and forgetting: down and to the left is better. Large marks: means over seeds.",
        figure,
    )


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
    arms = [arm for arm in _bases(run) if "few_shot" in run["arrays"][arm]]
    if not arms:
        return None
    shots = run["summary"]["flags"]["shots"]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    shade = colours(arms)
    for arm in arms:
        band(axes, np.log2(1 + np.array(shots)), run["arrays"][arm]["few_shot"],
              color=shade[arm], marker="o", ms=4, label=arm)  # fmt: skip
    axes.set_xticks(np.log2(1 + np.array(shots)), shots)
    axes.set_xlabel("examples in context (log2(1 + k))")
    axes.set_ylabel(f"the next example, unseen domain ({run['summary']['unit']})")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25, lw=0.6)
    return "Loss on an example of an unseen domain behind k others of the same domain.", figure


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
    summary, arms = run["summary"], run["summary"]["arms"]
    found = {
        (arm, group): rows
        for arm in arms
        for group in groups
        if (rows := [r for r in run["rows"] if r["arm"] == arm and group in r])
    }
    if not found:
        return None
    arms = [arm for arm in arms if any(arm == key[0] for key in found)]
    columns = min(4, len(arms))
    lines = -(-len(arms) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.4 * lines + 0.4), layout="constrained")
    grid = np.atleast_1d(figure.subplots(lines, columns, sharey=True, squeeze=False)).ravel()
    for axes in grid[len(arms) :]:
        axes.set_visible(False)
    for axes, arm in zip(grid, arms, strict=False):
        for group, colour in zip(groups, COLOURS, strict=False):
            rows = found.get((arm, group), [])
            places = sorted({row["step"] for row in rows})
            if places:
                means = [np.mean([r[group] for r in rows if r["step"] == s]) for s in places]
                axes.plot(places, means, "o-", ms=2.5, color=colour, label=group[5:])
            for name in summary["domains"]:
                own = group == f"test_{_kind(summary, arm, name)}"
                if own and rows and f"test/{name}" in rows[0]:
                    parts = [np.mean([r[f"test/{name}"] for r in rows if r["step"] == s])
                             for s in places]  # fmt: skip
                    axes.plot(places, parts, color=colour, lw=0.6, alpha=0.45)
        axes.set_title(arm, fontsize=9)
        axes.grid(alpha=0.25, lw=0.6)
    legend(figure, "upper right", ncols=3)
    figure.supxlabel("step", fontsize=9)
    figure.supylabel(summary["unit"], fontsize=9)
    return (
        "Test text along training: what is trained on now, what was before, what never was. "
        "Thin: each domain.",
        figure,
    )


def _kind(summary, arm, name):
    """Whether an arm trains on a domain now, or did, or never does."""
    for kind, names in (("new", "trained_on"), ("old", "trained_before")):
        if name in summary[names][arm]:
            return kind
    return "unseen"


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
