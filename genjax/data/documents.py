"""A folder of plain text files as domains, each split by document into train, valid and test."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np

from genjax.core.config import shown
from genjax.core.errors import UsageError
from genjax.core.progress import say
from genjax.data import split

SUFFIX = ".txt"
# Shares of test and of valid, in bytes. Of so many files each is a document.
_SHARE, _MANY = 0.1, 30
# A domain of fewer documents is not split.
_FEWEST = 10
_BLANK_LINES = re.compile(rb"\r?\n(?:[ \t]*\r?\n)+")
# Domains that the line about them names.
_NAMED = 8


def read(flag: str, folder: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """{domain: (train, valid, test)}, UTF-8 text uint8 [n], of the .txt files of a folder.

    Each file is a domain, and each subfolder with all files below it. Its documents are its files
    where they are 30 or more, else paragraphs, between blank lines. They are split by content, a
    tenth of the bytes to test and to valid, and joined in their order by blank lines; {} where no
    file is. Names that begin with a dot are left out.

    Raises:
      UsageError: a file cannot be read or is no UTF-8, a domain has too few documents, or two
        have one name.
    """
    found, said = {}, []
    for name, files in domains(flag, folder).items():
        documents, kind = _documents(flag, folder, files)
        found[name] = _split(flag, name, documents, kind)
        said.append(f"{shown(name)} of {len(documents):,} {kind}")
    if said:
        more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
        say(
            f"{flag}: {len(said)} domains: {', '.join(said[:_NAMED])}{more}; split by content: "
            f"{_SHARE:.0%} of the bytes test, {_SHARE:.0%} valid"
        )
    return found


def domains(flag: str, folder: Path) -> dict[str, list[Path]]:
    """{domain: its files}; none is opened. Raises as `read`."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        files = _below(path) if path.is_dir() else [path] * _is_text(path)
        if not files or path.name.startswith("."):
            continue
        name = path.name if path.is_dir() else path.stem
        if name in found:
            raise UsageError(f"{flag}: {shown(name)} is a subfolder and a file; rename one")
        found[name] = files
    if {"train", "valid", "test"} <= found.keys():
        raise UsageError(
            f"{flag}: holds train, valid and test, and so is a domain; give the folder that it is "
            f"in: --corpus={folder.resolve().parent}"
        )
    return found


def _is_text(path: Path) -> bool:
    # What is no regular file, such as a pipe, would be waited for.
    return path.suffix.lower() == SUFFIX and not path.name.startswith(".") and path.is_file()


def _below(folder: Path) -> list[Path]:
    """The text files of a folder and of all below it, by path."""
    found = []
    for place, inside, names in os.walk(folder):  # It follows no links to folders: no loops.
        inside[:] = [name for name in inside if not name.startswith(".")]
        found += filter(_is_text, (Path(place, name) for name in names))
    return sorted(found)


def _documents(flag: str, folder: Path, files: list[Path]) -> tuple[list[bytes], str]:
    """The documents of a domain in their order, none empty; and what they are."""
    contents = [_content(flag, folder, file) for file in files]
    if len(files) >= _MANY:
        found, kind = [content.strip(b"\r\n") for content in contents], "files"
    else:
        found = [part for content in contents for part in _BLANK_LINES.split(content)]
        found, kind = [part.strip(b"\r\n") for part in found], "paragraphs"
    return [document for document in found if document.strip()], kind


def _content(flag: str, folder: Path, file: Path) -> bytes:
    name = file.relative_to(folder)
    try:
        content = file.read_bytes()
        content.decode()
    except OSError as error:
        raise UsageError(f"{flag}: {shown(name)} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{flag}: {shown(name)} is not UTF-8, the first bad byte is at offset {error.start}"
        ) from error
    return content.removeprefix(b"\xef\xbb\xbf")


def _split(flag: str, name: str, documents: list[bytes], kind: str) -> tuple[np.ndarray, ...]:
    digests = [hashlib.sha256(document).digest() for document in documents]
    distinct = len(set(digests))
    if distinct < _FEWEST:
        raise UsageError(
            f"{flag}: the domain {shown(name)} has {distinct} different {kind}; {_FEWEST} or more "
            "are needed to split it: put blank lines between paragraphs, or give "
            f"{shown(name)}/train.txt, valid.txt and test.txt"
        )
    sizes = [len(document) for document in documents]
    part = split.by_content(digests, sizes, test=_SHARE, valid=_SHARE)
    texts = []
    for place in (split.TRAIN, split.VALID, split.TEST):
        chosen = [document for document, at in zip(documents, part, strict=True) if at == place]
        texts.append(np.frombuffer(b"\n\n".join(chosen), np.uint8))
    return tuple(texts)
