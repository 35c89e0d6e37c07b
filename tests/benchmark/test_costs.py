"""The curve of cost: a run in a process of its own, and powers of growth by hand."""

import importlib
import json

import numpy as np
import pytest
from scripts import ROOT

from genjax import claims
from genjax.benchmark import costs
from genjax.core.errors import RunError

# Two processes that wait 3 v and 5 v, and take 100 MB whatever v is; the first that compiles not.
ROWS = [
    {
        "axis": "batch", "value": v, "process": p, "wait": w * v, "train": w * v**2,
        "evaluate": 2.0, "compile": 7.0, "memory": 100.0, "machine": "a machine",
    }
    for p, w in ((0, 1000.0), (1, 3.0), (2, 5.0)) for v in (256, 16, 64)
]  # fmt: skip


def test_powers_of_growth():
    values, found = costs.curves(ROWS, "batch", "train")
    assert values == [16, 64, 256]
    np.testing.assert_allclose(found, np.outer([3, 5], np.square(values)))
    np.testing.assert_allclose(costs.exponents(values, found), 2)
    np.testing.assert_allclose(
        costs.exponents(*costs.curves(ROWS, "batch", "memory")), 0, atol=1e-9
    )
    # Of a round that was cut off nothing counts.
    cut = [row for row in ROWS if row["process"] < 2 or row["value"] == 16]
    np.testing.assert_allclose(costs.curves(cut, "batch", "wait")[1], [[48, 192, 768]])


def test_lines_through_medians():
    values = [1, 2, 4, 40]
    # Of three processes one is off; its figures are no median.
    found = np.array([[3.0 + 2 * v for v in values]] * 2 + [[50.0] * 4])
    np.testing.assert_allclose(costs.line(values, found), [3, 2, 0], atol=1e-9)
    # (1/1 + 1/3) / (1/1 + 1/9) between 1 and 3.
    fixed, each, off = costs.line([10, 10, 100, 100], np.array([[1.0, 3.0, 10.0, 30.0]]))
    np.testing.assert_allclose([fixed, each, off], [0, 0.12, 0.6], atol=1e-9)


def test_the_page_has_medians_ranges_powers_and_intervals():
    bent = [row | {"wait": 100.0} if row["value"] == 16 else row for row in ROWS]
    text = costs.page(bent)
    line = next(line for line in text.splitlines() if line.startswith("| 64 "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:3] == ["256.0 (192.0 to 320.0)", f"{np.log(2.56) / np.log(4):.2f}"]
    assert cells[3:5] == [f"{4 * 64**2:,.1f} ({3 * 64**2:,.1f} to {5 * 64**2:,.1f})", "2.00"]
    assert cells[-1] == "7.0"
    slopes = costs.exponents(*costs.curves(bent, "batch", "wait"))
    middle, low, high = claims.interval(slopes.tolist())
    assert f"waits ^{middle:.2f} ({low:.2f} to {high:.2f}); training ^2.00 (2.00" in text
    assert "a machine" in text and "seeds of a VAE" not in text


@pytest.mark.parametrize(
    "wait, said",
    [
        (lambda v: 20 + v, "waits 20.0 s once and 1 s for each (alike at 20, off by 0% at most)"),
        (lambda v: 20 + v / 256, "waits 20.0 s once, and not a tenth more for the largest"),
        (lambda v: v**2, "waits follows none (off by 64%)"),
    ],
)
def test_the_page_says_which_line_a_figure_follows(wait, said):
    text = costs.page([row | {"wait": float(wait(row["value"]))} for row in ROWS])
    assert f"As a line: all that one {said}; training follows none" in text


def test_the_page_is_that_of_the_rows():
    rows = list(map(json.loads, (ROOT / "results" / "costs.jsonl").read_text().splitlines()))
    assert {row["axis"] for row in rows} == {*costs.AXES}
    assert (ROOT / "docs" / "costs.md").read_text() == costs.page(rows)


@pytest.mark.parametrize("name", costs.AXES)
def test_every_point_is_a_run_that_is_not_refused(name):
    axis = costs.AXES[name]
    kind = importlib.import_module(f"genjax.{axis.room}.config").Config
    made = [kind(**axis.options(value)) for value in axis.values]
    assert len(set(map(repr, made))) == len(axis.values)


def test_a_point_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch):
    options = {
        "steps": 4,
        "seeds": 1,
        "batch_size": 8,
        "points": 100,
        "eval_samples": 100,
        "evaluations": 1,
    }
    tiny = costs.Axis("seeds", "gan", lambda n: options | {"g_width": n, "d_width": n}, (4,), "")
    monkeypatch.setitem(costs.AXES, "tiny", tiny)
    rows = list(costs.measure("tiny", 1, np.random.default_rng(0)))
    assert [(row["process"], row["value"]) for row in rows] == [(0, 4), (1, 4)]
    for row in rows:
        assert 0 < row["train"] + row["evaluate"] < row["wait"]
        assert 50 < row["memory"] < 5000  # MB; JAX alone takes a hundred or two.
    with pytest.raises(RunError, match="a run of gan failed: .*steps"):
        costs.point("gan", {"steps": 0}, str(tmp_path))
