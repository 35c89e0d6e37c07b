"""Measures of mode coverage: which known modes a generator reaches, how evenly, and how truly.

Every figure has a floor, the same measure of as many perfect samples; a figure beyond it is no
merit. NumPy, float64.
"""

import math
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist, pdist

from genjax.gan.mixtures import Mixture
from genjax.images import distances

# A sample is of high quality within this many standard deviations of a mean: a circle, which
# 1 - exp(-9/2) = 98.89% of perfect samples reach.
RADIUS = 3.0
# A mode is held with so much of its weight.
HELD = 0.25
# Up to so many dimensions trees find neighbours sooner than all distances do.
TREES = 3
# Root mean square deviation per axis of what the circle keeps of N(0, 1) in two dimensions.
TRUNCATED = math.sqrt(
    1 - RADIUS**2 / 2 * math.exp(-(RADIUS**2) / 2) / -math.expm1(-(RADIUS**2) / 2)
)


def mixture_measures(samples: Float[np.ndarray, "n 2"], mixture: Mixture) -> dict[str, float]:
    """Coverage of a mixture's modes.

    modes: with at least one high-quality sample nearest to them (Lin et al. 2018, section 4.1).
    held: modes with a quarter of their weight or more, of high-quality samples among all.
    high_quality: share of samples within 3 sigma of a mean.
    reverse_kl, reverse_kl_hq: KL(mode frequencies || weights) in nats, of all samples, each at its
        nearest mode, and of the high-quality ones alone; nan without any.
    mode_tv: half the sum of |share - weight|, invalid mass included, so that bridges count.
    spread: RMS deviation per axis of high-quality samples from their own mode's sample mean, over
        a perfect sample's 0.974 sigma; below 1 the modes are too thin.
    eigenvalue_ratio: mean over modes of least over greatest eigenvalue of the covariance.
    full: 1 where all modes are reached, else 0.
    """
    distance = cdist(samples, mixture.means)
    nearest = distance.argmin(1)
    good = distance[np.arange(len(samples)), nearest] < RADIUS * mixture.sigma
    count = len(mixture.means)
    all_counts = np.bincount(nearest, minlength=count)
    good_counts = np.bincount(nearest[good], minlength=count)
    squares, freedom, ratios = 0.0, 0, []
    for mode in np.flatnonzero(good_counts > 2):
        members = samples[good & (nearest == mode)].astype(np.float64)
        squares += ((members - members.mean(0)) ** 2).sum()
        freedom += 2 * (len(members) - 1)
        eigenvalues = np.linalg.eigvalsh(np.cov(members.T))
        ratios.append(max(eigenvalues[0], 0) / max(eigenvalues[1], 1e-300))
    spread = math.sqrt(squares / freedom) / (TRUNCATED * mixture.sigma) if freedom else math.nan
    reached = int((good_counts > 0).sum())
    share = good_counts / len(samples)
    return {
        "modes": float(reached),
        "full": float(reached == count),
        "held": held(share, mixture.weights),
        "high_quality": float(good.mean()),
        "reverse_kl": kl_to(all_counts, mixture.weights),
        "reverse_kl_hq": kl_to(good_counts, mixture.weights),
        "mode_tv": float(0.5 * (np.abs(share - mixture.weights).sum() + 1 - good.mean())),
        "spread": spread,
        "eigenvalue_ratio": float(np.mean(ratios)) if ratios else math.nan,
    }


def held(share: Float[np.ndarray, " k"], weights: Float[np.ndarray, " k"]) -> float:
    """Modes with a quarter of their weight or more: single samples hold none."""
    return float((share >= HELD * weights).sum())


def kl_to(counts: Int[np.ndarray, " k"], weights: Float[np.ndarray, " k"]) -> float:
    """KL(counts / n || weights) in nats; nan where nothing was counted.

    For n perfect samples its mean is about (k - 1) / 2n: print n, and the floor, beside it.
    """
    if not counts.sum():
        return math.nan
    share = counts / counts.sum()
    seen = share > 0
    return float((share[seen] * np.log(share[seen] / weights[seen])).sum())


def label_measures(labels: Int[np.ndarray, " n"], weights: Float[np.ndarray, " k"]) -> dict:
    """Coverage of modes that a classifier names: modes, full, held, KL in nats to uniform, mode TV.

    labels: the mode of each sample. weights: shares of the real data, to which mode TV compares;
    the KL is to the uniform law over all modes, as published (Metz et al. 2017 and after), so
    that real data score above 0 too.
    """
    counts = np.bincount(labels, minlength=len(weights))
    reached = int((counts > 0).sum())
    return {
        "modes": float(reached),
        "full": float(reached == len(weights)),
        "held": held(counts / counts.sum(), weights),
        "kl": kl_to(counts, np.full(len(weights), 1 / len(weights))),
        "mode_tv": float(0.5 * np.abs(counts / counts.sum() - weights).sum()),
    }


def vendi_score(features: Float[np.ndarray, "n d"]) -> float:
    """exp of the entropy of the eigenvalues of X^T X / n, an effective number of samples.

    Friedman & Dieng 2023, eq. 3, in the smaller of its two forms. features: rows of norm 1, whose
    inner products are the kernel, such as square roots of class probabilities (the
    probability-product kernel).
    """
    n, d = features.shape
    rows = features.T if d < n else features
    eigenvalues = np.linalg.eigvalsh(rows.astype(np.float64) @ rows.T / n)
    seen = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-(seen * np.log(seen)).sum()))


def gaussian_vendi_score(points: Float[np.ndarray, "n d"], bandwidth: float) -> float:
    """The Vendi score under the kernel exp(-|x - y|^2 / 2 bandwidth^2), in its primal form."""
    kernel = np.exp(-cdist(points, points, "sqeuclidean") / (2 * bandwidth**2))
    eigenvalues = np.linalg.eigvalsh(kernel / len(points))
    seen = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-(seen * np.log(seen)).sum()))


def birthday_support(
    samples: Float[np.ndarray, "n d"], threshold: float, *, batches: int = 200, seed: int = 0
) -> float:
    """Estimated support: s^2 for the least s at which a batch of s holds a pair of duplicates.

    Arora & Zhang 2017. A pair counts as duplicates within `threshold`; s is the least size at
    which half of `batches` random batches hold one. inf where none up to n does.
    """
    rng = np.random.default_rng(seed)
    if samples.shape[1] <= TREES:
        left, right = KDTree(samples).query_pairs(threshold, output_type="ndarray").T
    else:
        left, right = np.nonzero(np.triu(cdist(samples, samples) <= threshold, 1))
    # A batch of size s is what a random order has among its first s.
    orders = (rng.permutation(len(samples)) for _ in range(batches))
    needed = [
        1 + np.maximum(order[left], order[right]).min() if len(left) else math.inf
        for order in orders
    ]
    size = 2
    while size <= len(samples):
        if np.sum(np.asarray(needed) <= size) >= batches / 2:
            return float(size**2)
        size = max(size + 1, round(size * 1.19))
    return math.inf


def duplicate_threshold(points: Float[np.ndarray, "n d"], quantile: float = 1e-4) -> float:
    """The distance below which this share of pairs of real points lies."""
    return float(np.quantile(pdist(points), quantile))


class Neighbours:
    """Precision and recall of 3 neighbours, density and coverage of 5, as in their papers.

    What hangs on the real samples alone is computed once.
    """

    FEW, MANY = 3, 5

    def __init__(self, real: np.ndarray):
        self._plane = real.shape[1] <= TREES
        self._cloud = distances.Cloud(real, self.MANY)
        if self._plane:
            # A tenth of the time of all distances. The first neighbour is the point itself; a
            # ball's edge counts, whatever the root rounds to.
            self._tree = KDTree(real)
            nearest = self._tree.query(real, self.MANY + 1)[0]
            self._radii = nearest[:, [self.FEW, self.MANY]] * (1 + 1e-12)

    def measure(self, fake: np.ndarray) -> dict[str, float]:
        """The four of generated samples."""
        if not self._plane:
            ks = self.FEW, self.MANY
            return distances.precision_recall_density_coverage(self._cloud, fake, ks)
        fakes, real = KDTree(fake), self._cloud.points
        to_fake = fakes.query(fake, self.FEW + 1)[0][:, self.FEW] * (1 + 1e-12)
        precise = fakes.query_ball_point(real, self._radii[:, 0])
        recalled = self._tree.query_ball_point(fake, to_fake)
        inside = fakes.query_ball_point(real, self._radii[:, 1], return_length=True)
        return {
            "precision": len(set().union(*precise)) / len(fake),
            "recall": len(set().union(*recalled)) / len(real),
            "density": float(inside.sum() / (self.MANY * len(fake))),
            "coverage": float((inside > 0).mean()),
        }


def thinned_recall(
    real: Float[np.ndarray, "n 2"], fake: Float[np.ndarray, "m 2"], mixture: Mixture, k: int = 3
) -> dict[str, float]:
    """Recall that sees lost modes alone: real samples are made as thin as the generator's own.

    In each mode the real samples within its 3 sigma take on mean and covariance of the generator's
    samples there, and are recalled (Kynkaanniemi et al. 2019, eq. 2) by those alone. A mode with k
    generated samples or fewer is lost.

    recall_thinned: share of the real samples that is recalled. recall_lost: what lost modes alone
    take from it, recall in the other modes times the lost ones' share of real samples; 1 where all
    modes are lost.
    """
    recalled = kept = total = 0
    real_modes, fake_modes = (_modes_of(samples, mixture) for samples in (real, fake))
    for mode, mean in enumerate(mixture.means):
        own = real[real_modes == mode].astype(np.float64)
        made = fake[fake_modes == mode].astype(np.float64)
        total += len(own)
        if len(made) <= k:
            continue
        values, vectors = np.linalg.eigh(np.cov(made.T))
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        thin = made.mean(0) + (own - mean) / (TRUNCATED * mixture.sigma) @ root
        radii = KDTree(made).query(made, k + 1)[0][:, k]
        recalled += int((cdist(thin, made) <= radii).any(1).sum())
        kept += len(own)
    return {
        "recall_thinned": recalled / total,
        "recall_lost": recalled / kept * (1 - kept / total) if kept else 1.0,
    }


def _modes_of(samples, mixture: Mixture) -> np.ndarray:
    """The mode of each sample within 3 sigma of one, -1 of the others."""
    distance = cdist(samples, mixture.means)
    return np.where(distance.min(1) < RADIUS * mixture.sigma, distance.argmin(1), -1)


def bin_count(task_modes: int) -> int:
    """Bins of NDB over a mixture."""
    return min(100, 4 * task_modes)


class Bins:
    """NDB/K and JS of k-means bins of the real data (Richardson & Weiss 2018, section 2)."""

    def __init__(self, real: Float[np.ndarray, "n d"], bins: int = 100, seed: int = 0):
        from sklearn.cluster import MiniBatchKMeans

        # scikit-learn has no types of its own; what is guessed from defaults is wrong.
        options: dict[str, Any] = {"random_state": seed, "n_init": 3}
        self.means: Any = MiniBatchKMeans(bins, **options).fit(real)
        self.real = np.bincount(self.means.labels_, minlength=bins)

    def measure(self, samples: Float[np.ndarray, "n d"]) -> dict[str, float]:
        """ndb: share of bins whose two proportions differ (z-test, 5%; 0.05 for equal laws).

        js: Jensen-Shannon divergence of the two histograms, in nats.
        """
        fake = np.bincount(
            self.means.predict(samples.astype(self.means.cluster_centers_.dtype)),
            minlength=len(self.real),
        )
        p, q = self.real / self.real.sum(), fake / fake.sum()
        pooled = (self.real + fake) / (self.real.sum() + fake.sum())
        deviation = np.sqrt(pooled * (1 - pooled) * (1 / self.real.sum() + 1 / fake.sum()))
        z = np.abs(p - q) / np.maximum(deviation, 1e-300)
        middle = (p + q) / 2
        # Where neither has anything, 0 log 1.
        ratios = [np.maximum(a, 1e-300) / np.maximum(middle, 1e-300) for a in (p, q)]
        parts = [a * np.log(ratio) for a, ratio in zip((p, q), ratios, strict=True)]
        return {
            "ndb": float((z > scipy.stats.norm.ppf(0.975)).mean()),
            "js": float(0.5 * sum(part[middle > 0].sum() for part in parts)),
        }
