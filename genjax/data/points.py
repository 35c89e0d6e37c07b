"""Points in the plane of one's own, from a .csv or an .npz file."""

import array
import csv
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from genjax.core.config import shown
from genjax.core.errors import UsageError, one_line
from genjax.data import npz, places

SOURCES = ("csv:<file>", "npz:<file>")
# The farthest coordinate.
FARTHEST = 1e6


def read(spec: str) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"] | None]:
    """(points, the number of each one's mode) of `csv:<file>` or `npz:<file>`; no modes: None.

    A .csv file has a line a point, x,y or x,y,mode, and may begin with a line of names; the mode
    is any text. An .npz file holds the array points [n, 2], and may hold modes [n].

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
        raise UsageError(f"{flag}: coordinates up to {FARTHEST:,.0f} are needed, none of them nan")
    if modes is not None:
        modes = np.unique(modes, return_inverse=True)[1]
    return points.astype(np.float64), modes


def _read_csv(flag: str, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    numbers, modes, names, columns = array.array("d"), array.array("q"), {}, 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            for row in rows:
                if not row:
                    continue
                try:
                    numbers.extend([float(row[0]), float(row[1])])
                except (ValueError, IndexError):
                    if numbers or columns or len(row) not in (2, 3):
                        raise _wrong(flag, rows.line_num, row) from None
                    columns = len(row)  # The names of the columns.
                    continue
                columns = columns or len(row)
                if len(row) != columns or columns > 3:
                    raise _wrong(flag, rows.line_num, row)
                if columns == 3:
                    modes.append(names.setdefault(row[2].strip(), len(names)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{flag}: cannot be read: {one_line(error)}") from error
    points = np.array(numbers).reshape(-1, 2)
    return points, np.array(modes) if columns == 3 else None


def _wrong(flag: str, line: int, row: list[str]) -> UsageError:
    return UsageError(
        f"{flag}: line {line:,} is '{shown(','.join(row))}'; x,y or x,y,mode is needed, as in the "
        "other lines"
    )
