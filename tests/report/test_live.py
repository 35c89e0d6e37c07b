"""The page while it trains: what it shows, who may read it, and that nothing hangs on it."""

import json
import re
import socket
import threading
import urllib.error
import urllib.request

import pytest
import run_folders

from genjax.core import rows as log
from genjax.core.errors import UsageError
from genjax.core.progress import Job
from genjax.core.writers import Writers
from genjax.report import live
from genjax.report.about import About, Term

ABOUT = About("Does <it> work?", terms={"loss": Term("What is minimised.", "nats")})


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page that is drawn at every row, of a run folder that is open; both end with the test."""
    monkeypatch.setattr(live, "EVERY", 0.0)
    monkeypatch.setattr(live, "SHARE", 0)
    kept = run_folders.opened(tmp_path / "run")
    made = live.Live(0, kept.path, "A title", ABOUT, ["ae", "vae"])
    kept.job, kept.writers = Job({"ae": 40, "vae": 40}), Writers(live=made)
    made.kept = kept
    yield made
    made.stop(done=False)
    kept.close()


def fetched(page, path="", method="GET"):
    asked = urllib.request.Request(page.address + path, method=method)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read().decode(), answer.headers


def rows(step):
    return [{"seed": seed, "step": step, "loss": step + seed, "modes": 8.0} for seed in (0, 1)]


def chart(text):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.S)[1])


def test_it_is_there_before_anything_is_logged_and_grows_with_every_row(page):
    page.begin(page.kept.job)
    text, _ = fetched(page)
    assert "Nothing was logged yet" in text and "Plotly" not in text
    assert "<h1>A title</h1>" in text and "Does &lt;it&gt; work?" in text
    page.kept.job.reach("ae", 20, 10.0)
    page.kept.write("ae", rows(10))
    page.kept.write("ae", rows(20))
    text, _ = fetched(page, "report.html")
    loss, modes = chart(text)["panels"]
    assert [one["y"]["label"] for one in (loss, modes)] == ["loss (nats)", "modes (as logged)"]
    (ae,) = loss["series"]
    assert (ae["name"], ae["x"], ae["y"]) == ("ae", [10, 20], [10.5, 20.5])
    assert (ae["low"], ae["high"]) == ([10, 20], [11, 21]) and ae["seeds"]["1"] == [11, 21]
    assert "Training is 25% done, 20 of 80 steps; about 30 s left" in text
    assert "No verdict yet" in text and "Plotly" in text


def test_a_run_in_blocks_of_seeds_is_one(page):
    for first in (0, 2):
        block = page.folder / "blocks" / str(first)
        block.mkdir(parents=True)
        logged = [row | {"arm": "ae", "seed": first} for row in rows(10)[:1]]
        (block / "metrics.jsonl").write_bytes(b"".join(map(log.encode, logged)))
    (loss, _) = chart(page.render())["panels"]
    assert [*loss["series"][0]["seeds"]] == ["0", "2"]


def test_who_asks_for_the_head_learns_whether_it_has_changed(page):
    page.begin(page.kept.job)
    first = fetched(page, method="HEAD")[1]["ETag"]
    assert fetched(page, method="HEAD")[1]["ETag"] == first
    page.kept.write("ae", rows(10))
    body, headers = fetched(page, method="HEAD")
    assert body == "" and headers["ETag"] != first


def test_nothing_but_the_page_is_served_and_on_this_machine_alone(page):
    page.begin(page.kept.job)
    for path in ("config.json", "../config.json", "%2e%2e/config.json", "plots/"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(page, path)
    assert page.address.startswith("http://127.0.0.1:")
    assert page._server.server_address[0] == "127.0.0.1"


def test_it_is_not_drawn_between_timings_nor_too_often(page, monkeypatch):
    drawn = []
    monkeypatch.setattr(page, "render", lambda: drawn.append(1) or "page")
    page.kept.write("flash", [{"mode": "forward", "seconds": 1.0}])
    assert not drawn
    page.kept.write("ae", rows(10))
    page.kept.write("ae", rows(20))
    assert len(drawn) == 2
    monkeypatch.setattr(live, "EVERY", 1000.0)
    page.kept.write("ae", rows(30))
    page.kept.write("ae", rows(40))
    assert len(drawn) == 3


def test_what_fails_in_it_is_one_line_and_rows_are_logged_all_the_same(page, monkeypatch, capsys):
    def fail():
        raise RuntimeError("no ink\nat all")

    monkeypatch.setattr(page, "render", fail)
    page.begin(page.kept.job)
    page.kept.write("ae", rows(10))
    page.kept.write("ae", rows(20))
    said = capsys.readouterr().err
    assert said == "--live: the page cannot be drawn (no ink); training goes on\n"
    assert len(page.kept.rows()) == 4
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetched(page)


def test_a_port_in_use_is_refused_in_a_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--live={port}: .*; name another port") as caught:
            live.Live(port, tmp_path / "new", "A title", ABOUT, [])
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()


def test_it_stops_with_the_run_and_who_watches_gets_the_finished_page(page, monkeypatch):
    page.begin(page.kept.job)
    fetched(page)
    (page.folder / live.PAGE).write_text("finished")
    stopped = threading.Thread(target=page.stop, kwargs={"done": True})
    stopped.start()
    assert fetched(page)[0] == "finished"
    stopped.join(timeout=10)
    assert not stopped.is_alive()
    with pytest.raises(urllib.error.URLError, match="refused"):
        fetched(page)


def test_curves_are_of_the_runs_arms_and_of_what_has_a_step():
    logged = [{"arm": "ae"} | row for row in rows(10)]
    others = [{"arm": "classifier", "accuracy": 1.0} | row for row in rows(10)]
    others.append({"arm": "ae", "length": 3})
    found = live.curves([*logged, *others], ["ae", "vae"], ABOUT)
    assert [panel.y.label for panel in found.panels] == ["loss (nats)", "modes (as logged)"]
    assert [one.name for panel in found.panels for one in panel.series] == ["ae", "ae"]
    many = [{"arm": "ae", "seed": 0, "step": 1} | {f"m{i}": 1.0 for i in range(live.MOST + 5)}]
    assert len(live.curves(many, ["ae"], ABOUT).panels) == live.MOST
