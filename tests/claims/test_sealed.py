"""Sealed claims: verdicts from both sides, controls, families, and the ledger."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats

from genjax.claims import sealed
from genjax.claims.sealed import Claim, Control, Looks, judge

CLAIM = Claim(
    id="X1",
    statement="Left is longer than right",
    estimand="length(left) - length(right)",
    unit="m",
    direction="greater",
    threshold=1.0,
    margin=0.5,
    why="half a metre is what a step differs by",
    replicate="seed",
    family="X",
    negative=("nothing",),
    positive=("twice as long",),
    version=1,
    date="2026-11-23",
)
SPREAD = np.linspace(-0.1, 0.1, 10)
NOTHING, TWICE = Control("nothing", 0 + SPREAD), Control("twice as long", 9 + SPREAD)


def said(values, claim=CLAIM, negative=NOTHING, positive=TWICE, **more):
    return judge(claim, values, negative=(negative,), positive=(positive,), **more)


@pytest.mark.parametrize(
    ("middle", "greater", "less"),
    [
        (3.0, "supported", "refuted"),
        (1.6, "supported", "refuted"),
        (1.2, "equivalent", "equivalent"),
        (0.8, "equivalent", "equivalent"),
        (0.3, "refuted", "supported"),
    ],
)
def test_verdicts_from_both_sides(middle, greater, less):
    assert said(middle + SPREAD)["verdict"] == greater
    turned = dataclasses.replace(CLAIM, direction="less")
    far, near = NOTHING._replace(values=9 + SPREAD), TWICE._replace(values=SPREAD)
    found = said(middle + SPREAD, turned, far, near)
    assert found["verdict"] == less


def test_an_interval_across_the_threshold_and_the_margin_is_undetermined():
    found = said(np.array([0.2, 0.4, 1.05, 1.1, 1.3, 1.8, 2.0, 2.2, 2.4, 0.3]))
    assert found["verdict"] == "undetermined"
    # Of ten sorted values the second and the ninth.
    assert (found["low"], found["high"]) == (0.3, 2.2)
    assert found["estimate"] == pytest.approx(1.2)
    assert found["on_side"] == 7 and found["replicates"] == 10
    assert found["p"] == pytest.approx(stats.binomtest(7, 10).pvalue)
    assert found["would_settle"] > 10 and found["visible"] > 0


def test_no_number_of_replicates_settles_what_a_negative_control_passes():
    open_ = np.array([0.2, 0.4, 1.05, 1.1, 1.3, 1.8, 2.0, 2.2, 2.4, 0.3])
    found = said(open_, negative=NOTHING._replace(values=2 + SPREAD))
    assert found["verdict"] == "undetermined" and not {"would_settle", "visible"} & found.keys()
    assert found["because"] == "the negative control nothing passes too"
    # A positive control that is open, too, may pass with more of them.
    assert said(open_, positive=TWICE._replace(values=open_))["would_settle"] > 10


def test_five_agreeing_replicates_decide_nothing():
    found = said(np.full(5, 7.0))
    assert found["verdict"] == "undetermined"
    assert (found["low"], found["high"]) == (None, None)
    assert (found["visible"], found["would_settle"]) == (None, 9)
    assert said(np.full(6, 7.0))["verdict"] == "supported"
    assert said(np.full(7, 7.0), looks=Looks(sequential=True))["verdict"] == "undetermined"
    assert said(np.full(8, 7.0), looks=Looks(sequential=True))["verdict"] == "supported"


def test_a_control_that_behaves_otherwise_takes_the_verdict_away():
    found = said(3 + SPREAD, negative=NOTHING._replace(values=2 + SPREAD))
    assert found["verdict"] == "undetermined"
    assert found["because"] == "the negative control nothing passes too"
    found = said(3 + SPREAD, positive=TWICE._replace(values=1 + SPREAD))
    assert found["because"] == "the positive control twice as long does not pass"
    # What is refuted stays so: no control can lend it support.
    for control in (
        {"negative": NOTHING._replace(values=2 + SPREAD)},
        {"positive": TWICE._replace(values=SPREAD)},
    ):
        assert said(0.1 + SPREAD, **control)["verdict"] == "refuted"
    near = 1 + 0.01 * SPREAD
    assert said(near, negative=NOTHING._replace(values=2 + SPREAD))["verdict"] == "equivalent"
    assert said(near, positive=TWICE._replace(values=near))["verdict"] == "undetermined"
    # But where the measure is gone, and with what the claim's rival is not.
    gone = said(0.1 + SPREAD, positive=TWICE._replace(values=SPREAD), grounds=("twice as long",))
    assert gone["verdict"] == "undetermined" and "does not pass" in gone["because"]
    assert said(0.1 + SPREAD, grounds=("twice as long",))["verdict"] == "refuted"
    with pytest.raises(ValueError, match="X1: negative controls .'nothing',. were not measured"):
        judge(CLAIM, SPREAD, positive=(TWICE,))


def test_what_is_not_finite_supports_nothing():
    found = said(np.array([9.0] * 8 + [math.nan] * 2))
    assert found["verdict"] == "undetermined" and found["estimate"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_family_is_adjusted_together():
    claims = [dataclasses.replace(CLAIM, id=f"X{i}") for i in range(3)]
    other = dataclasses.replace(CLAIM, id="Y", family="Y")
    eight, ten = np.array([9.0] * 8), np.array([9.0] * 9 + [0.0])
    made = [said(ten, claims[0]), said(ten, claims[1]), said(eight, claims[2]), said(ten, other)]
    found = {one["id"]: one for one in sealed.family(made)}
    p_ten, p_eight = stats.binomtest(9, 10).pvalue, 2 * 0.5**8
    assert found["X2"]["p_holm"] == pytest.approx(3 * p_eight)
    assert found["X0"]["p_holm"] == found["X1"]["p_holm"] == pytest.approx(2 * p_ten)
    assert [found[name]["verdict"] for name in ("X0", "X2", "Y")] == [
        "supported", "supported", "supported",
    ]  # fmt: skip
    made.append(said(ten, dataclasses.replace(CLAIM, id="X3")))
    found = {one["id"]: one for one in sealed.family(made)}
    assert found["X0"]["verdict"] == "undetermined" and found["Y"]["verdict"] == "supported"
    assert found["X0"]["because"] == "p 0.021, adjusted over the family 0.064"


def test_family_wise_false_verdicts_are_rare():
    """Eight claims whose values lie around the threshold: any verdict but the right is false."""
    rng, wrong, trials = np.random.default_rng(0), 0, 300
    claims = [dataclasses.replace(CLAIM, id=f"X{i}", margin=0.0) for i in range(8)]
    for _ in range(trials):
        draws = rng.normal(1.0, 1.0, size=(8, 10))
        made = [said(values, claim) for values, claim in zip(draws, claims, strict=True)]
        wrong += any(one["verdict"] != "undetermined" for one in sealed.family(made))
    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_the_seal_is_of_all_that_is_said():
    for field in dataclasses.fields(Claim):
        value = getattr(CLAIM, field.name)
        other = {str: "less", float: 2.5, int: 7, tuple: ("else",)}[type(value)]
        assert dataclasses.replace(CLAIM, **{field.name: other}).seal != CLAIM.seal, field.name
    assert dataclasses.replace(CLAIM).seal == CLAIM.seal and len(CLAIM.seal) == 64


def test_a_changed_claim_is_a_new_version(tmp_path):
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps({"X1": [{"version": 1, "seal": CLAIM.seal}]}))
    assert sealed.unsealed([CLAIM], path) == []
    changed = dataclasses.replace(CLAIM, threshold=2.0)
    assert sealed.unsealed([changed], path) == ["X1: changed without a new version"]
    newer = dataclasses.replace(changed, version=2)
    assert sealed.unsealed([newer], path) == ["X1, version 2: not in the ledger"]
    path.write_text(
        json.dumps({"X1": [{"version": 1, "seal": ""}, {"version": 2, "seal": newer.seal}]})
    )
    assert sealed.unsealed([newer], path) == []
    assert sealed.unsealed([CLAIM], path) == ["X1: version 1 is older than the ledger's"]
    assert sealed.unsealed([dataclasses.replace(CLAIM, id="Z")], path) == [
        "Z, version 1: not in the ledger"
    ]
