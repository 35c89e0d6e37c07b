"""ListOps: expressions are well formed, and their values right."""

import numpy as np
import pytest

from genjax.core.errors import UsageError
from genjax.scaling import listops, lookups


def work_out(tokens):
    """The value by a stack, from the tokens alone."""
    stack = []
    for token in tokens:
        if listops.OPERATOR <= token < listops.CLOSE:
            stack.append((listops.OPERATORS[token - listops.OPERATOR], []))
            continue
        if token == listops.CLOSE:
            name, values = stack.pop()
            token = listops.DIGIT + int(
                {
                    "MIN": np.min, "MAX": np.max, "MED": np.median,
                    "SM": lambda v: np.sum(v) % 10,
                }[name](values)
            )  # fmt: skip
            if not stack:
                return token
        stack[-1][1].append(token - listops.DIGIT)
    raise AssertionError("brackets that never close")


def test_expressions_are_well_formed_and_worked_out():
    data = listops.listops(300, 60, np.random.default_rng(0))
    for tokens, target, distance in zip(*(data[k] for k in data), strict=True):
        (end,) = np.flatnonzero(target >= 0)
        assert 15 <= end < 60 and distance[end] == end
        assert tokens[end] == listops.QUESTION and not tokens[end + 1 :].any()
        opened = (tokens >= listops.OPERATOR) & (tokens < listops.CLOSE)
        level = np.cumsum(opened.astype(int) - (tokens == listops.CLOSE))
        assert level[end - 1] == 0 and (level[: end - 1] > 0).all() and level.max() <= 10
        assert work_out(tokens[:end]) == target[end]
    # All ten classes, and none of them half of all.
    share = np.bincount(data["target"][data["target"] > 0], minlength=11)[1:] / 300
    assert share.min() > 0.01 and share.max() < 0.5
    assert set(np.unique(data["tokens"])) == set(range(listops.VOCABULARY))


def test_levels_and_arguments_have_bounds():
    data = listops.listops(100, 40, np.random.default_rng(1), depth=2)
    for tokens in data["tokens"]:
        opened = (tokens >= listops.OPERATOR) & (tokens < listops.CLOSE)
        assert np.cumsum(opened.astype(int) - (tokens == listops.CLOSE)).max() == 1


def test_medians_round_down():
    assert listops.work_out(listops.OPERATORS.index("MED"), [1, 2, 9, 4]) == 3
    assert listops.work_out(listops.OPERATORS.index("MED"), [1, 2]) == 1


def test_lengths_that_never_occur_are_refused():
    with pytest.raises(UsageError, match="--task_lengths=600"):
        listops.listops(1, 600, np.random.default_rng(0), depth=2, arguments=3)


def test_tasks_have_tokens_enough():
    for name, make in lookups.TASKS.items():
        data = make(20, 64, np.random.default_rng(0))
        most = max(data["tokens"].max(), data["target"].max())
        assert most < lookups.vocabulary(name)


def test_shortcuts_by_hand():
    mini, maxi, med, sm = range(listops.OPERATOR, listops.CLOSE)
    d, end = listops.DIGIT, listops.CLOSE
    rows = {
        # [MIN 4 [MAX 2 9] 7]: 4 by its own digits, 2 by all, 4 in truth.
        (mini, d + 4, maxi, d + 2, d + 9, end, d + 7, end): (4, 2),
        # [SM [MED 3 5] [MAX 8 1]]: none of its own, 3 + 5 + 8 + 1 = 7 by all, 4 + 8 = 2 in truth.
        (sm, med, d + 3, d + 5, end, maxi, d + 8, d + 1, end, end): (7, 7),
        (maxi, d + 1, d + 0, end): (1, 1),
    }
    tokens = np.zeros((3, 12), np.int32)
    for row, words in zip(tokens, rows, strict=True):
        row[: len(words) + 1] = [*words, listops.QUESTION]
    found = listops.shortcuts(tokens)
    wanted = np.array(list(rows.values())).T + d
    np.testing.assert_array_equal([found["root_own"], found["root_all"]], wanted)


def test_shortcuts_answer_more_than_half_and_are_not_the_answer():
    """Of expressions at n = 32 some two thirds are what the outermost operator makes of its own
    digits."""
    data = listops.listops(500, 32, np.random.default_rng(0))
    right = data["target"].max(1)
    own, every = listops.shortcuts(data["tokens"]).values()
    assert 0.5 < (own == right).mean() < 0.8 and 0.4 < (every == right).mean() < 0.9
    flat = (data["tokens"] == listops.CLOSE).sum(1) == 1
    np.testing.assert_array_equal(own[flat], right[flat])
    assert (own != every).any()
