"""Fits of a sweep whose times are made up: exact power laws, so that every figure is known."""

import numpy as np
import pytest

from genjax.scaling import fitting
from genjax.scaling.timings import Timings

LENGTHS = 2.0 ** np.arange(7, 13)
RATE = {"matmul": 2e11, "copy": 4e10}
# Of five rounds: their median is 1, their least 0.9.
ROUNDS = np.array([1.0, 1.2, 0.9, 1.1, 0.95])


def rows_of(arm, mode, seconds, least=None, **facts):
    """The rows of one curve: seconds [rounds, lengths], facts {name: [lengths]}."""
    least = 0.5 * seconds if least is None else least
    rows = []
    for i, n in enumerate(LENGTHS[: seconds.shape[1]]):
        point = {"arm": arm, "mode": mode, "length": int(n)}
        names = {"temp_bytes": n, "flops": n, "xla_flops": n, "count_bytes": n} | {
            name: values[i] for name, values in facts.items()
        }
        rows.append(point | {"note": ""} | names)
        for r, times in enumerate(seconds):
            timed = {"round": r, "seconds": times[i], "least": least[r, i], "calls": 1}
            rows.append(point | timed)
    return rows


def sweep(*rows):
    return Timings(sum(rows, []))


def law(power, constant=1e-9, rounds=ROUNDS):
    return rounds[:, None] * constant * LENGTHS**power


def quadratic(power=2.0, memory=1.0, notes=None):
    """full at n^2 and an arm at n^power, which starts 4 times as slow."""
    flops = 64.0 * LENGTHS**2
    fast = law(power, 4e-9 * LENGTHS[0] ** (2 - power))
    return sweep(
        rows_of("full", "forward", law(2.0), flops=flops, temp_bytes=4.0 * LENGTHS**2),
        rows_of(
            "fast",
            "forward",
            fast,
            least=law(power + 0.1, 1e-10),
            flops=flops,
            temp_bytes=8.0 * LENGTHS**memory,
            xla_flops=3 * flops,
            count_bytes=5 * LENGTHS,
            note=notes or [""] * 6,
        ),
        [{"arm": "fast", "mode": "forward", "length": 256, "rss_bytes": 12345}],
    )


def test_rates_are_flops_and_bytes_over_the_median():
    seconds = ROUNDS[:, None] * np.ones(1)
    found = fitting.rates(
        sweep(rows_of("matmul", "forward", 0.01 * seconds), rows_of("copy", "forward", seconds))
    )
    assert found == pytest.approx({"matmul": 2 * 1024**3 / 0.01, "copy": 2.0 * 2**24})


def test_a_curve_holds_every_figure_by_length():
    notes = ["tiles", "", "tiles", "", "rows", "tiles"]
    found, _, _ = fitting.curve(quadratic(notes=notes), "fast", "forward", RATE, moved=48.0)
    middle, flops = 4e-9 * LENGTHS**2, 64.0 * LENGTHS**2
    expected = {
        "lengths": LENGTHS,
        "seconds": middle,
        "least": 0.9e-10 * LENGTHS**2.1,
        "low": 0.95 * middle,
        "high": 1.1 * middle,
        "flops": flops,
        "xla_flops": 3 * flops,
        "of_matmul": np.full(6, 64 / 4e-9 / 2e11),
        "of_copy": 48 / (4e-9 * LENGTHS) / 4e10,
        "temp_bytes": 8 * LENGTHS,
        "count_bytes": 5 * LENGTHS,
        "local_exponents": np.full(5, 2.0),
        "disagreement": 0.15,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(found["polynomial"], [0, 0, 4e-9], rtol=1e-6, atol=1e-12)
    assert found["rss_bytes"] == [None, 12345, None, None, None, None]
    assert found["notes"] == ["tiles", "rows"]
    assert set(found) == set(expected) | {"polynomial", "rss_bytes", "notes"}


@pytest.mark.parametrize(("power", "memory"), ((1.0, 1.0), (1.5, 2.0), (1.9, 1.3)))
def test_the_row_holds_exponents_and_crossings(power, memory):
    measured = quadratic(power, memory)
    _, fit, row = fitting.curve(measured, "fast", "forward", RATE, moved=48.0)
    # The least times have an exponent of their own, and claims are judged by it.
    for found in (fit.estimate, fit.low, fit.high):
        assert found == pytest.approx(power + 0.1)
    assert row["time_exponent/forward"]["mean"] == pytest.approx(power + 0.1)
    assert row["median_exponent/forward"]["mean"] == pytest.approx(power)
    assert row["memory_exponent/forward"]["mean"] == pytest.approx(memory)
    assert row["largest/forward"]["mean"] == 4096
    middle = 4e-9 * LENGTHS[0] ** (2 - power) * 4096**power
    expected = 64 * 4096**2 / middle / RATE["matmul"]
    assert row["of_matmul/forward"]["mean"] == pytest.approx(expected)
    # From 4 n0^(2 - power) n^power = n^2 on.
    where = LENGTHS[0] * 4 ** (1 / (2 - power))
    below = row["below_full_from/forward"]
    if where > LENGTHS[-1]:
        assert below["mean"] == np.inf
    else:
        for name in ("mean", "low", "high"):
            assert below[name] == pytest.approx(where)
    # Made wrong by 5% in the exponent, every one of them moves.
    _, wrong, other = fitting.curve(
        quadratic(power * 1.05, memory * 1.05), "fast", "forward", RATE, moved=48.0
    )
    assert abs(wrong.estimate - fit.estimate) > 0.04
    names = ["time_exponent", "median_exponent", "memory_exponent", "of_matmul"]
    for name in names + ["below_full_from"] * int(where < 1000):
        right, moved = (found[f"{name}/forward"]["mean"] for found in (row, other))
        assert abs(moved / right - 1) > 0.02, name


def test_the_top_four_lengths_make_an_exponent():
    """By NumPy's polynomials; a jump at the fourth tells them from three or from five."""
    factor = np.array([9.0, 5.0, 1.3, 1.0, 1.0, 1.0])
    seconds = ROUNDS[:, None] * 1e-9 * factor * LENGTHS**2
    measured = sweep(rows_of("full", "both", seconds, temp_bytes=factor * LENGTHS**1.5))
    found, fit, row = fitting.curve(measured, "full", "both", RATE, moved=1.0)
    time, memory = (
        np.polyfit(np.log(LENGTHS[2:]), np.log(factor * LENGTHS**power)[2:], 1)[0]
        for power in (2.0, 1.5)
    )
    assert fit.estimate == pytest.approx(time) and time < 1.99
    assert row["median_exponent/both"]["mean"] == pytest.approx(time)
    assert row["memory_exponent/both"]["mean"] == pytest.approx(memory)
    np.testing.assert_allclose(found["local_exponents"], 2 + np.diff(np.log2(factor)), atol=1e-9)
    assert not any(name.startswith("below_full") for name in row)


def test_no_temporary_memory_has_no_exponent():
    assert fitting.memory_exponent(LENGTHS, np.zeros(6)) == 0


def test_n_star_is_where_the_square_overtakes_the_line():
    seconds = ROUNDS[:, None] * (3e-7 * LENGTHS + 1e-9 * LENGTHS**2)
    _, _, row = fitting.curve(
        sweep(rows_of("full", "forward", seconds)), "full", "forward", RATE, moved=1.0
    )
    assert row["n_star/forward"]["mean"] == pytest.approx(300, rel=1e-4)
    assert row["n_star/forward"]["unit"] == "positions"


def test_an_interval_is_that_of_rounds_or_of_lengths_left_out():
    """Rounds with exponents of their own: the least is made of the fastest at each length."""
    powers = np.array([1.9, 2.0, 2.1])
    seconds = 1e-9 * LENGTHS[0] ** 2 * (LENGTHS / LENGTHS[0]) ** powers[:, None]
    measured = sweep(rows_of("full", "forward", seconds, least=seconds))
    _, fit, row = fitting.curve(measured, "full", "forward", RATE, moved=1.0)
    assert fit.estimate == pytest.approx(1.9)
    # A draw of three rounds without the first has chance 8 / 27, without the first two 1 / 27.
    assert (fit.low, fit.high) == (pytest.approx(1.9), pytest.approx(2.1))
    for name, values in (("time", [1.9, 1.9, 2.1]), ("median", [1.9, 2.0, 2.1])):
        found = row[f"{name}_exponent/forward"]
        assert [found[key] for key in ("low", "mean", "high")] == pytest.approx(values)


def test_a_curve_takes_two_lengths_and_two_rounds():
    one_length = sweep(rows_of("full", "forward", law(2.0)[:, :1]))
    one_round = sweep(rows_of("full", "forward", law(2.0)[:1]))
    two = sweep(rows_of("full", "forward", law(2.0)[:2, :2]))
    for measured in (one_length, one_round, sweep()):
        assert fitting.curve(measured, "full", "forward", RATE, moved=1.0) is None
    assert fitting.curve(two, "full", "forward", RATE, moved=1.0)[1].estimate == pytest.approx(2)


def test_a_variant_is_held_against_full_where_both_ran():
    """`full` at fewer lengths; and one that is nowhere, or never, faster."""
    slow, fast = law(2.0)[:, :5], law(1.0, 4e-9 * 128)
    measured = sweep(rows_of("full", "forward", slow), rows_of("fast", "forward", fast))
    assert fitting.below_full(measured, "fast", "forward") == pytest.approx([512] * 3)
    behind = sweep(rows_of("full", "forward", slow), rows_of("fast", "forward", 99 * fast))
    assert fitting.below_full(behind, "fast", "forward") == (np.inf,) * 3
    ahead = sweep(rows_of("full", "forward", slow), rows_of("fast", "forward", 0.01 * fast))
    assert fitting.below_full(ahead, "fast", "forward") == (128, 128, 128)
    short = sweep(rows_of("full", "forward", slow[:, :1]), rows_of("fast", "forward", fast))
    assert fitting.below_full(short, "fast", "forward") is None
    # Two lengths that both have are enough for a line.
    two = sweep(rows_of("full", "forward", slow[:, :2]), rows_of("fast", "forward", 0.35 * fast))
    assert fitting.below_full(two, "fast", "forward") == pytest.approx([0.35 * 512] * 3)
    assert fitting.below_full(measured, "absent", "forward") is None


def test_layers_cross_where_their_laws_do():
    """attention 1e-9 n^2 against 2.56e-7 n at width 64, four times that at 128; by hand."""
    rows = []
    for width, line in ((64, 2.56e-7), (128, 1.024e-6)):
        square, linear = law(2.0), law(1.0, line)
        rows += [
            rows_of(f"attention@{width}", "forward", square),
            rows_of(f"feedforward@{width}", "forward", linear),
            rows_of(f"layer@{width}", "forward", square + 2 * linear),
        ]
    found = fitting.layers(sweep(*rows), [64, 128])
    assert found["64"]["halves"] == pytest.approx([256] * 3)
    assert found["64"]["whole"] == pytest.approx([512] * 3, rel=1e-4)
    assert found["128"]["halves"] == pytest.approx([1024] * 3)
    assert found["128"]["whole"] == pytest.approx([2048] * 3, rel=1e-4)
    # Three coefficients take three lengths.
    three = sweep(rows_of("layer@64", "forward", law(2.0)[:, :3] + 2 * law(1.0, 2.56e-7)[:, :3]))
    assert fitting.layers(three, [64])["64"]["whole"] == pytest.approx([512] * 3, rel=1e-4)
    # What was not timed has no row.
    assert fitting.layers(
        sweep(*rows[:1], rows_of("layer@64", "forward", law(1.0)[:, :2])), [64]
    ) == {"64": {}}


def test_a_figure_is_a_row_of_the_summary():
    assert fitting.figure(1.5, 1.0, 2.0, "positions") == {
        "mean": 1.5, "low": 1.0, "high": 2.0, "per_seed": [], "unit": "positions",
    }  # fmt: skip
