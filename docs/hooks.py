"""Pages of the site that the repository holds elsewhere, and formulas without a script.

mkdocs calls `on_...` (mkdocs.yml). Start, contributing, changes and decisions are the files in the
root; claims and glossary come from genjax's own data, the gallery from the pages' pictures, the API
from docstrings. A link that leaves docs/ takes its file along, so that a dead one is a warning.
"""

import html
import importlib
import pkgutil
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

import genjax
from genjax.claims.sealed import Claim, ledger
from genjax.core import shipped
from genjax.report import results
from genjax.report.published import verdict_cells

ROOT = Path(__file__).parents[1]
ROOMS = {
    "vae": "VAE against autoencoder",
    "gan": "GAN mode collapse",
    "scaling": "The cost of attention",
    "domains": "Domain generalization",
}
# Files of the root that are pages.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "BUILD_NOTES.md": "build_notes.md",
}
NAMED = re.compile(r"\w+\.md")
LINK = re.compile(r"(!?\[[^\]]*\]\()([^()\s#]+)(#[^()\s]*)?(\))")
PICTURE = re.compile(r"!\[([^\]]+)\]\(([^()\s]+\.png)\)")
TITLE = re.compile(r"^# (.+)$", re.M)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


def on_config(config):
    """The API's pages in the menu, and pages of docs/ that mkdocs.yml does not name."""
    for entry in config.nav:
        if entry.get("API") == "api/":
            entry["API"] = [f"api/{name}.md" for name in api()]
    named = NAMED.findall(str(config.nav))
    unnamed = {path.name for path in (ROOT / "docs").glob("*.md")}.difference(named)
    if unnamed:
        config.nav.insert(-1, {"More": sorted(unnamed)})
    return config


def on_files(files: Files, config) -> Files:
    """Adds what is made here, and the files outside of docs/ that pages link to."""

    def add(place: str, content: str | bytes) -> None:
        files.append(File.generated(config, place, content=content))

    for source, place in PAGES.items():
        add(place, (ROOT / source).read_text())
    add("claims.md", claims())
    add("glossary.md", glossary())
    pages = run_pages(ROOT / "runs")
    add("gallery.md", gallery(pages))
    for name, path in pages.items():
        add(f"pages/{name}.html", path.read_bytes())
    for name, content in api().items():
        add(f"api/{name}.md", content)
    for file in list(files.documentation_pages()):
        for target in outside(file.src_uri, file.content_string):
            if files.get_file_from_path(place_of(target)) is None and (ROOT / target).is_file():
                add(place_of(target), (ROOT / target).read_bytes())
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Links between files of the repository as links between pages; those to folders as text."""

    def one(found: re.Match) -> str:
        before, target, anchor, after = found.groups()
        if ":" in target:
            return found[0]
        source = resolved(page.file.src_uri, target)
        if (ROOT / source).is_dir():
            return found[1].removesuffix("](").removeprefix("[")
        place = place_of(source)
        here = posixpath.dirname(page.file.src_uri)
        return f"{before}{posixpath.relpath(place, here or '.')}{anchor or ''}{after}"

    return LINK.sub(one, markdown)


def on_page_content(content: str, page, config, files) -> str:
    """Formulas as MathML, which browsers draw by themselves."""

    def one(found: re.Match) -> str:
        formula = html.unescape(found[2]).strip()
        if found[1] == "span":
            return convert(formula)
        # A phone shows a part of it, and scrolls.
        return f'<div style="overflow-x: auto">{convert(formula, display="block")}</div>'

    return FORMULA.sub(one, content)


# --- Places --------------------------------------------------------------------------------------


def source_of(place: str) -> str:
    """The file of the repository that a page of the site is made of."""
    return {page: source for source, page in PAGES.items()}.get(place, f"docs/{place}")


def place_of(source: str) -> str:
    """Where a file of the repository lies in the site."""
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return PAGES.get(source, f"files/{source}")


def resolved(place: str, target: str) -> str:
    """The file of the repository that a link of a page names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source_of(place)), target))


def outside(place: str, text: str) -> Iterator[str]:
    """Files outside of docs/ that a page links to."""
    for _, target, _, _ in LINK.findall(text):
        source = resolved(place, target)
        if ":" not in target and not source.startswith("docs/"):
            yield source


# --- Pages ---------------------------------------------------------------------------------------


def claims() -> str:
    """Every sealed claim, and what each published run says of it."""
    found = results.read(shipped.RESULTS)
    tries = results.replications(shipped.RESULTS)
    lines = [
        "# All claims",
        "",
        "Each was sealed before the run that judges it: a changed word is a new version, with a "
        "new SHA-256 in its ledger. A verdict follows from the 95% interval of the median over "
        "replicates; a claim is supported only where each negative control fails it and each "
        "positive one passes ([how](notes/claims.md)). Words in braces are filled in by the run. "
        "*Repeats*: tries on as many fresh seeds that gave the verdict again.",
    ]
    for room, title in ROOMS.items():
        module = importlib.import_module(f"genjax.{room}.claims")
        versions = ledger(module.LEDGER)
        lines += ["", f"## {title}"]
        for claim in module.CLAIMS:
            lines += ["", *_claim(claim, len(versions[claim.id]))]
            rows = [
                [f"`{name}`", *verdict_cells(result, one, tries)]
                for name, result in found.items()
                for one in result["claims"]
                if result["room"] == room and one["id"] == claim.id
            ]
            head = [
                "published run",
                "verdict",
                "median (95% interval)",
                "agree",
                "p, adjusted",
                "repeats",
            ]
            lines += ["", *(_table(head, rows) if rows else ["No published run judges it."])]
    return "\n".join(lines) + "\n"


def _claim(claim: Claim, versions: int) -> list[str]:
    sign = "<" if claim.direction == "less" else ">"
    unit = f", {claim.unit}" if claim.unit else ""
    return [
        f"### {claim.id}",
        "",
        f"**{claim.statement}.**",
        "",
        f"- Compared, a value a {claim.replicate}: {claim.estimand}{unit}.",
        f"- Claimed: a median {sign} {claim.threshold:.3g}; margin {claim.margin:.3g}, "
        f"{claim.why}.",
        f"- Must not pass: {'; '.join(claim.negative)}.",
        f"- Must pass: {'; '.join(claim.positive)}.",
        f"- Version {claim.version} of {versions}, {claim.date}, seal `{claim.seal[:16]}`.",
    ]


def glossary() -> str:
    """The words of the runs' pages, by experiment."""
    lines = ["# Glossary", "", "As the page of each run explains them, with their units."]
    for room, title in ROOMS.items():
        terms = importlib.import_module(f"genjax.{room}.about").ABOUT.terms
        rows = [
            [f"`{name}`", term.meaning, term.unit]
            for name, term in sorted(terms.items(), key=lambda one: one[0].strip("@/.").lower())
        ]
        lines += ["", f"## {title}", "", *_table(["word", "meaning", "unit"], rows)]
    return "\n".join(lines) + "\n"


def run_pages(runs: Path) -> dict[str, Path]:
    """{flagfile: its page}, of the published runs that were repeated here under their own names."""
    paths = {
        name: runs / result["experiment"] / name / "report.html"
        for name, result in results.read(shipped.RESULTS).items()
    }
    return {name: path for name, path in paths.items() if path.exists()}


def gallery(pages: Mapping[str, Path]) -> str:
    """The pictures of all pages, and links to the pages of runs."""
    lines = ["# Gallery", "", "The pictures of the result pages; each opens its page."]
    if pages:
        links = ", ".join(f"[{name}](pages/{name}.html)" for name in pages)
        lines += ["", f"Whole pages, as the run wrote them where this site was built: {links}."]
    for path in sorted((ROOT / "docs").glob("*.md")):
        text = path.read_text()
        pictures = PICTURE.findall(text)
        if pictures:
            lines += ["", f"## [{TITLE.search(text)[1]}]({path.name})"]
        for caption, picture in pictures:
            said = f"{caption[0].upper()}{caption[1:]}"
            lines += ["", said, "", f"[![{caption}]({picture})]({path.name})"]
    return "\n".join(lines) + "\n"


def api() -> dict[str, str]:
    """{page: its text}: a page a package, and one for the modules at the top."""
    top, pages = ["genjax"], {}
    for module in pkgutil.iter_modules(genjax.__path__, "genjax."):
        if module.ispkg:
            path = importlib.import_module(module.name).__path__
            inside = [one.name for one in pkgutil.iter_modules(path, f"{module.name}.")]
            pages[module.name.removeprefix("genjax.")] = [module.name, *inside]
        else:
            top.append(module.name)
    return {
        name: "\n".join([f"# {modules[0]}", *(f"\n::: {one}" for one in modules)])
        for name, modules in {"genjax": top, **pages}.items()
    }


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *escaped)]
