"""Which arms belong together, and which of them is taken."""

from genjax.core import variants

ARMS = {
    "small": {"limit": 8, "steps": 10, "model": "gru"},
    "large": {"limit": 64, "steps": 10, "model": "gru"},
    "small_long": {"limit": 8, "steps": 90, "model": "gru"},
    "large_long": {"limit": 64, "steps": 90, "model": "gru"},
    "other": {"limit": 8, "steps": 90, "model": "lstm"},
}


def test_arms_are_alike_but_for_what_is_named():
    assert variants.alike(ARMS, "limit") == [
        ["small", "large"],
        ["small_long", "large_long"],
        ["other"],
    ]
    assert variants.alike(ARMS, "limit", "steps")[1:] == [["other"]]


def test_of_arms_that_share_the_limit_the_least_score_is_taken():
    score = {"small": 2.0, "small_long": 9.0, "large": 1.5, "large_long": 1.0, "other": 0.0}
    assert variants.preferred(ARMS, score, "limit", "steps") == [["small", "large_long"], ["other"]]
