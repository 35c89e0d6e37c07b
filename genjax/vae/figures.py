"""Figures of the autoencoders: functions of a run that return (caption, figure), or None."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from genjax.report.plots import COLOURS, colours, label, mosaic, seeds, show
from genjax.vae.about import SAMPLERS


def _reconstructions(run):
    arrays = run["arrays"]
    first = next(iter(arrays.values()))["inputs"]
    # Rows keep their shape and shrink; without the margin their names would leave the page.
    layout = ConstrainedLayoutEngine(rect=(0.05, 0, 0.95, 1))
    figure = Figure(figsize=(9, 1.0 * (len(arrays) + 1)), layout=layout)
    panels = figure.subplots(len(arrays) + 1, 1)
    for axes, (name, images) in zip(
        panels,
        [("input", first), *((arm, a["reconstructions"]) for arm, a in arrays.items())],
        strict=True,
    ):
        show(axes, mosaic(images, len(images)))
        label(axes, name)
    return "Test images and their reconstructions, first seed.", figure


def _samples(run):
    names = [n for n in run["summary"]["samplers"] if any(
        f"samples_{n}" in a for a in run["arrays"].values())]  # fmt: skip
    if not names:
        return None
    arms = run["arrays"]
    size = (2.1 * len(names) + 0.8, 2.1 * len(arms) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(arms), len(names), squeeze=False)
    for row, arrays in zip(panels, arms.values(), strict=True):
        for axes, name in zip(row, names, strict=True):
            if f"samples_{name}" in arrays:
                show(axes, mosaic(arrays[f"samples_{name}"][:36], 6))
            else:
                axes.set_xticks([])
                axes.set_yticks([])
                axes.text(0.5, 0.5, "no such sampler", ha="center", transform=axes.transAxes)
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(name)
    for axes, arm in zip(panels[:, 0], arms, strict=True):
        label(axes, arm)
    columns = " ".join(f"{name}: {SAMPLERS[name].meaning}" for name in names)
    return f"Samples by model (rows) and by where latents come from (columns). {columns}", figure


def _interpolations(run):
    arms = run["arrays"]
    figure = Figure(figsize=(8, 2.6 * len(arms)), layout="constrained")
    panels = figure.subplots(len(arms), 1, squeeze=False)[:, 0]
    for axes, (arm, arrays) in zip(panels, arms.items(), strict=True):
        paths = arrays["interpolations"]
        show(axes, mosaic(paths.reshape(-1, *paths.shape[2:]), paths.shape[1]))
        label(axes, arm)
    return "Straight paths between the codes of two test images, first seed.", figure


def _latent_scatter(run):
    arms = run["arrays"]
    columns = min(4, len(arms))
    rows = -(-len(arms) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.8, 3.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(arms) :]:
        axes.set_axis_off()
    drawn = []
    for axes, (arm, arrays) in zip(panels, arms.items(), strict=False):
        latent, names = arrays["latent"], ["latent 1", "latent 2"]
        if latent.shape[1] < 2:
            latent = np.concatenate([latent, np.zeros_like(latent)], 1)
            names = ["latent 1", ""]
        elif latent.shape[1] > 2:
            from sklearn.decomposition import PCA

            pca = PCA(2)
            latent = pca.fit_transform(latent)
            names = [f"PC {i + 1} ({100 * s:.0f}% of variance)" for i, s in enumerate(
                pca.explained_variance_ratio_)]  # fmt: skip
        x, y = latent[:, :2].T
        drawn.append(axes.scatter(x, y, c=arrays["label"], cmap="tab10", s=6, vmin=-0.5, vmax=9.5))
        axes.set(title=arm, xlabel=names[0], ylabel=names[1])
    classes = int(max(a["label"].max() for a in arms.values())) + 1
    bar = figure.colorbar(drawn[-1], ax=panels.tolist(), ticks=range(classes), shrink=0.8)
    bar.set_label("class")
    return "Codes of test images in the colours of their classes, first seed.", figure


def _rate_distortion(run):
    summary = run["summary"]
    arms = [arm for arm in summary["arms"] if f"{arm}/rate" in summary["metrics"]]
    if not arms:
        return None
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    arm_colours = colours(summary["arms"])
    for arm in arms:
        rate, distortion = (seeds(summary, f"{arm}/{name}") for name in ("rate", "distortion"))
        axes.scatter(rate, distortion, color=arm_colours[arm], label=arm, s=36, zorder=3)
    axes.margins(0.25)
    low, high = axes.get_xlim(), axes.get_ylim()
    axes.autoscale(False)
    corners = [r + d for r in low for d in high]
    for bound in np.linspace(min(corners), max(corners), 9)[1:-1]:
        axes.plot(low, [bound - low[0], bound - low[1]], color="#bbbbbb", lw=0.8, zorder=1)
        # Named where the line enters the frame, on its left or upper edge.
        x = max(low[0], bound - high[1])
        place = {"xytext": (3, -9), "textcoords": "offset points"}
        axes.annotate(f"{bound:.1f}", (x, bound - x), color="#666666", fontsize=8, **place)
    axes.set(xlabel="rate: KL(q(z|x) || p(z)) (nats)", ylabel="distortion: -log p(x|z) (nats)")
    axes.legend()
    return "Rate and distortion on test images, a point a seed; grey lines: equal -ELBO.", figure


def _training_curves(run):
    summary, rows = run["summary"], run["rows"]
    arms = [arm for arm in summary["arms"] if any(r["arm"] == arm for r in rows)]
    columns = min(4, len(arms))
    lines = -(-len(arms) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.0 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels[len(arms) :]:
        axes.set_axis_off()
    for axes, arm in zip(panels, arms, strict=False):
        for key, name, colour in (
            ("loss", "train", COLOURS[0]),
            ("valid_loss", "valid", "#D55E00"),
        ):
            by_step = {}
            for row in rows:
                if row["arm"] == arm and key in row:
                    by_step.setdefault(row["step"], []).append(row[key])
            steps = sorted(by_step)
            values = [by_step[step] for step in steps]
            axes.plot(steps, [np.mean(v) for v in values], color=colour, label=name)
            low, high = [min(v) for v in values], [max(v) for v in values]
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0)
        finals = [np.mean(v) for v in values] or [0]
        axes.set(title=arm, xlabel="step", ylabel="loss (nats an image)")
        _zoom(axes, rows, arm, min(finals))
    panels[0].legend()
    caption = (
        "Training and validation loss: mean over seeds, band from the least to the greatest. "
        "Scales differ by model: losses of different objectives are not comparable."
    )
    return caption, figure


def _zoom(axes, rows, arm, floor):
    """Leaves the first tenth of the steps out of the scale: it would flatten all the rest."""
    losses = [(r["step"], r[k]) for r in rows if r["arm"] == arm
              for k in ("loss", "valid_loss") if k in r]  # fmt: skip
    last = max(step for step, _ in losses)
    kept = [value for step, value in losses if step >= 0.1 * last]
    low, high = min([*kept, floor]), max(kept)
    pad = 0.05 * (high - low) or 1.0
    axes.set_ylim(low - pad, high + pad)


def _active_units(run):
    caption = "Active units: variance over test images of each unit's mean; whiskers: seeds."
    made = _by_unit(run, "variances", "variance of the unit's mean", floor=1e-6)
    if made is None:
        return None
    figure, panels = made
    for axes in panels:
        axes.axhline(0.01, color=COLOURS[1], ls="--", label="active above 0.01")
    panels[0].legend(fontsize=8)
    return caption, figure


def _kl_units(run):
    caption = "KL by unit, mean over test images, against the unit's own prior; whiskers: seeds."
    made = _by_unit(run, "kl_units", "KL (nats)")
    return made and (caption, made[0])


def _by_unit(run, name, label, floor=None):
    """An array [seeds, units] by arm, sorted: on a log scale from `floor` on, or from 0."""
    arms = {arm: a[name] for arm, a in run["arrays"].items() if name in a}
    arms = {arm: values for arm, values in arms.items() if values.shape[1]}
    if not arms:
        return None
    columns = min(4, len(arms))
    rows = -(-len(arms) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(arms) :]:
        axes.set_axis_off()
    for axes, (arm, values) in zip(panels, arms.items(), strict=False):
        values = np.sort(values, 1)[:, ::-1]
        if floor:
            values = np.maximum(values, floor)
        mean = values.mean(0)
        spread = [mean - values.min(0), values.max(0) - mean]
        units = np.arange(1, len(mean) + 1)
        axes.errorbar(units, mean, spread, fmt="o", ms=4, color=COLOURS[0], capsize=2)
        axes.set(title=arm, xlabel="unit, sorted")
        axes.grid(axis="y", alpha=0.25, lw=0.6)
        if floor:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    for row in range(rows):
        panels[row * columns].set_ylabel(label)
    return figure, panels[: len(arms)]


def _nll_curve(run):
    summary = run["summary"]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    found = False
    for arm, colour in colours(summary["arms"]).items():
        prefix = f"{arm}/nll/k="
        ks = sorted(int(p.removeprefix(prefix)) for p in summary["metrics"] if p.startswith(prefix))
        if ks:
            found = True
            values = np.array([seeds(summary, f"{prefix}{k}") for k in ks])
            axes.plot(ks, values.mean(1), "o-", color=colour, label=arm)
            axes.fill_between(ks, values.min(1), values.max(1), color=colour, alpha=0.2, lw=0)
    if not found:
        return None
    axes.set(xscale="log", xlabel="importance samples k", ylabel="-log p(x) bound (nats an image)")
    axes.legend()
    return "The bound tightens with k: mean over seeds, band from least to greatest.", figure


FIGURES = {
    "reconstructions": _reconstructions,
    "samples": _samples,
    "interpolations": _interpolations,
    "latent_scatter": _latent_scatter,
    "rate_distortion": _rate_distortion,
    "nll_curve": _nll_curve,
    "active_units": _active_units,
    "kl_units": _kl_units,
    "training_curves": _training_curves,
}
