"""Generated text: cut, printable, and text on the page."""

import re

import numpy as np

from genjax.domains.figures import FIGURES
from genjax.report import page, texts


def test_what_is_shown_is_cut_and_printable():
    given, long = "a" * 300 + "end", "b" * 500
    one = texts.passage("t", given, {"x": long, "y": "one\ntwo\x1b[0m \u202eback"})
    assert one.given == "…" + "a" * 197 + "end"
    assert one.made == {"x": "b" * 400 + "…", "y": "one\ntwo\ufffd[0m \ufffdback"}


def test_each_domain_has_the_texts_of_the_arms_that_made_some():
    made = {"prompts": np.array(["p0", "p1"]), "generated": np.array(["g0", "g1"])}
    run = {
        "summary": {"arms": ["a", "counted", "b"], "domains": ["old", "new"]},
        "arrays": {"a": made, "counted": {}, "b": made | {"generated": np.array(["h0", "h1"])}},
    }
    _, found = FIGURES["samples"](run)
    assert found.passages[1] == ("new", "p1", {"a": "g1", "b": "h1"})
    assert "=== new\np1\n\n--- a\ng1\n" in str(found)
    assert FIGURES["samples"]({**run, "arrays": dict.fromkeys("ab", {}) | {"counted": {}}}) is None


def test_text_is_escaped_and_folds(folder):
    made = texts.Texts([
        texts.passage("first", "a < b", {"x": "<script>alert(1)</script>", "y": "$5 & more"}),
        texts.passage("second", "given", {"x": "went on"}),
    ])  # fmt: skip
    written = page.write(folder, {"samples": lambda run: ("Said so.", made)}).read_text()
    figure = re.search('<figure id="figure-samples".*?</figure>', written, re.S)[0]
    assert "<script" not in figure and "&lt;script&gt;alert(1)&lt;/script&gt;" in figure
    assert "<dt>y</dt><dd>$5 &amp; more</dd>" in figure and "<img" not in figure
    assert re.findall(r'<details class="passage"( open)?>', figure) == [" open", ""]
    assert (folder / "plots" / "samples.txt").read_text() == str(made)
