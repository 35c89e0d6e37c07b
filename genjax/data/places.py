"""Folders and files that data are read from."""

import os
from pathlib import Path

from genjax.core import extras
from genjax.core.config import shown
from genjax.core.errors import UsageError, no_file, no_folder
from genjax.data import tfds_names


def folder(flag: str, name: str) -> Path:
    """A folder that is there. Raises UsageError."""
    path = Path(os.path.expanduser(name))
    if not os.path.isdir(path):  # False for a name that is none, too.
        raise UsageError(f"{flag}: {no_folder(path)}")
    return path


def file(flag: str, name: str) -> Path:
    """A file that is there. Raises UsageError."""
    path = Path(os.path.expanduser(name))
    if not os.path.isfile(path):
        raise UsageError(f"{flag}: {no_file(path)}")
    return path


_KINDS = {"idx": folder, "folder": folder, "npz": file, "csv": file}


def require(config) -> None:
    """Raises UsageError where a folder or file of --data=<source>:<path> or --corpus is not there,
    or the package that reads the source, or tfds knows no such data set.

    What readers say too, but before all is imported that they stand among.
    """
    spec = getattr(config, "data", "")
    flag, (source, _, path) = f"--data={shown(spec)}", spec.removeprefix("stacked:").partition(":")
    if path and source in _KINDS:
        found = _KINDS[source](flag, path)
        if not (any(found.iterdir()) if found.is_dir() else found.stat().st_size):
            raise UsageError(f"{flag}: is empty")
    if path and source in extras.MODULES:
        extras.require(source, flag)
    prepared = getattr(config, "tfds_dir", None)
    if path and source == "tfds":
        tfds_names.require(flag, path, prepared)
    for place in filter(None, (getattr(config, "corpus", None) or "").split(",")):
        flag = f"--corpus={shown(place)}"
        if place.startswith("tfds:"):
            extras.require("tfds", flag)
            tfds_names.require(flag, place.removeprefix("tfds:"), prepared)
        elif not os.path.exists(os.path.expanduser(place)):
            folder(flag, place)
