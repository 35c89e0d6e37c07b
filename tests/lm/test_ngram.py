"""N-gram models against a slow reference of dictionaries, and against known entropies."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from genjax.core.errors import UsageError
from genjax.lm import ngram


def reference(documents, order, vocabulary, smoothing):
    """p(token | context) as the papers write it: recursive, one n-gram at a time."""
    raw = [Counter() for _ in range(order)]
    neighbours = [defaultdict(set) for _ in range(order)]
    for d, document in enumerate(documents):
        for j in range(1, len(document)):
            for n in range(1, min(order, j + 1) + 1):
                gram = tuple(document[j - n + 1 : j + 1])
                raw[n - 1][gram] += 1
                before = document[j - n] if j >= n else ("start", d)
                neighbours[n - 1][gram].add(before)
    counts = raw
    if smoothing == "kneser_ney":
        counts = [{g: len(s) for g, s in sets.items()} for sets in neighbours[:-1]] + raw[-1:]

    def discount(n, count):
        n1, n2, n3, n4 = (list(counts[n - 1].values()).count(k) for k in (1, 2, 3, 4))
        if not (n1 and n2):
            return 0.5
        y = n1 / (n1 + 2 * n2)
        if smoothing == "absolute" or not (n3 and n4):
            return y
        three = [k - (k + 1) * y * b / a for k, a, b in ((1, n1, n2), (2, n2, n3), (3, n3, n4))]
        return three[min(count, 3) - 1] if min(three) > 0 else y

    def p(token, context):
        n = len(context) + 1
        lower = p(token, context[1:]) if context else 1 / vocabulary
        here = {g[-1]: c for g, c in counts[n - 1].items() if g[:-1] == context}
        if not here:
            return lower
        own = here[token] - discount(n, here[token]) if token in here else 0
        rest = sum(discount(n, count) for count in here.values())
        return (own + rest * lower) / sum(here.values())

    return p


def texts(seed, lengths=(40, 1, 2, 25, 0, 60), vocabulary=5):
    """Skewed tokens that repeat, behind a BOS of their own; some documents shorter than an order"""
    rng = np.random.default_rng(seed)
    tokens = [np.minimum(rng.geometric(0.5, n), vocabulary - 1) - 1 for n in lengths]
    return [np.concatenate([[vocabulary - 1], x])[:n] for x, n in zip(tokens, lengths, strict=True)]


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
@pytest.mark.parametrize("order", (1, 2, 3, 4))
@pytest.mark.parametrize("seed", (0, 1))
def test_equals_the_dictionaries(smoothing, order, seed):
    documents = texts(seed)
    if seed:  # a window that starts anywhere, behind no BOS
        documents += [documents[0][7:30], documents[-1][5:9]]
    model = ngram.fit(documents, order=order, vocabulary=5, smoothing=smoothing)
    p = reference([list(map(int, d)) for d in documents], order, 5, smoothing)
    tokens = [int(x) for x in texts(seed + 2)[-1][:30]] + [0, 0, 0, 4, 3, 4, 4, 1]
    wanted = [p(tokens[j], tuple(tokens[max(0, j - order + 1) : j])) for j in range(1, len(tokens))]
    found = model.log2_probs(np.array(tokens))
    assert found.dtype == np.float64 and found.shape == (len(tokens) - 1,)
    np.testing.assert_allclose(2**found, wanted, rtol=1e-12)


def test_three_discounts_are_used_where_counts_allow():
    counts = np.array([0] * 7 + [1] * 40 + [2] * 12 + [3] * 6 + [4] * 3 + [9] * 5)
    y = 40 / 64
    three = [0, 1 - 2 * y * 12 / 40, 2 - 3 * y * 6 / 12, 3 - 4 * y * 3 / 6]
    np.testing.assert_allclose(ngram._discounts(counts, True), three)
    np.testing.assert_allclose(ngram._discounts(counts, False), [0, y, y, y])
    # Nothing seen four times; a second discount below nothing; nothing seen twice.
    np.testing.assert_allclose(ngram._discounts(counts[counts != 4], True), [0, y, y, y])
    d = 40 / 42
    few = np.repeat([1, 2, 3, 4], (40, 1, 6, 3))
    np.testing.assert_allclose(ngram._discounts(few, True), [0, d, d, d])
    np.testing.assert_allclose(ngram._discounts(counts[counts != 2], True), [0, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
def test_probabilities_sum_to_one(smoothing):
    """Behind contexts that were seen, partly seen, and never; token 6 is in no document."""
    model = ngram.fit(texts(0), order=4, vocabulary=7, smoothing=smoothing)
    for context in ([4], [0], [0, 0, 0], [4, 0, 0], [1, 0, 0, 1], [3, 4, 3], [6], [0, 6], [6, 0]):
        rows = [model.log2_probs(np.array([*context, token]))[-1] for token in range(7)]
        assert np.exp2(rows).sum() == pytest.approx(1, abs=1e-12)
        assert np.isfinite(rows).all()


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
def test_a_chain_is_predicted_to_its_entropy(smoothing):
    rng = np.random.default_rng(0)
    step = rng.dirichlet(np.ones(4), 4)
    values, vectors = np.linalg.eig(step.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    entropy = -float(stationary @ (step * np.log2(step)).sum(1))
    uniform, cumulative, x = rng.random(60_000), step.cumsum(1), [0]
    for u in uniform:
        x.append(min(int(np.searchsorted(cumulative[x[-1]], u)), 3))
    x = np.array(x)
    model = ngram.fit([x[:40_000]], order=2, vocabulary=4, smoothing=smoothing)
    test = x[40_000:]
    true = -np.log2(step[test[:-1], test[1:]]).mean()
    assert -model.log2_probs(test).mean() == pytest.approx(true, abs=2e-3)
    assert true == pytest.approx(entropy, abs=0.02)
    unigram = ngram.fit([x[:40_000]], order=1, vocabulary=4, smoothing=smoothing)
    assert -unigram.log2_probs(test).mean() > entropy + 0.05


def test_documents_share_no_context():
    """Tokens 2 and 3 meet at a boundary only, hence as if they had never met."""
    model = ngram.fit([np.array([0, 1, 2]), np.array([3, 1, 2])], order=2, vocabulary=4)
    assert len(model.keys[1]) == 3
    unseen = model.log2_probs(np.array([0, 3])) - np.log2(model.backoff[1][0])
    np.testing.assert_allclose(model.log2_probs(np.array([2, 3])), unseen)


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
def test_short_texts(smoothing):
    """Fewer tokens than the order, to fit and to evaluate; nothing at all is uniform."""
    model = ngram.fit([np.array([0, 1, 2])], order=6, vocabulary=4, smoothing=smoothing)
    assert model.log2_probs(np.array([0])).shape == (0,)
    assert model.log2_probs(np.array([], np.int64)).shape == (0,)
    short = model.log2_probs(np.array([0, 1]))
    np.testing.assert_array_equal(short, model.log2_probs(np.array([0, 1, 2, 3, 1]))[:1])
    for documents in ([], [np.array([2])]):
        empty = ngram.fit(documents, order=3, vocabulary=4, smoothing=smoothing)
        np.testing.assert_allclose(empty.log2_probs(np.array([1, 2, 0])), -2)


def test_bytes_are_tokens_too():
    text = np.frombuffer(b"to be or not to be, that is the question", np.uint8)
    wide = ngram.fit([text.astype(np.int64)], order=5, vocabulary=257)
    found = ngram.fit([text], order=5, vocabulary=257).log2_probs(text)
    np.testing.assert_array_equal(found, wide.log2_probs(text.astype(np.int64)))


def test_what_cannot_be_used_is_said():
    with pytest.raises(UsageError, match="--ngram_order=0: must be 1 or more"):
        ngram.fit([], order=0, vocabulary=4)
    with pytest.raises(UsageError, match="--ngram_smoothing=good.*absolute, kneser_ney"):
        ngram.fit([], order=2, vocabulary=4, smoothing="good")
    with pytest.raises(ValueError, match=r"\[0, 4\)"):
        ngram.fit([np.array([0, 4])], order=2, vocabulary=4)
    with pytest.raises(ValueError, match=r"\[0, 4\)"):
        ngram.fit([np.array([0, 1])], order=2, vocabulary=4).log2_probs(np.array([0, -1]))
