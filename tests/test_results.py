"""What is published: verdicts of claims as they are worded now, and pages that quote it."""

import importlib

import pytest
from scripts import ROOT

from genjax.core import config as configs
from genjax.core import flags
from genjax.report import published

RESULTS = published.read(ROOT / "results")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_was_measured(page):
    text = page.read_text()
    assert published.fill(text, ROOT / "results") == text


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_of_its_flagfile_and_of_the_claims_of_today(name):
    result = RESULTS[name]
    room = result["room"]
    kind = importlib.import_module(f"genjax.{room}.config").Config
    path = ROOT / "experiments" / "flags" / f"{name}.flags"
    asked = flags.parse(kind, result["experiment"], [f"--flagfile={path}"]).config
    assert configs.lines(asked) == configs.lines(configs.from_json(kind, result["flags"]))
    sealed = {
        claim.id: claim.seal for claim in importlib.import_module(f"genjax.{room}.claims").CLAIMS
    }
    assert result["claims"]
    for claim in result["claims"]:
        assert sealed[claim["id"]] == claim["seal"], f"{claim['id']}: publish {name} anew"
