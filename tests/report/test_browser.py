"""The page in a browser: nothing overflows or fails, in light and dark; needs Chromium, Playwright.

apt-get install chromium && pip install playwright
"""

import itertools
import json
import math
import shutil

import pytest

from genjax.report import index
from genjax.report import page as report
from genjax.report.charts import Axis, Chart, Panel, Series
from genjax.vae import figures
from genjax.vae.about import ABOUT

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright is installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")

WIDTHS, SCHEMES = (390, 768, 1440), ("light", "dark")
# What sticks out of the window and is in no box that scrolls.
SPILT = """() => [...document.body.querySelectorAll("*")].filter(e => {
  const box = e.getBoundingClientRect()
  const boxed = e.closest(".scroll, svg, .skip, .panels > div")
  return box.width && box.right > innerWidth + 1 && !boxed
}).map(e => e.outerHTML.slice(0, 200))"""
# Points of one place or near it, and of a corner, each with its name.
PLACES = [(1, 0.5), (1, 0.5), (1.5, 0.52), (2, 0.5), (90, 1)]


def named(name: str, x: float, y: float) -> Series:
    """A point whose interval has one end."""
    return Series(name, [x], [y], [y - 0.1], [math.nan], points=True, labels=[name])


SERIES = [named(f"variant {i}", *place) for i, place in enumerate(PLACES)]
NAMED = Chart([Panel(Axis("time", "ms", log=True), Axis("found", "share"), SERIES)])
FIGURES = figures.FIGURES | {"named": lambda run: ("Points with names.", NAMED)}
BLANK = "[...document.images].filter(i => !(i.complete && i.naturalWidth && i.alt)).length"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser, folder):
    """(width, scheme) -> (page, what its console said)."""
    path = report.write(folder, FIGURES, ABOUT)
    contexts = []

    def open_(width=1440, scheme="light", **options):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, **options)
        contexts.append(context)
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda one: said.append(one.url) if one.url[:4] == "http" else None)
        page.goto(path.as_uri())
        return page, said

    yield open_
    for context in contexts:
        context.close()


def test_nothing_overflows_or_fails_at_any_width_in_any_scheme(opened):
    grounds = set()
    for width in WIDTHS:
        for scheme in SCHEMES:
            page, said = opened(width, scheme)
            for details in page.query_selector_all("details"):
                details.evaluate("e => e.open = true")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(SPILT) == [] and page.evaluate(BLANK) == 0
            assert page.locator("figure").count() == len(FIGURES)
            assert said == []
            colour = "getComputedStyle(document.body).backgroundColor"
            grounds.add((scheme, page.evaluate(colour)))
    assert len({ground for _, ground in grounds}) == len(SCHEMES) == len(grounds)


def test_the_index_of_runs_is_read_on_a_phone_without_scrolling_aside(browser, tmp_path):
    run = tmp_path / "line" / "done"
    run.mkdir(parents=True)
    asked = {"version": 2, "experiment": "line", "room": "line", "config": {}}
    (run / "config.json").write_text(json.dumps(asked))
    found = {"data": "a long name " * 9, "arms": [f"arm{i}" for i in range(20)], "seeds": [0]}
    found["claims"] = [{"id": "L1", "verdict": "undetermined"}]
    (run / "summary.json").write_text(json.dumps(found))
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(index.write(tmp_path).resolve().as_uri())
    cells = page.locator("tbody th, tbody td")
    boxes = [cell.bounding_box() for cell in cells.all()]
    assert len(boxes) == 7 and all(box["x"] + box["width"] <= 390 for box in boxes)
    heads = page.locator("thead th").all_inner_texts()[1:]
    assert [cell.get_attribute("data-name") for cell in cells.all()][1:] == heads
    page.close()


def test_curves_are_drawn_and_answer_the_mouse(opened):
    page, said = opened()
    figure = page.locator("#figure-training_curves")
    panels = figure.locator(".panels > div")
    assert panels.count() == figure.locator(".js-plotly-plot").count() == 2
    assert figure.locator("img").is_hidden()
    lines = panels.first.locator(".scatterlayer .trace")
    with_bands = lines.count()
    figure.get_by_label("valid").uncheck()
    assert lines.count() == with_bands // 2
    figure.get_by_label("each seed").check()
    assert lines.count() == with_bands // 2 + 1
    place = panels.first.locator(".point").last
    place.hover(force=True)
    label = panels.first.locator(".hovertext")
    label.wait_for()
    assert "train" in label.text_content() and "training (steps): 100" in label.text_content()
    assert said == []


def test_names_beside_points_cover_no_other_and_stay_inside(opened):
    page, said = opened(390)
    panel = page.locator("#figure-named .panels > div")
    # The pointer names those for which there is no room.
    texts = [text for text in panel.locator(".textpoint text").all() if text.text_content()]
    assert len(texts) >= 3 and "variant 4" in {text.text_content() for text in texts}
    inside = panel.locator(".nsewdrag").bounding_box()
    boxes = [text.bounding_box() for text in texts]
    for box in boxes:
        assert inside["x"] <= box["x"] + 1
        assert box["x"] + box["width"] <= inside["x"] + inside["width"] + 1
        assert inside["y"] <= box["y"] + 1
    for a, b in itertools.combinations(boxes, 2):
        beside = a["x"] + a["width"] <= b["x"] + 1 or b["x"] + b["width"] <= a["x"] + 1
        above = a["y"] + a["height"] <= b["y"] + 2 or b["y"] + b["height"] <= a["y"] + 2
        assert beside or above
    # A scale of powers says numbers, not digits.
    ticks = [text.text_content() for text in panel.locator(".xtick text").all()]
    assert {"1", "10", "50"} <= {*ticks} and len(ticks) == len({*ticks})
    assert said == []


def test_without_javascript_the_pictures_stay(opened):
    page, _ = opened(java_script_enabled=False)
    assert page.locator("figure img").count() == len(FIGURES)
    assert all(image.is_visible() for image in page.locator("figure img").all())


def test_the_keyboard_finds_its_way(opened):
    page, _ = opened(390)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1, landmark
    # A box that scrolls is reached by the keyboard, and says what it is.
    boxes = page.locator(".scroll")
    assert boxes.count() == page.locator(".scroll[tabindex][role=region]").count() > 0


def test_what_scrolls_sideways_says_so_until_its_end(opened):
    fades = "e => getComputedStyle(e).maskImage !== 'none'"
    page, said = opened(390)
    assert page.get_by_text("that fade at the right scroll sideways").is_visible()
    boxes = [box for box in page.locator(".scroll").all() if box.is_visible()]
    wide = [box for box in boxes if box.evaluate("e => e.scrollWidth > e.clientWidth + 1")]
    page.wait_for_function("document.querySelectorAll('.more').length")
    assert wide and [box.evaluate(fades) for box in wide] == [True] * len(wide)
    wide[-1].evaluate("e => e.scrollLeft = e.scrollWidth")
    page.wait_for_function("e => !e.classList.contains('more')", arg=wide[-1].element_handle())
    assert not wide[-1].evaluate(fades)
    page, _ = opened(1440)
    assert page.locator(".narrow").is_hidden() and not page.locator(".more").count()
    assert said == []


def test_an_interval_lies_where_its_numbers_say(opened):
    page, _ = opened()
    strip = page.locator("#claim-V1 .strip.run svg")
    width = strip.bounding_box()["width"]
    line = strip.locator(".threshold").bounding_box()["x"] - strip.bounding_box()["x"]
    # V1 of the folder: -4.9, without a spread, against 0; the scale keeps 4% at each end.
    assert line == pytest.approx(0.96 * width, abs=1.5)
