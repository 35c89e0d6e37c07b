"""`genjax compare`: what is said to differ, and what is not."""

import json

import pytest

from genjax.core.errors import UsageError
from genjax_cli import compare


def value(mean, low, high):
    return {"mean": mean, "low": low, "high": high, "unit": "m", "better": None}


def summary(flags, verdict, **metrics):
    return {
        "experiment": "line",
        "flags": flags,
        "claims": [{"id": "L1", "verdict": verdict}],
        "metrics": {f"a/{name}": one for name, one in metrics.items()},
    }


ONE = summary({"steps": 5, "seed": 0}, "supported", x=value(1, 0, 2), y=value(1, 0, 2))
OTHER = summary({"steps": 6, "seed": 0}, "refuted", x=value(3, 1.9, 4), y=value(9, 8, 10))


@pytest.fixture
def compared(tmp_path):
    def run(*summaries, **how):
        folders = [tmp_path / f"run{i}" for i in range(len(summaries))]
        for folder, one in zip(folders, summaries, strict=True):
            folder.mkdir(exist_ok=True)
            if one:
                (folder / "summary.json").write_text(json.dumps(one))
        return compare.comparison(folders, compare.Config(**how))

    return run


def test_options_verdicts_and_figures_that_lie_apart_are_listed(compared):
    said = compared(ONE, OTHER)
    assert "--steps=5" in said and "--steps=6" in said and "--seed" not in said
    assert "supported" in said and "refuted" in said
    # The intervals of x overlap by a tenth, those of y do not.
    assert "a/y (m)" in said and "a/x" not in said
    assert "a/x (m)" in compared(ONE, OTHER, all=True)
    assert "a/y" not in compared(ONE, OTHER, all=True, measures=("x",))


def test_a_run_differs_from_itself_in_nothing(compared):
    said = compared(ONE, ONE)
    assert said.count("nothing differs") == 2
    assert "interval: none apart; one seed has no interval; --all shows" in said


def test_two_of_three_that_lie_apart_are_enough(compared):
    between = summary({"steps": 5}, "supported", y=value(5, 1, 9))
    assert "a/y" not in compared(ONE, between)
    assert "a/y" in compared(ONE, between, OTHER)


@pytest.mark.parametrize(
    ("summaries", "how", "said"),
    [
        ((ONE, None), {}, "run1: not finished"),
        ((ONE, OTHER | {"experiment": "plane"}), {}, "different experiments: line, plane"),
        ((ONE, OTHER), {"measures": ("z",)}, "--measures=z: not in all of the runs; choices: x, y"),
    ],
)
def test_what_cannot_be_compared_is_refused(compared, summaries, how, said):
    with pytest.raises(UsageError, match=said):
        compared(*summaries, **how)
