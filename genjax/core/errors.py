"""The two ways in which a run ends early, and what the shell is told."""

import os


class UsageError(ValueError):
    """Input that cannot be used: one line that names flag, value and choices. Exit code 2."""


class RunError(RuntimeError):
    """A run that failed while it ran. Exit code 1."""


class NotFinite(RunError):
    """Training that diverged: a loss, another metric or a parameter is not finite."""


def no_folder(path: str | os.PathLike) -> str:
    """Why a path that is no folder cannot be read."""
    return "is a file; a folder is needed" if os.path.isfile(path) else "there is no such folder"


def no_file(path: str | os.PathLike) -> str:
    """Why a path that is no file cannot be read."""
    return "is a folder; a file is needed" if os.path.isdir(path) else "there is no such file"


def one_line(error: BaseException) -> str:
    """The first line of an error's text, or its type's name."""
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
