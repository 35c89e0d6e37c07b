"""Published figures, and pages that quote them."""

import json

import pytest

from genjax.core.errors import UsageError
from genjax.report import published

CLAIM = {
    "id": "L1", "version": 1, "seal": "a1", "statement": "It is short", "estimand": "length",
    "unit": "m", "direction": "less", "threshold": 2.0, "margin": 0.1, "replicate": "seed",
    "replicates": 10, "on_side": 10, "estimate": 1.23456, "low": 1.0, "high": None, "p": 0.002,
    "p_holm": 0.004, "verdict": "supported", "controls": [], "family": "line",
}  # fmt: skip
OPEN = CLAIM | {"id": "L2", "verdict": "undetermined", "would_settle": 23, "visible": 0.312}
METRIC = {
    "mean": 1.2345678,
    "low": 1.1,
    "high": 1.4,
    "unit": "m",
    "better": "less",
    "per_seed": [1.1111111, 1.4],
}
SUMMARY = {
    "experiment": "line", "title": "Lines", "data": "a line", "seeds": [0, 1], "arms": ["a"],
    "device": {"kind": "cpu", "cores": "2"}, "versions": {"jax": "1"}, "commit": "c",
    "flags": {"steps": 1}, "timing": {"total_s": 90.0}, "claims": [CLAIM, OPEN],
    "metrics": {"a/length": METRIC, "a/width": METRIC | {"unit": ""}, "b/length": METRIC},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    made = published.publish(SUMMARY, "line_main", "line", "2026-11-23")
    (tmp_path / "line_main.json").write_text(json.dumps(made))
    return tmp_path


def quote(kind, inside="old"):
    return f"before <!-- results line_main {kind} -->{inside}<!-- end --> after"


def test_what_is_published():
    made = published.publish(SUMMARY, "line_main", "line", "2026-11-23")
    assert made["minutes"] == 1.5 and made["flags"] == {"steps": 1}
    assert made["metrics"]["a/length"] == {
        "mean": 1.23457, "low": 1.1, "high": 1.4, "unit": "m", "better": "less",
        "per_seed": [1.11111, 1.4],
    }  # fmt: skip
    text = published.text(made)
    assert json.loads(text) == made and '"per_seed": [ 1.11111, 1.4 ]' in text
    assert made["claims"][0]["seal"] == "a1" and "family" not in made["claims"][0]


def test_a_page_is_filled_and_stays_so(folder):
    text = quote("value a/length") + "\n\n" + quote("claims") + quote("made")
    filled = published.fill(text, folder)
    assert (
        "before <!-- results line_main value a/length -->1.235 (1.1 to 1.4)<!-- end -->" in filled
    )
    assert (
        "| L1. It is short | **supported** | 1.23 (1 to beyond all) m | < 2 ± 0.1 | 10 of 10 "
        "| 0.002, 0.004 | not tried |" in filled
    )
    assert "**undetermined**: 23 seeds would settle it, of effects these show 0.31 four" in filled
    assert "2 seeds, 1.5 minutes on 2 cores of cpu, 2026-11-23, commit c" in filled
    assert published.fill(filled, folder) == filled


def test_a_page_may_quote_some_of_the_claims(folder):
    filled = published.fill(quote("claims L2"), folder)
    assert "| L2. " in filled and "| L1. " not in filled
    assert published.fill(filled, folder) == filled


def test_a_table_takes_the_rows_and_measures_that_are_named(folder):
    filled = published.fill(quote("table a,b length,width"), folder)
    assert filled.splitlines()[1:-1] == [
        "|  | length ↓ (m) | width ↓ |",
        "| --- | --- | --- |",
        "| a | 1.235 (1.1 to 1.4) | 1.235 (1.1 to 1.4) |",
        "| b | 1.235 (1.1 to 1.4) |  |",
    ]


def test_the_rate_is_of_this_wording_this_flagfile_and_as_many_replicates(folder):
    one = {
        "claim": "L1", "seal": "a1", "flagfile": "line_main", "outcome": "repeated",
        "replicates": 10,
    }  # fmt: skip
    tries = [
        one, one, one | {"outcome": "not decided"}, one | {"seal": "b"}, one | {"flagfile": "x"},
        one | {"replicates": 9}, {key: one[key] for key in one if key != "replicates"},
        one | {"claim": "L2", "outcome": "contradicted"},
    ]  # fmt: skip
    lines = "".join(json.dumps(each) + "\n" for each in tries)
    (folder / "replications.jsonl").write_text(lines)
    filled = published.fill(quote("claims"), folder)
    assert "| 2 of 3 |" in filled and "| 0 of 1, 1 against |" in filled
    everything = published.fill("<!-- results replications all --><!-- end -->", folder)
    assert " -->6 of 8 repeated, 1 were contradicted, 1 not decided<!-- end -->" in everything
    row = f"| line | {quote('verdicts')} |"
    assert " -->L1 |  |  | L2 | 2 of 4, 1 against<!-- end -->" in published.fill(row, folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (quote("value a/depth"), "no 'a/depth' in line_main.json"),
        (quote("shape"), "shape is none of verdicts, claims, table, value, made"),
        (quote("made").replace("line_main", "other"), "no other.json"),
    ],
)
def test_a_quotation_of_nothing_is_refused(folder, text, said):
    with pytest.raises(UsageError, match=said):
        published.fill(text, folder)
