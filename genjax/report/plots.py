"""What the figures of all experiments share."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

# Okabe & Ito's colours, told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
DASHES = ("-", "--", ":")


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Images [n, h, w, c] side by side with a thin border: [rows * (h + 1), ..., c]."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    grid = np.ones((rows, columns, height + 1, width + 1, channels), np.float32)
    grid.reshape(-1, height + 1, width + 1, channels)[:count, :height, :width] = images
    whole = grid.swapaxes(1, 2).reshape(rows * (height + 1), columns * (width + 1), channels)
    return whole[:-1, :-1]


def show(axes, picture: np.ndarray):
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    shown = picture[..., 0] if picture.shape[-1] == 1 else picture
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def label(axes, text):
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=11, labelpad=12)


def styles(names) -> dict:
    """How each name's line is drawn: in a colour, and from the ninth on dashed, then dotted."""
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "ls": DASHES[i // len(COLOURS) % len(DASHES)]}
        for i, name in enumerate(names)
    }


def small_multiples(count: int, columns: int, width: float, height: float, **style):
    """(figure, panels): `count` of a size in inches, in rows of up to `columns`."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", **style)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]


def seeds(summary, path):
    values = summary["metrics"].get(path, {}).get("per_seed", [])
    return np.array([math.nan if value is None else value for value in values])


def legend(figure, place: str, **style):
    """One legend beside all panels, each label once."""
    found = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    style = {"loc": f"outside {place}", "frameon": False, "fontsize": 8} | style
    figure.legend(found.values(), found.keys(), **style)


# Directions from a point to its name, and the corner of the name that lies there.
_BESIDE = (
    ((1, 1), ("left", "bottom")),
    ((1, -1), ("left", "top")),
    ((-1, 1), ("right", "bottom")),
    ((-1, -1), ("right", "top")),
)


def name_points(axes, places: list, radii: Sequence[float] = ()):
    """A name beside each point (name, (x, y)): inside the axes, over no other if it can.

    radii: of the points' marks, in points. To be called when scales and limits are set.
    """
    axes.figure.draw_without_rendering()
    inside, dpi = axes.get_window_extent(), axes.figure.dpi
    radii = radii or [2.0] * len(places)
    middles = axes.transData.transform([xy for _, xy in places])
    taken = [
        Bbox([middle, middle]).padded(radius * dpi / 72)
        for middle, radius in zip(middles, radii, strict=True)
    ]
    for (name, place), radius in zip(places, radii, strict=True):
        box = inside
        for (right, above), (across, up) in _BESIDE:
            far = 0.7 * radius + 2.6  # From the rim on the diagonal.
            text = axes.annotate(
                name,
                place,
                xytext=(right * far, above * far),
                textcoords="offset points",
                ha=across,
                va=up,
                fontsize=8,
            )
            box = text.get_window_extent()
            whole = inside.contains(*box.min) and inside.contains(*box.max)
            if (whole and not box.count_overlaps(taken)) or (right, above) == _BESIDE[-1][0]:
                break
            text.remove()
        taken.append(box)
