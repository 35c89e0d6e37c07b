"""Figures and a page from the files of a finished run folder: no jax, no training."""

import io
import os
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from genjax.core import files
from genjax.core import rows as log
from genjax.core.config import shown
from genjax.core.errors import UsageError, one_line
from genjax.core.files import Manifest
from genjax.report import blocks, charts, html
from genjax.report.about import About
from genjax.report.charts import Chart
from genjax.report.html import RESULTS
from genjax.report.tables import tables
from genjax.report.texts import Texts

NOTHING = About()


def read_json(folder: Path, name: str) -> dict | None:
    """A JSON object of a run, None where the file is absent; UsageError for a broken one."""
    content = files.read(folder, name)
    return None if content is None else files.parse(content, folder / name)


def read_rows(folder: Path) -> list[dict]:
    """The rows of metrics.jsonl; a last line cut short is left out."""
    path = folder / "metrics.jsonl"
    rows, damaged = log.decode(files.read(folder, path.name) or b"")
    manifest = Manifest.read(folder)
    for arm, known in manifest.rows.items() if manifest else ():
        damaged += log.digest(row for row in rows if row["arm"] == arm) != known
    if damaged:
        raise UsageError(
            f"{path}: rows are damaged or missing; the command that made the run mends it"
        )
    return rows


def read_files(folder: str | Path) -> dict:
    """What a run's figures and claims are made from: rows, and evaluation/*.json by name.

    {"folder", "rows", "evaluation": {name: content}}. Raises UsageError where a file is
    missing or broken.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):  # False for a name that is none, too.
        raise UsageError(f"{shown(folder)}: no run, there is no such folder")
    parts = blocks.paths(folder)
    if parts:
        return blocks.merged(folder, [(_seeds_of(path), read_files(path)) for path in parts])
    names = {f"evaluation/{path.name}" for path in (folder / "evaluation").glob("*.json")}
    manifest = Manifest.read(folder)
    names |= {n for n in manifest.files if n.startswith("evaluation/")} if manifest else set()
    found = {Path(name).stem: read_json(folder, name) for name in sorted(names)}
    # What a run has announced, and not yet written, is not there.
    evaluation = {name: content for name, content in found.items() if content is not None}
    return {"folder": folder, "rows": read_rows(folder), "evaluation": evaluation}


def _seeds_of(folder: Path) -> list[int]:
    asked = read_json(folder, "config.json")
    if asked is None:
        raise UsageError(f"{folder}: no run, config.json is missing")
    with of_this_version(folder):
        first = asked["config"]["seed"]
        return list(range(first, first + asked["config"]["seeds"]))


def read(folder: str | Path) -> dict:
    """Everything a page needs: what `read_files` gives, the summary, and the arrays by arm.

    Raises UsageError where a file is missing or broken.
    """
    folder = Path(folder)
    files_ = read_files(folder)
    summary = read_json(folder, "summary.json")
    if summary is None:
        raise UsageError(f"{folder}: no finished run, summary.json is missing")
    with of_this_version(folder):
        arms = list(summary.get("arrays", summary["arms"]))
        # Pictures show the first block of a run in blocks.
        where = next(iter(blocks.paths(folder)), folder)
        arrays = {arm: read_arrays(where, f"arrays/{arm}.npz") for arm in arms}
    return files_ | {"summary": summary, "arrays": arrays}


def read_arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    """An .npz file of a run. Raises UsageError where it is missing or broken."""
    content = files.read(folder, name)
    if content is None:
        raise UsageError(f"{folder}: no finished run, {folder / name} is missing")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return dict(file)
    # NumPy, zipfile and zlib each raise their own types for a damaged file.
    except Exception as error:
        message = f"{folder / name}: a file of the run is broken: {one_line(error)}"
        raise UsageError(message) from error


@contextmanager
def of_this_version(folder):
    """Around work on a finished run: a key that its files lack is a UsageError, not a traceback."""
    try:
        yield
    except KeyError as error:
        raise UsageError(
            f"{folder}: no {error} in it, another version of genjax wrote it; "
            f"run it again: --flagfile={folder}/flags.txt --workdir=<new folder>"
        ) from error
    except (TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        # Of files that a manifest vouches for, this is a mistake of ours.
        if isinstance(error, UsageError) or Manifest.read(Path(folder)) is not None:
            raise
        raise UsageError(
            f"{folder}: a file of the run has another form ({one_line(error)}), and no manifest"
        ) from error


# --- Figures -------------------------------------------------------------------------------------


def draw(folder: str | Path, figures: dict[str, Callable]) -> dict[str, tuple]:
    """{name: (caption, matplotlib figure, the bytes of a GIF, or Texts)} of a finished run."""
    run = read(folder)
    with of_this_version(folder):
        made = {name: function(run) for name, function in figures.items()}
        return {name: (found[0], _figure(found[1])) for name, found in made.items() if found}


def _figure(made) -> Figure | bytes | Texts:
    """A chart drawn; what is drawn already as it is."""
    return charts.draw(made) if isinstance(made, Chart) else made


def _written(run: dict, figures: dict[str, Callable]) -> list[html.Drawn]:
    """Draws plots/* of a run that `read` returned."""
    folder = run["folder"] / "plots"
    drawn = []
    for name, function in figures.items():
        found = function(run)
        if found:
            caption, made = found
            kind, content = _file(_figure(made))
            files.replace(folder / f"{name}.{kind}", content)
            data = charts.as_data(made) if isinstance(made, Chart) else None
            texts = made if isinstance(made, Texts) else None
            drawn.append(html.Drawn(name, caption, kind, content, data, texts))
    return drawn


def _file(figure: Figure | bytes | Texts) -> tuple[str, bytes]:
    """(kind, content) of the file in plots/."""
    if isinstance(figure, Texts):
        return "txt", str(figure).encode()
    if isinstance(figure, bytes):
        return "gif", figure  # A film.
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    return "png", buffer.getvalue()


# --- The page ------------------------------------------------------------------------------------


def markdown_table(summary: dict) -> str:
    """Both tables in Markdown."""
    made = []
    for table in tables(summary):
        lines = [table.columns, ["---"] * len(table.columns), *table.rows]
        made.append(f"**{table.title}**\n\n" + "\n".join(f"| {' | '.join(r)} |" for r in lines))
    return "\n\n".join(made)


def verdicts(claims: list[dict]) -> dict[str, str]:
    """{id: verdict} of claims."""
    return {claim["id"]: claim["verdict"] for claim in claims}


def write(
    folder: str | Path,
    figures: dict[str, Callable],
    about: About = NOTHING,
    results: Path = RESULTS,
) -> Path:
    """Draws the figures and writes report.html: static, self-contained, opens from disk.

    about: what the room says of itself. results: what was published, and tried again.
    """
    with of_this_version(folder):
        run = read(folder)
        asked = files.read(run["folder"], "flags.txt")
        drawn = _written(run, figures)
        flags = "" if asked is None else asked.decode()
        content = html.render(run["summary"], drawn, about, flags, results)
        path = run["folder"] / "report.html"
        files.replace(path, content.encode())
        return path
