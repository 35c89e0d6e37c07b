"""The names of TensorFlow Datasets, from its files: importing it takes seconds.

Such as `mnist`, `Cifar10`, `mnist:3.0.1` or `glue/cola`. What these functions do not know, tfds
itself is asked (genjax.data.tfds).
"""

import importlib.util
import os
import re
import sys
from pathlib import Path

from genjax.core.config import nearest
from genjax.core.errors import UsageError

PACKAGE = "tensorflow_datasets"
# A data set, perhaps with its configuration or version; others are of a community, or of arguments.
NAME = re.compile(r"([A-Za-z]\w*)([/:]\d[^/:,=]*|/[^:,=]*(:\d[^/:,=]*)?)?")
# Where builders are no data sets.
INNER = ("core", "testing", "scripts")


def require(flag: str, name: str, data_dir: str | None) -> None:
    """Raises UsageError, with the nearest name, where tfds has no such data set and none of the
    name is prepared; silent where that cannot be told."""
    found = NAME.fullmatch(name)
    # An import brings what a program defines for itself, too.
    if found is None or PACKAGE in sys.modules or not (root := _root()):
        return
    own = snake(found[1])
    if (root / "datasets" / own).is_dir() or (root / "url_checksums" / f"{own}.txt").is_file():
        return
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if any((Path(os.path.expanduser(folder)) / one).exists() for one in (own, found[1])):
        return
    known = names()
    if own not in known:
        near = nearest(own, known, "see tfds.list_builders()")
        raise UsageError(f"{flag}: tfds knows no such data set{near}")


def names() -> list[str]:
    """All of its data sets, and a few classes beside them, by what its files define."""
    root = _root()
    if root is None:
        return []
    found = {place.name for place in (root / "datasets").glob("*/") if place.name[0] not in "_."}
    for file in root.rglob("*.py"):
        if file.relative_to(root).parts[0] not in INNER and not file.stem.endswith("_test"):
            defined = re.findall(rb"^class (\w+)\(", file.read_bytes(), re.MULTILINE)
            found |= {snake(one.decode()) for one in defined}
    return sorted(one for one in found if not re.search("(builder|config|info)$", one))


def snake(name: str) -> str:
    """As tfds names a class."""
    first = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", first).lower()


def _root() -> Path | None:
    """The folder of the package; None where it is none, as in an archive."""
    found = importlib.util.find_spec(PACKAGE)
    root = found and found.origin and Path(found.origin).parent
    return root if root and (root / "datasets").is_dir() else None
