"""The rooms' figures: what they draw of numbers that are known, and that no scale lacks a unit."""

import importlib
import math

import numpy as np
import pictured
import pytest
from matplotlib.figure import Figure

from genjax.domains import figures_more
from genjax.report import page
from genjax.report.charts import Chart

RUNS = {"gan": pictured.gan, "scaling": pictured.scaling, "domains": pictured.domains}
# Those of one picture, or of text, that a pointer has nothing to ask of.
PICTURES = {
    "vae": {"reconstructions", "samples", "interpolations"},
    "gan": {"samples", "over_training", "training"},
    "scaling": set(),
    "domains": {"domains", "samples"},
}
# Of a plane alone.
ABSENT = {"gan": {"landscape"}}


@pytest.fixture(scope="module")
def made_of():
    """room -> {figure: (caption, what it is)}."""
    kept = {}

    def made(room, run=None):
        if room not in kept:
            figures = importlib.import_module(f"genjax.{room}.figures").FIGURES
            kept[room] = {name: function(run or RUNS[room]()) for name, function in figures.items()}
        return kept[room]

    return made


def panels(made_of, room, name):
    return made_of(room)[name][1].panels


def named(panel):
    return {one.name: one for one in panel.series}


@pytest.mark.parametrize("room", PICTURES)
def test_every_scale_has_a_unit_and_every_series_is_whole(made_of, room, folder):
    made = made_of(room, page.read(folder) if room == "vae" else None)
    drawn = {name: found[1] for name, found in made.items() if found}
    assert drawn.keys() == made.keys() - ABSENT.get(room, set())
    asked = {name: one for name, one in drawn.items() if isinstance(one, Chart)}
    assert asked.keys() == drawn.keys() - PICTURES[room]
    for name, chart in asked.items():
        for panel in chart.panels:
            assert all(axis.name and axis.unit for axis in (panel.x, panel.y)), name
            for one in panel.series:
                assert len(one.x) == len(one.y) and len(one.low) in (0, len(one.y)), name
                assert np.isfinite(np.concatenate([one.x, one.y])).all(), name
                assert len(one.labels) in (0, len(one.x)), name
    for name, one in drawn.items():
        for axes in one.axes if isinstance(one, Figure) else ():
            for axis in (axes.xaxis, axes.yaxis):
                numbers = [text.get_text() for text in axis.get_ticklabels() if axes.axison]
                if any(
                    text.replace("\N{MINUS SIGN}", "").replace(".", "").isdigit()
                    for text in numbers
                ):
                    assert axis.get_label_text(), name


def test_modes_are_counted_and_sorted_by_each_seed(made_of):
    (panel,) = panels(made_of, "gan", "mode_histogram")
    a, perfect = named(panel)["a"], named(panel)["draws of the data"]
    assert a.seeds["3"].tolist() == [75, 25, 0, 0] and a.seeds["4"].tolist() == [50, 25, 25, 0]
    assert a.y.tolist() == [62.5, 25, 12.5, 0] and a.high.tolist() == [75, 25, 25, 0]
    assert perfect.guide and perfect.y.sum() == pytest.approx(100) and "of 100" in panel.y.unit


def test_slopes_are_shares_of_all_values_the_least_among_them(made_of):
    (panel,) = panels(made_of, "gan", "slopes")
    values = pictured.gan()["arrays"]["a"]["singular_values"]
    one = named(panel)["a"]
    assert one.y.sum() == pytest.approx(1) and one.x[0] < 1.2e-4
    assert one.seeds["3"][0] == pytest.approx(
        (values[0] < one.x[0] * math.sqrt(one.x[1] / one.x[0])).mean()
    )


def test_quality_stands_against_time_with_memory_as_area(made_of):
    needles, error = panels(made_of, "scaling", "tradeoff")
    one = named(needles)["linear"]
    assert [*one.x, *one.y, *one.labels] == [pytest.approx(2.2), 0.625, "linear"]
    assert one.note == "memory 7 MB" and one.area == pytest.approx(0.3 + 0.6 * 3)
    assert (one.low, one.high) == ([0.5], [0.75])
    assert len(named(error)["flash"].low) == 0 and "linear" not in named(error)
    assert needles.x.label == "a forward call at n = 128 (ms)"


def test_trained_transformers_by_length_time_and_state(made_of):
    (panel,) = panels(made_of, "scaling", "lookups")
    assert named(panel)["full"].y.tolist() == [0.625, 0.625]
    assert named(panel)["full"].seeds["4"].tolist() == [0.75, 0.75]
    assert named(panel)["without reading the question"].y == [0.1, 0.1]
    (panel,) = panels(made_of, "scaling", "pareto")
    one = named(panel)["flash"]
    assert one.x == pytest.approx([2.0, 1.0]) and one.labels == ["32", "flash 64"]
    (panel,) = panels(made_of, "scaling", "states")
    assert named(panel)["linear"].x == [200.0] and panel.title == "recall, n = 64"


def test_loss_by_the_number_of_domains_beside_floors_and_what_is_exact(made_of):
    (panel,) = panels(made_of, "domains", "diversity")
    found = named(panel)
    own = found["transformer, unseen domains"]
    assert own.x == [1, 2] and own.y.tolist() == [4.25, 4.25] and [*own.seeds["3"]] == [4.0, 4.0]
    # Of two seeds: 12.7 standard errors, of 0.25 here.
    assert own.high[0] - own.y[0] == pytest.approx(12.706 * 0.25, rel=1e-3)
    assert found["floor on unseen: cache"].y == [4.0, 4.0]
    assert found["exact on unseen: memory"].y == [2.5, 2.5]


def test_forecasts_are_open_marks_beside_the_third_budget(made_of):
    seen, unseen = panels(made_of, "domains", "ladder")
    curve, forecast = seen.series
    assert [*curve.x] == [3200, 12800, 51200] and curve.name == forecast.name == "many"
    assert [*forecast.y, *forecast.low, *forecast.high] == [0.7, 0.5, 0.9]
    assert forecast.open and forecast.points and forecast.note == "forecast"
    assert forecast.x[0] > 51200 and unseen.title == "unseen domains"


def test_the_order_of_two_ladders_is_paired_over_seeds():
    """Medians of six differences run from the least to the greatest."""
    losses = {"n_1": [4.0] * 6, "n_4": [4.5] * 6, "l_1": [4.1, 4.2, 4.3, 4.4, 4.5, 4.6]}
    losses["l_4"] = [4.0] * 6
    summary = {
        "seeds": [*range(6)],
        "recipes": {arm: {"steps": 10 * int(arm[-1])} for arm in losses},
        "metrics": {f"{arm}/stopped_unseen": {"per_seed": v} for arm, v in losses.items()},
    }
    one = figures_more.order(summary, ["n_1", "n_4"], ["l_1", "l_4"], 32)
    assert one.name == "l - n" and [*one.x] == [320, 1280]
    assert [*one.y] == pytest.approx([0.35, -0.5])
    assert [one.low[0], one.high[0]] == pytest.approx([0.1, 0.6])
    assert one.seeds["5"] == pytest.approx([0.6, -0.5])


def test_adaptation_stands_between_before_and_what_is_exact(made_of):
    (panel,) = panels(made_of, "domains", "adaptation")
    found = named(panel)
    assert found["s2, from many"].x == [32, 64, 128]
    assert found["s2, from many"].y.tolist() == [3.5, 3.5, 3.5]
    assert found["s2: many, before"].y == [3.5, 3.5] and found["s2: exact, family"].y == [1.5, 1.5]


def test_losses_by_place_are_means_of_stretches_above_the_line(made_of):
    seen, unseen = panels(made_of, "domains", "position")
    one = named(seen)["many"]
    assert one.x[:2].tolist() == [1.0, 3.0] and one.y[:2].tolist() == [-0.5, 1.5]
    assert seen.y.label == "loss above known (bits a token)" and len(one.x) == 32


def test_distance_has_a_named_point_an_arm(made_of):
    (panel,) = panels(made_of, "domains", "overlap")
    (one,) = panel.series
    assert one.labels == ["s0", "s1", "s2", "s3"] and one.points
    gains = [0.75 + i for i in range(7, 11)]
    assert one.y.tolist() == gains and [*one.seeds["3"][1]] == [gain - 0.25 for gain in gains]
    assert one.x == pytest.approx([0.01 * i + 0.25 for i in range(7, 11)])
