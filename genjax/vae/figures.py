"""Figures of the autoencoders: functions of a run that return (caption, figure), or None."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from genjax.report.charts import Chart, Panel, Series, over_seeds
from genjax.report.plots import COLOURS, label, mosaic, seeds, show
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
    found = {
        arm: [seeds(summary, f"{arm}/{name}") for name in ("rate", "distortion")] for arm in arms
    }
    (left, right), (low, high) = (
        _around(np.concatenate([pair[i] for pair in found.values()])) for i in (0, 1)
    )
    series = [
        Series(
            arm,
            [rate.mean()],
            [distortion.mean()],
            seeds={
                str(seed): ([x], [y])
                for seed, x, y in zip(summary["seeds"], rate, distortion, strict=True)
            },
            points=True,
        )
        for arm, (rate, distortion) in found.items()
    ]
    for bound in np.linspace(left + low, right + high, 9)[1:-1]:
        series.append(
            Series("equal -ELBO", [left, right], [bound - left, bound - right], guide=True)
        )
    panel = Panel(
        "rate: KL(q(z|x) || p(z)) (nats)",
        "distortion: -log p(x|z) (nats)",
        series,
        y_range=(low, high),
    )
    text = "Rate and distortion on test images: means, and a point a seed; grey lines: equal -ELBO."
    return text, Chart([panel], among=summary["arms"], size=(6.5, 4.5))


def _around(values: np.ndarray) -> tuple[float, float]:
    """The range of values, and a quarter of it at each end."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.25 * (high - low) or 1.0
    return low - pad, high + pad


def _training_curves(run):
    summary, rows = run["summary"], run["rows"]
    panels = []
    for arm in summary["arms"]:
        own = [row for row in rows if row["arm"] == arm]
        series = [
            over_seeds(name, own, "step", key)
            for name, key in (("train", "loss"), ("valid", "valid_loss"))
        ]
        series = [one for one in series if one.x]
        if series:
            limits = _zoom(series)
            panels.append(Panel("step", "loss (nats an image)", series, arm, y_range=limits))
    if not panels:
        return None
    caption = (
        "Training and validation loss: mean over seeds, band from the least to the greatest. "
        "Scales differ by model: losses of different objectives are not comparable."
    )
    return caption, Chart(panels)


def _zoom(series) -> tuple[float, float]:
    """Leaves the first tenth of the steps out of the scale: it would flatten all the rest."""
    last = max(one.x[-1] for one in series)
    kept = [
        value
        for one in series
        for x, *ends in zip(one.x, one.low, one.high, strict=True)
        if x >= 0.1 * last
        for value in ends
    ]
    pad = 0.05 * (max(kept) - min(kept)) or 1.0
    return min(kept) - pad, max(kept) + pad


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
    series = []
    for arm in summary["arms"]:
        prefix = f"{arm}/nll/k="
        ks = sorted(int(p.removeprefix(prefix)) for p in summary["metrics"] if p.startswith(prefix))
        if ks:
            values = np.array([seeds(summary, f"{prefix}{k}") for k in ks])
            by_seed = dict(zip(map(str, summary["seeds"]), values.T, strict=True))
            ends = {"low": values.min(1), "high": values.max(1)}
            series.append(Series(arm, ks, values.mean(1), **ends, seeds=by_seed))
    if not series:
        return None
    ticks = {k: f"{k:,}" for one in series for k in one.x}
    panel = Panel(
        "importance samples k", "-log p(x) bound (nats an image)", series, log_x=True, ticks=ticks
    )
    text = "The bound tightens with k: mean over seeds, band from least to greatest."
    return text, Chart([panel], among=summary["arms"], size=(6.5, 4.2))


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
