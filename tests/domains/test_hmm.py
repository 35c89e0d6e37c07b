"""The grid of hidden Markov domains: its design, and its exact lines against enumeration."""

import itertools

import numpy as np
import pytest

from genjax.core.errors import UsageError
from genjax.domains import hmm

SMALL = {"states": 8, "base": 16, "vocabulary": 32, "shared": 4}


@pytest.fixture(scope="module")
def source():
    return hmm.grid(4, **SMALL)


def test_every_structure_is_doubly_stochastic_with_the_same_four_weights(source):
    for matrix in source.transition:
        np.testing.assert_allclose(matrix.sum(0), 1)
        np.testing.assert_allclose(matrix.sum(1), 1)
        for row in matrix:
            np.testing.assert_allclose(np.sort(row[row > 0]), np.sort(hmm.TRANSITIONS))


def test_states_emit_three_tokens_and_tokens_have_one_or_two_states(source):
    floor = hmm.NOISE / 32
    for lexicon in source.emission:
        np.testing.assert_allclose(lexicon.sum(-1), 1)
        emitted = lexicon > 2 * floor
        assert (emitted.sum(1) == 3).all()
        assert set(emitted.sum(0)) == {0, 1, 2}
    # The shared base tokens keep their names; the others move.
    used = (source.emission > 2 * floor).any(1)
    assert used.all(0).sum() >= 4
    assert not used.all(0)[used.any(0)].all()


def test_held_out_pairs_are_unseen_but_their_parts_are_seen(source):
    for count in (1, 2, 3):
        training = hmm.diagonals(4, count)
        assert len(set(training)) == 4 * count
        assert not set(training) & set(hmm.diagonal(4))
        places = [source.place(name) for name in training]
        assert {s for s, _ in places} == {lex for _, lex in places} == set(range(4))


def test_forward_algorithm_equals_enumeration_of_all_paths(source):
    name, length = "s1l2", 4
    move, emit = source.transition[1], source.emission[2]
    tokens = hmm.documents(source, [name], 3, length, seed=0)[0]
    found = hmm.log_probs(source, [name], tokens)[0]
    for document, bits in zip(tokens, found, strict=True):
        words = document[1:]

        def evidence(t, words=words):
            total = 0.0
            for path in itertools.product(range(8), repeat=t):
                steps = [move[a, b] for a, b in itertools.pairwise(path)]
                shown = [emit[state, words[i]] for i, state in enumerate(path)]
                total += np.prod(steps) * np.prod(shown) / 8
            return total

        exact = [evidence(t + 1) / (evidence(t) if t else 1.0) for t in range(length)]
        np.testing.assert_allclose(2.0**bits, exact, rtol=1e-10)


def test_probabilities_of_the_next_token_sum_to_one(source):
    start = hmm.documents(source, ["s0l1"], 1, 5, seed=3)[0, 0]
    ends = np.concatenate([np.tile(start, (32, 1)), np.arange(32)[:, None]], 1)
    every = hmm.log_probs(source, source.domains, ends)
    np.testing.assert_allclose((2.0 ** every[..., -1]).sum(1), 1)
    np.testing.assert_allclose((2.0 ** hmm.mixture(every)[:, -1]).sum(), 1)


def test_a_mixture_is_the_posterior_mean(source):
    tokens = hmm.documents(source, ["s2l3"], 2, 12, seed=1)[0]
    every = hmm.log_probs(source, source.domains, tokens)
    likelihood = np.cumprod(2.0**every, -1)
    posterior = np.concatenate([np.ones((16, 2, 1)), likelihood[..., :-1]], -1)
    posterior /= posterior.sum(0)
    np.testing.assert_allclose(2.0 ** hmm.mixture(every), (posterior * 2.0**every).sum(0))


def test_documents_follow_their_source(source):
    found = hmm.documents(source, ["s0l0", "s3l1"], 400, 64, seed=5)
    assert found.shape == (2, 400, 65)
    assert (found[..., 0] == source.vocabulary).all()
    for row, lexicon in zip(found, (0, 1), strict=True):
        share = np.bincount(row[:, 1:].ravel(), minlength=32) / row[:, 1:].size
        np.testing.assert_allclose(share, source.emission[lexicon].mean(0), atol=0.01)
    again = hmm.documents(source, ["s0l0", "s3l1"], 400, 64, seed=5)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"states": 3}, "--states=3"),
        ({"base": 40}, "--base=40"),
        ({"base": 8}, "--base=8"),
        ({"vocabulary": 10}, "--vocabulary=10"),
        ({"shared": 20}, "--shared=20"),
    ],
)
def test_sizes_that_contradict_each_other_are_named(change, flag):
    with pytest.raises(UsageError, match=flag):
        hmm.grid(4, **SMALL | change)
