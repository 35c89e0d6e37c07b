import numpy as np
import pytest

from genjax.data.split import TEST, TRAIN, VALID, by_content


def digests(count):
    return [b"%d" % i for i in range(count)]


def test_shares_are_met():
    part = by_content(digests(1000), [1] * 1000, test=0.15, valid=0.1)
    assert np.bincount(part).tolist() == [750, 100, 150]
    sizes = np.random.default_rng(0).integers(1, 20, 1000)
    part = by_content(digests(1000), sizes, test=0.1, valid=0.1)
    for place in (VALID, TEST):  # At most one content too many.
        assert 0 <= sizes[part == place].sum() - 0.1 * sizes.sum() < 20


def test_a_content_lies_on_one_side_in_any_order():
    twice = digests(100) * 2
    part = by_content(twice, [1] * 200, test=0.15, valid=0.15)
    assert (part[:100] == part[100:]).all() and np.bincount(part).min() >= 30
    order = np.random.default_rng(0).permutation(200)
    shuffled = by_content([twice[i] for i in order], [1] * 200, test=0.15, valid=0.15)
    np.testing.assert_array_equal(shuffled, part[order])


def test_the_split_is_the_same_for_good():
    """A change would change every run on own data."""
    part = by_content(digests(12), [1] * 12, test=0.25, valid=0.25)
    assert part.tolist() == [0, 0, 0, 1, 2, 0, 0, 2, 1, 2, 1, 0]
    other = by_content(digests(12), [1] * 12, test=0.25, valid=0.25, seed=1)
    assert other.tolist() != part.tolist()


@pytest.mark.parametrize("sizes", [[1, 1, 1], [100, 1, 1], [1, 100, 1], [1, 1, 100]])
def test_three_contents_are_enough_for_three_parts(sizes):
    part = by_content(digests(3), sizes, test=0.1, valid=0.1)
    assert sorted(part) == [TRAIN, VALID, TEST]
