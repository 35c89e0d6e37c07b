"""Image sets of the Hugging Face hub, through the `datasets` library (an optional extra)."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from genjax.core import extras
from genjax.core.config import shown
from genjax.core.errors import UsageError, one_line
from genjax.data import pictures

# Names of a split to test on, the first that is there.
_TESTS = ("test", "validation", "valid")


def read(name: str, size: int | None, colour: str | None) -> tuple[dict, dict | None, list[bytes]]:
    """(train, test, SHA-256 of each train picture's file) of `hf:<name>` or `hf:<name>:<config>`.

    A name that is a folder is what `save_to_disk` wrote, and needs no network. test: the split
    test, or else validation; None without one. Each is {"image", "label"}, images as
    `pictures.read` makes them of the first column of pictures; labels int32 [n] of the column
    `label`, else of the first of classes, else 0.

    Raises:
      UsageError: the package, the network or the data set is missing, or it has no pictures.
    """
    flag = f"--data=hf:{shown(name)}"
    extras.require("hf", flag)
    splits = _load(flag, name)
    if "train" not in splits:
        raise UsageError(f"{flag}: the split train is needed, it has {', '.join(splits)}")
    test = next((one for one in _TESTS if one in splits), None)
    parts, digests = [], []
    # Together, so that all become one size and colour.
    sources, labels = [], []
    for part in ("train", test) if test else ("train",):
        found, label = _columns(flag, splits[part])
        sources += [(f"{part} {i}", content) for i, content in enumerate(found)]
        labels.append(label)
    image, digests = pictures.read(flag, sources, size, colour)
    first = len(labels[0])
    for start, label in zip((0, first), labels, strict=False):
        parts.append({"image": image[start : start + len(label)], "label": label})
    return parts[0], parts[1] if test else None, digests[:first]


def _load(flag: str, name: str) -> dict[str, Any]:
    """{split: data set}."""
    # As the library is not among the dependencies, nothing is known of its types.
    datasets: Any = importlib.import_module("datasets")
    folder = os.path.expanduser(name)
    try:
        if os.path.isdir(folder):
            found = datasets.load_from_disk(folder)
        else:
            path, _, config = name.partition(":")
            # Which says at each of five tries that there is no network.
            with extras.quiet("huggingface_hub"):
                found = datasets.load_dataset(path, config or None)
    # It raises errors of many libraries: its own, of the hub, of the network, of files.
    except Exception as error:
        causes, cause = [], error
        while cause is not None:
            causes.append(type(cause).__name__)
            cause = cause.__cause__ or cause.__context__
        offline = any(word in one for one in causes for word in ("Connect", "Offline", "Timeout"))
        if offline:
            raise UsageError(
                f"{flag}: the network was not reachable ({one_line(error)}); where it is, type "
                f"datasets.load_dataset('{shown(name)}').save_to_disk('<folder>'), and give "
                "--data=hf:<folder>"
            ) from error
        raise UsageError(f"{flag}: cannot be read: {one_line(error)}") from error
    return dict(found) if isinstance(found, dict) else {"train": found}


def _columns(flag: str, rows) -> tuple[list[bytes], np.ndarray]:
    """The files of a split's pictures, and their labels."""
    datasets: Any = importlib.import_module("datasets")
    kinds = {column: type(feature).__name__ for column, feature in rows.features.items()}
    images = [column for column, kind in kinds.items() if kind == "Image"]
    if not images:
        columns = ", ".join(f"{column} ({kind})" for column, kind in kinds.items())
        raise UsageError(f"{flag}: a column of pictures is needed, it has {columns or 'none'}")
    named = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    label = "label" if "label" in kinds else named[0] if named else None
    files = rows.cast_column(images[0], datasets.Image(decode=False))[images[0]]
    contents = [one["bytes"] or Path(one["path"]).read_bytes() for one in files]
    values = np.asarray(list(rows[label]) if label else [0] * len(contents))
    if values.dtype.kind not in "iu" or values.min(initial=0) < 0:
        raise UsageError(f"{flag}: {label}: classes as whole numbers from 0 are needed")
    return contents, values.astype(np.int32)
