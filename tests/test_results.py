"""What is published: verdicts of claims as they are worded now, and pages that quote it."""

import importlib

import pytest
from scripts import ROOT

from genjax.core import config as configs
from genjax.core import flags
from genjax.core.errors import UsageError
from genjax.report import published
from genjax_cli.publishing import PICTURES, copy_pictures

FIGURES = [(name, *pair) for name, found in PICTURES.items() for pair in found.items()]
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


@pytest.mark.parametrize(("flagfile", "figure", "name"), FIGURES)
def test_a_picture_of_the_docs_is_a_figure_of_a_published_run(flagfile, figure, name):
    room = RESULTS[flagfile]["room"]
    assert figure in importlib.import_module(f"genjax.{room}.figures").FIGURES
    assert any(f"({name}.png)" in page.read_text() for page in PAGES)


def test_pictures_go_with_what_is_published(tmp_path):
    run, docs = tmp_path / "run", tmp_path / "docs"
    (run / "plots").mkdir(parents=True)
    docs.mkdir()
    with pytest.raises(UsageError, match=r"samples.png: is missing; `genjax report .*run` draws"):
        copy_pictures(run, "gan_flow", docs)
    (run / "plots" / "samples.png").write_bytes(b"drawn")
    copy_pictures(run, "gan_flow", docs)
    copy_pictures(run, "gan_losses", docs)  # Of which no page shows one.
    assert [(one.name, one.read_bytes()) for one in docs.iterdir()] == [("gan_flow.png", b"drawn")]
