"""Floors that cannot compose: against counting by hand, and what chooses their weights."""

import numpy as np
import pytest

from genjax.data.text import Measured
from genjax.domains import chains, data, evaluate, floors, hmm
from genjax.domains.config import Config
from genjax.domains.experiment import read_sources
from genjax.domains.job import Job, Once

VOCABULARY = 6


def by_hand(windows, prior, weight, bigram_weight):
    """p of each token by the cache and by the document's bigram, token after token."""
    cache, bigram = (np.zeros((len(windows), windows.shape[1] - 1)) for _ in range(2))
    for i, window in enumerate(windows):
        seen, pairs = np.zeros(VOCABULARY + 1), np.zeros((VOCABULARY + 1, VOCABULARY + 1))
        for t, token in enumerate(window[1:]):
            before = window[t]
            p = (seen + weight * prior) / (t + weight)
            q = (pairs[before] + bigram_weight * p) / (pairs[before].sum() + bigram_weight)
            assert p.sum() == pytest.approx(1) and q.sum() == pytest.approx(1)
            cache[i, t], bigram[i, t] = p[token], q[token]
            seen[token] += 1
            pairs[before, token] += 1
    return {"cache": cache, "cache_bigram": bigram}


@pytest.fixture
def documents():
    rng = np.random.default_rng(0)
    return np.column_stack([np.full(70, VOCABULARY), rng.integers(0, VOCABULARY, (70, 12))])


def test_floors_are_the_predictives_of_their_counts(documents):
    fitted = floors.fit(documents[:5], [measured(documents[5:9])], VOCABULARY + 1)
    prior = fitted.unigram.probabilities[0]
    found = floors.Floors(fitted.unigram, 4.0, 0.5).bits(documents)
    for name, p in by_hand(documents, prior, 4.0, 0.5).items():
        np.testing.assert_allclose(found[name], -np.log2(p), rtol=1e-12)
    np.testing.assert_allclose(2 ** -found["unigram"], prior[documents[:, 1:]], rtol=1e-12)


def measured(windows):
    scored = np.ones((len(windows), windows.shape[1] - 1), bool)
    return Measured(windows, scored, scored.sum(), np.arange(len(windows)))


def test_weights_are_those_that_valid_text_prefers(documents):
    """Of chains, whose documents repeat their pairs, the bigram counts at once; of noise never."""
    chain = chains.draw(1, VOCABULARY, 3)[0]
    repeating = chains.documents(chain, 40, 60, 0)
    sure = floors.fit(repeating, [measured(repeating[:20])], VOCABULARY + 1)
    loose = floors.fit(documents, [measured(documents[:40])], VOCABULARY + 1)
    assert sure.bigram_prior < loose.bigram_prior == floors.WEIGHTS[-1]

    def lost(made, windows):
        return {name: bits.mean() for name, bits in made.bits(windows).items()}

    # On other documents each choice is the better one, and order helps where there is some.
    here, there = lost(sure, repeating[20:]), lost(loose, repeating[20:])
    assert here["cache_bigram"] < here["cache"] and here["cache_bigram"] < there["cache_bigram"]
    noise = lost(loose, documents[40:]), lost(sure, documents[40:])
    assert noise[0]["cache_bigram"] < noise[1]["cache_bigram"]


def test_only_scored_places_choose(documents):
    """Where the places that do not count are copies of one token, they change no weight."""
    windows, scored = documents.copy(), np.ones((70, 12), bool)
    windows[:, 9:], scored[:, 8:] = 0, False
    cut = measured(windows[:40])._replace(scored=scored[:40])
    short = measured(windows[:40, :9])
    whole, part = (floors.fit(documents, [m], VOCABULARY + 1) for m in (cut, short))
    assert (whole.prior, whole.bigram_prior) == (part.prior, part.bigram_prior)


@pytest.fixture(scope="module")
def job():
    config = Config(seeds=2, seed=5, grid=3, context=32, pool=20, documents=6, shots=(0, 1, 3))
    arms = config.arms()
    domains = dict.fromkeys(arms, ["s0l1"])
    return Job(config, [*read_sources(config)], arms, domains, dict.fromkeys(arms, []), Once())


def test_baselines_are_measured_on_each_seeds_own_documents(job):
    found = evaluate.baselines(job)
    seen = [name for name in job.source.names if name not in job.source.held_out]
    for i, source in enumerate(job.sources):
        own = evaluate.counted_floors(source, seen)
        for group, names in (("seen", seen), ("unseen", source.held_out)):
            tests = [source.measured(name, "test").windows for name in names]
            for floor in floors.NAMES:
                wanted = np.mean([own.bits(windows)[floor].mean() for windows in tests])
                assert found[f"{floor}/{group}"][i] == pytest.approx(wanted)
            for row, line in (("memory", "seen"), ("family", "family"), ("known", "known")):
                wanted = np.mean([source.lines(name, seen)[line].mean() for name in names])
                assert found[f"{row}/{group}"][i] == pytest.approx(wanted)
        best = min(found[f"{floor}/unseen"][i] for floor in floors.NAMES)
        for row in (*floors.NAMES, "memory"):
            span = best - found["family/unseen"][i]
            wanted = (best - found[f"{row}/unseen"][i]) / span
            assert found[f"{row}/score"][i] == pytest.approx(wanted)
        assert found["family/score"][i] == pytest.approx(1)
    assert max(found[f"{floor}/score"][0] for floor in floors.NAMES) == pytest.approx(0)
    # Two seeds are two grids.
    assert found["known/unseen"][0] != found["known/unseen"][1]
    assert len(found["cache/few_shot_gain"]) == 2


def test_unseen_text_moves_no_floor(job):
    """Other documents of the held-out domains: the same unigram and weights."""
    source = job.source

    def measured(name, split):
        if name in source.held_out and split == "valid":
            raise AssertionError("valid text of an unseen domain was read")
        return source.measured(name, split)

    sequences = {name: source.sequences(name) for name in source.names}
    guarded = source._replace(
        measured=measured, sequences=lambda name: {**sequences, "s0l0": None}[name]
    )
    found = evaluate.baselines(job._replace(sources=[guarded, job.sources[1]]))
    assert found == evaluate.baselines(job)


def test_a_job_measures_each_seed_on_its_own_documents(job):
    for split in ("valid", "test"):
        found = job.measured("s1l0", split)
        for own, source in zip(found.windows, job.sources, strict=True):
            np.testing.assert_array_equal(own, source.measured("s1l0", split).windows)
        assert (found.windows[0] != found.windows[1]).any()
    lines = job.lines("s1l0", ["s0l1", "s0l2"])
    for i, source in enumerate(job.sources):
        for line, bits in source.lines("s1l0", ["s0l1", "s0l2"]).items():
            np.testing.assert_array_equal(lines[line][i], bits)
    # Of text there is one source, and one set of windows for every seed.
    alike = job._replace(sources=[job.sources[0]._replace(lines=None)] * 2)
    assert alike.measured("s1l0", "test").windows.ndim == 2 and alike.lines("s1l0", []) == {}


def test_each_seed_draws_a_grid_of_its_own(job):
    for source, seed in zip(job.sources, (5, 6), strict=True):
        grid = hmm.grid(3, states=8, base=16, vocabulary=32, shared=4, seed=seed)
        wanted = data.from_grid(grid, length=32, pool=20, documents=6, seed=seed)
        found, own = (one.measured("s1l0", "test").windows for one in (source, wanted))
        np.testing.assert_array_equal(found, own)
        index = np.arange(20)
        np.testing.assert_array_equal(source.draw("s0l1", index), wanted.draw("s0l1", index))


def test_a_unigram_is_of_the_arms_own_domains(job):
    job = job._replace(sources=[*read_sources(job.config.replace(pool=500))])
    (name,), unseen = job.arms, job.source.held_out
    found = evaluate.unigram_unseen(job, name, unseen)
    for i, source in enumerate(job.sources):
        text = np.concatenate([one[1:] for one in source.sequences("s0l1")])
        share = np.bincount(text, minlength=source.vocabulary) / len(text)
        tests = np.concatenate([source.measured(d, "test").windows[:, 1:] for d in unseen])
        # Of many tokens, so that smoothing takes next to nothing.
        assert found[i] == pytest.approx(-np.log2(share[tests]).mean(), abs=0.02)
    other = job._replace(trained_on={name: ["s1l2"]})
    assert (evaluate.unigram_unseen(other, name, unseen) != found).all()


def test_one_leaked_window_is_seen(job):
    """By the grid's own likelihood, whatever a model makes of it; of the seed that has it."""
    (name,), unseen = job.arms, job.source.held_out
    two = job._replace(trained_on={name: ["s0l1", "s1l2"]})
    clean = evaluate.training_margin(two, name, unseen)
    assert (clean > 0.5).all()
    # By hand, of all windows that these steps can draw.
    first = job.sources[0]
    every = np.concatenate([first.draw(own, np.arange(20)) for own in ("s0l1", "s1l2")])
    bits = {d: -first.log_probs([d], every)[0].sum(-1) / 32 for d in first.names}
    less = np.minimum(bits["s0l1"], bits["s1l2"])
    by_hand = np.min([bits[d] - less for d in unseen], 0)
    assert clean[0] == pytest.approx(by_hand.min())

    def draw(domain, index):
        found = job.sources[1].draw(domain, index)
        leaked = (index == 3) & (domain == "s1l2")
        return np.where(leaked[:, None], job.sources[1].draw("s1l1", index), found)

    torn = two._replace(sources=[first, job.sources[1]._replace(draw=draw)])
    found = evaluate.training_margin(torn, name, unseen)
    assert found[0] == clean[0] and found[1] < 0
