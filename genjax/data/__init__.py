"""Labelled images in train, valid and test, and the order in which training reads them.

The same grey images give four data sets, whose likelihoods cannot be compared with each other:

- `none`: the grey levels.
- `threshold`: a pixel is 1 where its grey level is above 0.5.
- `dynamic`: grey levels here; the training step draws Bernoulli(grey) again at each use, as in
  Burda et al. (2016), Importance Weighted Autoencoders.
- `fixed`: one Bernoulli(grey) draw a pixel for good. The draw is ours, from a constant seed; it is
  not the file of Larochelle and Murray (2011) that papers call fixed or static MNIST.
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from genjax.core.config import nearest, shown
from genjax.core.errors import UsageError
from genjax.data import digits, idx, tfds

SOURCES = ("digits", "idx:<folder>", "tfds:<name>")
BINARIZATIONS = ("none", "threshold", "dynamic", "fixed")

_FIXED_SEED = 20110411
_DIGITS_TEST, _DIGITS_VALID = 500, 147
_MAX_DEFAULT_VALID = 5000


def load(
    spec: str,
    *,
    seed: int = 0,
    valid: int | None = None,
    binarize: str = "none",
    tfds_dir: str | None = None,
    tfds_manual_dir: str | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Reads a data set and splits it by `seed`, which is no training seed.

    Returns `{"train": {"image", "label"}, "valid": ..., "test": ...}` with image float32
    [n, height, width, channels] in [0, 1] and label int32 [n]. `valid` examples are drawn out of
    train: by default 147 of `digits`, else a tenth of train, 5000 at most. `digits` has no test
    set of its own: 500 are drawn. A pixel's `fixed` value does not depend on `seed`.

    Raises:
      UsageError: the data set cannot be had; one line that names flag and file.
    """
    source, argument = _parse(spec)
    if binarize not in BINARIZATIONS:
        raise UsageError(f"--binarize={binarize}: choose one of {', '.join(BINARIZATIONS)}")

    if source == "digits":
        pool, test = digits.read(), None
    elif source == "idx":
        pool, test = idx.read(argument)
    else:
        pool, test = tfds.read(argument, tfds_dir, tfds_manual_dir)

    # Before the split, so that a pixel's fixed draw depends on its place in the source alone.
    pool = _binarized(pool, binarize, stream=0)
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


def name(spec: str, binarize: str) -> str:
    """The data set's name in tables, such as `digits/dynamic` or `idx:mnist/fixed`."""
    source, argument = _parse(spec)
    if source == "idx":
        argument = Path(os.path.expanduser(argument)).resolve().name
    return f"{source}:{argument}/{binarize}" if argument else f"{source}/{binarize}"


def _parse(spec: str) -> tuple[str, str]:
    """Splits `source` or `source:argument`."""
    source, colon, argument = spec.partition(":")
    if spec == "digits" or (source in ("idx", "tfds") and argument):
        return source, argument
    names = [choice.partition(":")[0] for choice in SOURCES]
    misspelt = "" if source in names else source  # What is missing may be the part after it.
    near = nearest(misspelt, names, f"choices: {', '.join(SOURCES)}")
    raise UsageError(f"--data={shown(spec)}: no such source{near}")


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
