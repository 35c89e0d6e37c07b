"""Held-out text that occurs in training text, and how much two texts share."""

import numpy as np
import pytest
from texts import ROOT, SAMPLE, array, fails

from genjax.data import leaks, text


def domain(train, valid=b"v", test=b"t"):
    return text.Domain(array(train), array(valid), array(test))


@pytest.fixture
def small_chunks(monkeypatch):
    """Borders of chunks everywhere."""
    monkeypatch.setattr(leaks, "_CHUNK", 7)


def share(held_out, training, window):
    """Of the windows of one text that occur in another."""
    found = leaks.find({"held": held_out}, {"other": training}, window)
    return np.mean(found["held"]["other"])


def brute_share(held_out, training, window):
    starts = range(0, len(held_out) - window + 1, window)
    found = [held_out[i : i + window].tobytes() in training.tobytes() for i in starts]
    return np.mean(found)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_leak_of_random_text_is_that_of_a_search(monkeypatch, chunk):
    monkeypatch.setattr(leaks, "_CHUNK", chunk)
    rng = np.random.default_rng(0)
    shares = []
    for window, letters in ((1, 40), (3, 4), (5, 2), (8, 2), (50, 1)):
        held_out = rng.integers(0, letters, 203).astype(np.uint8)
        training = rng.integers(0, letters, 101).astype(np.uint8)
        shares.append(share(held_out, training, window))
        assert shares[-1] == brute_share(held_out, training, window)
    assert sum(0 < share < 1 for share in shares) >= 3, "the comparison says little"


@pytest.mark.parametrize("chunk", [7, 64, 1 << 20])
def test_leak_of_planted_text(monkeypatch, chunk):
    monkeypatch.setattr(leaks, "_CHUNK", chunk)
    rng = np.random.default_rng(1)
    held_out, training = (rng.integers(0, 256, n, np.uint8) for n in (330, 1001))
    for place, window in ((0, 0), (333, 3), (1001 - 32, 9)):
        training[place : place + 32] = held_out[32 * window : 32 * (window + 1)]
    training[500:531] = held_out[160:191]  # a byte short of a window
    training[600:632] = held_out[200:232]  # a window that is not one of those looked for
    assert share(held_out, training, 32) == 0.3 == brute_share(held_out, training, 32)
    assert share(held_out, held_out, 32) == 1
    assert share(array("a"), array("b"), 1) == 0
    assert share(held_out, training[:31], 32) == 0


def test_hashes_are_the_documented_polynomial(small_chunks):
    x = array(SAMPLE)[:40]
    hashes = {start: part for start, part in leaks._hashes(x, 5)}
    assert list(hashes) == [0, 7, 14, 21, 28, 35]
    expected = [
        sum(int(x[i + j]) * leaks._BASE**j for j in range(5)) % 2**64 for i in range(len(x) - 4)
    ]
    assert np.concatenate([*hashes.values()]).tolist() == expected


def leaky(share):
    """Three domains; of the 100 windows of 8 bytes of `held`'s test, `share` are in `b`'s train."""
    rng = np.random.default_rng(2)
    trains, tests = (rng.integers(0, 256, (3, 800), np.uint8) for _ in range(2))
    trains[1, 100 : 100 + 8 * share] = tests[2, : 8 * share]
    valid = array("v")
    return {
        name: text.Domain(train, valid, test)
        for name, train, test in zip(("a", "b", "held"), trains, tests, strict=True)
    }


def test_leaks_are_refused():
    most = round(100 * leaks.MOST)
    leaks.refuse(leaky(most), 8)
    line = fails("^--corpus: ", leaks.refuse, leaky(most + 2), 8)
    assert f" {most + 2}.0% of the 8-byte windows of the test text of held occur" in line
    assert f"most in that of b ({most + 2}.0%); at most {most}.0% may" in line


def test_leaks_into_several_training_texts_add_up():
    most = round(100 * leaks.MOST)
    domains = leaky(most)
    domains["a"].train[:8] = domains["held"].test[-8:]
    line = fails("^--corpus: ", leaks.refuse, domains, 8)
    assert f" {most + 1}.0% of the 8-byte" in line and f"most in that of b ({most}.0%)" in line


def test_leaks_within_a_training_domain_are_refused():
    domains = leaky(0)
    domains["a"].train[:400] = domains["a"].test[:400]
    line = fails("^--corpus", leaks.refuse, domains, 8)
    assert "50.0% of the 8-byte windows of the test text of a occur" in line
    assert "most in that of a (50.0%)" in line


def test_leaks_of_less_than_a_window():
    domains = leaky(0) | {"tiny": domain("abc", test="abc")}
    line = fails("^--leak_window=8: ", leaks.refuse, domains, 8)
    assert line.endswith("the test text of tiny has 3 bytes, too few for a window of 8")


def test_real_corpora_have_no_leaks():
    folder = ROOT.parent / "shared" / "corpora"
    if not folder.is_dir():
        pytest.skip("../shared/corpora not present")
    domains = text.read(str(folder))
    leaks.refuse(domains, 256)


@pytest.mark.parametrize("n", [1, 5, 9])
def test_overlap_is_that_of_sets(small_chunks, n):
    rng = np.random.default_rng(3)
    test, *training = (rng.integers(0, 3, size, np.uint8) for size in (150, 60, 40, 3))
    training.append(test[20:40])

    def grams(part):
        return {part[i : i + n].tobytes() for i in range(len(part) - n + 1)}

    expected = len(grams(test) & set().union(*map(grams, training))) / len(grams(test))
    assert leaks.overlap(test, training, n) == expected
    assert 0 < expected < 1 or n == 1
    assert leaks.overlap(test, [], n) == 0


def test_overlap_default_and_error():
    assert leaks.overlap(array("abcdefg"), [array("xbcdefx")]) == pytest.approx(1 / 3)
    line = fails("^--corpus: a test text ", leaks.overlap, array("abcd"), [array("abcd")])
    assert line.endswith("has 4 bytes, too few for a window of 5")
