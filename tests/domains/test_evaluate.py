"""Measures of an arm from scratch against hand tables: a model of known probabilities."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from known_model import (
    LOGITS,
    NAMES,
    PARAMS,
    SHARPNESS,
    SOURCE,
    VOCABULARY,
    bits_of,
    lines,
    loss,
    measured,
    probabilities,
    run_of,
    sequences,
    study_of,
)
from scipy import stats

from genjax.domains import data, evaluate
from genjax.lm import ngram

# The least of three floors is the cache's, and the same for both seeds.
BASELINES = {
    "evaluation_baselines": {
        "unigram/unseen": [9.0, 9.0],
        "cache/unseen": [8.0, 8.0],
        "cache_bigram/unseen": [8.5, 8.5],
        "family/unseen": [1.5, 1.5],
    }
}


def calibration(name, logits=LOGITS):
    """Guo et al. 2017, eq. 3: fifteen bins, each |accuracy - confidence| by its share."""
    found, p = measured(name, "test"), probabilities(logits)
    errors = []
    for seed in range(2):
        cases = [
            (p[seed, t].max(), found.windows[i, t + 1] == p[seed, t].argmax())
            for i, t in np.argwhere(found.scored)
        ]
        bins = {}
        for sure, right in cases:
            bins.setdefault(math.ceil(sure * 15), []).append(right - sure)
        errors.append(sum(abs(sum(gaps)) for gaps in bins.values()) / len(cases))
    return np.array(errors)


def position(names):
    """Bits a unit at each place, over the windows that score it; nan below four of them."""
    rows = []
    for name in names:
        found = measured(name, "test")
        times = found.scored.sum(0)
        rows.append(bits_of(found).sum(1) / np.where(times >= 4, times, np.nan) * 1.6)
    return np.mean(rows, 0)


def line(names, which, training):
    return np.mean([lines(name, training)[which].mean() for name in names])


def expected_row():
    """Of an arm from scratch on a and b, whose unseen domains are c and d."""
    seen, unseen = (np.array([loss(n) for n in names]) for names in ("ab", "cd"))
    training = ["a", "b"]
    row = {
        "seen": seen.mean(0),
        "unseen": unseen.mean(0),
        "new": None,
        "worst_seen": seen.max(0),
        "worst_unseen": unseen.max(0),
        "ece_seen": np.mean([calibration(n) for n in "ab"], 0),
        "ece_unseen": np.mean([calibration(n) for n in "cd"], 0),
        "ood_id_ratio": unseen.mean(0) / seen.mean(0),
        "valid": np.mean([loss(n, "valid") for n in "ab"], 0),
    }
    del row["new"]  # Without a start nothing is new.
    for group, names in (("seen", "ab"), ("unseen", "cd")):
        for which in ("known", "family", "seen"):
            row[f"{group}_{which}_line"] = np.full(2, line(names, which, training))
        row[f"excess_{group}"] = row[group] - line(names, "known", training)
    floor, family = (
        np.min(BASELINES["evaluation_baselines"][f"{name}/unseen"]) for name in ("cache", "family")
    )
    row["score"] = (floor - unseen.mean(0)) / (floor - family)
    return row | {f"loss/{n}": loss(n) for n in NAMES}


def test_measures_of_an_arm_from_scratch():
    row, arrays = evaluate.measure(study_of({"arm": {}}), run_of(**BASELINES), "arm", PARAMS)
    expected = expected_row()
    for name, values in expected.items():
        np.testing.assert_allclose(row[name], values, rtol=1e-5, err_msg=name)
    assert set(row) == set(expected)
    np.testing.assert_allclose(arrays["losses"], np.stack([loss(n) for n in NAMES], -1), rtol=1e-5)
    for group, names in (("seen", "ab"), ("unseen", "cd")):
        np.testing.assert_allclose(arrays[f"position_{group}"], position(names), rtol=1e-5)
        table = [[lines(n, "ab")[w][0] for n in names] for w in ("known", "family", "seen")]
        np.testing.assert_allclose(arrays[f"position_{group}_lines"], np.mean(table, 1))
    np.testing.assert_allclose(arrays["known"], [line(n, "known", "ab") for n in NAMES])
    np.testing.assert_allclose(arrays["family"], [line(n, "family", "ab") for n in NAMES])


@pytest.mark.parametrize("wrong", ("softer", "shuffled"))
def test_a_wrong_model_fails_every_measure(wrong):
    logits = {"softer": 0.4 * LOGITS, "shuffled": LOGITS[:, [1, 2, 3, 0, 4]]}[wrong]
    params = {"logits": jnp.asarray(logits, jnp.float32)}
    row, _ = evaluate.measure(study_of({"arm": {}}), run_of(**BASELINES), "arm", params)
    for name, values in expected_row().items():
        if not name.endswith("_line"):  # The lines are the data's, not the model's.
            assert (np.abs(np.divide(row[name], values) - 1) > 1e-3).all(), name


def test_the_interval_is_of_documents_and_a_domain_counts_once():
    source = SOURCE._replace(lines=None)
    row, _ = evaluate.measure(study_of({"arm": {}}, source), run_of(**BASELINES), "arm", PARAMS)
    for group, names in (("seen", "ab"), ("unseen", "cd")):
        mean, low, high = row[f"bootstrap_{group}"]
        assert mean == pytest.approx(np.mean([loss(n) for n in names]), rel=1e-5)
        bits, shares = [], []
        for name in names:
            found = measured(name, "test")
            whole = bits_of(found).mean(0).sum(1)
            for document in (0, 1, 4, 7):
                size = found.scored[found.document == document].sum() / 1.6
                bits.append(whole[found.document == document].sum() / size)
                shares.append(size / found.units)
        drawn = stats.bootstrap(
            (bits, shares),
            lambda x, w, axis: (x * w).sum(axis) / w.sum(axis),
            paired=True,
            method="percentile",
            n_resamples=5000,
            rng=np.random.default_rng(0),
        ).confidence_interval
        np.testing.assert_allclose([low, high], drawn, atol=0.1 * (drawn.high - drawn.low))


def test_without_lines_or_unseen_domains_their_measures_are_not_there():
    source = SOURCE._replace(lines=None, overlap=None)
    row, arrays = evaluate.measure(
        study_of({"arm": {"domains": "a+b+c+d"}}, source), run_of(**BASELINES), "arm", PARAMS
    )
    assert set(arrays) == {"losses", "position_seen"}
    wanted = {"seen", "worst_seen", "ece_seen", "bootstrap_seen", "valid"}
    assert set(row) == wanted | {f"loss/{n}" for n in NAMES}
    np.testing.assert_allclose(row["seen"], np.mean([loss(n) for n in NAMES], 0), rtol=1e-5)


def test_few_examples_in_context_are_scored_behind_them():
    """The model is softer at later places: what it loses is known from the place alone."""
    shots = [0, 1, 3]
    row, arrays = evaluate.measure(
        study_of({"arm": {}}, shots=shots), run_of(**BASELINES), "arm", PARAMS
    )
    wanted = np.zeros((2, 3))
    for name in "cd":
        cases = data.examples(SOURCE, name, shots, 2, 64, seed=0)
        for i, k in enumerate(shots):
            queries = cases[0].windows[:, 1:3]
            places = [2 * k, 2 * k + 1]  # Strange examples leave them where they are.
            p = probabilities(LOGITS)[:, places, :]
            bits = -np.log2(p[:, [0, 1], queries])
            wanted[:, i] += bits.sum((1, 2)) / (64 * 2 / 1.6) / 2
    np.testing.assert_allclose(arrays["few_shot"], wanted, rtol=1e-4)
    np.testing.assert_allclose(row["few_shot_gain"], wanted[:, 0] - wanted[:, 2], rtol=1e-3)
    # This model looks at no example, so that those of another domain are worth as much.
    np.testing.assert_allclose(row["few_shot_strange"], row["few_shot_gain"], rtol=1e-5)
    # log2(1 + k) = 0, 1, 2: two trapezoids of the same width.
    area = wanted @ [0.25, 0.5, 0.25]
    np.testing.assert_allclose(row["few_shot_area"], area, rtol=1e-4)


def test_strange_examples_are_those_of_another_unseen_domain():
    """A model whose loss is a token times the sum of all before tells whose examples they were."""

    def meter(params, windows):
        tokens = windows[..., 1:].astype(float)
        read = np.cumsum(tokens, -1) * tokens
        return np.stack([read, 2 * read]), np.ones((2, *read.shape)), np.ones((2, *read.shape))

    def lost(shown, query):
        """Two tokens behind examples [64, n], bits a unit."""
        first, second = query.astype(float).T
        before = shown.sum(1) + first
        return (before * first + (before + second) * second).sum() / (64 * 2 / 1.6)

    study = study_of({"arm": {}}, shots=[0, 1, 3])
    few, strange = evaluate.few_shot(study, meter, None, ["c", "d"])
    cases = {n: data.examples(SOURCE, n, [0, 1, 3], 2, 64, seed=0) for n in "cd"}
    query = {n: cases[n][0].windows[:, 1:3] for n in "cd"}
    shown = {n: {k: cases[n][k].windows[:, 1 : 2 * k + 1] for k in (0, 1, 3)} for n in "cd"}
    own = [np.mean([lost(shown[n][k], query[n]) for n in "cd"]) for k in (0, 1, 3)]
    other = np.mean([lost(shown["d"][3], query["c"]), lost(shown["c"][3], query["d"])])
    np.testing.assert_allclose(few, [own, 2 * np.array(own)])
    np.testing.assert_allclose(strange, [other, 2 * other])
    assert abs(other - own[2]) > 0.1
    # Of one unseen domain there is no other.
    assert evaluate.few_shot(study, meter, None, ["c"])[1] is None


def dynamic(name, split, rate):
    """Plain descent on each window after it was scored, written out."""
    found, totals = measured(name, split), []
    for logits in LOGITS:
        logits, total = logits.copy(), 0.0
        for window, scored in zip(found.windows, found.scored, strict=True):
            slope = np.zeros(VOCABULARY)
            for t in np.flatnonzero(scored):
                p = np.exp(logits * SHARPNESS[t])
                p /= p.sum()
                total -= np.log2(p[window[t + 1]])
                slope += SHARPNESS[t] * (p - np.eye(VOCABULARY)[window[t + 1]]) / scored.sum()
            logits -= rate * slope
        totals.append(total / found.units)
    return np.array(totals)


def test_dynamic_evaluation_takes_the_rate_that_seen_valid_texts_prefer():
    rates = [0.0, 1.0, 4.0, 7.0]
    study = study_of({"arm": {}}, dynamic=rates)
    row, _ = evaluate.measure(study, run_of(**BASELINES), "arm", PARAMS)
    valid = [np.mean([dynamic(n, "valid", rate) for n in "ab"]) for rate in rates]
    rate = rates[int(np.argmin(valid))]
    # The tests would rather have another.
    test = [np.mean([dynamic(n, "test", rate) for n in "ab"]) for rate in rates]
    assert rates[int(np.argmin(test))] != rate
    assert rate > 0 and row["dynamic_rate"] == [rate, rate]
    for group, names in (("seen", "ab"), ("unseen", "cd")):
        wanted = np.mean([dynamic(n, "test", rate) for n in names], 0)
        np.testing.assert_allclose(row[f"dynamic_{group}"], wanted, rtol=1e-4)


def test_a_rate_that_diverges_is_never_taken():
    study = study_of({"arm": {}}, dynamic=[float("nan"), 0.2])
    assert evaluate.measure(study, run_of(**BASELINES), "arm", PARAMS)[0]["dynamic_rate"] == [
        0.2,
        0.2,
    ]
    study = study_of({"arm": {}}, dynamic=[float("nan")])
    row, _ = evaluate.measure(study, run_of(**BASELINES), "arm", PARAMS)
    assert row["dynamic_rate"] == [0, 0]
    np.testing.assert_allclose(row["dynamic_unseen"], (loss("c") + loss("d")) / 2, rtol=1e-5)


def test_texts_are_the_first_seeds_continuations():
    """Logits so far apart that a draw has no choice; a quarter of the window is the prompt."""
    sure = np.array([[0, 0, 99.0, 0, 0], [0, 99.0, 0, 0, 0]])
    study = study_of({"arm": {}}, samples=3)
    params = {"logits": jnp.asarray(sure, jnp.float32)}
    _, arrays = evaluate.measure(study, run_of(**BASELINES), "arm", params)
    prompts = [measured(n, "test").windows[0, :2] for n in NAMES]
    assert arrays["prompts"].tolist() == [f"{a} {b}" for a, b in prompts]
    assert arrays["generated"].tolist() == ["2 2 2"] * 4


def test_the_weights_that_an_arm_found_are_in_its_row():
    run = run_of(**BASELINES, mixtures_arm={"a": [0.2, 0.3], "b": [0.8, 0.7]})
    row, _ = evaluate.measure(study_of({"arm": {"dro": "other"}}), run, "arm", PARAMS)
    assert row["weight/a"] == [0.2, 0.3] and row["weight/b"] == [0.8, 0.7]


@pytest.mark.parametrize(("limit", "steps"), ((0, 3), (7, 3), (0, 6), (40, 6), (0, 20)))
def test_an_ngram_is_counted_on_as_many_tokens_as_are_trained_on(limit, steps):
    """steps * batch 2 * length 8 tokens, half of them of each of two domains, or the limit."""
    recipe = {"limit": limit, "steps": steps, "ngram_order": 2, "ngram_smoothing": "absolute"}
    study = study_of({"arm": recipe}, dynamic=[0.1], samples=2, shots=[0, 1])
    row, arrays = evaluate.measure(study, run_of(**BASELINES), "arm", None)
    budget, documents = min(limit or 999, steps * 16 // 2), []
    for name in "ab":
        # A sequence's first token is context alone.
        tokens = [(sequence, i) for sequence in sequences(name) for i in range(1, 30)][:budget]
        for i in range(3):
            own = sum(np.array_equal(s, sequences(name)[i]) for s, _ in tokens)
            if own:
                documents.append(sequences(name)[i][: own + 1].astype(np.int32))
    model = ngram.fit(documents, order=2, vocabulary=VOCABULARY, smoothing="absolute")
    for name in NAMES:
        found = measured(name, "test")
        bits = -np.stack([model.log2_probs(window) for window in found.windows])
        wanted = np.where(found.scored, bits, 0).sum() / found.units
        assert row[f"loss/{name}"] == pytest.approx([wanted, wanted])
    # It has no gradient, and knows no calibration.
    assert np.isnan(row["ece_seen"]).all()
    assert not {"few_shot", "generated"} & set(arrays) and "dynamic_rate" not in row
