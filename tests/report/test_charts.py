"""Charts: what is drawn by matplotlib is what the page is handed."""

import math

import numpy as np
import pytest

from genjax.report import charts
from genjax.report.charts import Chart, Panel, Series, over_seeds

ROWS = [
    {"seed": seed, "step": step, "loss": 10.0 * step + seed}
    for seed in (0, 1, 3)
    for step in (1, 2)
]


def test_a_curve_over_seeds_is_their_mean_and_range():
    rows = [*ROWS, {"seed": 3, "step": 4, "loss": 7.0}, {"seed": 1, "step": 3, "other": 1.0}]
    found = over_seeds("a", rows, "step", "loss")
    assert found.x == [1, 2, 4] and found.y == pytest.approx([10 + 4 / 3, 20 + 4 / 3, 7.0])
    assert (found.low, found.high) == ([10.0, 20.0, 7.0], [13.0, 23.0, 7.0])
    assert found.seeds["3"] == [13.0, 23.0, 7.0] and math.isnan(found.seeds["0"][2])


@pytest.fixture
def chart():
    curve = over_seeds("a", ROWS, "step", "loss")
    cloud = Series("b", [1.5], [3.0], seeds={"0": ([1.0], [2.0]), "1": ([2.0], [4.0])}, points=True)
    line = Series("law", [1, 2], [1.0, 100.0], guide=True)
    panels = [
        Panel("step", "loss (nats)", [curve, line], "one", log_y=True, span=(1.5, 2)),
        Panel("time (s)", "loss (nats)", [cloud], ticks={1: "one", 2: "two"}, y_range=(0, 5)),
    ]
    return Chart(panels, among=["z", "b"])


def test_both_drawings_have_the_same_values_labels_and_scales(chart):
    figure, data = charts.draw(chart), charts.as_data(chart)
    for axes, panel in zip(figure.axes, data["panels"], strict=True):
        assert (axes.get_xlabel(), axes.get_ylabel()) == (panel["x"], panel["y"])
        assert axes.get_title() == panel["title"]
        assert (axes.get_yscale() == "log") == panel["log_y"]
        drawn = {line.get_label(): line for line in axes.lines}
        for one in panel["series"]:
            np.testing.assert_allclose(drawn[one["name"]].get_xdata(), one["x"], rtol=1e-4)
            np.testing.assert_allclose(drawn[one["name"]].get_ydata(), one["y"], rtol=1e-4)
    second = figure.axes[1]
    assert [text.get_text() for text in second.get_xticklabels()] == ["one", "two"]
    assert second.get_ylim() == (0, 5)
    (band,) = figure.axes[0].collections
    assert band.get_paths()[0].get_extents().y1 == 23.0


def test_names_keep_their_colours_and_guides_have_none(chart):
    data = charts.as_data(chart)
    assert [*data["names"]] == ["a", "b"]  # As they appear; colours as in `among`.
    other = Chart([Panel("x", "y", [Series("b", [0], [0])])], among=["z", "b"])
    assert charts.as_data(other)["names"]["b"] == data["names"]["b"]
    assert charts.as_data(chart)["names"]["a"]["colour"] != data["names"]["b"]["colour"]


def test_what_is_not_finite_is_null_in_the_data():
    one = Series("a", [0, 1], [math.nan, 1.23456789])
    (series,) = charts.as_data(Chart([Panel("x", "y", [one])]))["panels"][0]["series"]
    assert series["y"] == [None, 1.2346]
