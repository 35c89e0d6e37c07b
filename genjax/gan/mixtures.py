"""Mixtures of Gaussians in the plane whose modes are known: rings, grids, and the user's own."""

import math
import re
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float, Float32, Int

from genjax.core.config import shown
from genjax.core.errors import UsageError
from genjax.data.points import FARTHEST

RING_SIGMA, GRID_SIGMA = 0.01, 0.05
# Modes of a mixture.
MOST = 10_000
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


def of_points(
    spec: str,
    points: Float[np.ndarray, "n 2"],
    labels: Int[np.ndarray, " n"] | None,
    *,
    modes: str | None,
    sigma: float | None,
) -> Mixture:
    """The mixture that a file's points are taken for; `spec` is its --data flag.

    Its means and sigma are those of the flags, and each point counts for the nearest mean; or those
    of the labelled modes, sigma pooled over modes and axes. Weights are the modes' shares of the
    points. Raises UsageError where neither or both are there.
    """
    flag = f"--data={shown(spec)}"
    if labels is not None and (modes is not None or sigma is not None):
        raise UsageError(f"{flag}: names the mode of each point; drop --modes and --sigma")
    if labels is None and (modes is None or sigma is None):
        raise UsageError(
            f"{flag}: which mode a point is of is not known; add a third column (of .npz files an "
            "array modes), or give --modes='x,y;x,y' and --sigma"
        )
    if labels is None:
        means = _parse(modes)
        _, nearest = _nearest(means, points)
        share = np.bincount(nearest, minlength=len(means)) / len(points)
        if not share.all():
            raise UsageError(f"--modes={shown(modes)}: a mode has none of the points of {flag}")
        return Mixture(means, float(sigma or 0), share)
    counts = np.bincount(labels)
    if not 2 <= len(counts) <= MOST or len(points) < len(counts) + 2:
        raise UsageError(
            f"{flag}: {len(counts):,} modes of {len(points):,} points; 2 to {MOST:,} modes and "
            "more points than modes are needed"
        )
    sums = [np.bincount(labels, axis, len(counts)) for axis in points.T]
    means = np.stack(sums, 1) / counts[:, None]
    if len(np.unique(means, axis=0)) < len(means):
        raise UsageError(f"{flag}: two modes have the same mean")
    squares = ((points - means[labels]) ** 2).sum()
    width = math.sqrt(squares / (2 * (len(points) - len(counts))))
    if width < 1e-6:
        raise UsageError(f"{flag}: modes of no width, {width:g}; 1e-06 or more is needed")
    return Mixture(means, width, counts / len(points))


def within(points: Float[np.ndarray, "n 2"], mixture: Mixture, radius: float) -> float:
    """The share of points within so many sigma of a mean."""
    distance, _ = _nearest(mixture.means, points)
    return float((distance < radius * mixture.sigma).mean())


def _nearest(means, points):
    """How far each point is from the nearest mean, and which that is."""
    return scipy.spatial.KDTree(means).query(points)


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
