"""Slopes and crossings of curves whose answers are known."""

import itertools

import numpy as np
import pytest

from genjax.scaling import exponents

LENGTHS = 2.0 ** np.arange(9, 15)


@pytest.mark.parametrize("power", (0.0, 1.0, 1.5, 2.0))
def test_slopes_of_a_power_are_it(power):
    rounds = np.stack([3.0 * LENGTHS**power, 5.0 * LENGTHS ** (power + 1)])
    found = exponents.local_exponents(LENGTHS, rounds)
    np.testing.assert_allclose(found, [[power] * 5, [power + 1] * 5], atol=1e-9)
    np.testing.assert_allclose(exponents.slope(LENGTHS, rounds), [power, power + 1], atol=1e-9)


def test_a_slope_is_that_of_the_ends_and_the_mean_of_even_octaves():
    values = LENGTHS**2 * [1, 7, 2, 1, 4, 3]
    local = exponents.local_exponents(LENGTHS, values)
    assert exponents.slope(LENGTHS, values) == pytest.approx(local.mean())
    assert local[0] == pytest.approx(2 + np.log2(7)) and local[-1] == pytest.approx(
        2 + np.log2(0.75)
    )


def test_curves_cross_where_they_are_equal():
    slow, fast = LENGTHS**2, 3000 * LENGTHS
    assert exponents.crossing(LENGTHS, slow, fast) == pytest.approx(3000)
    assert exponents.crossing(LENGTHS, fast / 1e3, slow) == np.inf
    assert exponents.crossing(LENGTHS, slow, slow / 2) == LENGTHS[0]


def test_the_last_of_several_crossings_counts():
    for signs in itertools.product((-1, 1), repeat=4):
        lengths = LENGTHS[:4]
        found = exponents.crossing(lengths, np.ones(4), np.exp(np.array(signs, float)))
        if signs[-1] == 1:
            assert found == np.inf
        elif 1 not in signs:
            assert found == lengths[0]
        else:
            last = max(i for i in range(4) if signs[i] == 1)
            assert found == pytest.approx(np.sqrt(lengths[last] * lengths[last + 1]))
