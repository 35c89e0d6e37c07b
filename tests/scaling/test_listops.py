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
