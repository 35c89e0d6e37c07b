"""What a room tells the page about itself, as data: the page knows no room."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from genjax.core.config import Options


class Term(NamedTuple):
    """What a name on the page means; unit: of its numbers, where the run's files name none."""

    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class About:
    """Words and places of one experiment.

    question: one sentence. asserts: {claim: what it asserts, in half a sentence}, of the claims
    that answer the question; `{}` stands for what follows the number of a claim in its id, such as
    "linear" in "A3 linear". beside: {figure: claims that it is a picture of}. terms: {measure, row,
    sampler or word: Term}; "@last" is what follows a row's name, "/k=#" what follows a measure's, #
    any number. ledger: the file of the earlier wordings. config: the room's
    configuration, whose defaults are what a run did before an option was there.
    """

    question: str = ""
    asserts: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    terms: Mapping[str, Term] = field(default_factory=dict)
    ledger: Path | None = None
    config: type[Options] | None = None


def keys(name: str) -> list[str]:
    """What a term may be listed under: the name, its beginning, and what follows, '/all' say."""
    numbered = re.sub(r"\d+(\.\d+)?", "#", name)
    return [name, *re.findall(r"^[^/@.]+|[/@.][^/@.]+", numbered), numbered]


def found(terms: Mapping[str, Term], name: str) -> str | None:
    """The term that explains a name of a table first; None where there is none."""
    return next((key for key in keys(name) if key in terms), None)


def used(terms: Mapping[str, Term], names: Iterable[str], text: str) -> dict[str, Term]:
    """The terms that names of tables, or words of a text, use; in the order of the alphabet."""
    listed = {key for name in names for key in keys(name)}
    plain = _plain(text)
    chosen = [
        key
        for key in terms
        if key in listed or re.search(rf"(?<!\w){re.escape(_plain(key))}(?!\w)", plain)
    ]
    return {key: terms[key] for key in sorted(chosen, key=lambda key: key.strip("@/.").lower())}


def _plain(text: str) -> str:
    return text.lower().replace("_", " ")


def base(claim: str) -> tuple[str, str]:
    """("A3", "linear") of "A3 linear"."""
    number, _, rest = claim.partition(" ")
    return number, rest
