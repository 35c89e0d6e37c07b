"""What reaches unseen domains without composing: counts of training text and document. No jax.

A unigram of the training text; the same, mixed with the tokens read so far (a cache, Kuhn & De Mori
1990); and a bigram of the document over that. None knows a transition of any training domain.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genjax.data.text import Measured
from genjax.lm import ngram
from genjax.lm.ngram import NGram

NAMES = ("unigram", "cache", "cache_bigram")
# How many tokens the training text's unigram, and then the cache, count for.
WEIGHTS = tuple(2.0**power for power in range(-2, 9))
# Windows at a time: each takes a table of length x length.
ROWS = 64


class Floors(NamedTuple):
    """A unigram of training text, and the tokens that each prior counts for."""

    unigram: NGram
    prior: float
    bigram_prior: float

    def bits(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """{floor: bits [n, t]} of windows [n, t + 1], each token given those before it."""
        plain = 2 ** np.stack([self.unigram.log2_probs(window) for window in windows])
        counts = counted(windows)
        cache = mixed(counts["same"], counts["read"], plain, self.prior)
        bigram = mixed(counts["pairs"], counts["after"], cache, self.bigram_prior)
        found = dict(zip(NAMES, (plain, cache, bigram), strict=True))
        return {name: -np.log2(p) for name, p in found.items()}


def counted(windows: np.ndarray) -> dict[str, np.ndarray]:
    """What a window has shown before each of its tokens, [n, t] each.

    read: tokens; same: this very token; after: continuations of the token before it; pairs: this
    token among them. The window's first token is context alone, as in `NGram.log2_probs`.
    """
    parts = [_counted(windows[i : i + ROWS]) for i in range(0, len(windows), ROWS)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _counted(windows):
    now, last = windows[:, 1:], windows[:, :-1]
    earlier = np.tri(now.shape[1], k=-1, dtype=bool)
    same = (now[:, :, None] == now[:, None]) & earlier
    after = (last[:, :, None] == last[:, None]) & earlier
    return {
        "read": np.broadcast_to(earlier.sum(-1), now.shape),
        "same": same.sum(-1),
        "after": after.sum(-1),
        "pairs": (same & after).sum(-1),
    }


def mixed(count: np.ndarray, total: np.ndarray, prior: np.ndarray, weight: float) -> np.ndarray:
    """(count + weight prior) / (total + weight): the predictive of a Dirichlet with that mean."""
    return (count + weight * prior) / (total + weight)


def fit(documents: Sequence[np.ndarray], valid: Sequence[Measured], vocabulary: int) -> Floors:
    """Counts training documents, and chooses the priors' weights on valid text alone.

    documents, valid: of domains that are trained on; each domain's valid text counts alike.
    """
    unigram = ngram.fit(documents, order=1, vocabulary=vocabulary, smoothing="absolute")
    cases = []
    for part in valid:
        plain = 2 ** np.stack([unigram.log2_probs(window) for window in part.windows])
        cases.append((part.scored, plain, counted(part.windows)))

    def lost(weight, bigram_weight):
        bits = 0.0
        for scored, plain, counts in cases:
            p = mixed(counts["same"], counts["read"], plain, weight)
            if bigram_weight is not None:
                p = mixed(counts["pairs"], counts["after"], p, bigram_weight)
            bits -= np.log2(p)[scored].mean()
        return bits

    # The cache is chosen alone, the bigram over it.
    prior = min(WEIGHTS, key=lambda weight: lost(weight, None))
    return Floors(unigram, prior, min(WEIGHTS, key=lambda weight: lost(prior, weight)))


def few(floors: Floors, cases: Measured) -> float:
    """Bits a unit of what `cases` scores, by the cache."""
    return float(floors.bits(cases.windows)["cache"][cases.scored].sum() / cases.units)
