"""Figures of the autoencoders: functions of a run that return (caption, figure), or None."""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from genjax.report.charts import Axis, Chart, Panel, Series, cloud, over_seeds, ranged
from genjax.report.plots import label, mosaic, seeds, show
from genjax.vae.about import SAMPLERS

# Codes that are drawn, of each model.
CODES = 1000


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
    classes = np.unique(np.concatenate([arrays["label"] for arrays in arms.values()]))
    named = run["summary"].get("classes") or [f"class {one}" for one in range(max(classes) + 1)]
    panels = []
    for arm, arrays in arms.items():
        codes, names = _plane(arrays["latent"][:CODES])
        labels = arrays["label"][:CODES]
        series = [
            Series(
                named[one],
                codes[labels == one, 0],
                codes[labels == one, 1],
                points=True,
                area=0.3,
            )
            for one in classes
        ]
        x, y = (Axis(name, "units of the code") for name in names)
        panels.append(Panel(x, y, series, arm))
    text = (
        "Codes of test images in the colours of their classes, first seed; of more than two "
        "numbers their first two principal components, with the share of the variance."
    )
    return text, Chart(panels, among=[named[one] for one in classes], size=(3.6, 3.5))


def _plane(codes: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Codes [n, d] in two dimensions [n, 2], and what those are."""
    if codes.shape[1] > 2:
        from sklearn.decomposition import PCA

        pca = PCA(2)
        codes = pca.fit_transform(codes)
        shares = pca.explained_variance_ratio_
        return codes, [f"PC {i}, {100 * share:.0f}%" for i, share in enumerate(shares, 1)]
    missing = 2 - codes.shape[1]
    second = "no latent 2" if missing else "latent 2"
    return np.pad(codes, ((0, 0), (0, missing))), ["latent 1", second]


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
    series = [cloud(arm, x, y, summary["seeds"]) for arm, (x, y) in found.items()]
    for bound in np.linspace(left + low, right + high, 9)[1:-1]:
        series.append(
            Series("equal -ELBO", [left, right], [bound - left, bound - right], guide=True)
        )
    panel = Panel(
        Axis("rate: KL(q(z|x) || p(z))", "nats an image"),
        Axis("distortion: -log p(x|z)", "nats an image", range=(low, high)),
        series,
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
            loss = Axis("loss", "nats an image", range=_zoom(series))
            panels.append(Panel(Axis("training", "steps"), loss, series, arm))
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


# Variances below are drawn there.
FLOOR = 1e-6


def _active_units(run):
    text = (
        "Active units: variance over test images of each unit's mean, sorted; mean over seeds, "
        f"bars from the least to the greatest. What is below {FLOOR:g} is drawn there."
    )
    return _by_unit(run, "variances", text, Axis("variance", "squared units of the code", log=True))


def _kl_units(run):
    text = (
        "KL by unit, mean over test images, against the unit's own prior, sorted; mean over seeds, "
        "bars from the least to the greatest."
    )
    return _by_unit(run, "kl_units", text, Axis("KL", "nats"))


def _by_unit(run, name, text, axis):
    """An array [seeds, units] by arm, all on one scale."""
    arms = {arm: a[name] for arm, a in run["arrays"].items() if name in a}
    arms = {arm: np.sort(values)[:, ::-1] for arm, values in arms.items() if values.shape[1]}
    if not arms:
        return None
    if axis.log:
        arms = {arm: np.maximum(values, FLOOR) for arm, values in arms.items()}
    most = max(values.max() for values in arms.values())
    axis = replace(axis, range=(0.6 * FLOOR, 2 * most) if axis.log else (0, 1.05 * most or 1.0))
    panels = []
    for arm, values in arms.items():
        units = np.arange(1, values.shape[1] + 1)
        series = [ranged(arm, units, values, run["summary"]["seeds"], points=True, area=0.4)]
        if axis.log:
            series.append(Series("active above 0.01", [1, units[-1]], [0.01] * 2, guide=True))
        panels.append(Panel(Axis("unit, sorted", "rank"), axis, series, arm))
    return text, Chart(panels, among=run["summary"]["arms"], size=(3.6, 2.8))


def _nll_curve(run):
    summary = run["summary"]
    series = []
    for arm in summary["arms"]:
        prefix = f"{arm}/nll/k="
        ks = sorted(int(p.removeprefix(prefix)) for p in summary["metrics"] if p.startswith(prefix))
        if ks:
            values = np.array([seeds(summary, f"{prefix}{k}") for k in ks])
            series.append(ranged(arm, ks, values.T, summary["seeds"]))
    if not series:
        return None
    ticks = {k: f"{k:,}" for one in series for k in one.x}
    panel = Panel(
        Axis("importance samples k", "count", log=True, ticks=ticks),
        Axis("bound on -log p(x)", "nats an image"),
        series,
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
