"""Links of the pages and notebooks. `python tests/links.py` lists those that lead elsewhere.

What lies elsewhere is looked at for its form alone: tests need no network.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent


class Link(NamedTuple):
    """page: the file that it stands in."""

    page: Path
    target: str

    @property
    def is_external(self) -> bool:
        return bool(urlsplit(self.target).scheme or urlsplit(self.target).netloc)


def pages(root: Path = ROOT) -> list[Path]:
    """What people read of a checkout."""
    patterns = ("*.md", "docs/**/*.md", "notebooks/*.ipynb")
    return sorted(path for pattern in patterns for path in root.glob(pattern))


def text(page: Path) -> str:
    """A page's Markdown; of a notebook that of its cells."""
    if page.suffix != ".ipynb":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def _tokens(page: Path) -> Iterator:
    for token in MarkdownIt().enable("table").parse(text(page)):
        yield token
        yield from token.children or ()


def of(page: Path) -> list[Link]:
    """Links and pictures of a page, those of HTML in it too."""
    found = []
    for token in _tokens(page):
        if token.type in ("html_inline", "html_block"):
            found += re.findall(r"""(?:href|src)=["']([^"']+)""", token.content)
        else:
            found += [token.attrs[name] for name in ("href", "src") if name in token.attrs]
    return [Link(page, target) for target in found]


def anchors(page: Path) -> set[str]:
    """What `#...` may name on a page: its headings as GitHub writes them, and ids in its HTML."""
    found, heading = {}, False
    for token in _tokens(page):
        if token.type == "inline" and heading:
            words = "".join(part.content for part in token.children if part.type != "html_inline")
            slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
            found.setdefault(slug, 0)
            found[slug] += 1
        heading = token.type == "heading_open"
    made = {f"{slug}-{i}" if i else slug for slug, count in found.items() for i in range(count)}
    return made | set(re.findall(r"""\bid=["']([^"']+)""", text(page)))


def wrong(link: Link, root: Path = ROOT) -> str:
    """What is wrong with a link, or ''."""
    parts = urlsplit(link.target)
    if link.is_external:
        host = parts.hostname or ""
        fine = parts.scheme == "https" and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host)
        return "" if fine and not re.search(r"[\s<>\"{}|\\^`]", link.target) else "no https address"
    place = link.page
    if parts.path:
        place = (link.page.parent / unquote(parts.path)).resolve()
        if not place.is_relative_to(root.resolve()):
            return "leads out of the repository"
        if not place.exists():
            return "no such file"
    if not parts.fragment:
        return ""
    if place.suffix not in (".md", ".ipynb"):
        return "a heading of what has none"
    return "" if unquote(parts.fragment) in anchors(place) else "no such heading"


if __name__ == "__main__":
    print("\n".join(sorted({link.target for p in pages() for link in of(p) if link.is_external})))
