"""ListOps: nested lists of digits to be worked out (Nangia & Bowman 2018), made on the fly.

The generator of Long Range Arena (Tay et al. 2020, section 2.2.1): operators MIN, MAX, MED (the
median, rounded down) and SM (the sum modulo 10), up to ten arguments, up to ten levels, and ten
classes.
"""

import random

import numpy as np

from genjax.core.errors import UsageError

OPERATORS = ("MIN", "MAX", "MED", "SM")
# Tokens: 0 is silence, then the digits, the operators with their bracket, `]` and the question.
DIGIT, OPERATOR, CLOSE, QUESTION = 1, 11, 15, 16
VOCABULARY = 17
NESTED = 0.25
SHORTCUTS = ("root_own", "root_all")
# Expressions that are drawn, and discarded for their length, for one that is kept.
PATIENCE = 10_000


def listops(
    count: int, length: int, rng: np.random.Generator, *, depth: int = 10, arguments: int = 10
) -> dict[str, np.ndarray]:
    """Expressions of a quarter of `length` tokens or more, and the question behind each.

    tokens, target, distance [count, length] as in genjax.data.lookups: the target of the question
    is the value's token, and its distance the length of the expression. Raises UsageError where
    expressions are hardly ever of that length.
    """
    tokens = np.zeros((count, length), np.int32)
    target, distance = np.full((2, count, length), -1, np.int32)
    # Python's own numbers: numpy's take ten times as long one at a time.
    dice = random.Random(int(rng.integers(2**63)))
    for row in range(count):
        words, value = _of_length(length, dice, depth, arguments)
        end = len(words)
        tokens[row, :end], tokens[row, end] = words, QUESTION
        target[row, end], distance[row, end] = DIGIT + value, end
    return {"tokens": tokens, "target": target, "distance": distance}


def _of_length(length, dice, depth, arguments):
    for _ in range(PATIENCE):
        words = []
        value = _grow(words, dice, 1, depth, arguments, length)
        if length // 4 <= len(words) < length:
            return words, value
    raise UsageError(
        f"--task_lengths={length}: no expression of a length from {length // 4} on in {PATIENCE}; "
        "choose a longer one"
    )


def _grow(words: list, dice, level, depth, arguments, most) -> int:
    """Appends a random expression to `words`, and gives its value; stops caring beyond `most`."""
    if level > 1 and (level >= depth or dice.random() > NESTED):
        value = dice.randrange(10)
        words.append(DIGIT + value)
        return value
    kind = dice.randrange(len(OPERATORS))
    words.append(OPERATOR + kind)
    values = []
    for _ in range(dice.randint(2, arguments)):
        values.append(_grow(words, dice, level + 1, depth, arguments, most))
        if len(words) > most:
            break
    words.append(CLOSE)
    return work_out(kind, values)


def work_out(kind: int, values: list[int]) -> int:
    """The value of an operator's list."""
    if OPERATORS[kind] == "MED":
        middle = sorted(values)
        return (middle[(len(values) - 1) // 2] + middle[len(values) // 2]) // 2
    return {"MIN": min, "MAX": max, "SM": lambda found: sum(found) % 10}[OPERATORS[kind]](values)


def shortcuts(tokens: np.ndarray) -> dict[str, np.ndarray]:
    """What who cannot nest would answer, {shortcut: value tokens [count]}, of tokens [count, n].

    root_own: the outermost operator on its own digits, nested lists left out. root_all: on all
    digits, as if nothing were nested. Without a digit of its own root_own answers as root_all.
    """
    found = {name: np.zeros(len(tokens), np.int32) for name in SHORTCUTS}
    for row, words in enumerate(tokens):
        opened = (words >= OPERATOR) & (words < CLOSE)
        level = np.cumsum(opened.astype(int) - (words == CLOSE))
        digit = (words >= DIGIT) & (words < OPERATOR)
        kind, every = int(words[0]) - OPERATOR, (words[digit] - DIGIT).tolist()
        own = (words[digit & (level == 1)] - DIGIT).tolist()
        found["root_own"][row] = DIGIT + work_out(kind, own or every)
        found["root_all"][row] = DIGIT + work_out(kind, every)
    return found
