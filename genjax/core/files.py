"""Files that are whole or not there, and the manifest that tells a damaged one.

A file is written beside its place, flushed to the disk and renamed. The manifest of a run folder
holds the checksum of each; while one is replaced, of its old content and its new, so that a kill
between two renames is no damage. A reader needs no lock. No jax in here.
"""

import contextlib
import hashlib
import json
import math
import os
import zlib
from pathlib import Path

import numpy as np

from genjax.core.errors import UsageError, one_line

# By which the folder of an exported model is known.
RECORD = "model.json"

MANIFEST = "manifest.json"


def replace(path: Path, content: bytes) -> None:
    """Writes a file so that a reader, or a start after a crash, sees the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    with contextlib.suppress(OSError):  # Windows opens no folders.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def digest(content: bytes | None) -> str | None:
    """SHA-256 in hexadecimal; None of nothing."""
    return None if content is None else hashlib.sha256(content).hexdigest()


def checksum(path: Path) -> str | None:
    """The digest of a file, or of all files below a folder and their names; None where absent."""
    if path.is_dir():
        parts = [(p.relative_to(path).as_posix(), p) for p in sorted(path.rglob("*"))]
        found = [(name, digest(p.read_bytes())) for name, p in parts if p.is_file()]
        return digest(json.dumps(found).encode())
    return digest(_content(path))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def crc32(content) -> str:
    """Eight hexadecimal digits of what JSON can hold."""
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def parse(content: bytes, path: Path) -> dict:
    """A JSON object; UsageError for what is none."""
    try:
        found = json.loads(content)
    # Nesting that is too deep is no ValueError.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: a file of the run is broken: {one_line(error)}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: a file of the run is broken: no object")
    return found


def to_json(content: dict) -> bytes:
    """The file of a JSON object; numbers that are not finite become null."""
    return (json.dumps(_finite(content), indent=1) + "\n").encode()


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


class Manifest:
    """What a run folder is known to hold.

    files: {name: checksums that it may have; None: it may be absent}. rows: {arm: digest of its
    rows in metrics.jsonl}, of what is finished.
    """

    def __init__(self, folder: Path):
        self.path = folder / MANIFEST
        self.files: dict[str, list] = {}
        self.rows: dict[str, list] = {}

    @classmethod
    def read(cls, folder: Path):
        """The manifest of a folder, None without one. Raises UsageError for a damaged one."""
        made = cls(folder)
        content = _content(made.path)
        if content is None:
            return None
        found = parse(content, made.path)
        if found.pop("crc32", None) != crc32(found):
            raise UsageError(f"{made.path}: a file of the run is broken: its checksum differs")
        made.files, made.rows = found["files"], found["rows"]
        return made

    def save(self) -> None:
        """Writes the manifest with a checksum of its own."""
        found = {"files": self.files, "rows": self.rows}
        text = json.dumps(found | {"crc32": crc32(found)}, indent=1, sort_keys=True)
        replace(self.path, text.encode() + b"\n")

    def put(self, name: str, content: bytes) -> None:
        """Writes a file of the folder and enters it, unless it is there as it shall be."""
        path, new = self.path.parent / name, digest(content)
        before = self.files.get(name, [None])
        if before == [new] and path.exists():
            return
        self.files[name] = [*before, new]
        self.save()
        replace(path, content)
        self.files[name] = [new]
        self.save()


def read(folder: Path, name: str) -> bytes | None:
    """A file of a run as it was written, None where the run has none.

    Raises UsageError for a file that is not what the manifest says. What no manifest names is taken
    as it is.
    """
    content = None
    for _ in range(3):  # A run that goes on may replace both between two looks.
        try:
            content = _content(folder / name)
        except OSError as error:
            raise UsageError(f"{folder / name}: cannot be read: {one_line(error)}") from error
        manifest = Manifest.read(folder)
        if manifest is None or digest(content) in manifest.files.get(name, [digest(content)]):
            return content
    state = "is missing" if content is None else "is damaged"
    raise UsageError(f"{folder / name}: {state}; the command that made the run mends it")
