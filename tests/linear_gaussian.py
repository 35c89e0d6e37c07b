"""Images from a linear Gaussian model of two codes, and a classifier that is a formula."""

import numpy as np

# x = W z + b + s e with orthogonal columns in W: the posterior is diagonal, and p(x) a Gaussian.
W = np.array([[1.0, 0.1], [1.0, -0.1], [1.0, 0.1], [1.0, -0.1]])
B, S, SHAPE, LATENT = np.array([0.5, -0.5, 0.25, 1.0]), 0.5, (2, 2, 1), 2
VARIANCE = 1 / (1 + (W**2).sum(0) / S**2)


def data(count, seed):
    """Images drawn from the model itself, and labels that the first code nearly tells."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, LATENT))
    images = z @ W.T + B + S * rng.standard_normal((count, 4))
    return {
        "image": images.reshape(-1, *SHAPE).astype(np.float32),
        "label": (z[:, 0] + 0.3 * rng.standard_normal(count) > 0).astype(int),
    }


def classify(images):
    """Two classes by the first pixel, and three features that are linear in the pixels."""
    flat = images.reshape(len(images), -1)
    share = 1 / (1 + np.exp(-3 * flat[:, 0]))
    mix = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0.5, 1.0], [0.2, 0, -1.0]])
    return np.stack([share, 1 - share], 1), (flat @ mix).astype(np.float64)


def flat(images):
    return images.reshape(len(images), -1).astype(np.float64)
