"""Markov chains: their documents, and their two optima against direct computations."""

import numpy as np
import pytest
from scipy.special import gammaln

from genjax.domains import chains


@pytest.fixture(scope="module")
def transition():
    return chains.draw(2, 6)


def test_rows_are_distributions_of_few_successors(transition):
    assert transition.shape == (2, 6, 6)
    np.testing.assert_allclose(transition.sum(-1), 1)
    assert transition.min() > 0 and np.abs(transition[0] - transition[1]).max() > 0.5
    # A flat Dirichlet's largest of six is 0.41 on average.
    assert transition.max(-1).mean() > 0.6


def test_documents_follow_their_chain(transition):
    found = chains.documents(transition[0], 500, 40, seed=1)
    assert found.shape == (500, 41) and (found[:, 0] == 6).all() and found[:, 1:].max() == 5
    pairs = np.zeros((6, 6))
    np.add.at(pairs, (found[:, 1:-1].ravel(), found[:, 2:].ravel()), 1)
    often = pairs.sum(-1) > 500
    share = pairs / pairs.sum(-1, keepdims=True)
    np.testing.assert_allclose(share[often], transition[0][often], atol=0.05)
    np.testing.assert_array_equal(found, chains.documents(transition[0], 500, 40, seed=1))


def test_log_probs_are_the_chains(transition):
    tokens = chains.documents(transition[1], 3, 10, seed=0)
    found = chains.log_probs(transition, tokens)
    assert found.shape == (2, 3, 10)
    for d in range(2):
        for n in range(3):
            words = tokens[n, 1:]
            exact = [1 / 6, *(transition[d, a, b] for a, b in zip(words, words[1:], strict=False))]
            np.testing.assert_allclose(2.0 ** found[d, n], exact)


def test_the_predictive_integrates_the_rows_out(transition):
    """Its sum is the evidence of the Dirichlet-multinomial, a row at a time."""
    a, size = 0.1, 6
    tokens = chains.documents(transition[0], 4, 30, seed=2)
    for words, bits in zip(tokens[:, 1:], chains.predictive(tokens, size), strict=True):
        counts = np.zeros((size, size))
        np.add.at(counts, (words[:-1], words[1:]), 1)
        evidence = (
            (gammaln(counts + a) - gammaln(a)).sum(-1)
            + gammaln(a * size)
            - gammaln(counts.sum(-1) + a * size)
        ).sum() - np.log(size)
        np.testing.assert_allclose(bits.sum() * np.log(2), evidence)
