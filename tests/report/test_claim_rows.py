"""Claims on the page: the scale of a picture, and sentences that are made from verdicts."""

import pytest

from genjax.report import claim_rows, html

CLAIM = {
    "id": "L1", "version": 2, "seal": "a1", "statement": "It is short", "estimand": "length",
    "unit": "m", "direction": "less", "threshold": 2.0, "margin": 0.5, "replicate": "seed",
    "replicates": 10, "on_side": 9, "estimate": 1.0, "low": 0.0, "high": 1.5, "p": 0.002,
    "p_holm": 0.004, "verdict": "supported", "controls": [], "family": "line",
}  # fmt: skip


def control(estimate, low, high, kind="negative"):
    return {
        "name": "nothing", "kind": kind, "estimate": estimate, "low": low, "high": high,
        "verdict": "refuted", "as_it_must": kind == "negative",
    }  # fmt: skip


def place(value, least=0.0, most=2.5):
    """Percent of the width, of a scale from `least` to `most` with 4% free at each end."""
    return pytest.approx(4 + 92 * (value - least) / (most - least), abs=0.01)


def test_the_scale_holds_interval_threshold_and_margin():
    found = claim_rows.picture(CLAIM)
    (strip,) = found.strips
    assert (strip.at, strip.low, strip.high) == (place(1.0), place(0.0), place(1.5))
    assert found.threshold == place(2.0) and found.margin == (place(1.5), place(2.5))
    assert found.claimed == (0.0, place(2.0))
    assert claim_rows.picture(CLAIM | {"direction": "greater"}).claimed == (place(2.0), 100.0)
    assert all(at == place(float(text)) for at, text in found.ticks) and len(found.ticks) > 2


def test_a_near_control_widens_the_scale_and_a_far_one_is_an_arrow():
    near, far = control(5.0, 4.5, 5.0), control(-90.0, -95.0, -80.0, "positive")
    own, beside, arrow = claim_rows.picture(CLAIM | {"controls": [near, far]}).strips
    assert (own.at, beside.at) == (place(1.0, most=5.0), place(5.0, most=5.0))
    assert (own.off, beside.off, arrow.off) == ("", "", "left")
    assert beside.said == "does not pass, as it must"
    assert arrow.said == "does not pass, and should not be so"
    # Of two seeds nothing could pass.
    few = {"low": None, "high": None, "replicates": 2, "replicate": "seed"}
    _, beside, _ = claim_rows.picture(CLAIM | few | {"controls": [near, far]}).strips
    assert beside.said == ""


def test_what_has_no_bound_or_no_value_is_drawn_so():
    (strip,) = claim_rows.picture(CLAIM | {"high": None}).strips
    assert strip.high == 100.0 and strip.open == (False, True)
    assert strip.text == "1 (0 to unbounded)"
    (strip,) = claim_rows.picture(CLAIM | {"estimate": None, "low": None, "high": None}).strips
    assert strip.at is None and strip.text == "not finite (no interval)"
    flat = CLAIM | {"estimate": 2.0, "low": 2.0, "high": 2.0, "margin": 0.0}
    assert claim_rows.picture(flat).strips[0].at == 50.0


def test_the_answer_is_made_from_the_verdicts():
    claims = [
        CLAIM | {"id": "L1"},
        CLAIM | {"id": "L2 red", "verdict": "refuted"},
        CLAIM | {"id": "L2 blue", "verdict": "refuted"},
        CLAIM | {"id": "L2 green", "verdict": "supported"},
        CLAIM | {"id": "L3", "verdict": "undetermined"},
        CLAIM | {"id": "L4"},
    ]
    asserts = {"L1": "it is short", "L2": "{} lines are long", "L3": "it is open"}
    assert claim_rows.answer(claims, asserts) == [
        ("supported", "it is short; green lines are long"),
        ("refuted", "red and blue lines are long"),
        ("undetermined", "it is open"),
    ]
    said = "Of 6 claims 3 are supported, 2 are refuted and 1 is undetermined."
    assert claim_rows.counts(claims) == said


def test_a_picture_stands_beside_the_first_of_its_claims():
    claims = [CLAIM | {"id": "L1"}, CLAIM | {"id": "L2 red"}, CLAIM | {"id": "L2 blue"}]
    beside = {"colours": ("L2",), "lengths": ("L0", "L1"), "none": ("L7",)}
    assert claim_rows.placed(beside, claims) == {"colours": "L2 red", "lengths": "L1"}


def test_a_row_has_its_rate_its_earlier_wordings_and_what_would_settle_it():
    ledger = {"L1": [{"version": 1, "date": "d", "statement": "old"}, {"version": 2}]}
    one = {"claim": "L1", "seal": "a1", "flagfile": "line", "outcome": "repeated"}
    one |= {"replicates": 10}
    tries = [one, one | {"outcome": "contradicted"}, one | {"flagfile": "other"}]
    (row,) = claim_rows.rows([CLAIM], ledger, (tries, "line"))
    assert row["rate"] == "1 of 2, 1 against" and [o["version"] for o in row["old"]] == [1]
    assert row["claimed"] == "less than 2" and row["agree"] == "9 of 10 seeds"
    assert ("p, adjusted over its family (Holm)", "0.004, family line") in row["details"]
    open_ = CLAIM | {"verdict": "undetermined", "visible": 0.25, "would_settle": 23}
    (row,) = claim_rows.rows([open_], {}, ([], ""))
    assert row["rate"] == "not tried" and "0.25 m four times in five" in row["why"][0]
    assert row["why"][1] == "23 seeds would settle it"
    few = CLAIM | {"verdict": "undetermined", "low": None, "high": None, "replicates": 2}
    assert claim_rows.why(few) == ["2 seeds are too few for an interval, which takes 6"]
    again = few | {"interval": "95%, of the median, at every look", "replicates": 1}
    assert claim_rows.too_few(again) == "1 seed is too few for an interval, which takes 8"
    assert claim_rows.too_few(CLAIM) == ""


def test_a_run_is_of_a_published_configuration():
    """Of one from before an option, where that option is at its default."""
    found = {"steps": 5, "arm": {"a": {"pack": 2}}}
    default = {"steps": 9, "colour": "rgb", "sizes": []}
    assert html.is_same(found, found | {"colour": "rgb", "sizes": []}, default)
    assert not html.is_same(found, found | {"colour": "grey", "sizes": []}, default)
    assert not html.is_same(found, found | {"colour": None}, default)
    assert not html.is_same(found, found | {"steps": 9}, default)
    assert not html.is_same(found, {"steps": 5}, default)
