"""Interpolated n-gram models of tokens: the floor that a language model has to beat. No jax.

An n-gram's id is its rank among (id of its first n - 1 tokens, last token), so that keys of any
order fit 64 bits, and every step is a sort or a look-up over all positions at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from genjax.core.errors import UsageError

SMOOTHINGS = ("absolute", "kneser_ney")


class NGram(NamedTuple):
    """A fitted model; `log2_probs` evaluates it. Entry n of each list is of the (n + 1)-grams.

    keys: sorted, id of the first n tokens * vocabulary + last token. The id of a single token is
        the token.
    probabilities: of an n-gram's last token behind the others, interpolated already.
    backoff: by id of the n tokens before, the weight of the shorter context; 1 where nothing
        followed.
    """

    vocabulary: int
    keys: list[Integer[np.ndarray, " types"]]
    probabilities: list[Float[np.ndarray, " types"]]
    backoff: list[Float[np.ndarray, " contexts"]]

    def log2_probs(self, tokens: Integer[np.ndarray, " t"]) -> Float[np.ndarray, " t-1"]:
        """log2 p(token | the up to order - 1 tokens before it) in bits, of all but the first.

        The first is context only: BOS, or the token before a window. Never -inf, as the lowest
        order is mixed with the uniform distribution. Raises ValueError where a token is outside
        the vocabulary.
        """
        tokens = _checked(tokens, self.vocabulary, np.int64)
        p = self.probabilities[0][tokens[1:]]
        # ids[j]: of the n-gram that ends at token j, -1 where it was not seen or would start early.
        ids = tokens
        for keys, probabilities, backoff in zip(
            self.keys[1:], self.probabilities[1:], self.backoff[1:], strict=True
        ):
            longer = np.full(len(tokens), -1)
            at = np.flatnonzero(ids[:-1] >= 0) + 1
            # Without a single n-gram there is nothing to look up, in this order or a longer one.
            if not len(at) or not len(keys):
                break
            key = ids[at - 1] * self.vocabulary + tokens[at]
            rank = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            found = keys[rank] == key
            # What the context was seen with is interpolated already, the rest takes its share.
            p[at - 1] = np.where(found, probabilities[rank], backoff[ids[at - 1]] * p[at - 1])
            longer[at[found]] = rank[found]
            ids = longer
        return np.log2(p)


def fit(
    documents: Sequence[Integer[np.ndarray, " t"]],
    *,
    order: int,
    vocabulary: int,
    smoothing: str = "kneser_ney",
) -> NGram:
    """Counts n-grams of up to `order` tokens within documents, and smooths them.

    documents: tokens in [0, vocabulary); the first of each is context only, as in `log2_probs`.
    smoothing: `absolute`: interpolated absolute discounting of raw counts, D = n1 / (n1 + 2 n2) in
        each order (Ney, Essen & Kneser 1994). `kneser_ney`: interpolated modified Kneser-Ney (Chen
        & Goodman 1999), where below the highest order an n-gram counts the different tokens before
        it, and counts of 1, 2 and more have discounts of their own. A document's start counts as
        a different token each time, so that what follows BOS keeps its raw counts, as in KenLM
        (Heafield et al. 2013).

    The lowest order is interpolated with 1 / vocabulary. Raises UsageError where the order is
    below 1 or the smoothing unknown, ValueError where a token is outside the vocabulary.
    """
    if order < 1:
        raise UsageError(f"--ngram_order={order}: must be 1 or more")
    if smoothing not in SMOOTHINGS:
        raise UsageError(
            f"--ngram_smoothing={smoothing}: unknown; choose from {', '.join(SMOOTHINGS)}"
        )
    keys, counts, suffixes, starts = _counted(documents, order, vocabulary)
    if smoothing == "kneser_ney":
        for n in range(order - 1):
            counts[n] = np.bincount(suffixes[n + 1], minlength=len(counts[n]))
            counts[n] += np.bincount(starts[n], minlength=len(counts[n]))
    probabilities, backoff = [], []
    for n in range(order):
        context = keys[n] // vocabulary
        contexts = len(counts[n - 1]) if n else 1
        shares, rest = _discounted(counts[n], context, contexts, smoothing == "kneser_ney")
        shorter = probabilities[n - 1][suffixes[n]] if n else 1 / vocabulary
        probabilities.append(shares + rest[context] * shorter)
        backoff.append(rest)
    return NGram(vocabulary, keys, probabilities, backoff)


def _checked(tokens, vocabulary, dtype):
    if len(tokens) and (tokens.min() < 0 or tokens.max() >= vocabulary):
        raise ValueError(f"tokens must lie in [0, {vocabulary})")
    return tokens.astype(dtype)


def _counted(documents, order, vocabulary):
    """By order: keys, raw counts, the id without the first token, and the ids at documents' starts.

    Ids and counts by position take 32 bits: at 24 million tokens that is what memory goes to.
    """
    lengths = np.array([len(document) for document in documents], np.int64)
    tokens = np.concatenate([np.zeros(0, np.int32), *documents])
    tokens = _checked(tokens, vocabulary, np.int32)
    depth = np.arange(len(tokens), dtype=np.int32)
    depth -= np.repeat(np.cumsum(lengths) - lengths, lengths).astype(np.int32)
    # A document's first token is not predicted, hence not counted.
    keys, none = [np.arange(vocabulary)], np.zeros(0, np.int32)
    suffixes, starts = [none], [none]
    counts: list[np.ndarray] = [np.bincount(tokens[depth > 0], minlength=vocabulary)]
    ids = tokens
    for n in range(1, order):
        at = np.flatnonzero(depth >= n)
        key = ids[at - 1].astype(np.int64)
        key *= vocabulary
        key += tokens[at]
        unique, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
        inverse = inverse.astype(np.int32)
        # All positions of an n-gram hold the same suffix: whichever is written last will do.
        suffix = np.empty(len(unique), np.int32)
        suffix[inverse] = ids[at]
        # Where an n-gram would start before its document, the id is never read.
        ids = np.zeros(len(tokens), np.int32)
        ids[at] = inverse
        keys.append(unique)
        counts.append(count.astype(np.int32))
        suffixes.append(suffix)
        starts.append(ids[depth == n])
    return keys, counts, suffixes, starts


def _discounted(counts, context, contexts, modified):
    """Shares of n-grams in their context after the discount, and by context what that left."""
    discount = _discounts(counts, modified)[np.minimum(counts, 3)]
    total = np.bincount(context, counts, contexts)
    rest = np.bincount(context, discount, contexts)
    unseen = total == 0
    total[unseen], rest[unseen] = 1, 1
    return (counts - discount) / total[context], rest / total


def _discounts(counts, modified):
    """Discounts of counts 0, 1, 2 and more, from the counts of counts."""
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    # Without n1 nothing would be left for the unseen, without n2 nothing for what was seen once.
    d = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
    discounts = np.array([0, d, d, d])
    if modified and n1 and n2 and n3:
        three = np.array([0, d, 2 - 3 * d * n3 / n2, 3 - 4 * d * n4 / n3])
        # Few n-grams can ask for less than nothing; a discount of 0 would make unseen impossible.
        if n4 and (three[1:] > 0).all():
            discounts = three
    return discounts
