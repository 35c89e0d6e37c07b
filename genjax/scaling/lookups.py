"""Tasks of looking something up, made on the fly, whose optimum is known: every answer is there.

Each gives `tokens` [count, length], `target` [count, length] (-1 where nothing is asked) and
`distance` [count, length], from the position that asks back to the one that holds the answer.
"""

import numpy as np

from genjax.core.errors import UsageError
from genjax.scaling import listops

SILENCE = 0


def recall(
    count: int, length: int, rng: np.random.Generator, *, pairs: int = 8, symbols: int = 16
) -> dict[str, np.ndarray]:
    """Multi-query associative recall (Arora et al. 2023, section 3): the value of each key.

    `pairs` keys with their values first, then every key once more, anywhere among silence; there
    the target is its value. Keys and values are `symbols` tokens each; chance is 1 / symbols.
    Raises UsageError where they do not fit.
    """
    if pairs > symbols or 3 * pairs > length:
        raise UsageError(
            f"--recall_pairs={pairs}: at most {min(symbols, length // 3)} fit into {symbols} keys "
            f"and a length of {length}"
        )
    order = np.argsort(rng.random((count, symbols)), 1)[:, :pairs]
    keys, values = 1 + order, 1 + symbols + rng.integers(0, symbols, (count, pairs))
    tokens = np.full((count, length), SILENCE, np.int32)
    tokens[:, 0 : 2 * pairs : 2], tokens[:, 1 : 2 * pairs : 2] = keys, values
    target, distance = np.full((2, count, length), -1, np.int32)
    places = 2 * pairs + np.argsort(rng.random((count, length - 2 * pairs)), 1)[:, :pairs]
    rows = np.arange(count)[:, None]
    tokens[rows, places], target[rows, places] = keys, values
    distance[rows, places] = places - (2 * np.arange(pairs) + 1)
    return {"tokens": tokens, "target": target, "distance": distance}


def mqar(
    count: int,
    length: int,
    rng: np.random.Generator,
    *,
    pairs: int = 8,
    tokens: int = 8192,
    power: float = 0.01,
) -> dict[str, np.ndarray]:
    """Multi-query associative recall as Zoology makes it (Arora et al. 2023, appendix E).

    `pairs` keys, each followed by its value, and every key once more, at even places behind them;
    a place i from there on is taken with a probability of i^(power - 1). Keys are from the lower
    half of `tokens` without 0, values from the upper half, no two alike in a sequence; what is left
    is any token. The target of a second key is its value. Raises UsageError where they do not fit.
    """
    space = (length - 2 * pairs) // 2
    if pairs > space or pairs >= tokens // 2:
        most = min(length // 4, tokens // 2 - 1)
        raise UsageError(
            f"--recall_pairs={pairs}: at most {most} fit into {tokens} tokens and a length of "
            f"{length}"
        )
    half = tokens // 2
    keys = 1 + _distinct(rng, half - 1, (count, pairs))
    values = half + _distinct(rng, tokens - half, (count, pairs))
    # The largest of logarithms of weights with Gumbel noise: drawn by weight, none twice.
    weights = (power - 1) * np.log(np.arange(1, space + 1)) + rng.gumbel(size=(count, space))
    places = 2 * pairs + 2 * np.argsort(-weights, 1)[:, :pairs]
    found = rng.integers(0, tokens, (count, length)).astype(np.int32)
    found[:, 0 : 2 * pairs : 2], found[:, 1 : 2 * pairs : 2] = keys, values
    target, distance = np.full((2, count, length), -1, np.int32)
    rows = np.arange(count)[:, None]
    found[rows, places], target[rows, places] = keys, values
    distance[rows, places] = places - (2 * np.arange(pairs) + 1)
    return {"tokens": found, "target": target, "distance": distance}


def _distinct(rng: np.random.Generator, below: int, shape: tuple[int, int]) -> np.ndarray:
    """Integers from 0, no two alike in a row: every such row is as likely."""
    count, pairs = shape
    if pairs**2 > below:  # Rows drawn at once would hardly ever do.
        return np.stack([rng.choice(below, pairs, replace=False) for _ in range(count)])
    found = rng.integers(0, below, shape)
    rows = np.arange(len(found))
    while len(rows):
        alike = (np.diff(np.sort(found[rows], 1), axis=1) == 0).any(1)
        rows = rows[alike]
        found[rows] = rng.integers(0, below, (len(rows), shape[1]))
    return found


def copy(
    count: int, length: int, rng: np.random.Generator, *, symbols: int = 16
) -> dict[str, np.ndarray]:
    """Duplication, 0w0w (Kitaev et al. 2020, section 5): the second half repeats the first.

    The target is the next token, from the second 0 on; chance is 1 / symbols, and the distance half
    the length.
    """
    half = length // 2
    word = rng.integers(1, 1 + symbols, (count, half - 1))
    tokens = np.zeros((count, length), np.int32)
    tokens[:, 1:half], tokens[:, half + 1 : 2 * half] = word, word
    target, distance = np.full((2, count, length), -1, np.int32)
    target[:, half : 2 * half - 1] = word
    distance[:, half : 2 * half - 1] = half - 1
    return {"tokens": tokens, "target": target, "distance": distance}


TASKS = {"recall": recall, "mqar": mqar, "copy": copy, "listops": listops.listops}


def vocabulary(task: str, symbols: int = 16, tokens: int = 8192) -> int:
    """Tokens of a task."""
    known = {"listops": listops.VOCABULARY, "mqar": tokens}
    return known.get(task, 1 + 2 * symbols)
