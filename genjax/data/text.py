"""Domains of text: read, tokenized and cut into windows."""

import codecs
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.core import extras
from genjax.core.errors import UsageError
from genjax.data import documents
from genjax.data import tfds as images

_SPLITS = ("train", "valid", "test")
_BYTES = 256
_CHUNK = 1 << 20
# Between these two no token of byte-level BPE continues: it holds blanks at its start alone.
_CUT = re.compile(rb"[!-~](?=[ \n])")


class Domain(NamedTuple):
    """UTF-8 text of one kind: three read-only arrays of bytes, uint8 [n], none of them empty."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


class Tokens(NamedTuple):
    """A vocabulary: `encode` takes uint8 [n] to integers [m], `decode` takes ids to a str.

    `bos`, the last id, stands before a text; no text encodes to it, and `decode` drops it.
    bpe: the merges as JSON, of which `kept_bpe` makes the same again; None for bytes.
    """

    vocabulary: int
    bos: int
    encode: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[np.ndarray], str]
    bpe: str | None = None


class Measured(NamedTuple):
    """Windows [n, length + 1], which of their positions count [n, length], and the units in them.

    units: tokens of a chain, bytes of text; losses are bits a unit.
    document: the document each window belongs to [n], what a bootstrap draws.
    """

    windows: np.ndarray
    scored: np.ndarray
    units: float
    document: np.ndarray

    @property
    def tokens_per_unit(self) -> float:
        """What bits a token are multiplied by: below 1 for byte pairs."""
        return self.scored.sum() / self.units


# Reading


def read(folder: str, *, tfds_dir: str | None = None) -> dict[str, Domain]:
    """The domains of `--corpus=<folder>`, sorted by name; several sources are joined with ','.

    A folder holds one subfolder a domain, with train.txt, valid.txt and test.txt; it stays on disk.
    One of other .txt files is split by document (genjax.data.documents), and read into memory.
    `tfds:<name>` is one domain of that name, which tensorflow-datasets has prepared; it is read
    into memory.

    Raises:
      UsageError: a folder, file or package is missing, a text is empty or not UTF-8, or two
        sources hold a domain of the same name.
    """

    def one(source: str) -> dict[str, Domain]:
        tfds = source.startswith("tfds:")
        return _read_tfds(source, tfds_dir) if tfds else _read_folder(source)

    return _joined(folder, one)


def names(folder: str) -> list[str]:
    """The names of the domains that `read` finds; no text is opened. Raises as `read`."""

    def one(source: str) -> dict:
        if source.startswith("tfds:"):
            return {source.removeprefix("tfds:"): source}
        flag, path, folders = _folders(source)
        return folders or _own(flag, documents.domains(flag, path))

    return list(_joined(folder, one))


def _joined(corpus: str, read: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    domains: dict[str, Any] = {}
    for source in corpus.split(","):
        found = read(source)
        twice = sorted(domains.keys() & found.keys())
        if twice:
            raise UsageError(f"--corpus={corpus}: two sources hold a domain {twice[0]}")
        domains |= found
    return dict(sorted(domains.items()))


def _folders(source: str) -> tuple[str, Path, dict[str, Path]]:
    """(the flag, the folder, {domain: its subfolder}) of those with texts that are split."""
    flag, path = f"--corpus={source}", Path(os.path.expanduser(source))
    if source and os.path.isfile(path):
        raise UsageError(
            f"{flag}: is a file; a corpus is a folder whose .txt files are a domain each: "
            f"mkdir corpus; cp {path} corpus/{path.stem}.txt; and give --corpus=corpus"
        )
    if not source or not os.path.isdir(path):
        raise UsageError(f"{flag}: there is no such folder")
    found = {}
    try:
        folders = sorted(path.iterdir())
    except OSError as error:
        raise UsageError(f"{flag}: cannot be read: {error.strerror}") from error
    for folder in folders:
        missing = [f"{split}.txt" for split in _SPLITS if not (folder / f"{split}.txt").is_file()]
        if len(missing) == len(_SPLITS):
            continue  # a folder of something else
        if missing:
            raise UsageError(f"{flag}: the domain {folder.name} has no {missing[0]}")
        for split in _SPLITS:
            if not (folder / f"{split}.txt").stat().st_size:  # which cannot be mapped
                raise UsageError(f"{flag}: {folder.name}/{split}.txt is empty")
        found[folder.name] = folder
    return flag, path, found


def _read_folder(source: str) -> dict[str, Domain]:
    flag, path, folders = _folders(source)
    if folders:
        return {
            name: Domain(*(_read_file(flag, folder / f"{split}.txt") for split in _SPLITS))
            for name, folder in folders.items()
        }
    found = _own(flag, documents.read(flag, path))
    return {name: Domain(*parts) for name, parts in found.items()}


def _own(flag: str, found: dict[str, Any]) -> dict[str, Any]:
    """Domains of texts that are to be split. Raises UsageError where there are none."""
    if not found:
        raise UsageError(
            f"{flag}: no subfolder has train.txt, valid.txt and test.txt, and there is no .txt "
            "file to split"
        )
    return found


def _read_file(flag: str, path: Path) -> np.ndarray:
    name = f"{path.parent.name}/{path.name}"
    try:
        text = np.memmap(path, np.uint8, "r")
    except OSError as error:
        raise UsageError(f"{flag}: {name} cannot be read: {error.strerror}") from error
    _check_utf8(flag, name, text)
    return text


def _check_utf8(flag: str, name: str, text: np.ndarray) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(text), _CHUNK):
        # A character that the last chunk cut waits in the decoder, and its bytes count as here.
        first = start - len(decoder.getstate()[0])
        try:
            decoder.decode(text[start : start + _CHUNK].tobytes(), start + _CHUNK >= len(text))
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{flag}: {name} is not UTF-8, the first bad byte is at offset "
                f"{first + error.start}"
            ) from error


def _read_tfds(source: str, data_dir: str | None) -> dict[str, Domain]:
    flag, name = f"--corpus={source}", source.removeprefix("tfds:")
    extras.require("tfds", flag)
    builder = images._builder(flag, name, data_dir)
    if not builder.is_prepared():
        place = f" --data_dir={data_dir}" if data_dir else ""
        raise UsageError(
            f"{flag} is not prepared in {builder.data_dir}; give another --tfds_dir, or prepare it "
            f"there: tfds build {name} --file_format=array_record{place}"
        )
    feature = _text_feature(flag, builder.info.features)
    if "train" not in builder.info.splits:
        splits = ", ".join(builder.info.splits)
        raise UsageError(f"{flag}: the split train is needed, it has {splits}")

    parts = {"train": _documents(flag, builder, "train", feature)}
    for part, split, percent in (("test", "test", 10), ("valid", "validation", 5)):
        if split in builder.info.splits:
            parts[part] = _documents(flag, builder, split, feature)
        else:
            count = -(-builder.info.splits["train"].num_examples * percent // 100)
            parts["train"], parts[part] = parts["train"][:-count], parts["train"][-count:]
    texts = []
    for part in _SPLITS:
        text = np.frombuffer(b"\n\n".join(parts[part]), np.uint8)
        if not text.size:
            raise UsageError(f"{flag}: its {part} text is empty")
        _check_utf8(flag, f"its {part} text", text)
        texts.append(text)
    return {name: Domain(*texts)}


def _text_feature(flag: str, features) -> str:
    import tensorflow_datasets as tfds

    items: dict[str, Any] = {}
    if isinstance(features, tfds.features.FeaturesDict):
        items |= dict(features)
    names = [
        name
        for name, item in items.items()
        if item.shape == () and np.dtype(item.np_dtype).kind == "O"
    ]
    if not names:
        found = ", ".join(items) or "none"
        raise UsageError(f"{flag}: a feature that is a string is needed, it has {found}")
    return "text" if "text" in names else names[0]


def _documents(flag: str, builder, split: str, feature: str) -> list[bytes]:
    """The texts of a split, without the empty lines around them."""
    try:
        source = builder.as_data_source(split)
    except NotImplementedError as error:
        raise UsageError(
            f"{flag} is prepared in {builder.data_dir} as {builder.info.file_format.value}, which "
            "only TensorFlow reads; give another --tfds_dir"
        ) from error
    return [record[feature].strip(b"\n") for record in source]


# Tokens


def byte_tokens() -> Tokens:
    """One token a byte, then BOS: 257 tokens. Encoding copies nothing: a mapped file stays one."""

    def decode(ids) -> str:
        ids = np.asarray(ids)
        return ids[ids != _BYTES].astype(np.uint8).tobytes().decode(errors="replace")

    return Tokens(_BYTES + 1, _BYTES, lambda text: text, decode)


def bpe_tokens(size: int, texts: list[np.ndarray]) -> Tokens:
    """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) of at most `size` tokens.

    Merges are learned on `texts` alone; where those give too few, the vocabulary is smaller. It
    encodes UTF-8 text without loss, and raises UnicodeDecodeError for other bytes.

    Raises:
      UsageError: fewer tokens than bytes and BOS, or `tokenizers` is not installed.
    """
    if size <= _BYTES:
        raise UsageError(f"--bpe={size}: choose {_BYTES + 1} or more, for every byte and BOS")
    extras.require("text", f"--bpe={size}")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((piece for text in texts for piece in _pieces(text)), trainer)
    return _tokens(bpe)


def kept_bpe(content: str) -> Tokens:
    """The tokens whose `bpe` was kept. Raises UsageError where `tokenizers` is not installed."""
    extras.require("text", "a byte-pair encoding")
    from tokenizers import Tokenizer

    return _tokens(Tokenizer.from_str(content))


def _tokens(bpe) -> Tokens:
    bos = bpe.get_vocab_size()

    def encode(text: np.ndarray) -> np.ndarray:
        ids = [np.array(bpe.encode(piece).ids, np.int32) for piece in _pieces(text)]
        return np.concatenate([np.zeros(0, np.int32), *ids])

    def decode(ids) -> str:
        ids = np.asarray(ids)
        return bpe.decode(ids[ids != bos].tolist())

    return Tokens(bos + 1, bos, encode, decode, bpe.to_str())


def _pieces(text: np.ndarray) -> Iterator[str]:
    """A text in pieces that encode as the whole does, as that may need too much memory."""
    start = 0
    while start < len(text):
        cut = _CUT.search(text.data, start + _CHUNK)
        end = cut.end() if cut else len(text)
        yield text[start:end].tobytes().decode()
        start = end


# Windows


def windows(tokens: np.ndarray, bos: int, starts: np.ndarray, length: int) -> np.ndarray:
    """Row i is `tokens[starts[i] - 1 : starts[i] + length]`: int32 [n, length + 1].

    The first column is context only, the others are the targets. BOS stands at position -1, and
    wherever else there is no token.
    """
    index = np.asarray(starts)[:, None] + np.arange(-1, length)
    inside = (index >= 0) & (index < len(tokens))
    rows = np.full(index.shape, bos, np.int32)
    rows[inside] = tokens[index[inside]]
    return rows


def scored_windows(count: int, length: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Sliding windows that score each of `count` tokens once: starts [n], scored bool [n, length].

    The first scores all its targets, each other its last `stride`, so that from then on at least
    `length - stride` targets of context come before a scored one. The last is moved back to end at
    the last token, and scores what is left; one that is longer than the text starts at 0, and its
    surplus is not scored.

    Raises:
      UsageError: the stride is not in 1 ... length.
    """
    if not 1 <= stride <= length:
        raise UsageError(f"--stride={stride}: choose 1 to {length}, the context")
    last = max(count - length, 0)
    starts = np.minimum(np.arange(0, last + stride, stride), last)
    scored_before = np.concatenate([[0], starts[:-1] + length])
    offset = np.arange(length)
    scored = (offset >= (scored_before - starts)[:, None]) & (offset < count)
    return starts, scored
