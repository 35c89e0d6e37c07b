"""No link of the pages and notebooks is dead; and that a dead one would be seen."""

import json

import links
import pytest

PAGE = """\
# A `code` heading, and *more*

[one](other.md) [two](other.md#same-1) ![three](a%20picture.png) [four](#a-code-heading-and-more)

| a |
| --- |
| [five](sub/deep.md) |

<a href="https://arxiv.org/abs/1312.6114" id="here">six</a> [seven](#here) `[none](of these)`

    [none](of these)
"""
OTHER = "# Same\n\n# Same\n\n[back](sub/../page.md#here)\n"


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "docs/sub").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "docs/page.md").write_text(PAGE)
    (tmp_path / "docs/other.md").write_text(OTHER)
    (tmp_path / "docs/sub/deep.md").write_text("[up](../../docs/page.md)")
    (tmp_path / "docs/a picture.png").touch()
    cells = [
        {"cell_type": "markdown", "source": ["# One\n", "[a](../docs/page.md#here)"]},
        {"cell_type": "code", "source": ["'[no](link)'"]},
    ]
    (tmp_path / "notebooks/book.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


def dead(root):
    found = [
        (link, links.wrong(link, root)) for page in links.pages(root) for link in links.of(page)
    ]
    return {(link.page.name, link.target, reason) for link, reason in found if reason}


def test_whole_pages_have_no_dead_link(tree):
    assert len(links.of(tree / "docs/page.md")) == 7
    assert links.of(tree / "notebooks/book.ipynb")[0].target == "../docs/page.md#here"
    assert dead(tree) == set()


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("none.md", "no such file"),
        ("docs/page.md#none", "no such heading"),
        ("docs/other.md#same-2", "no such heading"),
        ("#none", "no such heading"),
        ("../out.md", "leads out of the repository"),
        ("docs/a%20picture.png#x", "a heading of what has none"),
        ("http://arxiv.org/abs/1", "no https address"),
        ("https://arxiv", "no https address"),
        ("//arxiv.org/x", "no https address"),
        ("mailto:a@b.c", "no https address"),
    ],
)
def test_a_dead_link_is_seen(tree, target, reason):
    (tree / "README.md").write_text(f"[x]({target})")
    assert dead(tree) == {("README.md", target, reason)}


def test_no_link_of_this_repository_is_dead():
    assert len(links.pages()) > 20
    assert dead(links.ROOT) == set()
