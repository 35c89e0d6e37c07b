"""Mixtures of Gaussians in the plane whose modes are known: rings, grids, and the user's own."""

import math
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from genjax.core.config import shown
from genjax.core.errors import UsageError

RING_SIGMA, GRID_SIGMA = 0.01, 0.05
# Modes of a mixture, and the farthest coordinate of a mean.
MOST, FARTHEST = 10_000, 1e6
EXAMPLES = "ring8, grid25, grid100, or modes with --modes"


class Mixture(NamedTuple):
    """Equal isotropic Gaussians: means [k, 2], sigma per axis, weights [k] that sum to 1."""

    means: Float[np.ndarray, "k 2"]
    sigma: float
    weights: Float[np.ndarray, " k"]

    @property
    def spread(self) -> float:
        """Root mean variance of a coordinate: the data's unit of length."""
        centre = self.weights @ self.means
        between = (self.weights @ (self.means - centre) ** 2).mean()
        return float(math.sqrt(between + self.sigma**2))


def is_mixture(spec: str) -> bool:
    """Whether --data names a mixture of Gaussians."""
    return spec == "modes" or re.fullmatch(r"(ring|grid)[0-9]+", spec) is not None


def mixture(
    spec: str, *, modes: str | None = None, sigma: float | None = None, imbalance: float = 1.0
) -> Mixture:
    """The mixture of a --data flag.

    `ring<k>`: k means on the unit circle, sigma 0.01; `grid<k>`: a square of spacing 2 around 0,
    sigma 0.05 (VEEGAN's and PacGAN's two sets for k = 8 and 25); `modes`: means "x,y;x,y;...".
    imbalance: the heaviest mode over the lightest; weights fall geometrically in between.
    Raises UsageError where the flags say no such mixture.
    """
    if spec == "modes":
        means, own = _parse(modes), None
    elif modes is not None:
        raise UsageError(f"--modes={modes}: needs --data=modes, not --data={spec}")
    else:
        count = int(spec[4:])
        if not 2 <= count <= MOST:
            raise UsageError(f"--data={shown(spec)}: a mixture has 2 to {MOST:,} modes")
        means, own = _ring(count) if spec.startswith("ring") else _grid(spec, count)
    sigma = own if sigma is None else sigma
    if sigma is None:
        raise UsageError("--sigma is missing: --data=modes needs the modes' standard deviation")
    for flag, value in (("sigma", sigma), ("imbalance", imbalance)):
        if not math.isfinite(value):
            raise UsageError(f"--{flag}={value}: a finite number is needed")
    weights = imbalance ** -(np.arange(len(means)) / (len(means) - 1))
    return Mixture(means, sigma, weights / weights.sum())


def _ring(count):
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], 1), RING_SIGMA


def _grid(spec, count):
    side = math.isqrt(count)
    if side * side != count:
        raise UsageError(
            f"--data={spec}: a grid has a square number of modes, such as grid{side**2}"
        )
    axis = 2.0 * np.arange(side) - (side - 1)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2), GRID_SIGMA


def _parse(text):
    example = "--modes='0,0;1,0;0,1'"
    if not text:
        raise UsageError(f"--modes is missing: --data=modes needs the means, such as {example}")
    try:
        means = np.array([[float(v) for v in pair.split(",")] for pair in text.split(";")])
    except ValueError:
        means = np.zeros((0, 2))
    if means.shape[1:] != (2,) or len(means) < 2:
        raise UsageError(f"--modes={shown(text)}: two or more pairs of numbers, such as {example}")
    if not (np.abs(means) <= FARTHEST).all():
        raise UsageError(f"--modes={shown(text)}: numbers up to {FARTHEST:,.0f}")
    if len(np.unique(means, axis=0)) < len(means):
        raise UsageError(f"--modes={shown(text)}: two modes have the same mean")
    return means


def draw(mixture: Mixture, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "n 2"]:
    """Perfect samples."""
    mode = rng.choice(len(mixture.means), size=count, p=mixture.weights)
    noise = mixture.sigma * rng.standard_normal((count, 2))
    return (mixture.means[mode] + noise).astype(np.float32)


def packs(
    points: Float32[np.ndarray, "n 2"], pack: int, rng: np.random.Generator
) -> Float32[np.ndarray, "n m 2"]:
    """As many packs as points, their members drawn with replacement; the points for pack 1.

    PacGAN's bootstrap (its `datasets.py`): fixed packs, read in another order every epoch.
    """
    if pack == 1:
        return points[:, None]
    return points[rng.integers(len(points), size=(len(points), pack))]
