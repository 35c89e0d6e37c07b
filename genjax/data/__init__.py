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
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from genjax.core.config import nearest, shown
from genjax.core.errors import UsageError
from genjax.core.progress import say
from genjax.data import digits, folder, hub, idx, npz, split, tfds

SOURCES = ("digits", "idx:<folder>", "tfds:<name>", "folder:<path>", "npz:<file>", "hf:<name>")
BINARIZATIONS = ("none", "threshold", "dynamic", "fixed")

_FIXED_SEED = 20110411
_DIGITS_TEST, _DIGITS_VALID = 500, 147
_MAX_DEFAULT_VALID = 5000
# Of data that come as one lot: shares of test and of valid, and the fewest that can be measured.
_OWN_SHARE, _FEWEST = 0.15, 30
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
) -> dict[str, dict[str, np.ndarray]]:
    """Reads a data set and splits it by `seed`, which is no training seed.

    Returns `{"train": {"image", "label"}, "valid": ..., "test": ...}` with image float32
    [n, height, width, channels] in [0, 1] and label int32 [n]. `valid` examples are drawn out of
    train: by default 147 of `digits`, else a tenth of train, 5000 at most. `digits` has no test
    set of its own: 500 are drawn. What comes without a test set is split by
    content: 15% are test, and 15% or `valid` examples are valid. A pixel's `fixed` value does not
    depend on `seed`. image_size, colour: of pictures in files, as in `pictures.read`.

    Raises:
      UsageError: the data set cannot be had; one line that names flag and file.
    """
    source, argument = _parse(spec)
    if binarize not in BINARIZATIONS:
        raise UsageError(f"--binarize={binarize}: choose one of {', '.join(BINARIZATIONS)}")
    for flag, value in (("image_size", image_size), ("colour", colour)):
        if value is not None and source not in _RESIZED:
            raise UsageError(
                f"--{flag}={value}: is for pictures of --data=folder:<path> and hf:<name>; those "
                f"of --data={shown(spec)} stay as they are"
            )

    digests = test = None
    if source == "digits":
        pool = digits.read()
    elif source == "idx":
        pool, test = idx.read(argument)
    elif source == "tfds":
        pool, test = tfds.read(argument, tfds_dir, tfds_manual_dir)
    elif source == "folder":
        pool, digests, _ = folder.read(argument, image_size, colour)
    elif source == "hf":
        pool, test, contents = hub.read(argument, image_size, colour)
        digests = None if test else contents
    else:
        pool, test = npz.read(argument)
        if test is None:
            digests = [hashlib.sha256(image).digest() for image in pool["image"]]

    # Before the split, so that a pixel's fixed draw depends on its place in the source alone.
    pool = _binarized(pool, binarize, stream=0)
    if digests is not None:
        return _by_content(spec, pool, digests, valid, seed)
    order = np.random.default_rng(seed).permutation(len(pool["label"]))
    if test is None:
        test, order = _take(pool, order[:_DIGITS_TEST]), order[_DIGITS_TEST:]
    else:
        test = _binarized(test, binarize, stream=1)

    if valid is None:
        tenth = max(1, min(len(order) // 10, _MAX_DEFAULT_VALID))
        valid = _DIGITS_VALID if source == "digits" else tenth
    if not 0 < valid < len(order):
        raise UsageError(
            f"--valid={valid}: choose 1 to {len(order) - 1}, "
            f"out of the {len(order)} training examples of --data={spec}"
        )
    return {"train": _take(pool, order[valid:]), "valid": _take(pool, order[:valid]), "test": test}


def _by_content(
    spec: str, pool: dict, digests: list[bytes], valid: int | None, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """The three parts of data that come as one lot; says what they are."""
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
    found = {name: _take(pool, np.flatnonzero(part == place)) for name, place in places.items()}
    height, width, channels = pool["image"].shape[1:]
    classes = len(np.unique(pool["label"]))
    sizes = ", ".join(f"{len(one['label']):,} {name}" for name, one in found.items())
    say(
        f"{flag}: {count:,} pictures, {height} x {width} pixels, "
        f"{'grey' if channels == 1 else 'in colour'}, "
        f"{f'{classes} classes' if classes > 1 else 'one class'}; split by content: {sizes}"
    )
    return found


def checksum(arrays: Iterable[np.ndarray]) -> str:
    """16 hexadecimal digits that differ where the data do: types, shapes and bytes, in order."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).data)
    return found.hexdigest()[:16]


def name(spec: str, binarize: str) -> str:
    """The data set's name in tables, such as `digits/dynamic` or `idx:mnist/fixed`."""
    source, argument = _parse(spec)
    if source not in ("digits", "tfds", "hf"):
        argument = Path(os.path.expanduser(argument)).resolve().name
    return f"{source}:{argument}/{binarize}" if argument else f"{source}/{binarize}"


def _parse(spec: str) -> tuple[str, str]:
    """Splits `source` or `source:argument`."""
    source, colon, argument = spec.partition(":")
    names = [choice.partition(":")[0] for choice in SOURCES]
    if spec == "digits" or (source in names[1:] and argument):
        return source, argument
    misspelt = "" if source in names else source  # What is missing may be the part after it.
    near = meant(spec, names)
    choices = f"choices: {', '.join(SOURCES)}"
    near = f"; did you mean {near}?" if near else nearest(misspelt, names, choices)
    raise UsageError(f"--data={shown(spec)}: no such source{near}")


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
    image: Float32[np.ndarray, "n height width channels"] = examples["image"]
    if binarize == "threshold":
        image = (image > 0.5).astype(np.float32)
    elif binarize == "fixed":
        uniform = np.random.default_rng([_FIXED_SEED, stream]).random(image.shape, np.float32)
        image = (uniform < image).astype(np.float32)
    return examples | {"image": image}


def _take(examples: dict, index: np.ndarray) -> dict:
    return {key: value[index] for key, value in examples.items()}
