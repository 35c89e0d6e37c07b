"""Which arms belong together, which is taken, and what they share."""

from types import SimpleNamespace

import pytest

from genjax import attention
from genjax.core.errors import UsageError
from genjax.domains import arms, config, names, networks
from genjax.domains.config import Config
from genjax.domains.job import Job, Once
from genjax.lm import finetune, recurrent

ARMS = Config(
    variants={
        "small": {"limit": 8, "steps": 10, "model": "gru"},
        "large": {"limit": 64, "steps": 10, "model": "gru"},
        "small_long": {"limit": 8, "steps": 90, "model": "gru"},
        "large_long": {"limit": 64, "steps": 90, "model": "gru"},
        "other": {"limit": 8, "steps": 90, "model": "lstm"},
    }
).arms()


def test_arms_are_alike_but_for_what_is_named():
    assert arms.alike(ARMS, "limit") == [
        ["small", "large"],
        ["small_long", "large_long"],
        ["other"],
    ]
    assert arms.alike(ARMS, "limit", "steps")[1:] == [["other"]]


def test_of_arms_that_share_the_limit_the_least_score_is_taken():
    score = {"small": 2.0, "small_long": 9.0, "large": 1.5, "large_long": 1.0, "other": 0.0}
    assert arms.preferred(ARMS, score, "limit", "steps") == [["small", "large_long"], ["other"]]


def test_what_was_trained_on_before_is_named_once_along_the_chain():
    chain = {"base": {}, "first": {"from": "base"}, "second": {"from": "first"}}
    chain |= {"elsewhere": {"from": "runs/models/base"}}
    made = Config(variants=chain).arms()
    on = {"base": ["a", "b", "c"], "first": ["b", "d"], "second": ["c"], "elsewhere": ["a"]}
    assert names.trained_before(made, on, "second") == ["b", "d", "a"]
    assert names.trained_before(made, on, "base") == []
    assert names.parent(made, "elsewhere") is None


def test_a_mixture_of_doremi_is_what_the_proxy_found():
    asked = Config(variants={"a": {}, "proxy": {"dro": "a"}, "mixed": {"mixture": "doremi:proxy"}})
    on = dict.fromkeys(asked.arms(), ["x", "y"])
    source = SimpleNamespace(pool=lambda name, limit: 100)
    job = Job(asked, [source], asked.arms(), on, dict.fromkeys(on, []), Once())
    found = {"x": [0.1, 0.3], "y": [0.9, 0.7]}
    assert job.mixture("mixed", found) == pytest.approx({"x": 0.2, "y": 0.8})
    assert job.mixture("mixed") == {"x": 0.5, "y": 0.5}


def test_choices_are_what_the_libraries_have():
    assert ("transformer", *recurrent.LAYERS, "ngram") == config.MODELS
    assert config.TRAINED == finetune.TRAINED
    causal = [name for name, entry in attention.VARIANTS.items() if entry.can_be_causal]
    for name in causal:
        arm = Config(attention=name).arms()["model"]
        assert networks.variant(arm, 64, "float32").causal
    with pytest.raises(UsageError, match="--attention=longfomer.*longformer"):
        Config(attention="longfomer")
