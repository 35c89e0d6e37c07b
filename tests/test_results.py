"""What is published: verdicts of claims as they are worded now, and pages that quote it."""

import importlib
import re

import pytest
from scripts import ROOT

from genjax.core import config as configs
from genjax.core import flags
from genjax.core.errors import UsageError
from genjax.report import published
from genjax_cli.publishing import PICTURES, copy_pictures

# Pages that measure nothing, or are written from a file of their own (tests/benchmark).
NO_RESULTS = {"costs.md", "devices.md", "scale.md"}
# Figures that a page may say by itself: parts of a protocol or a definition, thresholds, and
# forecasts that tests/domains/test_forecast.py compares with their sealed file.
BY_HAND = {
    "README.md": {"5%"},
    "attention.md": {"0.25", "0.1", "1.1"},
    "attention_method.md": {"0.25", "5%", "1.1"},
    "domains.md": {"5%", "95%", "0.04"},
    "domains_budget.md": {
        "3.9", "0.44", "0.24", "0.60", "1.59", "1.17", "2.23", "0.57", "0.42", "0.70", "1.39",
        "1.29", "1.47", "95%", "0.00", "0.8",
    },
    "domains_method.md": {"1%", "0.55", "0.25", "0.15", "0.05", "1.15", "3%"},
    "flow_matching.md": {"0.02", "95%"},
    "gan.md": {"1.6", "0.6", "95%"},
    "gan_losses.md": {"95%"},
    "gan_method.md": {"0.01", "0.05", "0.989", "0.6"},
    "vae.md": {"5%", "95%", "0.7"},
    "vae_method.md": {"0.1", "0.2", "0.5", "0.7"},
}  # fmt: skip
NOT_PROSE = (
    r"<!-- results .*?-->.*?<!-- end -->", r"```.*?```", r"(?m)^    [^\n]*", r"`[^`]*`",
    r"\]\([^)]*\)", r"\^\{?[\d.]+\}?", r"(Python|Apache) [\d.]+",
)  # fmt: skip
FIGURE = re.compile(r"(?<![\w.])\d+\.\d+%?(?![\w]|\.\d)|(?<![\w.])\d+%")
FIGURES = [(name, *pair) for name, found in PICTURES.items() for pair in found.items()]
RESULTS = published.read(ROOT / "results")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_was_measured(page):
    text = page.read_text()
    assert published.fill(text, ROOT / "results") == text


def by_hand(text: str) -> set[str]:
    """Decimals and percentages of a page outside of quotes, code, links and powers of n."""
    for part in NOT_PROSE:
        text = re.sub(part, "", text, flags=re.S)
    return set(FIGURE.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_figure_of_a_page_is_quoted_from_results(page):
    if page.name not in NO_RESULTS:
        assert by_hand(page.read_text()) == BY_HAND.get(page.name, set())


def test_what_is_quoted_coded_or_a_power_is_no_figure_by_hand():
    text = (
        "as n^1.5, `0.3`, [one](a0.4.md) <!-- results vae value x -->0.5<!-- end -->, Python 3.11"
    )
    assert by_hand(text) == set()
    assert by_hand("57% of 4.02 (3.9 to 4.1) in v1.2.3, jax 0.10.2; 12 of 30.") == {
        "57%", "4.02", "3.9", "4.1",
    }  # fmt: skip


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
