"""Charts: what is drawn by matplotlib is what the page is handed."""

import math

import numpy as np
import pytest

from genjax.report import charts
from genjax.report.charts import Axis, Chart, Panel, Series, cloud, over_seeds, ranged

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


def test_values_over_seeds_make_a_band_or_a_cloud():
    values = np.array([[1.0, 2.0], [3.0, 8.0]])
    found = ranged("a", [10, 20], values, [4, 7])
    assert [*found.y] == [2.0, 5.0] and [*found.low, *found.high] == [1.0, 2.0, 3.0, 8.0]
    assert [*found.seeds["7"]] == [3.0, 8.0]
    marks = ranged("a", [10, 20], values, [4, 7], points=True)
    assert marks.points and marks.seeds["4"][0] == [10, 20] and [*marks.seeds["4"][1]] == [1.0, 2.0]
    found = cloud("b", *values, [4, 7], labels=["here"])
    assert (found.x, found.y, found.labels) == ([1.5], [5.5], ["here"])
    assert found.points and found.seeds == {"4": ([1.0], [3.0]), "7": ([2.0], [8.0])}


@pytest.fixture
def chart():
    curve = over_seeds("a", ROWS, "step", "loss")
    cloud = Series("b", [1.5], [3.0], seeds={"0": ([1.0], [2.0]), "1": ([2.0], [4.0])}, points=True)
    seen = Series("a", [1.5], [2.5], [2.0], [2.75], points=True, open=True, labels=["there"])
    line = Series("law", [1, 2], [1.0, 100.0], guide=True)
    other = Series("bound", [1, 2], [2.0, 2.0], guide=True)
    step, loss = Axis("training", "steps"), Axis("loss", "nats", log=True)
    wait = Axis("time", "s", ticks={1: "one", 2: "two"})
    panels = [
        Panel(step, loss, [curve, line, other], "one", span=(1.5, 2)),
        Panel(wait, Axis("loss", "nats", range=(0, 5)), [cloud, seen]),
    ]
    return Chart(panels, among=["z", "b"])


def test_both_drawings_have_the_same_values_labels_and_scales(chart):
    figure, data = charts.draw(chart), charts.as_data(chart)
    for axes, panel in zip(figure.axes, data["panels"], strict=True):
        labels = panel["x"]["label"], panel["y"]["label"]
        assert (axes.get_xlabel(), axes.get_ylabel()) == labels
        assert axes.get_title() == panel["title"]
        assert (axes.get_yscale() == "log") == panel["y"]["log"]
        drawn = {line.get_label(): line for line in axes.lines}
        for one in panel["series"]:
            np.testing.assert_allclose(drawn[one["name"]].get_xdata(), one["x"], rtol=1e-4)
            np.testing.assert_allclose(drawn[one["name"]].get_ydata(), one["y"], rtol=1e-4)
    assert figure.axes[0].get_ylabel() == "loss (nats)"
    second = figure.axes[1]
    assert [text.get_text() for text in second.get_xticklabels()] == ["one", "two"]
    assert second.get_ylim() == (0, 5) and [text.get_text() for text in second.texts] == ["there"]
    (band,) = figure.axes[0].collections
    assert band.get_paths()[0].get_extents().y1 == 23.0
    (interval,) = (one for one in second.collections if one.get_paths())
    assert interval.get_paths()[0].vertices.tolist() == [[1.5, 2.0], [1.5, 2.75]]
    assert data["panels"][1]["series"][1]["high"] == [2.75]


def test_names_keep_their_colours_and_guides_are_told_apart_by_dashes(chart):
    data = charts.as_data(chart)
    assert [*data["names"]] == ["a", "b"]  # As they appear; colours as in `among`.
    axis = Axis("x", "m")
    other = Chart([Panel(axis, axis, [Series("b", [0], [0])])], among=["z", "b"])
    assert charts.as_data(other)["names"]["b"] == data["names"]["b"]
    assert charts.as_data(chart)["names"]["a"]["colour"] != data["names"]["b"]["colour"]
    assert {name: style["dash"] for name, style in data["guides"].items()} == {
        "law": "dash",
        "bound": "dot",
    }
    law, bound = (line.get_linestyle() for line in charts.draw(chart).axes[0].lines[1:])
    assert (law, bound) == ("--", ":")


def test_beyond_the_eighth_name_marks_differ():
    series = [Series(f"arm{i}", [i], [i], points=True) for i in range(10)]
    data = charts.as_data(Chart([Panel(Axis("x", "m"), Axis("y", "m"), series)]))
    looks = {(one["colour"], one["symbol"]) for one in data["names"].values()}
    assert len(looks) == 10


def test_a_short_log_scale_has_numbers():
    axis = Axis("loss", "nats", log=True)
    figure = charts.draw(Chart([Panel(axis, axis, [Series("a", [2, 9], [0.2, 0.5])])]))
    figure.draw_without_rendering()
    shown = {text.get_text() for text in figure.axes[0].get_yticklabels()}
    assert {"0.2", "0.3", "0.4"} <= shown


def test_what_is_not_finite_is_null_in_the_data():
    one, axis = Series("a", [0, 1], [math.nan, 1.23456789]), Axis("x", "m")
    (series,) = charts.as_data(Chart([Panel(axis, axis, [one])]))["panels"][0]["series"]
    assert series["y"] == [None, 1.2346]
    lost = Series("b", [0.0], [math.nan], [math.nan], [math.nan], points=True, labels=["b"])
    (axes,) = charts.draw(Chart([Panel(axis, axis, [one, lost])])).axes
    assert not axes.texts
