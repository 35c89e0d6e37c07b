"""Measures of reconstructions and samples, on pixels or on a classifier's features."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist


def frechet_distance(a: Float[np.ndarray, "n f"], b: Float[np.ndarray, "m f"]) -> float:
    """Squared 2-Wasserstein distance of the Gaussians fitted to two sets of features; 0 is best.

    Heusel et al. 2017, eq. 6. The trace of (S_a S_b)^(1/2) comes from the eigenvalues of the
    symmetric S_a^(1/2) S_b S_a^(1/2), so that covariances without full rank do no harm.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ cov_b @ root)
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(mean + trace)


def kernel_distance(
    a: Float[np.ndarray, "n f"],
    b: Float[np.ndarray, "m f"],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased squared MMD; 0 for equal laws.

    Kernel (x.y / f + 1)^3 (Binkowski et al. 2018, section 4, KID). Where there are no more than
    `subset_size` features, all of them are taken once, and the deviation is 0.
    """
    rng = np.random.default_rng(seed)
    a, b = a.astype(np.float64), b.astype(np.float64)
    size = min(subset_size, len(a), len(b))
    if size == max(len(a), len(b)):
        subsets = 1
    values = []
    for _ in range(subsets):
        x = a[rng.choice(len(a), size, replace=False)]
        y = b[rng.choice(len(b), size, replace=False)]
        bases = (u @ v.T / a.shape[1] + 1 for u, v in ((x, x), (y, y), (x, y)))
        # NumPy's general power takes some ten times as long as two products.
        xx, yy, xy = (base * base * base for base in bases)
        within = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
        values.append(within / (size * (size - 1)) - 2 * xy.mean())
    return float(np.mean(values)), float(np.std(values))


def precision_recall_density_coverage(
    real: Float[np.ndarray, "n f"], fake: Float[np.ndarray, "m f"], k: int = 5
) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A point lies in a ball up to and including its radius, the distance to the k-th neighbour in
    its own set; with `<` a collapsed set, whose radii are 0, would lie in no ball at all. The same
    set twice gives 1, 1, (k + 1) / k and 1 where no distances tie. For equal laws precision and
    recall stay well below 1 in many dimensions: read them beside the floor.
    """
    radius_real = _kth_distance(real, k)
    radius_fake = _kth_distance(fake, k)
    inside_real = np.zeros(len(fake), np.int64)
    recalled = np.zeros(len(real), bool)
    covered = np.zeros(len(real), bool)
    for rows in np.array_split(np.arange(len(real)), -(-len(real) // 1000)):
        distance = cdist(real[rows], fake)
        inside = distance <= radius_real[rows, None]
        inside_real += inside.sum(0)
        covered[rows] = inside.any(1)
        recalled[rows] = (distance <= radius_fake).any(1)
    return {
        "precision": float((inside_real > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(inside_real.mean() / k),
        "coverage": float(covered.mean()),
    }


def _kth_distance(points, k):
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=min(k, len(points) - 1), algorithm="brute")
    # Without query points, a point is no neighbour of its own.
    last = neighbours.fit(points).kneighbors(return_distance=False)[:, -1]
    # scikit-learn's distances differ from cdist's in the last digit, which decides about a copy of
    # the k-th neighbour: it lies on the ball's surface.
    return np.array([cdist(points[[i]], points[[j]])[0, 0] for i, j in enumerate(last)])


# A median of so many is known within some 2%, and each is compared with all training images.
MEDIAN_OF = 1000


def nearest_distance(train: Float[np.ndarray, "n p"], images: Float[np.ndarray, "m p"]) -> float:
    """Median distance of images, the first 1,000, to the nearest training image; Euclidean."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(train)
    return float(np.median(neighbours.kneighbors(images[:MEDIAN_OF])[0]))


def class_balance(probabilities: Float[np.ndarray, "n c"]) -> dict[str, float]:
    """How a classifier sees the samples.

    total_variation: of the predicted labels' frequencies from uniform, in [0, 1]. entropy: mean
    over samples of the predictive distribution's entropy in nats; low for confident pictures.
    """
    n, classes = probabilities.shape
    shares = np.bincount(probabilities.argmax(1), minlength=classes) / n
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    return {
        "total_variation": float(0.5 * np.abs(shares - 1 / classes).sum()),
        "entropy": float(-(p * np.log(p)).sum(1).mean()),
    }


def reconstruction_errors(
    images: Float[np.ndarray, " n *pixels"], rebuilt: Float[np.ndarray, " n *pixels"]
) -> dict[str, float]:
    """Errors of reconstructions of images in [0, 1].

    mse: mean squared error a pixel. psnr: -10 log10(mse) in dB by image, at most 120, then the
    mean. bce: cross-entropy of the reconstruction's pixels, clipped to [1e-6, 1 - 1e-6], in nats.
    """
    x, y = (v.reshape(len(v), -1).astype(np.float64) for v in (images, rebuilt))
    squared = ((x - y) ** 2).mean(1)
    p = np.clip(y, 1e-6, 1 - 1e-6)
    return {
        "mse": float(squared.mean()),
        "psnr": float((-10 * np.log10(np.maximum(squared, 1e-12))).mean()),
        "bce": float(-(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(1).mean()),
    }
