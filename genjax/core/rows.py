"""The rows of metrics.jsonl: one a line, none twice, and a digest that tells what is missing.

A row of training has an arm, a seed and a step; checkpoints hold the digest of those up to them.
No checkpoint vouches for other rows, such as timings: each has a checksum of its own.
"""

import json
import zlib
from collections.abc import Iterable

from genjax.core import files


def encode(row: dict) -> bytes:
    """The line of a row."""
    if "seed" not in row:
        row = row | {"crc32": files.crc32(row)}
    return json.dumps(row).encode() + b"\n"


def decode(content: bytes) -> tuple[list[dict], int]:
    """(rows, damaged lines) of a log. A line that stands there twice counts as damaged once; a last
    line cut short, which a kill leaves, is left out."""
    lines = content.split(b"\n")
    rows, seen, damaged = [], set(), 0
    for line in lines[:-1]:
        row = None if line in seen else _row(line)
        seen.add(line)
        if row is None:
            damaged += 1
        else:
            rows.append(row)
    return rows, damaged


def _row(line: bytes) -> dict | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("arm"), str):
        return None
    if "seed" not in row:
        return row if row.pop("crc32", None) == files.crc32(row) else None
    numbers = [value for name, value in row.items() if name != "arm"]
    whole = all(isinstance(row.get(name), int) for name in ("seed", "step"))
    return row if whole and all(isinstance(value, int | float) for value in numbers) else None


def digest(rows: Iterable[dict], before: list | None = None) -> list:
    """[count, CRC-32] of rows in their order; `before`: the digest of those before them."""
    count, crc = before or (0, 0)
    for row in rows:
        count, crc = count + 1, zlib.crc32(encode(row), crc)
    return [count, crc]
