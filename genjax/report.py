"""Figures and a page from the files of a finished run folder: no jax, no training."""

import base64
import html
import io
import json
import math
import os
import zipfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from genjax.errors import UsageError

# Okabe & Ito's colours, told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
BETTER = {
    "↓": ("kfid", "kkid", "mse", "bce", "nll", "mmd", "roughness", "kfid_reconstructions",
          "kfid_midpoints", "frechet_to_normal", "total_variation", "kl_to_prior"),
    "↑": ("elbo", "psnr", "precision", "recall", "density", "coverage", "probe", "knn"),
}  # fmt: skip
BASELINES = ("pca", "pixels", "random", "floor", "ceiling")


def read(folder: str | Path) -> dict:
    """Everything a report needs: summary, logged rows, arrays by arm.

    Raises UsageError where a file is missing or broken.
    """
    folder = Path(folder)
    try:
        summary = json.loads((folder / "summary.json").read_text())
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        arrays = {}
        for arm in summary["arms"]:
            with np.load(folder / "arrays" / f"{arm}.npz") as file:
                arrays[arm] = dict(file)
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: no finished run, {error.filename} is missing") from error
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise UsageError(f"{folder}: a file of the run is broken: {error}") from error
    return {"summary": summary, "rows": rows, "arrays": arrays, "folder": folder}


# --- Figures -------------------------------------------------------------------------------------


def _mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Images [n, h, w, c] side by side with a thin border: [rows * (h + 1), ..., c]."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    grid = np.ones((rows, columns, height + 1, width + 1, channels), np.float32)
    grid.reshape(-1, height + 1, width + 1, channels)[:count, :height, :width] = images
    whole = grid.swapaxes(1, 2).reshape(rows * (height + 1), columns * (width + 1), channels)
    return whole[:-1, :-1]


def _show(axes, picture: np.ndarray):
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    shown = picture[..., 0] if picture.shape[-1] == 1 else picture
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _label(axes, text):
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=11, labelpad=12)


def _reconstructions(run):
    arrays = run["arrays"]
    first = next(iter(arrays.values()))["inputs"]
    figure = Figure(figsize=(9, 1.0 * (len(arrays) + 1)), layout="constrained")
    # Rows keep their shape and shrink; without the margin their names would leave the page.
    figure.get_layout_engine().set(rect=(0.05, 0, 0.95, 1))
    panels = figure.subplots(len(arrays) + 1, 1)
    for axes, (name, images) in zip(
        panels,
        [("input", first), *((arm, a["reconstructions"]) for arm, a in arrays.items())],
        strict=True,
    ):
        _show(axes, _mosaic(images, len(images)))
        _label(axes, name)
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
                _show(axes, _mosaic(arrays[f"samples_{name}"][:36], 6))
            else:
                axes.set_xticks([])
                axes.set_yticks([])
                axes.text(0.5, 0.5, "no such sampler", ha="center", transform=axes.transAxes)
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(name)
    for axes, arm in zip(panels[:, 0], arms, strict=True):
        _label(axes, arm)
    return "Samples by model (rows) and by sampler of latents (columns), first seed.", figure


def _interpolations(run):
    arms = run["arrays"]
    figure = Figure(figsize=(8, 2.6 * len(arms)), layout="constrained")
    panels = figure.subplots(len(arms), 1, squeeze=False)[:, 0]
    for axes, (arm, arrays) in zip(panels, arms.items(), strict=True):
        paths = arrays["interpolations"]
        _show(axes, _mosaic(paths.reshape(-1, *paths.shape[2:]), paths.shape[1]))
        _label(axes, arm)
    return "Straight paths between the codes of two test images, first seed.", figure


def _latent_scatter(run):
    arms = run["arrays"]
    columns = min(4, len(arms))
    rows = -(-len(arms) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.8, 3.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(arms) :]:
        axes.set_axis_off()
    for axes, (arm, arrays) in zip(panels, arms.items(), strict=False):
        latent, names = arrays["latent"], ["latent 1", "latent 2"]
        if latent.shape[1] < 2:
            latent = np.concatenate([latent, np.zeros_like(latent)], 1)
            names = ["latent 1", ""]
        elif latent.shape[1] > 2:
            pca = PCA(2)
            latent = pca.fit_transform(latent)
            names = [f"PC {i + 1} ({100 * s:.0f}% of variance)" for i, s in enumerate(
                pca.explained_variance_ratio_)]  # fmt: skip
        points = axes.scatter(
            *latent[:, :2].T, c=arrays["label"], cmap="tab10", s=6, vmin=-0.5, vmax=9.5
        )
        axes.set(title=arm, xlabel=names[0], ylabel=names[1])
    classes = int(max(a["label"].max() for a in arms.values())) + 1
    bar = figure.colorbar(points, ax=panels.tolist(), ticks=range(classes), shrink=0.8)
    bar.set_label("class")
    return "Codes of test images in the colours of their classes, first seed.", figure


def _colours(names) -> dict:
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def _seeds(summary, path):
    values = summary["metrics"].get(path, {}).get("per_seed", [])
    return np.array([math.nan if value is None else value for value in values])


def _rate_distortion(run):
    summary = run["summary"]
    arms = [arm for arm in summary["arms"] if f"{arm}/rate" in summary["metrics"]]
    if not arms:
        return None
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    colours = _colours(summary["arms"])
    for arm in arms:
        rate, distortion = (_seeds(summary, f"{arm}/{name}") for name in ("rate", "distortion"))
        axes.scatter(rate, distortion, color=colours[arm], label=arm, s=36, zorder=3)
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
        for key, label, colour in (
            ("loss", "train", COLOURS[0]),
            ("valid_loss", "valid", "#D55E00"),
        ):
            by_step = {}
            for row in rows:
                if row["arm"] == arm and key in row:
                    by_step.setdefault(row["step"], []).append(row[key])
            steps = sorted(by_step)
            values = [by_step[step] for step in steps]
            axes.plot(steps, [np.mean(v) for v in values], color=colour, label=label)
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
    made = _unit_bars(run, "variances", "variance of the unit's mean", 1e-6)
    if made is None:
        return None
    figure, panels = made
    for axes in panels:
        axes.axhline(0.01, color=COLOURS[1], ls="--", label="active above 0.01")
    panels[0].legend(fontsize=8)
    return caption, figure


def _kl_units(run):
    caption = "KL by unit, mean over test images, against the unit's own prior; whiskers: seeds."
    made = _unit_bars(run, "kl_units", "KL (nats)", 1e-4)
    return made and (caption, made[0])


def _unit_bars(run, name, label, floor):
    """Sorted bars of an array [seeds, units] by arm, on a log scale that starts at `floor`."""
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
        values = np.maximum(np.sort(values, 1)[:, ::-1], floor)
        mean = values.mean(0)
        spread = [mean - values.min(0), values.max(0) - mean]
        axes.bar(np.arange(1, len(mean) + 1), mean, yerr=spread, color=COLOURS[0], capsize=2)
        axes.set(title=arm, yscale="log", xlabel="unit, sorted")
    for row in range(rows):
        panels[row * columns].set_ylabel(label)
    return figure, panels[: len(arms)]


def _nll_curve(run):
    summary = run["summary"]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    found = False
    for arm, colour in _colours(summary["arms"]).items():
        prefix = f"{arm}/nll/k="
        ks = sorted(int(p.removeprefix(prefix)) for p in summary["metrics"] if p.startswith(prefix))
        if ks:
            found = True
            values = np.array([_seeds(summary, f"{prefix}{k}") for k in ks])
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


def figures(run: dict) -> list[tuple[str, Path]]:
    """Draws plots/*.png of a run that `read` returned; (caption, path) of each."""
    folder = run["folder"] / "plots"
    folder.mkdir(exist_ok=True)
    drawn = []
    for name, draw in FIGURES.items():
        made = draw(run)
        if made:
            caption, figure = made
            buffer = io.BytesIO()
            figure.savefig(buffer, dpi=110, format="png")
            path = folder / f"{name}.png"
            _replace(path, buffer.getvalue())
            drawn.append((caption, path))
    return drawn


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


# --- Tables --------------------------------------------------------------------------------------


def tables(summary: dict) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, columns, rows) of models x measures, then models x samplers x measures."""
    plain, sampled = {}, {}
    for path, value in summary["metrics"].items():
        arm, _, rest = path.partition("/")
        sampler, _, measure = rest.partition("/")
        if sampler in summary["samplers"] and measure:
            sampled.setdefault((arm, sampler), {})[measure] = value
        elif arm in ("floor", "ceiling"):
            sampled.setdefault((arm, ""), {})[rest] = value
        else:
            plain.setdefault((arm,), {})[rest] = value
    return [
        ("Models", *_table(["model"], plain)),
        ("Models and samplers", *_table(["model", "sampler"], sampled)),
    ]


def _table(keys, cells):
    measures = list(dict.fromkeys(name for row in cells.values() for name in row))
    units = {name: row[name]["unit"] for row in cells.values() for name in row}
    columns = keys + [_heading(name, units[name]) for name in measures]
    rows = [
        [*key, *(_figure(row[name]) if name in row else "" for name in measures)]
        for key, row in cells.items()
    ]
    return columns, rows


def _heading(name: str, unit: str) -> str:
    parts = set(name.split("/"))
    arrow = next((a for a, names in BETTER.items() if parts & set(names)), "")
    return " ".join(part for part in (name, arrow, f"({unit})" if unit else "") if part)


def _figure(value: dict) -> str:
    mean, low, high = value["mean"], value["low"], value["high"]
    if mean is None:
        return "not finite"
    if low is None:
        return f"{mean:.4g}"
    half = (high - low) / 2
    digits = max(0, min(5, 1 - math.floor(math.log10(half)))) if half > 0 else 3
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def markdown_table(summary: dict) -> str:
    """Both tables in Markdown."""
    blocks = []
    for title, columns, rows in tables(summary):
        lines = [columns, ["---"] * len(columns), *rows]
        blocks.append(f"**{title}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in lines))
    return "\n\n".join(blocks)


def claims_table(summary: dict) -> list[list[str]]:
    """One row a claim or part of one: id, verdict, statement, estimate, interval, threshold."""
    rows = []
    for claim in summary["claims"]:
        parts = claim.get("parts", [])
        if parts:
            rows.append([claim["id"], claim["verdict"], claim["statement"], "", "", ""])
        for part in parts or [claim]:
            low, high = part["low"], part["high"]
            interval = "one seed" if low is None else f"{low:.4g} to {high:.4g}"
            sign = "<" if part["direction"] == "less" else ">"
            estimate = "not finite" if part["estimate"] is None else f"{part['estimate']:.4g}"
            bound = f"{sign} {part['threshold']:.4g}"
            rows.append([part["id"], part["verdict"], part["statement"], estimate, interval, bound])
    return rows


# --- The page ------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8886; text-align: left;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { position: sticky; left: 0; background: Canvas; }
.claims td { white-space: normal; }
figure { margin: 2rem 0; } img { max-width: 100%; background: #fff; }
.supported { color: #009E73; font-weight: 600; } .refuted { color: #D55E00; font-weight: 600; }
.inconclusive { opacity: .75; } code { overflow-wrap: anywhere; }
"""


def write(folder: str | Path) -> Path:
    """Draws the figures and writes report.html: static, self-contained, opens from disk."""
    run = read(folder)
    summary = run["summary"]
    body = [f"<h1>{html.escape(summary['title'])}</h1>", _lead(summary)]
    if summary["claims"]:
        names = ["claim", "verdict", "statement", "estimate", "95% interval", "threshold"]
        body.append(_html_table(names, claims_table(summary), "claims"))
    for caption, path in figures(run):
        data = base64.b64encode(path.read_bytes()).decode()
        body.append(
            f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    for title, columns, rows in tables(summary):
        body.append(f"<h2>{html.escape(title)}</h2>" + _html_table(columns, rows))
    body.append(_facts(summary))
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(summary['title'])}</title><style>{STYLE}</style>"
        f"<body>{''.join(body)}</body></html>\n"
    )
    path = run["folder"] / "report.html"
    _replace(path, page.encode())
    return path


def _lead(summary):
    count = len(summary["seeds"])
    seeds = "one seed, no intervals" if count == 1 else f"{count} seeds, 95% t intervals over them"
    text = f"Data: {summary['data']}. Models: {', '.join(summary['arms'])}. {seeds}."
    return f"<p>{html.escape(text)}</p>"


def _html_table(columns, rows, kind=""):
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    lines = []
    for row in rows:
        cells = "".join(
            f'<td class="{cell}">{cell}</td>'
            if cell in ("supported", "refuted", "inconclusive")
            else f"<td>{html.escape(cell)}</td>"
            for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _facts(summary):
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in summary["notes"])
    facts = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(_plain(summary[name]))}</td></tr>"
        for name in ("timing", "device", "versions", "commit", "classifier", "flags")
        if name in summary
    )
    command = f"python experiments/{summary['experiment']}.py --flagfile=flags.txt"
    return (
        f"<h2>What is not claimed</h2><ul>{notes}</ul><h2>How it ran</h2>"
        f'<div class="scroll"><table class="claims">{facts}</table></div>'
        f"<p>flags.txt beside this page repeats the run: <code>{html.escape(command)}</code></p>"
    )


def _plain(value):
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(v)}" for key, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
