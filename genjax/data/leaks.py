"""Held-out text that occurs in training text, and how much of their wording two texts share."""

from collections.abc import Iterator

import numpy as np

from genjax.core.errors import UsageError
from genjax.data.text import Domain

# Not zero, as test windows of clean domains occur in training text too: boilerplate, such as an
# option that many manual pages describe alike. Of eight domains of 3 MB, no document in two splits,
# 1.7 % of the 256-byte test windows did in German manuals (2.4 % at 128 bytes), 0.2 % in Python
# source, none in the other six; and none occurred in the training text of another domain.
MOST = 0.03

_CHUNK = 1 << 20
# Any odd number with well mixed bits: its powers have an inverse modulo 2^64.
_BASE = 0x9E3779B97F4A7C15


def find(
    tests: dict[str, np.ndarray], training: dict[str, np.ndarray], window: int
) -> dict[str, dict[str, np.ndarray]]:
    """Which windows of a test text, one every `window` bytes, occur in a training text: bool [n].

    By test text, then by training text. They may lie anywhere in the training text; a rest of a
    test text shorter than a window is left out. Windows of equal hash count as equal (`_hashes`).

    Raises:
      UsageError: a test text is shorter than one window.
    """
    hashes = {
        name: _every_hash(f"--leak_window={window}: the test text of {name}", test, window, window)
        for name, test in tests.items()
    }
    wanted = np.unique(np.concatenate([*hashes.values()]))
    # Every training text is read once, whatever the number of test texts.
    occurs = {name: _occur(wanted, text, window) for name, text in training.items()}
    places = {name: np.searchsorted(wanted, own) for name, own in hashes.items()}
    return {
        name: {other: flags[place] for other, flags in occurs.items()}
        for name, place in places.items()
    }


def refuse(domains: dict[str, Domain], window: int):
    """Looks for every domain's test text in all training text at once, held out or not.

    An arm may train on a domain that others hold out.

    Raises:
      UsageError: more than MOST of a test text's windows occur there, or it is shorter than one.
    """
    found = find(
        {name: domain.test for name, domain in domains.items()},
        {name: domain.train for name, domain in domains.items()},
        window,
    )
    for name, hits in found.items():
        share = np.mean(np.any([*hits.values()], 0))
        if share > MOST:
            other = max(hits, key=lambda other: np.mean(hits[other]))
            raise UsageError(
                f"--corpus: {share:.1%} of the {window}-byte windows of the test text of {name} "
                f"occur in training text, most in that of {other} ({np.mean(hits[other]):.1%}); "
                f"at most {MOST:.1%} may"
            )


def overlap(test: np.ndarray, training: list[np.ndarray], n: int = 5) -> float:
    """Share of the distinct byte n-grams of `test` that occur in a training text.

    The lexical overlap of M2D2 (Reid et al. 2022), of bytes instead of words.

    Raises:
      UsageError: `test` is shorter than one n-gram.
    """
    grams = np.unique(_every_hash("--corpus: a test text", test, n, 1))
    return float(np.mean(np.any([_occur(grams, text, n) for text in training], 0)))


def _hashes(text: np.ndarray, window: int) -> Iterator[tuple[int, np.ndarray]]:
    """Chunks of the hashes of all windows, uint64 [n], each after the place of its first.

    That of x_0 ... x_(w-1) is sum_j x_j p^j modulo 2^64 (Karp and Rabin 1987): prefix sums of the
    chunk's x_j p^j give it times p^i for the window at i. Windows that differ have equal
    hashes by chance alone, about 2^-64, save in texts made for it (Thue-Morse, from 2^10 bytes on).
    """
    if len(text) < window:
        return
    size = min(len(text), _CHUNK + window)
    powers, inverse = np.full((2, size), [[_BASE], [pow(_BASE, -1, 2**64)]], np.uint64)
    for row in (powers, inverse):
        row[0] = 1
        np.cumprod(row, out=row)
    for start in range(0, len(text) - window + 1, _CHUNK):
        part = text[start : start + _CHUNK + window - 1]
        sums = np.zeros(len(part) + 1, np.uint64)
        np.cumsum(part * powers[: len(part)], out=sums[1:])
        hashes = sums[window:] - sums[:-window]
        yield start, hashes * inverse[: len(hashes)]


def _every_hash(name: str, text: np.ndarray, window: int, step: int) -> np.ndarray:
    """The hashes of the windows at 0, step, 2 step, ...: uint64 [n], at least one."""
    if len(text) < window:
        raise UsageError(f"{name} has {len(text)} bytes, too few for a window of {window}")
    return np.concatenate(
        [hashes[-start % step :: step] for start, hashes in _hashes(text, window)]
    )


def _occur(wanted: np.ndarray, text: np.ndarray, window: int) -> np.ndarray:
    """Which of the sorted hashes some window of the text has: bool [len(wanted)]."""
    found = np.zeros(len(wanted), bool)
    # Most windows of the text end here, at a table that fits the cache, before any search.
    high = np.uint64(48)
    sieve = np.zeros(1 << 16, bool)
    sieve[wanted >> high] = True
    for _, hashes in _hashes(text, window):
        hashes = hashes[sieve[hashes >> high]]
        place = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
        found[place[wanted[place] == hashes]] = True
    return found
