"""Points in the plane of one's own, from a .csv or an .npz file."""

import array
import csv
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from genjax.core.config import shown
from genjax.core.errors import UsageError, one_line
from genjax.data import npz, places

SOURCES = ("csv:<file>", "npz:<file>")
# The farthest coordinate.
FARTHEST = 1e6
COORDINATES = f"coordinates up to {FARTHEST:,.0f} are needed, none of them nan"
COLUMNS = "x,y or x,y,mode is needed, with commas, alike in all lines"
# The order of named columns, others between y and mode.
ORDER = {"x": 0, "y": 1, "mode": 3}


def read(spec: str) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"] | None]:
    """(points, the number of each one's mode) of `csv:<file>` or `npz:<file>`; no modes: None.

    A .csv file has a line a point, x,y or x,y,mode, and may begin with a line of names, which tell
    their order; a mode is a name or a whole number. An .npz file holds the array points [n, 2], and
    may hold modes [n].

    Raises:
      UsageError: there is no such file, or it is damaged, or holds something else.
    """
    flag, (source, _, file) = f"--data={shown(spec)}", spec.partition(":")
    if source == "csv":
        points, modes = _read_csv(flag, places.file(flag, file))
    else:
        found = npz.arrays(flag, file, ("points", "modes"))
        if "points" not in found:
            raise UsageError(f"{flag}: the array points [n, 2] is needed; modes [n] is optional")
        points, modes = found["points"], found.get("modes")
        if points.ndim != 2 or points.shape[1] != 2 or points.dtype.kind not in "fiu":
            shape = " x ".join(map(str, points.shape))
            raise UsageError(f"{flag}: points: numbers n x 2 are needed, not {shape}")
        if modes is not None and (modes.shape != (len(points),) or modes.dtype.kind not in "iuU"):
            raise UsageError(f"{flag}: modes: a number or a name for each point is needed")
    if not len(points):
        raise UsageError(f"{flag}: holds no points")
    if not (np.abs(points) <= FARTHEST).all():  # False for nan.
        raise UsageError(f"{flag}: {COORDINATES}")
    if modes is not None:
        modes = np.unique(modes, return_inverse=True)[1]
    return points.astype(np.float64), modes


def _read_csv(flag: str, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    numbers, modes, names, columns = array.array("d"), array.array("q"), {}, []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            for row in rows:
                if not row:
                    continue
                wrong = partial(_wrong, flag, rows.line_num, row)
                names_columns = not columns and not any(map(_is_number, row[:2]))
                columns = columns or _columns(row)
                if not len(row) == len(columns) in (2, 3):
                    raise wrong(COLUMNS)
                if names_columns:
                    continue
                first, second, *rest = [row[column].strip() for column in columns]
                if not (_is_number(first) and _is_number(second)):
                    raise wrong(COLUMNS)
                point = [float(first), float(second)]
                if not all(abs(value) <= FARTHEST for value in point):  # False for nan.
                    raise wrong(COORDINATES)
                numbers.extend(point)
                for mode in rest:
                    if not _is_mode(mode):
                        raise wrong(f"a mode is a name or a whole number, not '{shown(mode)}'")
                    modes.append(names.setdefault(mode, len(names)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{flag}: cannot be read: {one_line(error)}") from error
    points = np.array(numbers).reshape(-1, 2)
    return points, np.array(modes) if len(columns) == 3 else None


def _columns(first: list[str]) -> list[int]:
    """Where x, y and perhaps the mode stand in a line: as the first names them, or in order."""
    order = [ORDER.get(name.strip().lower(), 2) for name in first]
    return sorted(range(len(first)), key=order.__getitem__)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_mode(text: str) -> bool:
    """Whether a text names a mode; a coordinate that stands there does not."""
    return float(text).is_integer() if _is_number(text) else bool(text)


def _wrong(flag: str, line: int, row: list[str], why: str) -> UsageError:
    return UsageError(f"{flag}: line {line:,} is '{shown(','.join(row))}'; {why}")
