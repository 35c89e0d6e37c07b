"""Token sequences by domain: what training draws, what is measured, and where the optimum is known.

A window is [length + 1] tokens: the first is context alone (BOS, or the token before), each of the
others is predicted from those before it. Windows are drawn on the host by (seed, step) from files
or pools that never go to the device as a whole.
"""

import functools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genjax.core.errors import UsageError
from genjax.data import checksum, leaks, text
from genjax.data.text import Measured
from genjax.domains import chains, hmm
from genjax.domains.names import of_grid


class Source(NamedTuple):
    """The domains of an experiment.

    held_out: never trained on unless an arm names them: what `unseen` means.
    far: the same, of another kind, and no part of `unseen`.
    groups: names of several at once, for `select`.
    pool: (name, limit) -> how many windows training can draw, of at most `limit` units (0: all).
    draw: (name, index [n]) -> windows [n, length + 1]; an index numbers a window of the pool.
    measured: (name, split) -> Measured, split `valid` or `test`.
    lines: (name, training) -> {line: bits [n, length]} of the test, where the optimum is known.
        known: the domain is given. family: only its kind is, any pair of the grid, or any chain
        (perfect composition, perfect learning in context). seen: any domain trained on (perfect
        memory).
    log_probs: (names, windows) -> log2 p of tokens under domains of the grid, [names, n, length].
    sequences: name -> token sequences of the training split, whole.
    overlap: (name, others) -> share of its test text's 5-grams that the others' training texts
        have; None where there is no text.
    bpe: the byte-pair encoding as JSON; None where tokens are bytes or numbers.
    checksum: of the texts. tokens: name -> its training text [n]. None of a grid, both.
    """

    names: list[str]
    held_out: list[str]
    far: list[str]
    groups: dict[str, list[str]]
    vocabulary: int
    bos: int
    length: int
    unit: str
    pool: Callable
    draw: Callable
    measured: Callable
    lines: Callable | None
    sequences: Callable
    decode: Callable
    log_probs: Callable | None = None
    overlap: Callable | None = None
    bpe: str | None = None
    checksum: str | None = None
    tokens: Callable | None = None


def from_grid(
    grid: hmm.Grid,
    *,
    length: int,
    pool: int,
    documents: int,
    far: np.ndarray | None = None,
    seed: int = 0,
) -> Source:
    """Documents of the grid: `pool` of each domain to train on, `documents` to measure on.

    far: transition matrices [d, v, v] of chains beside it, over the same vocabulary. seed: draws
    the documents.
    """
    kinds = {"train": (0, pool), "valid": (1, documents), "test": (2, documents)}
    wide = np.zeros((0, grid.vocabulary, grid.vocabulary)) if far is None else far
    known = of_grid(len(grid.transition), len(wide))
    names, others = known.names, known.far

    @functools.cache
    def of(name, split):
        stream, count = kinds[split]
        own = (seed * 3 + stream) * 10_000 + 1 + names.index(name)
        if name in others:
            return chains.documents(wide[others.index(name)], count, length, own)
        (found,) = hmm.documents(grid, [name], count, length, own)
        return found

    @functools.cache
    def log_probs(name):
        """Of the test documents, under every domain: the same for all arms."""
        found = hmm.log_probs(grid, grid.domains, of(name, "test"))
        return np.concatenate([found, chains.log_probs(wide, of(name, "test"))])

    def lines(name, training):
        every = log_probs(name)
        family = hmm.mixture(every[: len(grid.domains)])
        if name in others:
            family = chains.predictive(of(name, "test"), grid.vocabulary)
        seen = hmm.mixture(every[[names.index(other) for other in training]])
        return {"known": -every[names.index(name)], "family": -family, "seen": -seen}

    def measured(name, split):
        found = of(name, split)
        scored = np.ones((len(found), length), bool)
        return Measured(found, scored, scored.size, np.arange(len(found)))

    return Source(
        **known._asdict(),
        vocabulary=grid.vocabulary + 1,
        bos=grid.vocabulary,
        length=length,
        unit="bits a token",
        pool=lambda name, limit: min(pool, max(1, limit // length)) if limit else pool,
        draw=lambda name, index: of(name, "train")[index],
        measured=measured,
        lines=lines,
        sequences=lambda name: list(of(name, "train")),
        decode=lambda ids: " ".join(str(i) for i in ids),
        log_probs=partial(hmm.log_probs, grid),
    )


def from_text(
    corpus: dict[str, text.Domain],
    tokens: text.Tokens,
    held_out: list[str],
    *,
    length: int,
    stride: int,
    most: int = 0,
) -> Source:
    """Text in windows; measured by sliding windows, every byte once.

    most: bytes measured of each split, 0: all. Raises UsageError for a window longer than a text,
    or a stride longer than the window.
    """
    text.scored_windows(length, length, stride)

    @functools.cache
    def of(name, split):
        content = getattr(corpus[name], split)
        if most and split != "train":
            content = content[:most]
        encoded = tokens.encode(content)
        if len(encoded) < length:
            cut = f" (--measured_bytes={most})" if most and split != "train" else ""
            cut += " of byte pairs (--bpe)" if tokens.bpe else ""
            raise UsageError(
                f"--context={length}: longer than {name}'s {split} text of {len(encoded)} "
                f"tokens{cut}; choose a shorter one"
            )
        return encoded, len(content)

    def pool(name, limit):
        size = len(of(name, "train")[0])
        size = min(size, limit) if limit else size
        if size < length:
            raise UsageError(f"--context={length}: longer than the {size} tokens of {name} in use")
        return size - length + 1

    def draw(name, index):
        return text.windows(of(name, "train")[0], tokens.bos, index, length)

    @functools.cache
    def overlap(name, others):
        return leaks.overlap(corpus[name].test, [corpus[other].train for other in others])

    def measured(name, split):
        encoded, units = of(name, split)
        starts, scored = text.scored_windows(len(encoded), length, stride)
        # Neighbouring windows share a document: blocks of 4 kB.
        return Measured(
            text.windows(encoded, tokens.bos, starts, length), scored, units, starts // 4096
        )

    for name in corpus:
        for split in ("valid", "test"):
            of(name, split)
    return Source(
        names=list(corpus),
        held_out=held_out,
        far=[],
        groups={},
        vocabulary=tokens.vocabulary,
        bos=tokens.bos,
        length=length,
        unit="bits a byte",
        pool=pool,
        draw=draw,
        measured=measured,
        lines=None,
        sequences=lambda name: [
            np.concatenate([[tokens.bos], np.asarray(of(name, "train")[0], np.int32)])
        ],
        decode=tokens.decode,
        overlap=overlap,
        bpe=tokens.bpe,
        checksum=checksum(part for domain in corpus.values() for part in domain),
        tokens=lambda name: of(name, "train")[0],
    )


def by_seed(parts: Sequence[Measured]) -> Measured:
    """What each seed is measured on as one: windows [seeds, n, length + 1] where they differ."""
    first = parts[0]
    if all(part is first for part in parts):
        return first
    return first._replace(windows=np.stack([part.windows for part in parts]))


def batches(
    sources: Sequence[Source],
    mixture: dict[str, float],
    batch: int,
    *,
    seeds: list[int],
    limits: dict[str, int] | None = None,
    own: np.ndarray | None = None,
    draw: Callable | None = None,
) -> Callable:
    """(first, count) -> [count, seeds, batch, length + 2], a function of (seed, step).

    sources: one a seed. A window, and behind it the number of its domain in the mixture. limits:
    tokens of a domain that training may see, 0 or not named: all. own: [seeds, batch], the windows
    that are read; the others are zeros. draw: in the place of the sources', such as `from_files`.
    """
    names, length = list(mixture), sources[0].length
    edges = np.cumsum(list(mixture.values()))
    pools = np.array([sources[0].pool(name, (limits or {}).get(name, 0)) for name in names])

    mine = np.ones((len(seeds), batch), bool) if own is None else own

    draws = [draw or source.draw for source in sources]

    def one(draw, seed, step, mine):
        rng = np.random.default_rng([23, seed, step])
        which = np.minimum(np.searchsorted(edges, rng.random(batch), side="right"), len(names) - 1)
        index = (rng.random(batch) * pools[which]).astype(np.int64)
        found = np.zeros((batch, length + 2), np.int32)
        found[:, -1] = which
        for i in np.unique(which[mine]):
            rows = mine & (which == i)
            found[rows, :-1] = draw(names[i], index[rows])
        return found

    def many(first, count):
        each = list(zip(draws, seeds, mine, strict=True))
        return np.stack(
            [
                np.stack([one(draw, seed, step, rows) for draw, seed, rows in each])
                for step in range(first, first + count)
            ]
        )

    return many


def from_files(source: Source, names: Sequence[str], scratch: Path) -> Callable:
    """`draw` of texts as worker processes can be given it: from files, which are mapped.

    scratch: a folder for the tokens that are in no file as they are, such as byte pairs.
    """
    assert source.tokens is not None
    files = {}
    for name in names:
        tokens = source.tokens(name)
        if not isinstance(tokens, np.memmap):
            file = scratch / f"tokens{len([*scratch.iterdir()])}"
            tokens.tofile(file)
            tokens = np.memmap(file, tokens.dtype, "r")
        files[name] = str(tokens.filename), tokens.dtype.name
    return partial(_from_files, files, source.bos, source.length)


def _from_files(files: dict, bos: int, length: int, name: str, index: np.ndarray) -> np.ndarray:
    return text.windows(_tokens(*files[name]), bos, index, length)


@functools.lru_cache(maxsize=1000)
def _tokens(file: str, dtype: str) -> np.memmap:
    return np.memmap(file, dtype, "r")


def examples(
    source: Source, name: str, shots: list[int], size: int, count: int, seed: int
) -> dict[int, Measured]:
    """Windows of k examples of a domain and then one to predict, by k; `size` tokens each.

    Examples are cut out of the test split at random, so that one does not continue the other: what
    they tell is the domain. The same examples serve all k. Raises UsageError where the most do not
    fit into a window.
    """
    most = max(shots)
    if (most + 1) * size > source.length:
        raise UsageError(
            f"--shots={most} of --example={size} tokens do not fit into a window of "
            f"{source.length}: at most {source.length // size - 1}"
        )
    rng = np.random.default_rng([31, seed])
    whole = source.measured(name, "test")
    test = whole.windows[:, 1:]
    rows = rng.integers(0, len(test), (count, most + 1))
    starts = rng.integers(0, source.length - size + 1, (count, most + 1))
    cut = test[rows[..., None], starts[..., None] + np.arange(size)]
    found = {}
    for k in shots:
        # The query is the same for every k; after it comes padding, which it cannot see.
        windows = np.full((count, source.length + 1), source.bos, np.int32)
        windows[:, 1 : k * size + 1] = cut[:, 1 : k + 1].reshape(count, -1)
        windows[:, k * size + 1 : (k + 1) * size + 1] = cut[:, 0]
        scored = np.zeros((count, source.length), bool)
        scored[:, k * size : (k + 1) * size] = True
        units = count * size / whole.tokens_per_unit
        found[k] = Measured(windows, scored, units, np.arange(count))
    return found
