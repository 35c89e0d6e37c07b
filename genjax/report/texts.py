"""Generated text: on the page as text, folded by what was given, and beside it as a file."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Characters that are shown of what was given, its end, and of what was generated, its beginning.
GIVEN, MADE = 200, 400


class Passage(NamedTuple):
    """What was given, and how each arm went on: {arm: text}. title: what kind of text it is."""

    title: str
    given: str
    made: Mapping[str, str]


class Texts(NamedTuple):
    """What a room hands over in place of a figure."""

    passages: Sequence[Passage]

    def __str__(self):
        """As a file: a block a passage."""
        return "\n".join(_block(passage) for passage in self.passages)


def passage(title: str, given: str, made: Mapping[str, str]) -> Passage:
    """A passage cut to what is shown, of characters that can be."""
    given, made = printable(given), {arm: printable(text) for arm, text in made.items()}
    if len(given) > GIVEN:
        given = "…" + given[-GIVEN:].lstrip()
    made = {arm: text[:MADE] + "…" * (len(text) > MADE) for arm, text in made.items()}
    return Passage(title, given, made)


def printable(text: str) -> str:
    """Control characters, and those that turn the direction of writing, as U+FFFD; lines stay."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def _block(one: Passage) -> str:
    made = "".join(f"\n--- {arm}\n{text}\n" for arm, text in one.made.items())
    return f"=== {one.title}\n{one.given}\n{made}"
