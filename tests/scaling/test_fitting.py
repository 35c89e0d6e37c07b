"""Fits of a sweep whose times are made up: exact power laws, so that every figure is known."""

import numpy as np
import pytest
import timed

from genjax.scaling import fitting
from genjax.scaling.timings import Timings

RATE = {"matmul": 2e11, "copy": 4e10}
LENGTHS = np.array(timed.LENGTHS, float)


def test_rates_are_flops_and_bytes_over_the_median():
    rows, evaluation = timed.sweep(timed.curves(), processes=3, noise=0)
    for i, process in enumerate(evaluation.values()):
        for name, n, time in (("matmul", 1024, 0.01), ("copy", 2**24, 1.0)):
            process["points"][f"{name} forward {n}"] = {"least": [time * (1 + i), 9.0]}
    rows += [
        {"arm": a, "mode": "forward", "length": n} for a, n in (("matmul", 1024), ("copy", 2**24))
    ]
    found = fitting.rates(Timings(rows, evaluation))
    assert found == pytest.approx({"matmul": 2 * 1024**3 / 0.02, "copy": 2**24})


def test_top_exponents_are_of_the_three_longest_lengths_by_process():
    made = timed.curves()
    made["linear", "both"] = 1e-6 * LENGTHS * [9, 5, 1, 2, 8]
    measured = timed.timings(made, processes=4, noise=0)
    found = fitting.top_exponents(measured, "linear", "both")
    assert found.shape == (4, 2)
    np.testing.assert_allclose(found, [[2, 3]] * 4)
    # Over both octaves 2.5.
    of = fitting.exponents_of
    np.testing.assert_allclose(of(measured, "linear", ("both",)), [[2.5] * 4])
    two = of(measured, "linear", ("forward", "both"))
    np.testing.assert_allclose(two, [[1.1] * 4, [2.5] * 4])
    # Times that do not ascend have no exponent.
    made["linear", "both"] = 1e-6 * LENGTHS * [1, 1, 1, 0.4, 1]
    fallen = timed.timings(made, processes=4, noise=0)
    forward, both = of(fallen, "linear", ("forward", "both"))
    assert np.isnan(both).all()
    np.testing.assert_allclose(forward, 1.1)
    few = timed.timings({key: seconds[:2] for key, seconds in made.items()}, processes=4)
    assert np.isnan(of(few, "linear", ("both",))).all()


def test_peaks_grow_by_their_two_longest_lengths():
    measured = timed.timings(peaks={"full": 1.7}, processes=3)
    np.testing.assert_allclose(fitting.peak_exponents(measured, "full"), [1.7] * 3)


def test_a_curve_holds_every_figure_by_length():
    measured = timed.timings(processes=3, noise=0.05)
    _, times = measured.table("linear", "forward")
    found, row = fitting.curve(measured, "linear", "forward", RATE, moved=48.0)
    middle = np.median(times, 0)
    expected = {
        "lengths": LENGTHS,
        "seconds": middle,
        "low": times.min(0),
        "high": times.max(0),
        "flops": LENGTHS,
        "xla_flops": 2 * LENGTHS,
        "of_matmul": LENGTHS / middle / 2e11,
        "of_copy": 48 * LENGTHS / middle / 4e10,
        "temp_bytes": 8 * LENGTHS,
        "count_bytes": 5 * LENGTHS,
        # What the compiled program says: temporary memory and the result.
        "predicted_bytes": 12 * LENGTHS,
        "peak_bytes": 1e3 * LENGTHS,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, err_msg=name)
    slopes = np.diff(np.log2(times), axis=1)
    np.testing.assert_allclose(found["local_exponents"], np.median(slopes, 0))
    top = slopes[:, -2:]
    for name, values in (("", top.mean(1)), ("_trend", top[:, 1] - top[:, 0])):
        np.testing.assert_allclose(row[f"time_exponent{name}/forward"]["per_seed"], values)
    assert row["memory_exponent/forward"]["mean"] == pytest.approx(1)
    assert row["largest/forward"]["mean"] == 8192
    assert set(found) == set(expected) | {"local_exponents", "notes"}


def test_a_process_counts_by_its_fastest_call():
    _, evaluation = timed.sweep(processes=1, noise=0)
    rows, _ = timed.sweep(processes=1)
    row = evaluation["process-0"]["points"]["full forward 512"]
    row |= {"least": [5.0, 3.0, 4.0], "seconds": [1.0, 1.0, 1.0]}
    lengths, times = Timings(rows, evaluation).table("full", "forward")
    assert lengths[0] == 512 and times[0, 0] == 3.0


def test_figures_at_one_length():
    measured = timed.timings(processes=3, noise=0.05)
    _, times = measured.table("flash", "both")
    found = fitting.at_length(measured, "flash", "both", 2048)
    assert found["milliseconds/both"]["per_seed"] == pytest.approx(list(1e3 * times[:, 2]))
    assert found["predicted/both"]["mean"] == pytest.approx(12 * 2048 / 1e6)
    assert found["peak/both"]["per_seed"] == pytest.approx([1e3 * 2048 / 1e6] * 3)
    assert fitting.at_length(measured, "flash", "both", 3000) == {}


def test_below_full_is_where_the_curves_cross():
    made = timed.curves()
    made["linear", "forward"] = made["full", "forward"][2] * (LENGTHS / 2048) ** 1
    found = fitting.below_full(timed.timings(made, noise=0, processes=2), "linear", "forward")
    assert found == pytest.approx([2048, 2048])
    without = {key: value for key, value in made.items() if key[0] != "full"}
    assert fitting.below_full(timed.timings(without), "linear", "forward") is None


def test_a_layers_halves_cross_at_four_widths():
    measured = timed.timings(noise=0, processes=2)
    lengths, slow, fast = fitting.halves(measured, timed.WIDTH)
    np.testing.assert_allclose(lengths, timed.WIDTH * 2 ** np.arange(5))
    np.testing.assert_allclose(slow / fast, [lengths / (4 * timed.WIDTH)] * 2)
    assert fitting.overtakes(measured, timed.WIDTH) == pytest.approx([4, 4])
    assert fitting.overtakes(measured, 64) == []


def test_points_that_one_process_lacks_are_left_out():
    rows, evaluation = timed.sweep(processes=3)
    del evaluation["process-1"]["points"]["full forward 8192"]
    evaluation["process-1"]["skipped"]["full forward 8192"] = "about 9 s a call, 1 s allowed"
    measured = Timings(rows, evaluation)
    lengths, times = measured.table("full", "forward")
    assert lengths.tolist() == [512, 1024, 2048, 4096] and times.shape == (3, 4)
    assert [str(point) for point in measured.skipped] == ["full forward 8192"]
