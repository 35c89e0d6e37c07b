"""The index of all runs below a folder: what ran, when, and with what verdicts."""

import os
from datetime import datetime
from pathlib import Path

from genjax.core import files
from genjax.core.errors import UsageError
from genjax.core.folder import read_config
from genjax.report import claim_rows, html, page

# The page that `write` makes in the folder of the runs.
PAGE = "index.html"


def holds_runs(folder: Path) -> bool:
    """Whether a folder is no run itself, and there are some below."""
    if os.path.exists(folder / "config.json") or not os.path.isdir(folder):
        return False
    return any(folder.rglob("config.json"))


def runs(folder: Path) -> list[dict]:
    """A row a run folder below, the latest first.

    Keys: place, its path below `folder`; experiment; state, "finished" or "not finished"; written,
    the time of the last change of its summary or configuration; data, arms, seeds (None where it is
    not finished), claims [(verdict, its mark, how many)], page, whether there is a report.html.
    Raises UsageError where there is none.
    """
    places = {path.parent for path in folder.rglob("config.json")}
    # A run's own folders, such as its blocks of seeds, are no runs beside it.
    outer = sorted(path for path in places if not places & {*path.parents})
    made = [row for row in (_row(path, folder) for path in outer) if row]
    if not made:
        raise UsageError(f"{folder}: no run in it, a folder with config.json")
    return sorted(made, key=lambda row: row["written"], reverse=True)


def _row(path: Path, top: Path) -> dict | None:
    try:
        asked = read_config(path)
        summary = page.read_json(path, "summary.json")
    except UsageError:  # No run of this version: such as the config.json of another program.
        return None
    if asked is None or "experiment" not in asked:
        return None
    last = path / ("config.json" if summary is None else "summary.json")
    verdicts = [*page.verdicts((summary or {}).get("claims", [])).values()]
    return {
        "place": path.relative_to(top).as_posix(),
        "experiment": asked["experiment"],
        "state": "not finished" if summary is None else "finished",
        "written": datetime.fromtimestamp(last.stat().st_mtime).isoformat(" ", "minutes"),
        "data": (summary or {}).get("data", ""),
        "arms": (summary or {}).get("arms", []),
        "seeds": len(summary["seeds"]) if summary else None,
        "claims": [
            (verdict, mark, verdicts.count(verdict))
            for verdict, (mark, *_) in claim_rows.VERDICTS.items()
            if verdict in verdicts
        ],
        "page": (path / "report.html").exists(),
    }


def write(folder: Path) -> Path:
    """Writes the index page of all runs below a folder; static, its links are relative."""
    made = runs(folder)
    experiments = sorted({row["experiment"] for row in made})
    content = html.filled("index.html", rows=made, experiments=experiments)
    files.replace(folder / PAGE, content.encode())
    return folder / PAGE
