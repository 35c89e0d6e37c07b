"""Images as devices hold them: the bits come back."""

import jax
import numpy as np
import pytest

from genjax.core import parallel
from genjax.images.stored import store


@pytest.mark.parametrize("levels", (1, 16, 255))
def test_all_levels_come_back_bit_for_bit(levels):
    whole = np.arange(levels + 1).repeat(6).reshape(-1, 1, 2, 3)
    images = np.divide(whole, levels, dtype=np.float32)
    stored = store(images)
    assert stored.rows.dtype == np.uint8
    assert stored.rows.shape == (levels + 1, 128)  # Whole tiles.
    np.testing.assert_array_equal(jax.jit(stored.read)(stored.rows), images)


def test_other_levels_stay_as_they_are():
    images = np.random.default_rng(0).random((5, 2, 3, 1), np.float32)
    stored = store(images)
    assert stored.rows.dtype == np.float32
    np.testing.assert_array_equal(stored.read(stored.rows), images)


def test_a_batch_is_that_of_the_images():
    images = np.divide(np.random.default_rng(1).integers(256, size=(9, 2, 2, 1)), 255)
    images = images.astype(np.float32)
    stored, label, index = store(images), np.arange(9), np.array([3, 0, 8, -1])
    expected = parallel.take({"image": images, "label": label}, index)
    found = jax.jit(stored.take)({"image": stored.rows, "label": label}, index)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
