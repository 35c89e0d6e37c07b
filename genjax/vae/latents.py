"""Measures of a latent space: its units, its distribution, what can be read from it."""

import contextlib
import warnings

import numpy as np
from jaxtyping import Float, Int

LOG_2PI = np.log(2 * np.pi)
CHUNK = 200


def unit_variances(means: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """Variance over images of each unit's posterior mean, largest first."""
    return np.sort(means.astype(np.float64).var(0))[::-1]


def active_units(means: Float[np.ndarray, "n d"], threshold: float = 0.01) -> int:
    """Number of units whose posterior mean varies over images (Burda et al. 2016, section 5.2)."""
    return int((unit_variances(means) > threshold).sum())


def collapsed_fraction(
    kl_units: Float[np.ndarray, "n u"], epsilon: Float[np.ndarray, " e"], delta: float = 0.01
) -> Float[np.ndarray, " e"]:
    """Share of (epsilon, delta)-collapsed units, by epsilon in nats (Lucas et al. 2019, def. 1).

    A unit is collapsed where KL < epsilon on at least 1 - delta of the images.
    """
    below = (kl_units[None] < np.asarray(epsilon)[:, None, None]).mean(1)
    return (below >= 1 - delta).mean(1)


def aggregated_posterior(
    means: Float[np.ndarray, "n d"],
    log_stds: Float[np.ndarray, "n d"],
    draws: Float[np.ndarray, "n d"],
) -> dict[str, float]:
    """The rate against N(0, I) cut in two, in nats: rate = mutual_information + kl_to_prior.

    Hoffman & Johnson 2016. draws: one z_i ~ q(z|x_i) an image; q(z) is the mixture of all n
    posteriors, each term a mean over the same draws. The mixture holds z_i's own component, so
    that the mutual information cannot exceed log n (and kl_to_prior is too large by what is cut).
    Both are 0 where every posterior is the prior.
    """
    means, log_stds, draws = (x.astype(np.float64) for x in (means, log_stds, draws))
    n, d = means.shape
    precision = np.exp(-2 * log_stds)
    constant = -0.5 * (means**2 * precision).sum(1) - log_stds.sum(1) - 0.5 * d * LOG_2PI
    own = -0.5 * ((draws - means) ** 2 * precision + LOG_2PI).sum(1) - log_stds.sum(1)
    log_q = np.empty(n)
    for rows in np.array_split(np.arange(n), -(-n // CHUNK)):
        z = draws[rows]
        pairs = z @ (means * precision).T
        pairs -= 0.5 * (z**2) @ precision.T
        pairs += constant
        # The expanded square cancels where posteriors are narrow, and would break the cap.
        pairs[np.arange(len(rows)), rows] = own[rows]
        # SciPy's logsumexp takes seven times as long.
        most = pairs.max(1)
        pairs -= most[:, None]
        log_q[rows] = np.log(np.exp(pairs, out=pairs).sum(1)) + most - np.log(n)
    prior = -0.5 * (draws**2 + LOG_2PI).sum(1)
    return {
        "mutual_information": float((own - log_q).mean()),
        "kl_to_prior": float((log_q - prior).mean()),
    }


def mmd_imq(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """Unbiased squared MMD with inverse multiquadric kernels; about 0 for equal laws, may be < 0.

    Kernel: sum over c in {.1, .2, .5, 1, 2, 5, 10} of C / (C + |x - y|^2) with C = 2 d c, fit for
    the prior N(0, I) (Tolstikhin et al. 2018, section 4).
    """
    scales = 2 * x.shape[1] * np.array([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])

    def kernel_sum(a, b):
        total, squares = 0.0, (b**2).sum(1)
        for part in np.array_split(a, -(-len(a) // CHUNK)):
            squared = (part**2).sum(1)[:, None] + squares
            squared -= 2 * part @ b.T
            np.maximum(squared, 0, out=squared)
            made = np.empty_like(squared)  # Fresh pages for each scale take as long as it does.
            total += sum(np.divide(c, np.add(c, squared, out=made), out=made).sum() for c in scales)
        return total

    x, y = x.astype(np.float64), y.astype(np.float64)
    n, m, own = len(x), len(y), len(scales)
    within_x = (kernel_sum(x, x) - n * own) / (n * (n - 1))
    within_y = (kernel_sum(y, y) - m * own) / (m * (m - 1))
    return float(within_x + within_y - 2 * kernel_sum(x, y) / (n * m))


def rescaled(
    codes: Float[np.ndarray, "n d"], reference: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n d"]:
    """Codes under the affine map that gives the reference mean 0 and covariance I (whitening).

    Directions in which the reference does not vary are left out: they become 0.
    """
    codes, reference = codes.astype(np.float64), reference.astype(np.float64)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(reference, rowvar=False)))
    alive = values > 1e-10 * values.max()
    scale = np.where(alive, 1 / np.sqrt(np.where(alive, values, 1)), 0)
    return (codes - reference.mean(0)) @ (vectors * scale) @ vectors.T


def frechet_to_normal(codes: Float[np.ndarray, "n d"]) -> float:
    """Squared 2-Wasserstein distance of the Gaussian fitted to codes from N(0, I); 0 is best.

    |m|^2 + tr(C + I - 2 C^(1/2)) (Dowson & Landau 1982).
    """
    codes = codes.astype(np.float64)
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(codes, rowvar=False)))
    roots = np.sqrt(np.maximum(values, 0))
    return float((codes.mean(0) ** 2).sum() + ((roots - 1) ** 2).sum())


def probe_accuracy(
    train: Float[np.ndarray, "n d"],
    train_labels: Int[np.ndarray, " n"],
    test: Float[np.ndarray, "m d"],
    test_labels: Int[np.ndarray, " m"],
    *,
    labels: int | None,
    seed: int,
) -> float:
    """Test accuracy of a logistic regression on standardised codes, the linear probe.

    labels: how many training labels it sees, drawn evenly over classes by `seed`; None: all. At
    most 200 iterations, which is short of convergence for tens of thousands of raw images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    return _accuracy(probe, train, train_labels, test, test_labels, labels, seed)


@contextlib.contextmanager
def short_of_convergence():
    """Around threads that fit probes, which may end before they converge; filters are of all."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def knn_accuracy(
    train: Float[np.ndarray, "n d"],
    train_labels: Int[np.ndarray, " n"],
    test: Float[np.ndarray, "m d"],
    test_labels: Int[np.ndarray, " m"],
    *,
    labels: int | None,
    seed: int,
    k: int = 5,
) -> float:
    """Test accuracy of the k nearest neighbours' vote, Euclidean, codes as they are."""
    from sklearn.neighbors import KNeighborsClassifier

    vote = KNeighborsClassifier(k, algorithm="brute")
    return _accuracy(vote, train, train_labels, test, test_labels, labels, seed)


def _accuracy(classifier, train, train_labels, test, test_labels, labels, seed):
    chosen = np.arange(len(train))
    if labels is not None and labels < len(train):
        chosen = _balanced(train_labels, labels, seed)
    fitted = classifier.fit(train[chosen], train_labels[chosen])
    return float(fitted.score(test, test_labels))


def _balanced(labels, count, seed):
    """`count` examples, round-robin over classes in a random order."""
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        turn[mine] = np.arange(len(mine))
    return order[np.argsort(turn[order], kind="stable")][:count]


def roughness(paths: Float[np.ndarray, "p t f"]) -> float:
    """Mean over paths of the length travelled over the distance of the ends; 1 is straight.

    paths: features of decoded interpolations. Paths whose ends coincide, closer than 1e-5 of the
    features' mean norm, are left out: their ratio is rounding. nan where no path is left.
    """
    paths = paths.astype(np.float64)
    steps = np.linalg.norm(np.diff(paths, axis=1), axis=2).sum(1)
    ends = np.linalg.norm(paths[:, -1] - paths[:, 0], axis=1)
    apart = ends > 1e-5 * np.linalg.norm(paths, axis=2).mean()
    return float((steps[apart] / ends[apart]).mean()) if apart.any() else float("nan")
