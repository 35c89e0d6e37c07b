"""Run folders as a person names them."""

import os
from pathlib import Path

from genjax.core import shipped
from genjax.core.config import closest, nearest, shown
from genjax.core.errors import UsageError
from genjax.core.files import RECORD
from genjax.core.flags import LONGEST_NAME


def folder(asked: str, *, exported: bool = False) -> Path:
    """The run folder that is meant: a path, or the name of one in runs/*/ here.

    exported: whether it may be one that `genjax export` wrote. Raises UsageError with the line to
    type where there is none.
    """
    names = ["config.json", *([RECORD] if exported else [])]
    # Not Path.exists: a name that no system takes is no run either.
    if any(os.path.exists(Path(asked) / name) for name in names):
        return Path(asked)
    known = {path.parent.name: path.parent for path in Path("runs").glob("*/*/config.json")}
    if asked in known:
        return known[asked]
    name = Path(asked).name
    files = shipped.flagfiles()
    if name in files:
        make = f"genjax {files[name].experiment} --flagfile={name}"
        raise UsageError(f"{shown(asked)}: no run, config.json is missing; `{make}` makes it")
    whole = Path(asked).parent
    if os.path.exists(asked) and any((whole / name).exists() for name in names):
        raise UsageError(f"{shown(asked)}: a part of a run; did you mean {shown(whole)}?")
    found = Path(asked).glob("*/config.json") if os.path.isdir(asked) else ()
    inside = sorted(path.parent.name for path in found)
    if inside:
        names = shown(", ".join(inside))
        raise UsageError(f"{shown(asked)}: no run, but a folder of runs: {names}")
    near = nearest(name, known, "`genjax list` has what makes one")
    if not closest(name, known) and (meant := closest(name[:LONGEST_NAME], files)):
        line = f"`genjax {files[meant].experiment} --flagfile={meant}` makes it"
        near = f"; did you mean {meant}? {line}"
    raise UsageError(f"{shown(asked)}: no run, config.json is missing{near}")


def one(words: tuple[str, ...], command: str, *, exported: bool = False) -> Path:
    """The folder of the only word. Raises UsageError where there is none, or several."""
    if len(words) != 1:
        raise UsageError(f"which run? Such as: {command} runs/vae/vae_digits")
    return folder(words[0], exported=exported)
