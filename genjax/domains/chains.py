"""Quite new domains with a closed form: order-1 Markov chains with Dirichlet rows.

A chain's transition matrix is drawn row by row, so it shares nothing with the grid of
genjax.data.hmm but the vocabulary. Two optima are exact: of a reader who knows the chain, and of
one who knows the prior alone and learns from the context (the Dirichlet-multinomial predictive).
"""

import numpy as np
from jaxtyping import Float64, Int32

CONCENTRATION = 0.1


def draw(
    count: int, vocabulary: int, seed: int = 0
) -> Float64[np.ndarray, "{count} {vocabulary} {vocabulary}"]:
    """Transition matrices; the small concentration makes few successors likely."""
    rng = np.random.default_rng([20261122, seed])
    # Gamma draws of a small shape underflow to 0, which has no logarithm.
    rows = rng.gamma(CONCENTRATION, size=(count, vocabulary, vocabulary)) + 1e-30
    return rows / rows.sum(-1, keepdims=True)


def documents(
    transition: Float64[np.ndarray, "v v"], count: int, length: int, seed: int
) -> Int32[np.ndarray, "{count} {length}+1"]:
    """Documents of one chain: BOS (token v), a uniform first token, then the chain."""
    size = len(transition)
    rng = np.random.default_rng([11, seed])
    cumulative = np.cumsum(transition, -1)
    found = np.full((count, length + 1), size, np.int32)
    found[:, 1] = rng.integers(0, size, count)
    for t in range(1, length):
        uniform = rng.random(count)[:, None]
        drawn = (uniform >= cumulative[found[:, t]]).sum(-1)
        found[:, t + 1] = np.minimum(drawn, size - 1)
    return found


def log_probs(
    transition: Float64[np.ndarray, "d v v"], tokens: np.ndarray
) -> Float64[np.ndarray, "d n t"]:
    """log2 p_d(x_t | x_t-1) of documents [n, t + 1] under every chain d, in bits."""
    found = np.full((len(transition), len(tokens), tokens.shape[1] - 1), 1 / transition.shape[-1])
    found[..., 1:] = transition[:, tokens[:, 1:-1], tokens[:, 2:]]
    return np.log2(found)


def predictive(tokens: np.ndarray, vocabulary: int) -> Float64[np.ndarray, "n t"]:
    """log2 p(x_t | x_<t) [n, t] where only the Dirichlet prior of the rows is known, in bits.

    (count of the pair + a) / (count of the row + a v): integrating the rows out.
    """
    found = np.full((len(tokens), tokens.shape[1] - 1), 1 / vocabulary)
    rows = np.arange(len(tokens))
    pairs = np.full((len(tokens), vocabulary, vocabulary), CONCENTRATION)
    for t in range(2, tokens.shape[1]):
        before, now = tokens[:, t - 1], tokens[:, t]
        row = pairs[rows, before]
        found[:, t - 1] = row[rows, now] / row.sum(-1)
        pairs[rows, before, now] += 1
    return np.log2(found)
