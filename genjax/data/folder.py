"""A folder of pictures: its subfolders are classes; a flat one is one class."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from genjax.core.config import shown
from genjax.core.errors import UsageError
from genjax.data import pictures, places

SUFFIXES = (".png", ".jpg", ".jpeg")
# Subfolders of these names are no classes.
_PARTS = {"train", "training", "valid", "val", "validation", "test", "testing"}


def read(
    folder: str, size: int | None, colour: str | None, *, stay: bool = False
) -> tuple[dict, list[bytes] | Callable[[], list[bytes]], list[str]]:
    """({"image", "label"}, SHA-256 of each file, names of the classes) of all PNG and JPEG files.

    image, size, colour: as `pictures.read`. label: int32 [n], the number of the subfolder among
    those that hold pictures, at any depth, sorted by name; 0 in a flat folder. Other files, and
    names that begin with a dot, are left out. stay: images as `rows.Rows`, which stay on disk,
    and digests as a function.

    Raises:
      UsageError: there is no such folder, or no picture, or it is unclear what the classes are.
    """
    flag = f"--data=folder:{shown(folder)}"
    path = places.folder(flag, folder)
    try:
        flat = sorted(_pictures(path, deep=False))
        inside = {one.name: sorted(_pictures(one)) for one in _subfolders(path)}
    except OSError as error:
        raise UsageError(f"{flag}: cannot be read: {error.strerror}") from error
    classes = {name: found for name, found in inside.items() if found}
    if flat and classes:
        raise UsageError(
            f"{flag}: holds {len(flat):,} pictures beside the subfolder "
            f"{shown(next(iter(classes)))}; subfolders are classes: move those pictures into one"
        )
    if classes and {name.lower() for name in classes} <= _PARTS:
        raise UsageError(
            f"{flag}: its subfolders {', '.join(classes)} are no classes; give "
            f"--data=folder:{path / next(iter(classes))}, which is split by content"
        )
    if not flat and not classes:
        raise UsageError(f"{flag}: no picture ({', '.join(SUFFIXES)}) in it or in its subfolders")
    groups = list(classes.values()) or [flat]
    files = [(str(file.relative_to(path)), file) for group in groups for file in group]
    image, digests = (pictures.open_ if stay else pictures.read)(flag, files, size, colour)
    label = np.repeat(np.arange(len(groups), dtype=np.int32), [len(group) for group in groups])
    return {"image": image, "label": label}, digests, list(classes)


def classes(folder: str) -> list[str]:
    """The names of the classes that `read` numbers; none of a flat folder."""
    path = places.folder(f"--data=folder:{shown(folder)}", folder)
    return [one.name for one in _subfolders(path) if next(_pictures(one), None)]


def _subfolders(path: Path) -> list[Path]:
    return [one for one in sorted(path.iterdir()) if one.is_dir() and one.name[0] != "."]


def _pictures(folder: Path, *, deep: bool = True) -> Iterator[Path]:
    """The picture files of a folder, and of all below it."""
    for place, inside, names in os.walk(folder):  # It follows no links to folders: no loops.
        inside[:] = [name for name in inside if deep and not name.startswith(".")]
        paths = (Path(place, name) for name in names if not name.startswith("."))
        # What is no regular file, such as a pipe, would be waited for.
        yield from (p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file())
