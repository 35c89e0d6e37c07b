"""Domains as training sees them: what is drawn, how often, what is measured, what is refused."""

import numpy as np
import pytest

from genjax.core.errors import UsageError
from genjax.data import text
from genjax.domains import chains, data, hmm, names
from genjax.lm import per_domain

LENGTH = 16


def letters(size):
    return np.random.default_rng(size).integers(97, 123, size).astype(np.uint8)


@pytest.fixture(scope="module")
def prose():
    corpus = {name: text.Domain(*map(letters, (400, 90, 100))) for name in ("a", "b", "c")}
    return data.from_text(corpus, text.byte_tokens(), ["c"], length=LENGTH, stride=5)


def test_splits_of_the_grid_share_no_document(source):
    pool = source.draw("s0l1", np.arange(20))
    valid, test = (source.measured("s0l1", split).windows for split in ("valid", "test"))
    rows = np.concatenate([pool, valid, test])
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert (rows[:, 0] == source.bos).all()


def test_lines_are_ordered():
    grid = hmm.grid(4, states=8, base=16, vocabulary=32, shared=4)
    wide = chains.draw(2, 32)
    source = data.from_grid(grid, length=64, pool=1, documents=40, far=wide)
    training = hmm.diagonals(4, 2)

    def bits(name):
        return {line: value.mean() for line, value in source.lines(name, training).items()}

    unseen, seen, far = bits("s1l1"), bits(training[0]), bits("chain1")
    assert unseen["known"] < unseen["family"] < unseen["seen"]
    # Naming one of 16 domains costs four bits a document at most.
    assert unseen["family"] - unseen["known"] < 4 / 64 + 1e-9
    assert seen["known"] < seen["seen"] < seen["family"]
    # A chain shares nothing with the grid: learning its rows beats remembering the grid's.
    assert far["known"] < far["family"] < far["seen"]
    assert far["family"] < np.log2(32)


def test_chains_are_neither_seen_nor_held_out():
    grid = hmm.grid(3, states=8, base=16, vocabulary=32, shared=4)
    wide = chains.draw(2, 32)
    source = data.from_grid(grid, length=LENGTH, pool=20, documents=6, far=wide)
    assert source.names[-2:] == ["chain0", "chain1"]
    for spec in ("seen", "all"):
        assert not any("chain" in name for name in names.select(source, spec))
    assert names.select(source, "chain1+s0l0") == ["chain1", "s0l0"]
    rows = np.concatenate(
        [source.measured("chain1", split).windows for split in ("valid", "test")]
        + [source.draw("chain1", np.arange(20)), source.draw("chain0", np.arange(20))]
    )
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("seen", ["s0l1", "s0l2", "s1l0", "s1l2", "s2l0", "s2l1"]),
        ("diagonals1", ["s0l1", "s1l2", "s2l0"]),
        ("diagonals1+s0l0", ["s0l1", "s1l2", "s2l0", "s0l0"]),
        ("s0l0+s1l1", ["s0l0", "s1l1"]),
        ("seen-s0l1-s0l2", ["s1l0", "s1l2", "s2l0", "s2l1"]),
    ],
)
def test_domains_are_selected(source, spec, found):
    assert names.select(source, spec) == found


@pytest.mark.parametrize("spec", ["s9l9", "s0l0+s0l0", "diagonals3", "diagonals", "s0l0-s0l0"])
def test_domains_that_cannot_be_selected_are_named(source, spec):
    with pytest.raises(UsageError, match=f"--domains={spec.replace('+', '.')}"):
        names.select(source, spec)


def test_weights_follow_their_rule():
    two, sizes = ["a", "b"], [100, 400]
    assert names.weights(two, sizes, "uniform") == {"a": 0.5, "b": 0.5}
    assert names.weights(two, sizes, "proportional") == {"a": 0.2, "b": 0.8}
    tempered = names.weights(two, sizes, "temperature:2")
    np.testing.assert_allclose(tempered["b"] / tempered["a"], 2)
    cold = names.weights(two, sizes, "temperature:0.001")
    assert cold == {"a": 0.0, "b": 1.0}
    assert names.weights(two, sizes, "0.3+0.7") == {"a": 0.3, "b": 0.7}


def test_replay_of_the_joint_share_is_joint_training():
    joint = names.weights(["new", "a", "b", "c"], [1] * 4, "uniform")
    replayed = names.weights(["new"], [1], "uniform", 0.75, ("a", "b", "c"))
    assert joint == pytest.approx(replayed)


@pytest.mark.parametrize(
    "rule",
    ["0.5+0.6", "-0.5+1.5", "1", "most", "temperature:0", "temperature:-1", "temperature:inf"],
)
def test_weights_that_are_none_are_refused(rule):
    with pytest.raises(UsageError, match="--mixture="):
        names.weights(["a", "b"], [1, 1], rule)


def test_batches_are_a_function_of_seed_and_step(source):
    draw = data.batches([source] * 2, {"s0l1": 0.25, "s1l2": 0.75}, 64, seeds=[3, 4])
    whole, late = draw(0, 4), draw(2, 2)
    assert whole.shape == (4, 2, 64, LENGTH + 2)
    np.testing.assert_array_equal(whole[2:], late)
    assert (whole[:, 0] != whole[:, 1]).any() and (whole[0] != whole[1]).any()
    pool = {tuple(row) for row in source.draw("s1l2", np.arange(20))}
    rows = whole.reshape(-1, LENGTH + 2)
    np.testing.assert_array_equal([tuple(row) in pool for row in rows[:, :-1]], rows[:, -1])
    assert abs(rows[:, -1].mean() - 0.75) < 0.1


def test_a_process_reads_its_own_windows_alone(source):
    given = [source] * 2, {"s0l1": 0.25, "s1l2": 0.75}, 64
    own = np.random.default_rng(0).random((2, 64)) < 0.3
    whole, part = (data.batches(*given, seeds=[3, 4], own=mask)(0, 3) for mask in (None, own))
    np.testing.assert_array_equal(part[:, own], whole[:, own])
    assert not part[:, ~own, :-1].any() and whole[:, ~own, :-1].any()


def test_each_seed_draws_from_its_own_source(source):
    grid = hmm.grid(3, states=8, base=16, vocabulary=32, shared=4, seed=1)
    other = data.from_grid(grid, length=LENGTH, pool=20, documents=6, seed=1)
    rows = data.batches([source, other], {"s0l1": 1.0}, 64, seeds=[3, 3])(0, 1)[0, :, :, :-1]
    # The same indices of two pools.
    for own, batch in zip((source, other), rows, strict=True):
        pool = {tuple(row): i for i, row in enumerate(own.draw("s0l1", np.arange(20)))}
        found = [pool[tuple(row)] for row in batch]
        assert found == [pool_index(source, row) for row in rows[0]]
    tests = [one.measured("s0l1", "test") for one in (source, other)]
    both = data.by_seed(tests)
    assert both.windows.shape == (2, 6, LENGTH + 1) and both.units == tests[0].units
    np.testing.assert_array_equal(both.windows[1], tests[1].windows)
    assert data.by_seed([tests[0]] * 2) is tests[0]


def pool_index(source, row):
    pool = source.draw("s0l1", np.arange(20))
    return int(np.flatnonzero((pool == row).all(1))[0])


def test_a_limit_is_kept(source):
    draw = data.batches([source], {"s0l1": 1.0}, 64, seeds=[0], limits={"s0l1": 3 * LENGTH})
    rows = draw(0, 4).reshape(-1, LENGTH + 2)
    assert len(np.unique(rows, axis=0)) == 3


def test_a_limit_is_of_the_domains_named(source):
    mixture = {"s0l1": 0.5, "s1l2": 0.5}
    draw = data.batches([source], mixture, 64, seeds=[0], limits={"s0l1": 3 * LENGTH})
    rows = draw(0, 4).reshape(-1, LENGTH + 2)
    counts = [len(np.unique(rows[rows[:, -1] == which], axis=0)) for which in (0, 1)]
    assert counts[0] == 3 and counts[1] > 6


def test_every_byte_of_a_test_text_is_scored_once(prose):
    found = prose.measured("b", "test")
    assert found.units == 100 and found.scored.sum() == 100
    np.testing.assert_array_equal(found.windows[0, 0], prose.bos)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"length": 95}, "--context=95: longer than a's valid text of 90 tokens;"),
        ({"most": 9}, r"valid text of 9 tokens \(--measured_bytes=9\)"),
        ({"stride": 17}, "--stride=17"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(options, said):
    corpus = {"a": text.Domain(letters(400), letters(90), letters(100))}
    options = {"length": LENGTH, "stride": 5} | options
    with pytest.raises(UsageError, match=said):
        data.from_text(corpus, text.byte_tokens(), [], **options)


def test_names_with_signs_are_selected():
    corpus = {name: text.Domain(*[letters(90)] * 3) for name in ("wiki", "wiki-en", "c++", "en")}
    held = data.from_text(corpus, text.byte_tokens(), ["en"], length=LENGTH, stride=5)
    assert names.select(held, "wiki-en") == ["wiki-en"]
    assert names.select(held, "c+++wiki-wiki-en") == ["c++", "wiki"]
    assert names.select(held, "all-seen") == ["en"]
    for spec in ("wiki-", "wiki--en", "wiki+", "nl"):
        with pytest.raises(UsageError, match="no domain"):
            names.select(held, spec)


def test_losses_are_bits_a_unit_where_tokens_are_not():
    pairs = text.Tokens(257, 256, lambda content: content[::2], bytes)
    corpus = {"a": text.Domain(letters(400), letters(90), letters(100))}
    halved = data.from_text(corpus, pairs, [], length=LENGTH, stride=5)
    test = halved.measured("a", "test")
    assert test.tokens_per_unit == 0.5
    ones = [np.ones((1, *test.scored.shape))] * 3
    (found,) = per_domain.losses(lambda params, windows: ones, None, [test])
    assert found["loss"] == 0.5 and found["sizes"].sum() == 100
    np.testing.assert_allclose(found["documents"].sum(-1) / found["sizes"].sum(), 0.5)
    np.testing.assert_allclose(found["position"][np.isfinite(found["position"])], 0.5)
    shots = data.examples(halved, "a", [0, 1], 4, 5, seed=0)
    assert shots[1].scored.sum() / shots[1].units == 0.5


def test_a_window_longer_than_a_text_is_refused(prose):
    with pytest.raises(UsageError, match="--context=16: longer than the 9 tokens of a"):
        prose.pool("a", 9)


def test_examples_are_the_same_query_behind_more_of_the_domain(source):
    cases = data.examples(source, "s1l1", [0, 1, 3], 4, 5, seed=0)
    for k, found in cases.items():
        assert found.scored.sum() == 20
        query = found.windows[:, 1:][found.scored].reshape(5, 4)
        np.testing.assert_array_equal(query, cases[0].windows[:, 1:5])
        assert k == 0 or (found.windows[:, 1:5] != query).any(1).all()
        np.testing.assert_array_equal(
            found.windows[:, 1 : 4 * k + 1], cases[3].windows[:, 1 : 4 * k + 1]
        )
    with pytest.raises(UsageError, match="at most 3"):
        data.examples(source, "s1l1", [0, 4], 4, 5, seed=0)
