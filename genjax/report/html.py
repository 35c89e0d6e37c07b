"""The page of a run: what the templates are filled with. From files alone, no jax."""

import base64
import functools
import json
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup, escape
from PIL import Image

from genjax.core import config as configs
from genjax.core import shipped
from genjax.report import about as words
from genjax.report import claim_rows, published
from genjax.report.about import About
from genjax.report.tables import Table, tables
from genjax.report.texts import Texts

TEMPLATES = Path(__file__).with_name("templates")
# plotly.js-basic-dist-min 4.1.1 from npm: MIT, as its first lines say.
SCRIPTS = ("plotly-basic.min.js", "charts.js")
# What was published, and tried again: of a checkout; an installed genjax has none beside it.
RESULTS = shipped.RESULTS
# Pixels of a drawn figure for one of CSS: text of 9 points then has the size of small print.
DENSITY = 1.35


class Drawn(NamedTuple):
    """A figure. kind: "png", "gif" or "txt", of its bytes.

    chart, texts: what the page shows in its place.
    """

    name: str
    caption: str
    kind: str
    content: bytes
    chart: dict | None = None
    texts: Texts | None = None

    @property
    def source(self) -> str:
        """The picture as a URL that needs no other file; PNG as WebP, of half the size."""
        kind, content = self.kind, self.content
        if kind == "png":
            kind, buffer = "webp", BytesIO()
            with Image.open(BytesIO(content)) as image:
                # What a chart replaces may lose a little.
                lossless = self.chart is None
                image.convert("RGB").save(buffer, kind, lossless=lossless, quality=80, method=1)
            content = buffer.getvalue()
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of CSS."""
        with Image.open(BytesIO(self.content)) as image:
            width, height = image.size
        return round(width / DENSITY), round(height / DENSITY)


def render(
    summary: dict, drawn: Sequence[Drawn], about: About, flags: str, results: Path = RESULTS
) -> str:
    """The whole page. flags: what flags.txt of the run holds."""
    claims = summary["claims"]
    ids = {claim["id"] for claim in claims}
    beside = {
        name: claim
        for name, claim in claim_rows.placed(about.beside, claims).items()
        if name in {one.name for one in drawn}
    }
    # The flagfile that published this very configuration, if one did.
    asked = summary["flags"]
    default = configs.to_json(about.config()) if about.config else {}
    flags_of = {name: one["flags"] for name, one in published.read(results).items()}
    same = [name for name, found in flags_of.items() if is_same(found, asked, default)]
    tries = published.replications(results), same[0] if same else ""
    wordings = json.loads(about.ledger.read_text()) if about.ledger else {}
    made = tables(summary)
    text = " ".join(
        [about.question, *(json.dumps(claim) for claim in claims), *(one.caption for one in drawn)]
    )
    return filled(
        "page.html",
        summary=summary,
        about=about,
        answer=claim_rows.answer(claims, about.asserts),
        counts=claim_rows.counts(claims) if claims else "",
        verdicts=claim_rows.VERDICTS,
        claims=claim_rows.rows(claims, wordings, tries),
        pictures={one.name: one for one in drawn},
        beside={claim: [n for n, c in beside.items() if c == claim] for claim in ids},
        alone=[one for one in drawn if one.name not in beside],
        tables=made,
        scripts=scripts() if any(one.chart for one in drawn) else [],
        terms=words.used(about.terms, names(made), text),
        term_of=lambda name: words.found(about.terms, name),
        unit_of=lambda measure: unit_of(measure, about),
        flags=flags,
        command=command(summary["experiment"]),
        facts=facts(summary),
    )  # fmt: skip


def command(experiment: str) -> str:
    """What repeats a run; '' of an experiment that has no command, as it has no flagfile here."""
    if experiment not in {file.experiment for file in shipped.flagfiles().values()}:
        return ""
    return f"genjax {experiment} --flagfile=<this folder>/flags.txt --workdir=<new folder>"


def scripts() -> list[Markup]:
    """What draws the charts of a page, in its order."""
    return [Markup((TEMPLATES / name).read_text()) for name in SCRIPTS]


def is_same(published: dict, asked: dict, default: dict) -> bool:
    """Whether a run is of a published configuration; an option since then is at its default."""
    since = {name: value for name, value in asked.items() if name not in published}
    return published.items() <= asked.items() and since.items() <= default.items()


def names(made: Sequence[Table]) -> list[str]:
    """The names of rows, samplers and measures in tables."""
    found = [measure.name for table in made for measure in table.measures]
    return found + [name for table in made for row in table.rows for name in row[: len(table.keys)]]


def unit_of(measure, about: About) -> str:
    """The unit of a column: the run's, or the one of the term that explains it."""
    key = words.found(about.terms, measure.name)
    return measure.unit or (about.terms[key].unit if key else "")


def facts(summary: dict) -> list[tuple[str, str]]:
    """(name, text) of how a run was made."""
    shown = ("timing", "device", "versions", "commit", "classifier")
    return [(name, written(summary[name])) for name in shown if summary.get(name) is not None]


def written(value) -> str:
    """JSON in words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {written(v)}" for key, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(written, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@functools.cache
def environment() -> Environment:
    """The templates, compiled once a process."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters["named"] = named
    made.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":")}
    return made


def named(text: str) -> Markup:
    """A text with `names` of measures and rows set as such."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def filled(template: str, **content) -> str:
    """A page of what it is filled with. Raises KeyError for what is missing."""
    try:
        return environment().get_template(template).render(content)
    except UndefinedError as error:
        raise KeyError(str(error)) from error  # As any other key that a file lacks.
