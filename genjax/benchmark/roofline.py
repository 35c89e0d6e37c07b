"""The picture of a benchmark: rates of arithmetic over FLOPs a byte, below the machine's roofs.

Williams, Waterman, Patterson 2009, with a roof of the cache beside that of memory.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from genjax.benchmark.counts import BEST, CACHE, MEMORY, Counts, Rates
from genjax.report.charts import Axis, Chart, Panel, Series, draw


def picture(counts: Mapping[str, Counts], rates: Rates) -> Figure:
    """A point a row, with the range of its rounds; rows that differ in a length share a colour."""
    found: dict[str, list] = {}
    for row, one in counts.items():
        name, _, length = row.rpartition(" ")
        name, length = (name, length) if length.isdigit() else (row, "")
        giga = one.flops * np.asarray(rates[row]) / 1e9
        point = one.flops / one.bytes, np.median(giga), giga.min(), giga.max(), length
        found.setdefault(name, []).append(point)
    series = []
    for name, points in found.items():
        x, y, low, high, labels = zip(*points, strict=True)
        series.append(Series(name, x, y, low, high, points=True, labels=labels))
    places = np.concatenate([one.x for one in series])
    x = np.geomspace(places.min() / 2, max(places.max() * 2, 100), 200)
    best = np.median(rates[BEST]) / 1e9
    for name in (MEMORY, CACHE):
        slope = np.median(rates[name]) / 1e9
        series.append(Series(f"{name}, {BEST}", x, np.minimum(slope * x, best), guide=True))
    axes = Axis("intensity", "FLOP a byte", log=True), Axis("rate", "GFLOP/s", log=True)
    return draw(Chart([Panel(*axes, series)], size=(8.0, 5.0)))
