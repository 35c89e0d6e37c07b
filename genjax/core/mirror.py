"""A run folder of several processes: the first one's, and copies that the others work in.

All processes write the same rows and measures, each into its own folder, so that nothing else needs
to know that there are several, and no file system need be common to them. Checkpoints are the first
process's alone, which saves for all and tells what it reads (`checkpoints`).
"""

from collections.abc import Callable
from pathlib import Path

from genjax.core import files, processes
from genjax.core.errors import UsageError
from genjax.core.folder import LOCK, PID, Folder, remove

# Folders of Orbax's, and what no run reads.
OWN = ("checkpoints", "models")
LEFT_OUT = (*OWN, "damaged", "tensorboard", "wandb", "mlflow.db", "blocks")


def opened(here: Callable, path: Path, needed_bytes: float) -> Folder:
    """The run folder of process 0 at `path`; in the others a copy of what it holds.

    here: (path, needed bytes) -> Folder. Raises UsageError in all processes where it does in the
    first.
    """
    kept, refused, content = None, "", {}
    if not processes.rank():
        try:
            kept = here(path, needed_bytes)
        except UsageError as error:
            if processes.count() == 1:
                raise
            refused = str(error)
        else:
            content = _read(kept.path) if processes.count() > 1 else {}
    refused, content = processes.told((refused, content))
    if refused:
        raise UsageError(refused)
    if kept is None:
        place = processes.scratch()
        place = path if path.is_relative_to(place) else place / "run"
        remove(place)
        _write(place, content)
        kept = here(place)
    return kept


def _read(folder: Path) -> dict[str, bytes | None]:
    """{name: content} of a folder's files; None: an empty folder."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        top, _, rest = name.partition("/")
        if top in OWN and rest and "/" not in rest and path.is_dir():
            found[name] = None  # An arm's: rows of other names are taken for damaged.
        elif path.is_file() and top not in (*LEFT_OUT, LOCK, PID):
            found[name] = path.read_bytes()
    return found


def _write(folder: Path, content: dict[str, bytes | None]) -> None:
    for name, data in content.items():
        if data is None:
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            files.replace(folder / name, data)
    manifest = files.Manifest.read(folder)
    if manifest:
        names = [name for name in manifest.files if name.partition("/")[0] in OWN]
        for name in names:
            del manifest.files[name]
        manifest.save()
