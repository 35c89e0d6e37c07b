"""The site of mkdocs.yml: it builds without a warning, and is whole without a network."""

import html
import importlib.util
import re
import subprocess
import sys

import pytest
from scripts import ROOT

from genjax.report import results

for module in ("material", "mkdocstrings", "latex2mathml"):
    pytest.importorskip(module, reason="pip install -e '.[docs]' builds the site")

ROOMS = ("vae", "gan", "scaling", "domains")
TAG = re.compile(r'<(\w+)[^>]*?\s(href|src)="([^"]*)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {path: path.read_text() for path in folder.rglob("*.html") if path.name != "404.html"}


def page(site, name):
    """What a page at the top says."""
    top = min(site, key=lambda path: len(path.parts)).parent
    return html.unescape(re.sub(r"<[^>]+>", "", site[top / name]))


def test_every_link_leads_somewhere(site):
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in site.items()}
    dead = []
    for path, text in site.items():
        for _, _, link in TAG.findall(text):
            place, _, anchor = html.unescape(link).partition("#")
            if re.match(r"[a-z]+:", place):
                continue
            target = (path.parent / place).resolve() if place else path
            if not target.exists() or (anchor and target in ids and anchor not in ids[target]):
                dead.append((path.name, link))
    assert not dead


def test_nothing_is_fetched_from_elsewhere(site):
    for path, text in site.items():
        for tag, _, link in TAG.findall(text):
            assert tag == "a" or not re.match(r"(https?:)?//", link), (path.name, link)


def test_pages_of_published_runs_are_found_by_their_names(tmp_path):
    place = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    hooks = importlib.util.module_from_spec(place)
    place.loader.exec_module(hooks)
    for name in ("vae_digits", "own"):
        (tmp_path / "vae" / name).mkdir(parents=True)
        (tmp_path / "vae" / name / "report.html").touch()
    (tmp_path / "gan" / "gan_ring").mkdir(parents=True)
    pages = hooks.run_pages(tmp_path)
    assert pages == {"vae_digits": tmp_path / "vae" / "vae_digits" / "report.html"}
    assert "[vae_digits](pages/vae_digits.html)" in hooks.gallery(pages)


def test_formulas_are_drawn_by_the_browser_itself(site):
    drawn = {path.name for path, text in site.items() if "<math" in text}
    assert {f"{name}_method.html" for name in ("vae", "gan", "attention", "domains")} <= drawn
    for path, text in site.items():
        assert "arithmatex" not in text, path.name


def test_every_sealed_claim_and_every_published_verdict_is_there(site):
    text = page(site, "claims.html")
    for room in ROOMS:
        for claim in importlib.import_module(f"genjax.{room}.claims").CLAIMS:
            assert f"{claim.statement}." in text and claim.seal[:16] in text
    for name, result in results.read(ROOT / "results").items():
        assert text.count(f"{name}\n") == len(result["claims"]), name


def test_every_word_of_the_pages_is_explained(site):
    text = page(site, "glossary.html")
    for room in ROOMS:
        for word, term in importlib.import_module(f"genjax.{room}.about").ABOUT.terms.items():
            assert word in text and term.meaning.replace("`", "") in text, word


def test_every_module_has_a_place(site):
    text = "".join(text for path, text in site.items() if path.parent.name == "api")
    for path in (ROOT / "genjax").glob("*/*.py"):
        if path.stem != "__init__":
            assert f'id="genjax.{path.parent.name}.{path.stem}"' in text, path
