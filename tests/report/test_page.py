"""Figures and page from the files of a run, without jax."""

import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from genjax.core.errors import UsageError
from genjax.report import html
from genjax.report import page as report
from genjax.report.plots import name_points, small_multiples, styles
from genjax.vae.about import ABOUT
from genjax.vae.figures import FIGURES

ROOT = Path(__file__).parents[2]
ARMS = ["ae", "vae@0.1"]


def test_every_figure_is_drawn_and_none_is_blank(folder):
    captions = {name: caption for name, (caption, _) in report.draw(folder, FIGURES).items()}
    report.write(folder, FIGURES)
    drawn = {path.stem: imread(path) for path in (folder / "plots").iterdir()}
    assert captions.keys() == drawn.keys() == FIGURES.keys()
    for name, pixels in drawn.items():
        assert captions[name] and min(pixels.shape[:2]) > 150, name
        assert pixels[..., :3].std() > 0.02, name


def test_figures_without_their_arrays_are_left_out(folder):
    for path in (folder / "arrays").iterdir():
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if name != "variances"}
        np.savez(path, **arrays)
    assert report.draw(folder, FIGURES).keys() == FIGURES.keys() - {"active_units"}


def test_page_is_whole_and_stands_alone(folder):
    page = report.write(folder, FIGURES, ABOUT).read_text()
    assert "A &lt;b&gt;title&lt;/b&gt;" in page and "<b>title" not in page
    for verdict in ("supported", "refuted", "undetermined"):
        assert f'<strong class="badge {verdict}">' in page
    assert page.count("data:image/webp;base64,") == len(FIGURES)
    marked = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.search(r'(src|href)="(?!data:|#)', marked)
    assert "<code>genjax vae --flagfile=&lt;this folder&gt;/flags.txt" in page
    assert "(no interval)" in page and "kFID is not FID" in page
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert anchors and {*anchors} <= {*re.findall(r'id="([^"]+)"', page)}
    assert page.index('id="claim-V1"') < page.index('id="figure-reconstructions"')
    assert page.index('id="figure-reconstructions"') < page.index('id="claim-V2"')


def test_a_page_without_claims_says_so(folder):
    said = "No claim is about these models and these data"
    assert said not in report.write(folder, FIGURES, ABOUT).read_text()
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"claims": []}))
    assert said in report.write(folder, FIGURES, ABOUT).read_text()


def test_a_name_in_a_text_is_set_as_one():
    assert html.named("less <b> than `known`") == "less &lt;b&gt; than <code>known</code>"


def test_page_of_a_room_that_says_nothing_of_itself(folder):
    page = report.write(folder, FIGURES).read_text()
    assert "Glossary" not in page and 'id="pictures"' in page
    assert page.index('id="claim-V5a"') < page.index('id="figure-reconstructions"')


def test_a_published_configuration_says_how_often_its_verdicts_repeat(folder, tmp_path):
    results = tmp_path / "published"
    results.mkdir()
    flags = json.loads((folder / "summary.json").read_text())["flags"]
    (results / "mine.json").write_text(json.dumps({"flags": flags}))
    claims = json.loads((folder / "summary.json").read_text())["claims"]
    one = {"claim": "V1", "seal": None, "flagfile": "mine", "outcome": "repeated"}
    one["replicates"] = next(each.get("replicates") for each in claims if each["id"] == "V1")
    (results / "replications.jsonl").write_text(json.dumps(one) + "\n")
    page = report.write(folder, FIGURES, ABOUT, results).read_text()
    assert page.count("fresh seeds:</b> 1 of 1.") == 1
    other = flags | {"steps": 7}
    (results / "mine.json").write_text(json.dumps({"flags": other}))
    page = report.write(folder, FIGURES, ABOUT, results).read_text()
    assert "fresh seeds:</b> 1 of 1." not in page


def test_markdown_table(folder):
    table = report.markdown_table(report.read(folder)["summary"])
    lines = table.splitlines()
    header = next(line for line in lines if line.startswith("| model | mse"))
    assert "mse ↓ (per pixel)" in header and "probe/100 ↑" in header
    assert any(line.startswith("| vae@0.1 | gmm | 3.5 ± 6.4 |") for line in lines)
    assert any(line.startswith("| floor |  | 1 |") for line in lines)
    assert "not finite" in table


def test_broken_files_are_named(folder, tmp_path):
    with pytest.raises(UsageError, match="no run, there is no such folder"):
        report.read(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="summary.json is missing"):
        report.read(tmp_path / "empty")
    (folder / "arrays" / "ae.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UsageError, match="is broken"):
        report.read(folder)
    (folder / "summary.json").write_text('{"arms": [')
    with pytest.raises(UsageError, match="is broken"):
        report.read(folder)


def test_script_needs_no_jax_and_refuses_in_one_line(folder):
    script = ROOT / "experiments" / "report.py"
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(script.parent)!r}); "
        f"sys.argv = ['report.py', {str(folder)!r}]; "
        f"runpy.run_path({str(script)!r}, run_name='__main__'); assert 'jax' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("report.html")
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"metrics": {"ae/mse": {}}}))
    for place, why in (("x", "config.json is missing"), (folder, "another version of genjax")):
        bad = subprocess.run([sys.executable, script, place], capture_output=True, text=True)
        assert bad.returncode == 2 and why in bad.stderr
        assert len(bad.stderr.strip().splitlines()) == 1


def test_many_arms_are_told_apart():
    drawn = styles([f"arm{i}" for i in range(16)])
    assert len({tuple(style.values()) for style in drawn.values()}) == 16
    figure, panels = small_multiples(8, 6, 2.0, 1.5)
    assert figure.get_size_inches().tolist() == [12.0, 3.0]
    assert [axes.axison for axes in figure.axes] == [True] * 8 + [False] * 4
    assert list(panels) == figure.axes[:8]


def test_names_beside_points_hide_no_other_and_stay_inside():
    axes = Figure(figsize=(4, 3)).subplots()
    places = [("longformer", (0.5, 0.5)), ("sparse_fixed", (0.52, 0.5)), ("full", (0.99, 0.5))]
    axes.set_xlim(0, 1)
    name_points(axes, places)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [name for name, _ in places]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert max(box.x1 for box in boxes) < axes.get_window_extent().x1
    # Nor does a name lie over its own mark, however large.
    name_points(axes, [("large", (0.3, 0.8))], [20.0])
    (x, y), edge = axes.transData.transform((0.3, 0.8)), 20 * axes.figure.dpi / 72
    box = axes.texts[-1].get_window_extent()
    assert math.hypot(box.x0 - x, box.y0 - y) > edge
