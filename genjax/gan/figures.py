"""Figures of the GANs: functions of a run that return (caption, figure or GIF), or None."""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from genjax.report.charts import Axis, Chart, Panel, Series, over_seeds, ranged
from genjax.report.plots import label, mosaic, show, small_multiples

COLUMNS, MOST_SEEDS, MOST_ROWS = 6, 5, 12


def _is_plane(run):
    return run["summary"]["mixture"] is not None


def _reach(run):
    mixture = run["summary"]["mixture"]
    return 1.2 * np.abs(mixture["means"]).max() + 6 * mixture["sigma"]


def _plane(axes, run, points, size):
    """Samples over the true modes, each a circle of 3 sigma (drawn no smaller than visible)."""
    mixture, reach = run["summary"]["mixture"], _reach(run)
    radius = max(3 * mixture["sigma"], 0.03 * reach)
    circles = [Circle(mean, radius) for mean in mixture["means"]]
    # Patches one by one take several times as long.
    drawn = PatchCollection(circles, facecolor="none", edgecolor="#D55E00", lw=0.7, alpha=0.8)
    axes.add_collection(drawn, autolim=False)
    axes.scatter(points[:, 0], points[:, 1], s=size, color="#0072B2", alpha=0.5, lw=0)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")


def _samples(run):
    """The last samples of every seed."""
    arms = run["arrays"]
    count = min(MOST_SEEDS, len(run["summary"]["seeds"]))
    side = 2.0 if _is_plane(run) else 2.9
    figure = Figure(figsize=(side * count + 1.2, side * len(arms) + 0.4), layout="constrained")
    panels = figure.subplots(len(arms), count, squeeze=False)
    for row, (arm, arrays) in zip(panels, arms.items(), strict=True):
        for i, axes in enumerate(row):
            if _is_plane(run):
                _plane(axes, run, arrays["samples"][i], 4)
            else:
                _named(axes, arrays["samples"][i][:25], arrays["mode"][i][:25], run)
        label(row[0], arm)
    for axes, seed in zip(panels[0], run["summary"]["seeds"], strict=False):
        axes.set_title(f"seed {seed}", fontsize=10)
    text = "Samples at the last step of each seed"
    if _is_plane(run):
        return text + "; circles: the true modes (3 sigma, or what can be seen).", figure
    return text + ", each with the mode that the classifier names.", figure


def _named(axes, images, names, run):
    """Images five by five, each under the name of its mode."""
    band = max(3, images.shape[1] // 3)
    show(axes, mosaic(np.pad((images + 1) / 2, _top(band), constant_values=1), 5))
    height, width = images.shape[1] + band + 1, images.shape[2] + 1
    digits = len(str(run["summary"]["modes"] - 1))
    for i, name in enumerate(names):
        place = (i % 5 + 0.5) * width - 1, (i // 5) * height + band / 2 - 0.5
        axes.text(*place, f"{name:0{digits}d}", size=7, ha="center", va="center")


def _top(band):
    return (0, 0), (band, 0), (0, 0), (0, 0)


def _over_training(run):
    """Small multiples over training: a row a seed of an arm, as many seeds as a page bears."""
    arms, seeds = run["arrays"], run["summary"]["seeds"]
    seeds = seeds[: max(1, min(MOST_SEEDS, MOST_ROWS // len(arms)))]
    rows = [(arm, i) for arm in arms for i in range(len(seeds))]
    figure = Figure(figsize=(2.0 * COLUMNS + 1.2, 2.0 * len(rows) + 0.4), layout="constrained")
    panels = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for row, (arm, seed) in zip(panels, rows, strict=True):
        arrays = arms[arm]
        steps = arrays["snapshot_steps"]
        chosen = np.unique(np.linspace(0, len(steps) - 1, COLUMNS).round().astype(int))
        for axes in row[len(chosen) :]:
            axes.set_axis_off()
        for axes, i in zip(row, chosen, strict=False):
            _moment(axes, run, arrays["snapshots"][i, seed])
            if (arm, seed) == rows[0]:
                axes.set_title(f"step {steps[i]:,}", fontsize=9)
        label(row[0], f"{arm}\nseed {seeds[seed]}")
    return "Samples over training; each column is a moment, each row a seed.", figure


def _moment(axes, run, shown):
    """A snapshot of a seed: points over the true modes, or images five by five."""
    if _is_plane(run):
        _plane(axes, run, shown, 4)
    else:
        show(axes, mosaic((shown[:25] + 1) / 2, 5))


def _film(run):
    """An animated GIF of the training, first seed, the arms side by side."""
    arms, frames = run["arrays"], []
    count = min(len(a["snapshot_steps"]) for a in arms.values())
    figure, panels = small_multiples(len(arms), COLUMNS, 2.6, 2.9, dpi=70)
    canvas = FigureCanvasAgg(figure)
    for i in range(count):
        for axes, (arm, arrays) in zip(panels, arms.items(), strict=True):
            for artist in (*axes.collections, *axes.images):
                artist.remove()
            _moment(axes, run, arrays["snapshots"][i, 0])
            axes.set_title(f"{arm}, step {arrays['snapshot_steps'][i]:,}", fontsize=9)
        canvas.draw()
        figure.set_layout_engine("none")  # All frames have the first one's, which takes long.
        frame = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        frames.append(frame.quantize(32))
    buffer = io.BytesIO()
    times = [250] * (count - 1) + [2500]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return "The training of the first seed, from the first snapshot to the last.", buffer.getvalue()


CURVES = {
    "modes": Axis("modes reached", "count"),
    "mode_tv": Axis("mode TV", "share of samples"),
    "high_quality": Axis("high quality", "share of samples"),
    "spread": Axis("spread", "of a perfect mode's width", range=(0.0, 2.0)),
    "kl": Axis("KL to uniform", "nats"),
    "precision": Axis("precision", "share of samples"),
    "recall": Axis("recall", "share of perfect samples"),
    "recall_thinned": Axis("recall of thinned truth", "share"),
    "log_jacobian": Axis("mean slope of G", "natural log"),
}


def _along(run):
    """Measures along training: mean over seeds, range, and the floor."""
    summary, rows = run["summary"], run["rows"]
    logged = {name for row in rows for name in row}
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in summary["arms"]}
    last = max(row["step"] for row in rows)
    panels = []
    for name, axis in CURVES.items():
        if name not in logged:
            continue
        series = [over_seeds(arm, own, "step", name) for arm, own in by_arm.items()]
        truth = summary["metrics"].get(f"truth/{name}")
        if truth:
            low, mean, high = ([truth[end]] * 2 for end in ("low", "mean", "high"))
            series.append(Series("perfect samples", [0, last], mean, low, high, guide=True))
        span = tuple(summary["window"])
        panels.append(Panel(Axis("training", "steps"), axis, series, span=span))
    caption = (
        "Along training: mean over seeds, with the range of all seeds; dashed: perfect samples; "
        "shaded to the right: the final window, over whose evaluations an arm's figures are means."
    )
    return caption, Chart(panels, among=summary["arms"])


def _landscape(run):
    """The discriminator's logit over the plane, first seed."""
    arms = {name: a for name, a in run["arrays"].items() if "landscape" in a}
    if not arms:
        return None
    figure, panels = small_multiples(len(arms), COLUMNS, 3.4, 3.2)
    for axes, (arm, arrays) in zip(panels, arms.items(), strict=True):
        axis, values = arrays["landscape_axis"], arrays["landscape"]
        values = values - arrays.get("landscape_origin", 0.0)
        most = np.quantile(np.abs(values), 0.99) or 1.0
        mesh = axes.pcolormesh(
            axis, axis, values, cmap="RdBu_r", vmin=-most, vmax=most, rasterized=True
        )
        means = np.asarray(run["summary"]["mixture"]["means"])
        axes.scatter(*means.T, s=14, fc="none", ec="black", lw=0.8)
        axes.set(title=arm, xticks=[], yticks=[], aspect="equal")
        figure.colorbar(mesh, ax=axes, shrink=0.8, label="discriminator's output (logit)")
    caption = (
        "The discriminator's logit at the last step, first seed: the redder, the more real (losses "
        "of differences alone, such as rpgan: against the median point; packs: mean over 16, the "
        "other members real; features of a batch: the rest of it real); circles: true modes."
    )
    return caption, figure


def _histogram(run):
    """How often each mode was generated, sorted, against draws with the data's own weights."""
    arms = {name: a for name, a in run["arrays"].items() if "mode" in a}
    if not arms:
        return None
    summary = run["summary"]
    count = next(iter(arms.values()))["mode"].shape[1]
    rank = np.arange(1, summary["modes"] + 1)
    series = []
    for arm, arrays in arms.items():
        counts = [np.bincount(seed, minlength=len(rank)) for seed in arrays["mode"]]
        series.append(ranged(arm, rank, np.sort(counts)[:, ::-1], summary["seeds"]))
    draws = np.random.default_rng(0).multinomial(count, summary["weights"], 20)
    perfect = np.sort(draws, 1)[:, ::-1]
    ends = perfect.min(0), perfect.max(0)
    series.append(Series("draws of the data", rank, perfect.mean(0), *ends, guide=True))
    panel = Panel(
        Axis("mode, sorted by count", "rank"),
        Axis("samples at it", f"count, of {count:,}", range=(0, _most(series))),
        series,
    )
    caption = (
        f"Samples at each mode out of {count:,} at the last step, sorted by each seed: mean over "
        "seeds, with the range of all seeds."
    )
    return caption, Chart([panel], among=summary["arms"], size=(7.5, 3.8))


def _most(series: list[Series]) -> float:
    """A little above the highest of all bands."""
    return 1.05 * max(np.max(one.high) for one in series)


def _slopes(run):
    """Singular values of the generator's Jacobian over all latents."""
    arms, summary = run["arrays"], run["summary"]
    most = max(arrays["singular_values"].max() for arrays in arms.values())
    bins = np.geomspace(1e-4, 1.1 * max(most, 1e-3), 61)
    middle = np.sqrt(bins[1:] * bins[:-1])
    series = []
    for arm, arrays in arms.items():
        values = np.maximum(arrays["singular_values"].astype(float), 1e-4)
        found = [np.histogram(seed, bins)[0] / seed.size for seed in values]
        series.append(ranged(arm, middle, np.array(found), summary["seeds"]))
    panel = Panel(
        Axis("singular value of dG/dz, at least 0.0001", "data's spread a unit of z", log=True),
        Axis("of all values", "share"),
        series,
    )
    caption = (
        "How strongly the output moves with the latent in each direction, at the last step: mean "
        "over seeds, with the range of all seeds."
    )
    return caption, Chart([panel], among=summary["arms"], size=(7.0, 3.8))


FIGURES = {
    "samples": _samples,
    "over_training": _over_training,
    "training": _film,
    "curves": _along,
    "landscape": _landscape,
    "mode_histogram": _histogram,
    "slopes": _slopes,
}
