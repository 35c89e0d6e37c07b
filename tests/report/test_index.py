"""The index of runs: which folders are runs, and what is said of each."""

import json

import pytest

from genjax.core.errors import UsageError
from genjax.report import index

CONFIG = {"version": 2, "experiment": "line", "room": "line", "config": {}}
SUMMARY = {
    "data": "points <b>", "arms": ["a"], "seeds": [0, 1],
    "claims": [
        {"id": "L1", "verdict": "supported"}, {"id": "L2", "verdict": "supported"},
        {"id": "L3", "verdict": "refuted"},
    ],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    def put(place, **files):
        (tmp_path / place).mkdir(parents=True)
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / place / name.replace("_", ".")).write_text(text)

    put("line/done", config_json=CONFIG, summary_json=SUMMARY, report_html="page")
    put("line/done/blocks/0", config_json=CONFIG, summary_json=SUMMARY)
    put("line/begun #1", config_json=CONFIG)
    put("other", config_json={"port": 80})
    put("broken", config_json="{")
    return tmp_path


def test_runs_are_listed_but_not_their_parts_or_what_is_none(folder):
    rows = {row["place"]: row for row in index.runs(folder)}
    assert rows.keys() == {"line/done", "line/begun #1"}
    done, begun = rows["line/done"], rows["line/begun #1"]
    assert done["claims"] == [("supported", "✓", 2), ("refuted", "✗", 1)]
    assert (done["state"], done["seeds"], done["page"]) == ("finished", 2, True)
    assert (begun["state"], begun["seeds"], begun["claims"]) == ("not finished", None, [])


def test_the_page_escapes_and_links(folder):
    text = index.write(folder).read_text()
    assert "points &lt;b&gt;" in text and '<a href="line/done/report.html">' in text
    assert "2 supported" in text and "begun #1/report" not in text
    assert ">none</td>" not in text
    (folder / "line/done/summary.json").write_text(json.dumps(SUMMARY | {"claims": []}))
    assert index.write(folder).read_text().count(">none</td>") == 1


def test_a_folder_of_runs_is_none_itself(folder, tmp_path):
    assert index.holds_runs(folder) and not index.holds_runs(folder / "line" / "done")
    assert not index.holds_runs(folder / "nothing")
    with pytest.raises(UsageError, match="no run in it"):
        index.runs(folder / "other")
