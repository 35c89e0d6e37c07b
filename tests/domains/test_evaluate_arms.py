"""Transfer measures of arms that go on from others, or are held against them, by hand tables."""

import jax.numpy as jnp
import numpy as np
import pytest
from known_model import (
    LOGITS,
    NAMES,
    PARAMS,
    FakeJob,
    loss,
    measured,
    probabilities,
    run_of,
    study_of,
)

from genjax.domains import arms as arms_of
from genjax.domains import evaluate, experiment, training


@pytest.fixture(autouse=True)
def base(monkeypatch):
    """What every adapted arm started from: the seeds' logits the other way round."""
    params = {"logits": jnp.asarray(LOGITS[::-1], jnp.float32)}
    monkeypatch.setattr(training, "started_from", lambda *_: params)


def figures_of(study, found):
    return study.arms, arms_of.Figures(found, [], experiment.facts(study), {})


# What the scores of unseen domains are read from.
BASELINES = {
    "evaluation_baselines": {
        f"{row}/unseen": [loss, loss]
        for row, loss in (("unigram", 9.0), ("cache", 8.0), ("cache_bigram", 8.5), ("family", 1.5))
    }
}
# An arm that started on a and b, went on to c, and then to d.
CHAIN = {
    "first": {"domains": "a+b"},
    "second": {"domains": "c", "from": "first"},
    "third": {"domains": "d", "from": "second"},
}
BEFORE = BASELINES | {
    "evaluation_first": {"loss/a": [1.0, 2.0], "loss/b": [3.0, 1.0], "loss/c": [4.0, 5.0],
                         "loss/d": [6.0, 3.0]},
    "evaluation_second": {"loss/a": [2.0, 2.5], "loss/b": [3.5, 2.0], "loss/c": [2.0, 1.0],
                          "loss/d": [5.0, 2.5]},
}  # fmt: skip


def test_forgetting_gain_and_drift_of_an_adapted_arm():
    study, run = study_of(CHAIN), run_of(**BEFORE)
    row, _ = evaluate.measure(study, run, "second", PARAMS)
    np.testing.assert_allclose(row["gain"], np.subtract([4, 5], loss("c")), rtol=1e-5)
    change = [loss("a") - [1, 2], loss("b") - [3, 1]]
    np.testing.assert_allclose(row["forgetting"], np.mean(change, 0), rtol=1e-5)
    np.testing.assert_allclose(row["new"], loss("c"), rtol=1e-5)
    np.testing.assert_allclose(row["old"], (loss("a") + loss("b")) / 2, rtol=1e-5)
    np.testing.assert_allclose(row["seen"], np.mean([loss(n) for n in "abc"], 0), rtol=1e-5)
    np.testing.assert_allclose(row["unseen"], loss("d"), rtol=1e-5)
    np.testing.assert_allclose(row["valid"], loss("c", "valid"), rtol=1e-5)
    # The base's own probabilities against the log of the tuned ones, the same in every window.
    base, tuned = probabilities(LOGITS[::-1]), probabilities(LOGITS)
    cross = -(base * np.log2(tuned)).sum(-1).mean(1) * 1.6
    np.testing.assert_allclose(row["drift"], cross, rtol=1e-5)
    assert row["overlap"] == pytest.approx([0.3 / 2] * 2)
    assert not any(name.startswith("sequence") for name in row)
    other = {"logits": jnp.asarray(0.5 * LOGITS, jnp.float32)}
    wrong, _ = evaluate.measure(study, run, "second", other)
    for name in ("gain", "forgetting", "drift"):
        assert (np.abs(np.subtract(wrong[name], row[name])) > 0.01).all(), name


def test_drift_is_of_the_watched_windows():
    """A tuned model that depends on its context: only the first windows are compared."""

    def apply(params, tokens):
        return params["logits"] * (1 + tokens[..., None])

    class Contextual(FakeJob):
        def meter(self, name, kind):
            return kind(apply)

    study = study_of(CHAIN, kind=Contextual, watched=2)
    row, _ = evaluate.measure(study, run_of(**BEFORE), "second", PARAMS)
    drift, both = [], (LOGITS[::-1], LOGITS)
    for name in "ab":
        seen = measured(name, "valid").windows[:2, :-1]
        weights = (np.exp(logits[:, None, None] * (1 + seen[..., None])) for logits in both)
        base, tuned = (x / x.sum(-1, keepdims=True) for x in weights)
        drift.append(-(base * np.log2(tuned)).sum(-1).mean((1, 2)) * 1.6)
    np.testing.assert_allclose(row["drift"], np.mean(drift, 0), rtol=1e-5)


def test_a_sequence_has_gems_measures():
    """R of accuracies = minus losses (Lopez-Paz & Ranzato 2017, eq. 2-4), seed by seed."""
    row, _ = evaluate.measure(study_of(CHAIN), run_of(**BEFORE), "third", PARAMS)
    for i in range(2):
        start, middle = ([BEFORE[f"evaluation_{arm}"][f"loss/{n}"][i] for n in "cd"]
                         for arm in ("first", "second"))  # fmt: skip
        end = [loss("c")[i], loss("d")[i]]
        assert row["sequence_final"][i] == pytest.approx(-np.mean(end), rel=1e-5)
        # c after d less c after itself; d just before its turn less d at the start.
        assert row["sequence_backward"][i] == pytest.approx(middle[0] - end[0], rel=1e-5)
        assert row["sequence_forward"][i] == pytest.approx(start[1] - middle[1], rel=1e-5)
    # c was held out, but is no longer unseen.
    assert "unseen" not in row
    # Against its parent, not against the first.
    np.testing.assert_allclose(row["gain"], np.subtract([5, 2.5], loss("d")), rtol=1e-5)
    before = {n: BEFORE["evaluation_second"][f"loss/{n}"] for n in "abc"}
    change = [loss(n) - before[n] for n in "abc"]
    np.testing.assert_allclose(row["forgetting"], np.mean(change, 0), rtol=1e-5)


def test_a_task_of_several_domains_counts_once():
    """c and d first, then b: their losses' mean is the task's."""
    arms = {
        "first": {"domains": "a"},
        "second": {"domains": "c+d", "from": "first"},
        "third": {"domains": "b", "from": "second"},
    }
    row, _ = evaluate.measure(study_of(arms), run_of(**BEFORE), "third", PARAMS)
    before = np.mean([BEFORE["evaluation_second"][f"loss/{n}"] for n in "cd"], 0)
    now = (loss("c") + loss("d")) / 2
    np.testing.assert_allclose(row["sequence_backward"], before - now, rtol=1e-5)
    np.testing.assert_allclose(row["sequence_final"], -(now + loss("b")) / 2, rtol=1e-5)


GAPS = {
    "all": {"domains": "a+b+c"},
    "no_c": {"domains": "a+b"},
    "no_c_again": {"domains": "b+a"},
    "only_a": {"domains": "a"},
    "only_c": {"domains": "c"},
    "wide_all": {"domains": "a+b+c", "width": 64},
    "wide_a": {"domains": "a", "width": 64},
    "tuned": {"domains": "a+b+c+d", "from": "all"},
}


def table_of(arms, seed=0):
    rng = np.random.default_rng(seed)
    return {arm: {f"loss/{n}": rng.uniform(1, 5, 2).round(2).tolist() for n in NAMES}
            for arm in arms}  # fmt: skip


def test_gaps_by_hand():
    found = table_of(GAPS)

    def cost(arm, other, name):
        return np.subtract(found[arm][f"loss/{name}"], found[other][f"loss/{name}"])

    def without_c(arm):
        gap = cost(arm, "all", "c")
        apart = {"overlap": np.full(2, 0.3 / 2), "specialist_gap": cost(arm, "only_c", "c")}
        return {"gap": gap, "worst_gap": gap} | apart

    made = arms_of.gaps(*figures_of(study_of(GAPS), found))
    # Arms that started from another are held against none, nor those of another width.
    wanted = {
        "all": {},
        "no_c": without_c("no_c"),
        "no_c_again": without_c("no_c_again"),
        # Of those with more, the one with the fewest more.
        "only_a": {
            "gap": cost("only_a", "no_c", "b"),
            "worst_gap": cost("only_a", "no_c", "b"),
            "overlap": np.full(2, 0.2),
            "specialist_gap": cost("only_a", "only_c", "c"),
        },
        "only_c": {
            "gap": (cost("only_c", "all", "a") + cost("only_c", "all", "b")) / 2,
            "worst_gap": np.maximum(cost("only_c", "all", "a"), cost("only_c", "all", "b")),
            "specialist_gap": cost("only_c", "only_a", "a"),
        },
        "wide_all": {},
        "wide_a": {
            "gap": (cost("wide_a", "wide_all", "b") + cost("wide_a", "wide_all", "c")) / 2,
            "worst_gap": np.maximum(
                cost("wide_a", "wide_all", "b"), cost("wide_a", "wide_all", "c")
            ),
        },
    }
    assert {arm: set(row) for arm, row in made.items()} == {
        arm: set(row) for arm, row in wanted.items()
    }
    for arm, row in wanted.items():
        for name, values in row.items():
            np.testing.assert_allclose(made[arm][name], values, atol=1e-12, err_msg=name)
    # A table that is wrong in one place moves the gap that reads it.
    found["no_c"]["loss/c"] = [9.0, 9.0]
    assert arms_of.gaps(*figures_of(study_of(GAPS), found))["no_c"]["gap"] != made["no_c"]["gap"]


def test_specialists_are_averaged():
    arms = {name: {"domains": name} for name in "abc"}
    found = table_of(arms, 1)
    lost = [np.subtract(found["a"][f"loss/{n}"], found[n][f"loss/{n}"]) for n in "bc"]
    made = arms_of.gaps(*figures_of(study_of(arms), found))["a"]
    np.testing.assert_allclose(made["specialist_gap"], np.mean(lost, 0))
    assert set(made) == {"specialist_gap"}


def test_selections_by_hand():
    """(valid, unseen) of each arm; the order of the domains does not part arms."""
    table = {
        "best": ({"width": 16}, [2.0, 2.2], [5.0, 5.0]),
        "oracle": ({"domains": "b+a"}, [2.3, 2.5], [4.0, 4.2]),
        "seed_luck": ({}, [1.0, 4.0], [1.0, 9.0]),
        "long": ({"steps": 9}, [0.1, 0.1], [0.1, 0.1]),
        "long_too": ({"steps": 9, "width": 16}, [0.2, 0.2], [0.0, 0.0]),
        "other_domains": ({"domains": "a"}, [0.1, 0.1], [0.1, 0.1]),
        "tuned": ({"from": "best"}, [0.1, 0.1], [0.1, 0.1]),
        "limited": ({"limit": 5}, [0.1, 0.1], [0.1, 0.1]),
        "proxy": ({"dro": "best"}, [0.1, 0.1], [0.1, 0.1]),
        "diverged": ({"width": 12}, [np.nan, 0.1], [0.1, 0.1]),
        "nothing_unseen": ({"width": 4}, [0.1, 0.1], None),
    }
    study = study_of({arm: recipe for arm, (recipe, *_) in table.items()})
    found = {arm: {"valid": valid} | ({"unseen": unseen} if unseen else {})
             for arm, (_, valid, unseen) in table.items()}  # fmt: skip
    assert arms_of.selections(*figures_of(study, found)) == [
        (["best", "oracle", "seed_luck"], "best", "oracle"),
        (["long", "long_too"], "long", "long_too"),
    ]
