"""Labelled images in train, valid and test, and the order in which training reads them.

The same grey images give four data sets, whose likelihoods cannot be compared with each other:

- `none`: the grey levels.
- `threshold`: a pixel is 1 where its grey level is above 0.5.
- `dynamic`: grey levels here; the training step draws Bernoulli(grey) again at each use, as in
  Burda et al. (2016), Importance Weighted Autoencoders.
- `fixed`: one Bernoulli(grey) draw a pixel for good. The draw is ours, from a constant seed; it is
  not the file of Larochelle and Murray (2011) that papers call fixed or static MNIST.
"""

import difflib
import hashlib
import math
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from genjax.core.config import closest, shown
from genjax.core.errors import UsageError
from genjax.core.progress import say
from genjax.data import digits, folder, hub, idx, npz, rows, split, tfds

SOURCES = ("digits", "idx:<folder>", "tfds:<name>", "folder:<path>", "npz:<file>", "hf:<name>")
BINARIZATIONS = ("none", "threshold", "dynamic", "fixed")

_FIXED_SEED = 20110411
_DIGITS_TEST, _DIGITS_VALID = 500, 147
_MAX_DEFAULT_VALID = 5000
# Of data that come as one lot: shares of test and of valid, and the fewest that can be measured.
_OWN_SHARE, _FEWEST = 0.15, 30
# Bytes of the images, as numbers of four, that measures see of a part: all of 600,000 of MNIST's.
MEASURED = 2 * 10**9
# Classes that the line about a data set names.
_NAMED = 10
# Sources whose pictures are made one size; the others have one.
_RESIZED = ("folder", "hf")
# Names of data sets that are given without their source.
_KNOWN = ("mnist", "fashion_mnist", "emnist", "kmnist", "cifar10", "svhn_cropped")


def load(
    spec: str,
    *,
    seed: int = 0,
    valid: int | None = None,
    binarize: str = "none",
    tfds_dir: str | None = None,
    tfds_manual_dir: str | None = None,
    image_size: int | None = None,
    colour: str | None = None,
    input: str = "device",
) -> dict[str, dict]:
    """Reads a data set and splits it by `seed`, which is no training seed.

    Returns `{"train": {"image", "label"}, "valid": ..., "test": ...}` with image float32
    [n, height, width, channels] in [0, 1] and label int32 [n]. `valid` examples are drawn out of
    train: by default 147 of `digits`, else a tenth of train, 5000 at most. `digits` has no test
    set of its own: 500 are drawn. What comes without a test set is split by
    content: 15% are test, and 15% or `valid` examples are valid. A pixel's `fixed` value does not
    depend on `seed`. image_size, colour: of pictures in files, as in `pictures.read`. input:
    device; stream: images are `rows.Rows`, which stay in their files; auto: by size.

    Raises:
      UsageError: the data set cannot be had; one line that names flag and file.
    """
    source, argument = parse(spec)
    if binarize not in BINARIZATIONS:
        raise UsageError(f"--binarize={binarize}: choose one of {', '.join(BINARIZATIONS)}")
    for flag, value in (("image_size", image_size), ("colour", colour)):
        if value is not None and source not in _RESIZED:
            raise UsageError(
                f"--{flag}={value}: is for pictures of --data=folder:<path> and hf:<name>; those "
                f"of --data={shown(spec)} stay as they are"
            )
    how = {"tfds_dir": tfds_dir, "tfds_manual_dir": tfds_manual_dir}
    how |= {"image_size": image_size, "colour": colour}
    read = partial(_read, source, argument, how)
    lots = None
    if input != "device":
        try:
            if binarize == "fixed":
                raise UsageError(
                    "--binarize=fixed: is one draw of the whole set, which --input=stream does not "
                    "read at once; choose dynamic, threshold or none"
                )
            lots = read(stay=True)
        except UsageError:
            if input == "stream":
                raise
    if lots and not _streams(spec, input, lots):
        lots = None
    return _split(spec, lots or read(stay=False), seed, valid, binarize)


class _Lots(NamedTuple):
    """What a source has: train and test; or all, with a digest of each; or all of the digits.

    Labels and digests may be functions that read them. classes: their names, by number.
    """

    train: dict
    test: dict | None = None
    digests: list[bytes] | Callable[[], list[bytes]] | None = None
    classes: Sequence[str] = ()


def _read(source: str, argument: str, how: dict, *, stay: bool) -> _Lots:
    """stay: images as `rows.Rows`."""
    if source == "digits":
        return _Lots(digits.read(stay=stay))
    if source == "idx":
        return _Lots(*idx.read(argument, stay=stay))
    if source == "tfds":
        places = how["tfds_dir"], how["tfds_manual_dir"]
        return _Lots(*tfds.read(argument, *places, stay=stay))
    size, colour = how["image_size"], how["colour"]
    if source == "folder":
        pool, found, classes = folder.read(argument, size, colour, stay=stay)
        return _Lots(pool, None, found, classes)
    if source == "hf":
        if stay:
            raise UsageError(
                f"--data=hf:{shown(argument)}: --input=stream does not read the hub's sets; save "
                "the pictures as files, and give --data=folder:<path>"
            )
        pool, test, found = hub.read(argument, size, colour)
        return _Lots(pool, test, None if test else found)
    pool, test = npz.read(argument, stay=stay)
    return _Lots(pool, test, None if test else partial(_digests, pool["image"]))


def _digests(images) -> list[bytes]:
    return [hashlib.sha256(image).digest() for image in images]


def _streams(spec: str, input: str, lots: _Lots) -> bool:
    from genjax.core import stream  # It imports jax.

    train, size = len(lots.train["image"]), math.prod(lots.train["image"].each)
    count = train + (len(lots.test["image"]) if lots.test else 0)
    what = f"--data={shown(spec)}, {count:,} images of {size:,} bytes"
    # As numbers of four bytes, whole and in parts, beside the bytes that the device gets.
    return stream.chosen(input, what, 10.0 * count * size, 1.0 * train * size)


def _split(spec: str, lots: _Lots, seed: int, valid: int | None, binarize: str) -> dict[str, dict]:
    pool = {key: _whole(value) for key, value in lots.train.items()}
    test = lots.test and {key: _whole(value) for key, value in lots.test.items()}
    # Before the split, so that a pixel's fixed draw depends on its place in the source alone.
    pool = _binarized(pool, binarize, stream=0)
    if lots.digests is not None:
        found = _by_content(spec, pool, _whole(lots.digests), valid, seed)
        sizes = ", ".join(f"{len(one['label']):,} {name}" for name, one in found.items())
        say(f"{_what(spec, pool, lots.classes)}; split by content: {sizes}")
        return found
    order = np.random.default_rng(seed).permutation(len(pool["label"]))
    if test is None:
        test, order = _take(pool, order[:_DIGITS_TEST]), order[_DIGITS_TEST:]
    else:
        test = _binarized(test, binarize, stream=1)

    if valid is None:
        tenth = max(1, min(len(order) // 10, _MAX_DEFAULT_VALID))
        valid = _DIGITS_VALID if spec == "digits" else tenth
    if not 0 < valid < len(order):
        raise UsageError(
            f"--valid={valid}: choose 1 to {len(order) - 1}, "
            f"out of the {len(order)} training examples of --data={spec}"
        )
    return {"train": _take(pool, order[valid:]), "valid": _take(pool, order[:valid]), "test": test}


def measured(splits: dict[str, dict]) -> dict[str, dict[str, np.ndarray]]:
    """What measures see of a data set: at most MEASURED bytes of each part's images, as float32.

    Those are spread evenly, and the same whether images stay in their files or not.
    """
    return {name: _some(name, part) for name, part in splits.items()}


def _some(name: str, part: dict) -> dict[str, np.ndarray]:
    count = len(part["label"])
    most = max(1, MEASURED // (4 * math.prod(part["image"].shape[1:])))
    if count > most:
        say(f"measures see {most:,} of {count:,} {name} images, spread evenly")
        part = _take(part, np.arange(most) * count // most)
    return part | {"image": floats(part["image"])}


def floats(images) -> Float32[np.ndarray, "n h w c"]:
    """Images that `load` returned, read where they are in files."""
    return images.floats() if isinstance(images, rows.Rows) else images


def _by_content(
    spec: str, pool: dict, digests: list[bytes], valid: int | None, seed: int
) -> dict[str, dict]:
    """The three parts of data that come as one lot."""
    flag, count, distinct = f"--data={shown(spec)}", len(digests), len(set(digests))
    if distinct < _FEWEST:
        raise UsageError(
            f"{flag}: {distinct:,} different pictures; {_FEWEST} or more are needed to train, "
            "choose and test on"
        )
    most = int(count * (1 - 2 * _OWN_SHARE))
    if valid is not None and not 0 < valid <= most:
        raise UsageError(f"--valid={valid}: choose 1 to {most}, of the {count:,} of {flag}")
    share = _OWN_SHARE if valid is None else valid / count
    part = split.by_content(digests, [1] * count, test=_OWN_SHARE, valid=share, seed=seed)
    places = {"train": split.TRAIN, "valid": split.VALID, "test": split.TEST}
    return {name: _take(pool, np.flatnonzero(part == place)) for name, place in places.items()}


def _what(spec: str, pool: dict, names: Sequence[str]) -> str:
    """What the pictures of a data set are, and which number each class has."""
    height, width, channels = pool["image"].shape[1:]
    other = " (others: --image_size)" if parse(spec)[0] in _RESIZED else ""
    count = len(names) or len(np.unique(pool["label"]))
    named = [f"{number} {shown(name)}" for number, name in enumerate(names)]
    more = f" and {count - _NAMED} more" if len(named) > _NAMED else ""
    classes = f"{count} classes" if count > 1 else "one class"
    classes += f" ({', '.join(named[:_NAMED])}{more})" if named else ""
    return (
        f"--data={shown(spec)}: {len(pool['label']):,} pictures, {height} x {width} pixels{other}, "
        f"{'grey' if channels == 1 else 'in colour'}, {classes}"
    )


def checksum(arrays: Iterable[np.ndarray]) -> str:
    """16 hexadecimal digits that differ where the data do: types, shapes and bytes, in order."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).data)
    return found.hexdigest()[:16]


def name(spec: str, binarize: str) -> str:
    """The data set's name in tables, such as `digits/dynamic` or `idx:mnist/fixed`."""
    source, argument = parse(spec)
    if source not in ("digits", "tfds", "hf"):
        argument = Path(os.path.expanduser(argument)).resolve().name
    return f"{source}:{argument}/{binarize}" if argument else f"{source}/{binarize}"


def classes(spec: str) -> list[str]:
    """The names of the classes of a folder of pictures, by number; none of other data."""
    source, argument = parse(spec)
    return folder.classes(argument) if source == "folder" else []


def parse(spec: str, before: str = "") -> tuple[str, str]:
    """Splits `source` or `source:argument`. Raises UsageError for a source that there is not.

    before: what stands before it in --data, such as 'stacked:'.
    """
    source, _, argument = spec.partition(":")
    names = [choice.partition(":")[0] for choice in SOURCES]
    if spec == "digits" or (source in names[1:] and argument):
        return source, argument
    if source == "csv" or spec.endswith(".csv"):
        right = f"genjax gan --data=csv:{shown(argument or spec)}"
        raise UsageError(
            f"--data={before}{shown(spec)}: points in the plane are for {right}; "
            f"pictures: {', '.join(SOURCES)}"
        )
    near = f"choices: {', '.join(before + choice for choice in SOURCES)}"
    if close := meant(spec, names) or _meant_source(source, argument):
        near = f"did you mean {before}{close}?"
    raise UsageError(f"--data={before}{shown(spec)}: no such source; {near}")


def _meant_source(source: str, argument: str) -> str:
    """The same with a source that there is, and what it needs behind it; '' where none is near."""
    if source == "stacked":  # Of GANs, and there once.
        return argument
    choices = {choice.partition(":")[0]: choice for choice in SOURCES}
    close = closest(source, choices)
    if close and close != "digits" and argument:
        return f"{close}:{argument}"
    return choices.get(close, "")


def meant(spec: str, sources: Sequence[str]) -> str:
    """What a bare name of a data set, a folder or a file stands for, of some sources; '' for none.

    Such as `tfds:mnist` for mnist.
    """
    path = Path(os.path.expanduser(spec))
    suffix, found = path.suffix.lower(), ""
    if not spec.isprintable():
        return ""
    if spec and os.path.isdir(path):
        found = f"{'idx' if any(path.glob('*-ubyte*')) else 'folder'}:{spec}"
    elif os.path.isfile(path):
        found = f"folder:{path.parent}" if suffix in folder.SUFFIXES else f"{suffix[1:]}:{spec}"
    else:
        close = difflib.get_close_matches(spec.lower().replace("-", "_"), _KNOWN, n=1, cutoff=0.8)
        found = f"tfds:{close[0]}" if close else ""
    return found if found.partition(":")[0] in sources else ""


def _binarized(examples: dict, binarize: str, stream: int) -> dict:
    image: Float32[np.ndarray, "n height width channels"] | rows.Rows = examples["image"]
    if isinstance(image, rows.Rows):
        return examples | {"image": image.threshold() if binarize == "threshold" else image}
    if binarize == "threshold":
        image = (image > 0.5).astype(np.float32)
    elif binarize == "fixed":
        uniform = np.random.default_rng([_FIXED_SEED, stream]).random(image.shape, np.float32)
        image = (uniform < image).astype(np.float32)
    return examples | {"image": image}


def _take(examples: dict, index: np.ndarray) -> dict:
    return {key: value[index] for key, value in examples.items()}


def _whole(found) -> Any:
    """What a reader left to be read."""
    return found() if callable(found) else found
