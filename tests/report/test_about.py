"""What rooms say of themselves: terms are found, and no measure of a published run lacks a unit."""

import importlib
import json
from pathlib import Path

import pytest

from genjax.report import html
from genjax.report.about import About, Term, found, keys, used
from genjax.report.tables import tables

ROOT = Path(__file__).parents[2]
ROOMS = ("gan", "vae", "scaling", "domains")
PUBLISHED = [json.loads(path.read_text()) for path in sorted((ROOT / "results").glob("*.json"))]


def about(room: str) -> About:
    return importlib.import_module(f"genjax.{room}.about").ABOUT


def test_a_term_is_found_by_what_a_name_begins_with_or_what_follows():
    terms = {"probe": Term("p"), "@last": Term("l"), "/k=#": Term("k"), "mode_tv": Term("t")}
    assert found(terms, "probe/100") == "probe" and found(terms, "gan@last") == "@last"
    assert found(terms, "x/k=0.01") == "/k=#" and found(terms, "gan") is None
    assert keys("nll/k=10") == ["nll/k=10", "nll", "/k=#", "nll/k=#"]
    text = "The mode TV of nothing, improbeable"
    assert [*used(terms, ["gan@last"], text)] == ["@last", "mode_tv"]


@pytest.mark.parametrize("result", PUBLISHED, ids=[one["flagfile"] for one in PUBLISHED])
def test_every_published_measure_has_a_unit_and_a_meaning(result):
    own = about(result["room"])
    summary = {"metrics": result["metrics"], "samplers": result["flags"].get("samplers", ())}
    arms = {*result["arms"]}
    for table in tables(summary):
        for measure in table.measures:
            assert found(own.terms, measure.name), measure.name
            assert html.unit_of(measure, own), measure.name
        for row in table.rows:
            for name in filter(None, row[: len(table.keys)]):
                assert name in arms or found(own.terms, name), name


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_names_is_there(room):
    own = about(room)
    assert own.ledger
    ledger = json.loads(own.ledger.read_text())
    numbers = {*ledger, *(claim.partition(" ")[0] for claim in ledger)}
    assert own.question.endswith("?") and own.asserts.keys() <= numbers
    figures = importlib.import_module(f"genjax.{room}.figures").FIGURES
    assert own.beside.keys() <= figures.keys()
    assert {claim for claims in own.beside.values() for claim in claims} <= numbers
