"""Figures of the domains experiment: functions of a run that return (caption, figure), or None."""

import numpy as np
from matplotlib.figure import Figure

from genjax.domains.arms import alike, preferred
from genjax.domains.figures_more import arms_of, averaged, ladder, samples
from genjax.report.charts import Axis, Chart, Panel, Series, by_seed, cloud, over_seeds, ranged
from genjax.report.plots import seeds

# Counts that do not compose.
FLOORS = ("unigram", "cache", "cache_bigram")
# What is computed of the data, as the table calls it; in the order of the arrays.
LINES = ("known", "family", "memory")
# Places that a curve by position is drawn at.
PLACES = 32


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
        label += " above known"
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
    series = []
    for number, group in enumerate(groups):
        group = sorted(group, key=lambda arm: len(summary["trained_on"][arm]))
        x = [len(summary["trained_on"][arm]) for arm in group]
        for name in ("unseen", "seen"):
            values = np.stack([seeds(summary, f"{arm}/{name}") for arm in group], 1)
            label = f"{arms[group[0]].model}, {name} domains"
            series.append(averaged(label, x, values, summary["seeds"]))
        if number == 0:
            series += _below(run, group, x)
    places = sorted({int(place) for one in series for place in one.x})
    panel = Panel(
        Axis("training domains, at one token budget", "count", ticks={n: f"{n}" for n in places}),
        Axis("loss", summary["unit"]),
        series,
    )
    return (
        "Loss on domains that were never seen, against the number that were. Floors count tokens "
        "and do not compose. `memory`: the best that perfect memory of the seen could do there, "
        "`family`: perfect composition, `known`: the domain given. Bands: 95% intervals.",
        Chart([panel], size=(7.5, 4.4)),
    )


def _below(run, group, x) -> list[Series]:
    """Guides of the figure of diversity: floors, and what is exact, on the unseen domains."""
    metrics = run["summary"]["metrics"]
    found = [
        Series(
            f"floor on unseen: {row}", x, [metrics[f"{row}/unseen"]["mean"]] * len(x), guide=True
        )
        for row in FLOORS
    ]
    lines = [run["arrays"][arm].get("position_unseen_lines") for arm in group]
    if lines[0] is not None:
        for i, row in enumerate(LINES):
            y = [made[i].mean() for made in lines]
            found.append(Series(f"exact on unseen: {row}", x, y, guide=True))
    return found


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
        series = [cloud(arm, x, y, summary["seeds"]) for arm, (x, y) in found.items()]
        ends = [min(x.min() for x, _ in found.values()), max(x.max() for x, _ in found.values())]
        series.append(Series("no forgetting", ends, [0.0, 0.0], guide=True))
        new, lost = Axis("loss on the new domains", unit), Axis("forgetting", unit)
        panels.append(Panel(new, lost, series, title))
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
    panels = []
    for kind, arms in found.items():
        models = {name: arms_of(run)[name].model for name in arms}
        series = []
        for model in dict.fromkeys(models.values()):
            own = [arm for arm in arms if models[arm] == model]
            x = [metrics[f"{arm}/overlap"]["mean"] for arm in own]
            values = np.stack([seeds(summary, f"{arm}/{kind}") for arm in own], 1)
            series.append(
                Series(
                    model,
                    x,
                    values.mean(0),
                    seeds=by_seed(x, values, summary["seeds"], points=True),
                    points=True,
                    labels=["+".join(_judged_on(run, arm, kind)) for arm in own],
                )
            )
        share = Axis("5-grams of its test text that the training texts hold", "share")
        panels.append(Panel(share, Axis(kinds[kind], summary["unit"]), series))
    return (
        "Does distance matter? Left is far. Large marks: means over seeds, small ones the seeds.",
        Chart(panels, columns=2, size=(6.4, 4.4)),
    )


def _judged_on(run, arm: str, kind: str) -> list[str]:
    """The domains that an arm's gain or gap is of."""
    trained_on = run["summary"]["trained_on"][arm]
    if kind == "gap":
        return [name for name in run["summary"]["domains"] if name not in trained_on]
    return trained_on


def _few_shot(run):
    summary = run["summary"]
    arms = [arm for arm in _bases(run) if "few_shot" in run["arrays"][arm]]
    if not arms:
        return None
    shots = summary["flags"]["shots"]
    places = np.log2(1 + np.array(shots))
    series = [
        averaged(arm, places, run["arrays"][arm]["few_shot"], summary["seeds"]) for arm in arms
    ]
    ticks = dict(zip(places.tolist(), map(str, shots), strict=True))
    panel = Panel(
        Axis("examples in context, k", "count, as log2(1 + k)", ticks=ticks),
        Axis("loss on the next example", summary["unit"]),
        series,
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
    series, sizes = [], sorted({arms[arm].limit for group in groups for arm in group})
    ends = [sizes[0], sizes[-1]]
    for group in groups:
        x = [arms[arm].limit for arm in group]
        names = summary["trained_on"][group[0]]
        where = [summary["domains"].index(name) for name in names]
        values = [run["arrays"][arm]["losses"][:, where].mean(1) for arm in group]
        parent, domain = arms[group[0]].from_, "+".join(names)
        label = f"{domain}, from {parent or 'scratch'}"
        series.append(averaged(label, x, np.stack(values, 1), summary["seeds"]))
        guides = {}
        if parent in summary["arms"]:
            guides[f"{domain}: {parent}, before"] = run["arrays"][parent]["losses"]
        for line in LINES:
            if line in run["arrays"][group[0]]:
                guides[f"{domain}: exact, {line}"] = run["arrays"][group[0]][line][None]
        drawn = {one.name for one in series}
        for name, losses in guides.items():
            if name not in drawn:
                series.append(Series(name, ends, [losses[:, where].mean()] * 2, guide=True))
    ticks = {size: f"{size:,}" for size in sizes}
    panel = Panel(
        Axis("text of the new domain that training saw", "tokens", log=True, ticks=ticks),
        Axis("loss on it", summary["unit"]),
        series,
    )
    text = (
        "Adaptation to a new domain, against how much of it was seen; of arms that differ in steps "
        "or rate alone, the one that the domain's valid text prefers. `known`: the domain is "
        "given, `family`: only its kind is, and the context tells the rest. "
        "Bands: 95% intervals."
    )
    return text, Chart([panel], size=(7.2, 4.4))


def _position(run):
    arms, unit = _bases(run), run["summary"]["unit"]
    panels = []
    for group in ("seen", "unseen"):
        series, name = [], "loss"
        for arm in arms:
            values, lines = (run["arrays"][arm].get(f"position_{group}{s}") for s in ("", "_lines"))
            if values is None:
                continue
            if lines is not None:
                values, name = values - lines[0], "loss above known"
            width = max(1, values.shape[1] // PLACES)
            whole = values[:, : values.shape[1] // width * width]
            means = whole.reshape(len(whole), -1, width).mean(2)
            places = (np.arange(means.shape[1]) + 0.5) * width
            series.append(ranged(arm, places, means, run["summary"]["seeds"]))
        if series:
            x, y = Axis("place in the window", "tokens"), Axis(name, unit)
            panels.append(Panel(x, y, series, f"{group} domains"))
    text = (
        "Loss by position: what a model infers about its domain from the context. Mean over seeds, "
        "with the range of all."
    )
    return text, Chart(panels, among=arms, columns=2, size=(5.4, 4.2))


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
        Panel(Axis("training", "steps"), Axis("loss", summary["unit"], range=limits), series, arm)
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
