"""A run that added seeds until its claims were decided: blocks of seeds, read as one run."""

from collections.abc import Sequence
from pathlib import Path

FOLDER = "blocks"


def paths(folder: str | Path) -> list[Path]:
    """The folders of a run's blocks in the order of their seeds; [] where it has none."""
    found = [path for path in (Path(folder) / FOLDER).glob("*") if path.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def merged(folder: Path, blocks: Sequence[tuple[list[int], dict]]) -> dict:
    """What `page.read_files` found in each block, as of one run; blocks are (seeds, files).

    Rows are joined, those of what no seed of a block made are the first block's. In the measures of
    what was trained, a list with one value a seed is joined; all else is the same in every block.
    """
    seeds = [len(own) for own, _ in blocks]
    rows = [row for own, files in blocks for row in files["rows"] if row.get("seed") in own]
    arms = {row["arm"] for row in rows}
    rows += [row for row in blocks[0][1]["rows"] if row.get("seed") not in blocks[0][0]]
    evaluation = dict(blocks[0][1]["evaluation"])
    for name in evaluation:
        if any(name == arm or name.startswith(f"{arm}-") for arm in arms):
            evaluation[name] = _joined([files["evaluation"][name] for _, files in blocks], seeds)
    return {"folder": folder, "rows": rows, "evaluation": evaluation}


def _joined(every: list, seeds: list[int]):
    first = every[0]
    if isinstance(first, dict):
        return {key: _joined([one[key] for one in every], seeds) for key in first}
    if isinstance(first, list) and [len(one) for one in every] == seeds:
        return [value for one in every for value in one]
    return first
