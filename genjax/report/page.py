"""Figures and a page from the files of a finished run folder: no jax, no training."""

import base64
import html
import io
import math
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
from genjax.report import blocks


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
    """{name: (caption, matplotlib figure, or the bytes of a GIF)} of a finished run."""
    run = read(folder)
    with of_this_version(folder):
        made = {name: function(run) for name, function in figures.items()}
    return {name: found for name, found in made.items() if found}


def _written(run: dict, figures: dict[str, Callable]) -> list[tuple[str, Path]]:
    """Draws plots/* of a run that `read` returned; (caption, path) of each."""
    folder = run["folder"] / "plots"
    drawn = []
    for name, function in figures.items():
        made = function(run)
        if made:
            caption, figure = made
            # A film comes as the bytes of a GIF.
            content, path = figure, folder / f"{name}.gif"
            if isinstance(figure, Figure):
                buffer = io.BytesIO()
                figure.savefig(buffer, dpi=110, format="png")
                content, path = buffer.getvalue(), folder / f"{name}.png"
            files.replace(path, content)
            drawn.append((caption, path))
    return drawn


# --- Tables --------------------------------------------------------------------------------------


def tables(summary: dict) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, columns, rows) of models x measures, then of samplers, where there are any."""
    plain, sampled = {}, {}
    for path, value in summary["metrics"].items():
        arm, _, rest = path.partition("/")
        sampler, _, measure = rest.partition("/")
        if measure and sampler in summary.get("samplers", ()):
            sampled.setdefault((arm, sampler), {})[measure] = value
        elif arm in ("floor", "noise"):
            sampled.setdefault((arm, ""), {})[rest] = value
        else:
            plain.setdefault((arm,), {})[rest] = value
    made = [("Models", *_table(["model"], plain))]
    if sampled:
        made.append(("Models and samplers", *_table(["model", "sampler"], sampled)))
    return made


def _table(keys, cells):
    measures = list(dict.fromkeys(name for row in cells.values() for name in row))
    units = {name: row[name]["unit"] for row in cells.values() for name in row}
    better = {name: row[name].get("better") for row in cells.values() for name in row}
    columns = keys + [heading(name, units[name], better[name]) for name in measures]
    rows = [
        [*key, *(figure(row[name]) if name in row else "" for name in measures)]
        for key, row in cells.items()
    ]
    return columns, rows


def heading(name: str, unit: str, better: str | None) -> str:
    arrow = {"less": "↓", "more": "↑"}.get(better or "", "")
    return " ".join(part for part in (name, arrow, f"({unit})" if unit else "") if part)


def figure(value: dict) -> str:
    mean, low, high = value["mean"], value["low"], value["high"]
    if mean is None:
        return "not finite"
    if low is None:
        return f"{mean:.4g}"
    if high is None:
        return f"{mean:.4g} (from {low:.3g})"
    half = (high - low) / 2
    if abs(mean - (low + high) / 2) > 1e-3 * half:
        return f"{mean:.4g} ({low:.3g} to {high:.3g})"
    digits = max(0, min(5, 1 - math.floor(math.log10(half)))) if half > 0 else 3
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def markdown_table(summary: dict) -> str:
    """Both tables in Markdown."""
    blocks = []
    for title, columns, rows in tables(summary):
        lines = [columns, ["---"] * len(columns), *rows]
        blocks.append(f"**{title}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in lines))
    return "\n\n".join(blocks)


def verdicts(claims: list[dict]) -> dict[str, str]:
    """{id: verdict} of claims and their parts."""
    parts = [part for claim in claims for part in [claim, *claim.get("parts", [])]]
    return {part["id"]: part["verdict"] for part in parts}


CLAIM_COLUMNS = (
    "claim", "verdict", "statement", "estimate", "95% interval", "threshold", "agree",
    "p (adjusted)", "why",
)  # fmt: skip


def claims_table(summary: dict) -> list[list[str]]:
    """A row of CLAIM_COLUMNS for each claim, part of one, and control of one."""
    rows = []
    for claim in summary["claims"]:
        parts = claim.get("parts", [])
        if parts:
            blank = [""] * (len(CLAIM_COLUMNS) - 3)
            rows.append([claim["id"], claim["verdict"], claim["statement"], *blank])
        for part in parts or [claim]:
            rows.append(_claim_row(part))
            for control in part.get("controls", ()):
                text = f"{control['kind']} control: {control['name']}"
                verdict = "as it must" if control["as_it_must"] else "not as it must"
                blank = [""] * (len(CLAIM_COLUMNS) - 5)
                rows.append(["", verdict, text, _estimate(control), _range(control), *blank])
    return rows


def _claim_row(claim: dict) -> list[str]:
    sign = "<" if claim["direction"] == "less" else ">"
    margin = f" ± {claim['margin']:.4g}" if claim.get("margin") else ""
    agree = ""
    if "on_side" in claim:
        agree = f"{claim['on_side']} of {claim['replicates']} {plural(claim['replicate'])}"
    p = "" if claim.get("p") is None else f"{claim['p']:.2g}"
    if p and claim.get("p_holm") is not None:
        p += f" ({claim['p_holm']:.2g})"
    return [
        claim["id"], claim["verdict"], claim["statement"], _estimate(claim), _range(claim),
        f"{sign} {claim['threshold']:.4g}{margin}", agree, p, _why(claim),
    ]  # fmt: skip


def plural(word: str) -> str:
    """seeds, processes"""
    return word + ("es" if word.endswith("s") else "s")


def _why(claim: dict) -> str:
    """Why a claim is undetermined, and what would settle it."""
    said = [claim["because"]] if "because" in claim else []
    if claim.get("visible") is not None:
        said.append(f"visible with 80% power: {claim['visible']:.2g}")
    if claim.get("would_settle"):
        said.append(f"{claim['would_settle']} {plural(claim['replicate'])} would settle it")
    return "; ".join(said)


def _estimate(found: dict) -> str:
    text = "not finite" if found["estimate"] is None else f"{found['estimate']:.4g}"
    return f"{text} {found['unit']}" if found.get("unit") else text


def _range(found: dict) -> str:
    low, high = found["low"], found["high"]
    if low is None and high is None:
        return "none"  # Too few replicates, or lengths.
    ends = ("beyond all" if end is None else f"{end:.4g}" for end in (low, high))
    return " to ".join(ends)


# --- The page ------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8886; text-align: left;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { position: sticky; left: 0; background: Canvas; }
.claims td { white-space: normal; }
figure { margin: 2rem 0; } img { max-width: 100%; background: #fff; }
.supported { color: #009E73; font-weight: 600; } .refuted { color: #D55E00; font-weight: 600; }
.equivalent { color: #0072B2; font-weight: 600; } .inconclusive, .undetermined { opacity: .75; }
code { overflow-wrap: anywhere; }
"""


def write(folder: str | Path, figures: dict[str, Callable]) -> Path:
    """Draws the figures and writes report.html: static, self-contained, opens from disk."""
    with of_this_version(folder):
        return _page(read(folder), figures)


def _page(run: dict, figures: dict[str, Callable]) -> Path:
    summary = run["summary"]
    body = [f"<h1>{html.escape(summary['title'])}</h1>", _lead(summary)]
    if summary["claims"]:
        body.append(_html_table(list(CLAIM_COLUMNS), claims_table(summary), "claims"))
    for caption, path in _written(run, figures):
        data = base64.b64encode(path.read_bytes()).decode()
        body.append(
            f'<figure><img alt="{html.escape(caption)}" '
            f'src="data:image/{path.suffix[1:]};base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    for title, columns, rows in tables(summary):
        body.append(f"<h2>{html.escape(title)}</h2>" + _html_table(columns, rows))
    body.append(_facts(summary))
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(summary['title'])}</title><style>{STYLE}</style>"
        f"<body>{''.join(body)}</body></html>\n"
    )
    path = run["folder"] / "report.html"
    files.replace(path, page.encode())
    return path


def _lead(summary):
    count = len(summary["seeds"])
    seeds = "one seed, no intervals" if count == 1 else f"{count} seeds, 95% t intervals over them"
    seeds = summary.get("intervals") or seeds
    text = f"Data: {summary['data']}. Models: {', '.join(summary['arms'])}. {seeds}."
    return f"<p>{html.escape(text)}</p>"


def _html_table(columns, rows, kind=""):
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    lines = []
    for row in rows:
        cells = "".join(
            f'<td class="{cell}">{cell}</td>'
            if cell in ("supported", "refuted", "equivalent", "undetermined", "inconclusive")
            else f"<td>{html.escape(cell)}</td>"
            for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _facts(summary):
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in summary["notes"])
    facts = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(_plain(summary[name]))}</td></tr>"
        for name in ("timing", "device", "versions", "commit", "classifier", "flags")
        if name in summary
    )
    command = (
        f"python experiments/{summary['experiment']}.py --flagfile=<this folder>/flags.txt "
        "--workdir=<new folder>"
    )
    return (
        f"<h2>What is not claimed</h2><ul>{notes}</ul><h2>How it ran</h2>"
        f'<div class="scroll"><table class="claims">{facts}</table></div>'
        f"<p>To repeat it, from the repository's root: <code>{html.escape(command)}</code></p>"
    )


def _plain(value):
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(v)}" for key, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
