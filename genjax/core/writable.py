"""Whether a folder can be written, asked before anything is imported or computed."""

import errno
import os
import tempfile
from pathlib import Path

from genjax.core.config import shown
from genjax.core.errors import UsageError


def require(flag: str, folder: str | Path, remedy: str = "name another folder") -> None:
    """Raises UsageError where no file could be made in a folder, or where it would lie.

    flag: what names the folder. Nothing is left behind. A trial, since neither permissions nor
    `os.access` tell all: root may write everywhere, but not to /proc or a full disk.
    """
    path = Path(folder)
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass  # It would be made.
    except (OSError, ValueError) as error:
        raise UsageError(f"{flag}: {_reason(error)}; {remedy}") from error
    there = next(place for place in (path, *path.parents, Path(".")) if os.path.lexists(place))
    if not there.is_dir():
        raise UsageError(f"{flag}: {shown(there)} is a file; name a folder")
    try:
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        # Such a name is no file of another run, should one look there now.
        tempfile.TemporaryFile(dir=there, prefix=".", suffix=".tmp").close()
    except OSError as error:
        where = shown(there)
        raise UsageError(
            f"{flag}: no file can be made in {where} ({_reason(error)}); {remedy}"
        ) from error


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
