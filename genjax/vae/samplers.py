"""Where latents come from before the decoder: a factor of its own, not a property of a model."""

import numpy as np
from jaxtyping import Float

COMPONENTS = 10


def fitted_gaussian(
    codes: Float[np.ndarray, "n d"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "count d"]:
    """Draws of a full-covariance Gaussian fitted by moments (Ghosh et al. 2020)."""
    mean, covariance = codes.mean(0), np.atleast_2d(np.cov(codes, rowvar=False))
    return rng.multivariate_normal(mean, covariance, count, method="eigh").astype(np.float32)


def fitted_mixture(
    codes: Float[np.ndarray, "n d"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "count d"]:
    """Draws of a mixture of 10 full-covariance Gaussians fitted to codes by EM.

    Ghosh et al. 2020, section 4: ex-post density estimation with scikit-learn's defaults.
    """
    from sklearn.mixture import GaussianMixture

    state = np.random.RandomState(rng.integers(2**31))
    mixture = GaussianMixture(min(COMPONENTS, len(codes)), random_state=state)
    draws = mixture.fit(codes.astype(np.float64)).sample(count)[0]
    return rng.permutation(draws).astype(np.float32)


def mixture_draws(
    means: Float[np.ndarray, "k d"],
    log_stds: Float[np.ndarray, "k d"],
    count: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "count d"]:
    """Draws of an equally weighted mixture of diagonal Gaussians.

    With all training posteriors as components this is the aggregated posterior, with the
    pseudo-inputs' the VampPrior (Tomczak & Welling 2018, eq. 9).
    """
    chosen = rng.integers(len(means), size=count)
    noise = rng.standard_normal((count, means.shape[1]))
    return (means[chosen] + np.exp(log_stds[chosen]) * noise).astype(np.float32)
