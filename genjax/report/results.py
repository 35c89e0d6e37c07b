"""Published results as files: a JSON a flagfile, and the tries to repeat them."""

import json
from pathlib import Path

# What a try of `verify` is appended to, in a folder of results or of runs.
TRIES = "replications.jsonl"


def read(folder: str | Path) -> dict[str, dict]:
    """{flagfile: what was published}."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))}


def replications(*folders: str | Path) -> list[dict]:
    """The tries to repeat what was published, oldest first."""
    paths = dict.fromkeys(Path(folder).resolve() / TRIES for folder in folders)
    lines = (line for path in paths if path.exists() for line in path.read_text().splitlines())
    return sorted(map(json.loads, lines), key=lambda one: one.get("date", ""))
