"""Transfer measures against hand tables: a model of known probabilities."""

import math
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.data.text import Measured
from genjax.domains import arms as arms_of
from genjax.domains import data, evaluate, experiment, training
from genjax.domains.config import Arm
from genjax.domains.job import Job, Once
from genjax.lm import ngram, transformer

NAMES, HELD_OUT, VOCABULARY, LENGTH, SEEDS = ["a", "b", "c", "d"], ["c", "d"], 5, 8, [3, 4]
SHARPNESS = 1 - np.arange(LENGTH) / (2 * LENGTH)
LOGITS = np.array([[2.0, 1.0, 0.0, -1.0, 0.5], [0.0, 1.5, -0.5, 1.0, 0.0]])
PARAMS = {"logits": jnp.asarray(LOGITS, jnp.float32)}


def apply(params, tokens):
    """Logits of their own for every token, softer from place to place, whatever came before."""
    sharpness = jnp.asarray(SHARPNESS, jnp.float32)[: tokens.shape[1], None]
    return jnp.broadcast_to(params["logits"] * sharpness, (*tokens.shape, VOCABULARY))


def measured(name, split):
    """Nine windows of four documents; not every place counts, and a unit is 1.6 tokens."""
    rng = np.random.default_rng([NAMES.index(name), split == "test"])
    share = rng.dirichlet(np.ones(VOCABULARY - 1))
    windows = rng.choice(VOCABULARY - 1, (9, LENGTH + 1), p=share).astype(np.int32)
    scored = np.ones((9, LENGTH), bool)
    scored[5:, : NAMES.index(name) + 1] = False
    document = np.array([0, 0, 1, 1, 1, 4, 4, 7, 7])
    return Measured(windows, scored, scored.sum() / 1.6, document)


def lines(name, training):
    """{line: bits [windows, length]}; the memory's is lower the more domains there are."""
    base = 1.0 + NAMES.index(name) + np.arange(LENGTH) / 10
    table = {"known": base, "family": base + 0.25, "seen": base + 4 / len(training)}
    return {line: np.tile(row, (9, 1)) for line, row in table.items()}


def sequences(name):
    return [np.arange(i, i + 30) * (NAMES.index(name) + 1) % VOCABULARY for i in range(3)]


SOURCE = data.Source(
    names=NAMES,
    held_out=HELD_OUT,
    far=[],
    groups={},
    vocabulary=VOCABULARY,
    bos=VOCABULARY - 1,
    length=LENGTH,
    unit="bits a unit",
    pool=None,
    draw=None,
    measured=measured,
    lines=lines,
    sequences=sequences,
    decode=lambda ids: " ".join(map(str, ids)),
    overlap=lambda name, known: 0.1 * (NAMES.index(name) + 1) / len(known),
)
PLAIN = {"domains": "a+b", "steps": 3, "width": 8}


class FakeJob(Job):
    """A job whose network is `apply`; a NamedTuple's methods may be replaced, its fields not."""

    def meter(self, name, kind):
        return kind(apply)

    def network(self, name):
        return transformer.Model(None, apply)

    def size(self, name):
        return {}


def study_of(arms, source=SOURCE, kind=FakeJob, **settings):
    """What evaluate.py asks of a job: the one place that knows."""
    plain = {"watched": 4, "example": 2, "dynamic": (), "samples": 0, "batch_size": 2, "shots": ()}
    config = SimpleNamespace(**(plain | {"seeds": len(SEEDS)} | settings))
    options = Arm.options()
    made = {
        name: Arm(**{options[key].name: value for key, value in (PLAIN | recipe).items()})
        for name, recipe in arms.items()
    }
    trained_on = {name: arm.domains.split("+") for name, arm in made.items()}
    before = {name: arms_of.trained_before(made, trained_on, name) for name in made}
    return kind(config, source, made, trained_on, before, Once())


@pytest.fixture(autouse=True)
def base(monkeypatch):
    """What every adapted arm started from: the seeds' logits the other way round."""
    params = {"logits": jnp.asarray(LOGITS[::-1], jnp.float32)}
    monkeypatch.setattr(training, "started_from", lambda *_: params)


def figures_of(study, found):
    return study.arms, arms_of.Figures(found, [], experiment.facts(study))


def run_of(**files):
    return SimpleNamespace(read_json=lambda path: files[path.replace("/", "_").split(".")[0]])


def probabilities(logits, places=LENGTH):
    p = np.exp(logits[:, None] * SHARPNESS[:places, None])
    return p / p.sum(-1, keepdims=True)


def bits_of(found, logits=LOGITS):
    """[seeds, windows, length], 0 where a place does not count."""
    p = probabilities(logits)
    bits = -np.log2(p[:, np.arange(LENGTH), found.windows[:, 1:]])
    return np.where(found.scored, bits, 0)


def loss(name, split="test", logits=LOGITS):
    found = measured(name, split)
    return bits_of(found, logits).sum((1, 2)) / found.units


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
    memory, family = line("cd", "seen", training), line("cd", "family", training)
    row["score"] = (memory - unseen.mean(0)) / (memory - family)
    return row | {f"loss/{n}": loss(n) for n in NAMES}


def test_measures_of_an_arm_from_scratch():
    row, arrays = evaluate.measure(study_of({"arm": {}}), run_of(), "arm", PARAMS)
    expected = expected_row()
    for name, values in expected.items():
        np.testing.assert_allclose(row[name], values, rtol=1e-5, err_msg=name)
    assert set(row) == set(expected) | {"bootstrap_seen", "bootstrap_unseen"}
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
    row, _ = evaluate.measure(study_of({"arm": {}}), run_of(), "arm", params)
    for name, values in expected_row().items():
        if not name.endswith("_line"):  # The lines are the data's, not the model's.
            assert (np.abs(np.divide(row[name], values) - 1) > 1e-3).all(), name


def test_the_interval_is_of_documents_and_a_domain_counts_once():
    row, _ = evaluate.measure(study_of({"arm": {}}), run_of(), "arm", PARAMS)
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
        study_of({"arm": {"domains": "a+b+c+d"}}, source), run_of(), "arm", PARAMS
    )
    assert set(arrays) == {"losses", "position_seen"}
    wanted = {"seen", "worst_seen", "ece_seen", "bootstrap_seen", "valid"}
    assert set(row) == wanted | {f"loss/{n}" for n in NAMES}
    np.testing.assert_allclose(row["seen"], np.mean([loss(n) for n in NAMES], 0), rtol=1e-5)


# An arm that started on a and b, went on to c, and then to d.
CHAIN = {
    "first": {"domains": "a+b"},
    "second": {"domains": "c", "from": "first"},
    "third": {"domains": "d", "from": "second"},
}
BEFORE = {
    "evaluation_first": {"loss/a": [1.0, 2.0], "loss/b": [3.0, 1.0], "loss/c": [4.0, 5.0],
                         "loss/d": [6.0, 3.0]},
    "evaluation_second": {"loss/a": [2.0, 2.5], "loss/b": [3.5, 2.0], "loss/c": [2.0, 1.0],
                          "loss/d": [5.0, 2.5]},
}  # fmt: skip


def test_forgetting_gain_and_drift_of_an_adapted_arm():
    study, run = study_of(CHAIN), run_of(**BEFORE)
    row, _ = evaluate.measure(study, run, "second", PARAMS)
    np.testing.assert_allclose(row["gain"], np.subtract([4, 5], loss("c")), rtol=1e-5)
    change = [loss("a") - [1, 2], loss("b") - [3, 1]]
    np.testing.assert_allclose(row["forgetting"], np.mean(change, 0), rtol=1e-5)
    np.testing.assert_allclose(row["new"], loss("c"), rtol=1e-5)
    np.testing.assert_allclose(row["old"], (loss("a") + loss("b")) / 2, rtol=1e-5)
    np.testing.assert_allclose(row["seen"], np.mean([loss(n) for n in "abc"], 0), rtol=1e-5)
    np.testing.assert_allclose(row["unseen"], loss("d"), rtol=1e-5)
    np.testing.assert_allclose(row["valid"], loss("c", "valid"), rtol=1e-5)
    # The base's own probabilities against the log of the tuned ones, the same in every window.
    base, tuned = probabilities(LOGITS[::-1]), probabilities(LOGITS)
    cross = -(base * np.log2(tuned)).sum(-1).mean(1) * 1.6
    np.testing.assert_allclose(row["drift"], cross, rtol=1e-5)
    assert row["overlap"] == pytest.approx([0.3 / 2] * 2)
    assert not any(name.startswith("sequence") for name in row)
    other = {"logits": jnp.asarray(0.5 * LOGITS, jnp.float32)}
    wrong, _ = evaluate.measure(study, run, "second", other)
    for name in ("gain", "forgetting", "drift"):
        assert (np.abs(np.subtract(wrong[name], row[name])) > 0.01).all(), name


def test_drift_is_of_the_watched_windows():
    """A tuned model that depends on its context: only the first windows are compared."""

    def apply(params, tokens):
        return params["logits"] * (1 + tokens[..., None])

    class Contextual(FakeJob):
        def meter(self, name, kind):
            return kind(apply)

    study = study_of(CHAIN, kind=Contextual, watched=2)
    row, _ = evaluate.measure(study, run_of(**BEFORE), "second", PARAMS)
    drift, both = [], (LOGITS[::-1], LOGITS)
    for name in "ab":
        seen = measured(name, "valid").windows[:2, :-1]
        weights = (np.exp(logits[:, None, None] * (1 + seen[..., None])) for logits in both)
        base, tuned = (x / x.sum(-1, keepdims=True) for x in weights)
        drift.append(-(base * np.log2(tuned)).sum(-1).mean((1, 2)) * 1.6)
    np.testing.assert_allclose(row["drift"], np.mean(drift, 0), rtol=1e-5)


def test_a_sequence_has_gems_measures():
    """R of accuracies = minus losses (Lopez-Paz & Ranzato 2017, eq. 2-4), seed by seed."""
    row, _ = evaluate.measure(study_of(CHAIN), run_of(**BEFORE), "third", PARAMS)
    for i in range(2):
        start, middle = ([BEFORE[f"evaluation_{arm}"][f"loss/{n}"][i] for n in "cd"]
                         for arm in ("first", "second"))  # fmt: skip
        end = [loss("c")[i], loss("d")[i]]
        assert row["sequence_final"][i] == pytest.approx(-np.mean(end), rel=1e-5)
        # c after d less c after itself; d just before its turn less d at the start.
        assert row["sequence_backward"][i] == pytest.approx(middle[0] - end[0], rel=1e-5)
        assert row["sequence_forward"][i] == pytest.approx(start[1] - middle[1], rel=1e-5)
    # c was held out, but is no longer unseen.
    assert "unseen" not in row
    # Against its parent, not against the first.
    np.testing.assert_allclose(row["gain"], np.subtract([5, 2.5], loss("d")), rtol=1e-5)
    before = {n: BEFORE["evaluation_second"][f"loss/{n}"] for n in "abc"}
    change = [loss(n) - before[n] for n in "abc"]
    np.testing.assert_allclose(row["forgetting"], np.mean(change, 0), rtol=1e-5)


def test_a_task_of_several_domains_counts_once():
    """c and d first, then b: their losses' mean is the task's."""
    arms = {
        "first": {"domains": "a"},
        "second": {"domains": "c+d", "from": "first"},
        "third": {"domains": "b", "from": "second"},
    }
    row, _ = evaluate.measure(study_of(arms), run_of(**BEFORE), "third", PARAMS)
    before = np.mean([BEFORE["evaluation_second"][f"loss/{n}"] for n in "cd"], 0)
    now = (loss("c") + loss("d")) / 2
    np.testing.assert_allclose(row["sequence_backward"], before - now, rtol=1e-5)
    np.testing.assert_allclose(row["sequence_final"], -(now + loss("b")) / 2, rtol=1e-5)


def test_few_examples_in_context_are_scored_behind_them():
    """The model is softer at later places: what it loses is known from the place alone."""
    shots = [0, 1, 3]
    row, arrays = evaluate.measure(study_of({"arm": {}}, shots=shots), run_of(), "arm", PARAMS)
    wanted = np.zeros((2, 3))
    for name in "cd":
        cases = data.examples(SOURCE, name, shots, 2, 64, seed=0)
        for i, k in enumerate(shots):
            queries = cases[0].windows[:, 1:3]
            places = [2 * k, 2 * k + 1]
            p = probabilities(LOGITS)[:, places, :]
            bits = -np.log2(p[:, [0, 1], queries])
            wanted[:, i] += bits.sum((1, 2)) / (64 * 2 / 1.6) / 2
    np.testing.assert_allclose(arrays["few_shot"], wanted, rtol=1e-4)
    np.testing.assert_allclose(row["few_shot_gain"], wanted[:, 0] - wanted[:, 2], rtol=1e-3)
    # log2(1 + k) = 0, 1, 2: two trapezoids of the same width.
    area = wanted @ [0.25, 0.5, 0.25]
    np.testing.assert_allclose(row["few_shot_area"], area, rtol=1e-4)


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
    row, _ = evaluate.measure(study, run_of(), "arm", PARAMS)
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
    assert evaluate.measure(study, run_of(), "arm", PARAMS)[0]["dynamic_rate"] == [0.2, 0.2]
    study = study_of({"arm": {}}, dynamic=[float("nan")])
    row, _ = evaluate.measure(study, run_of(), "arm", PARAMS)
    assert row["dynamic_rate"] == [0, 0]
    np.testing.assert_allclose(row["dynamic_unseen"], (loss("c") + loss("d")) / 2, rtol=1e-5)


def test_texts_are_the_first_seeds_continuations():
    """Logits so far apart that a draw has no choice; a quarter of the window is the prompt."""
    sure = np.array([[0, 0, 99.0, 0, 0], [0, 99.0, 0, 0, 0]])
    study = study_of({"arm": {}}, samples=3)
    params = {"logits": jnp.asarray(sure, jnp.float32)}
    _, arrays = evaluate.measure(study, run_of(), "arm", params)
    prompts = [measured(n, "test").windows[0, :2] for n in NAMES]
    assert arrays["prompts"].tolist() == [f"{a} {b}" for a, b in prompts]
    assert arrays["generated"].tolist() == ["2 2 2"] * 4


def test_the_weights_that_an_arm_found_are_in_its_row():
    run = run_of(mixtures_arm={"a": [0.2, 0.3], "b": [0.8, 0.7]})
    row, _ = evaluate.measure(study_of({"arm": {"dro": "other"}}), run, "arm", PARAMS)
    assert row["weight/a"] == [0.2, 0.3] and row["weight/b"] == [0.8, 0.7]


@pytest.mark.parametrize(("limit", "steps"), ((0, 3), (7, 3), (0, 6), (40, 6), (0, 20)))
def test_an_ngram_is_counted_on_as_many_tokens_as_are_trained_on(limit, steps):
    """steps * batch 2 * length 8 tokens, half of them of each of two domains, or the limit."""
    recipe = {"limit": limit, "steps": steps, "ngram_order": 2, "ngram_smoothing": "absolute"}
    study = study_of({"arm": recipe}, dynamic=[0.1], samples=2, shots=[0, 1])
    row, arrays = evaluate.measure(study, run_of(), "arm", None)
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


GAPS = {
    "all": {"domains": "a+b+c"},
    "no_c": {"domains": "a+b"},
    "no_c_again": {"domains": "b+a"},
    "only_a": {"domains": "a"},
    "only_c": {"domains": "c"},
    "wide_all": {"domains": "a+b+c", "width": 64},
    "wide_a": {"domains": "a", "width": 64},
    "tuned": {"domains": "a+b+c+d", "from": "all"},
}


def table_of(arms, seed=0):
    rng = np.random.default_rng(seed)
    return {arm: {f"loss/{n}": rng.uniform(1, 5, 2).round(2).tolist() for n in NAMES}
            for arm in arms}  # fmt: skip


def test_gaps_by_hand():
    found = table_of(GAPS)

    def cost(arm, other, name):
        return np.subtract(found[arm][f"loss/{name}"], found[other][f"loss/{name}"])

    def without_c(arm):
        gap = cost(arm, "all", "c")
        apart = {"overlap": np.full(2, 0.3 / 2), "specialist_gap": cost(arm, "only_c", "c")}
        return {"gap": gap, "worst_gap": gap} | apart

    made = arms_of.gaps(*figures_of(study_of(GAPS), found))
    # Arms that started from another are held against none, nor those of another width.
    wanted = {
        "all": {},
        "no_c": without_c("no_c"),
        "no_c_again": without_c("no_c_again"),
        # Of those with more, the one with the fewest more.
        "only_a": {
            "gap": cost("only_a", "no_c", "b"),
            "worst_gap": cost("only_a", "no_c", "b"),
            "overlap": np.full(2, 0.2),
            "specialist_gap": cost("only_a", "only_c", "c"),
        },
        "only_c": {
            "gap": (cost("only_c", "all", "a") + cost("only_c", "all", "b")) / 2,
            "worst_gap": np.maximum(cost("only_c", "all", "a"), cost("only_c", "all", "b")),
            "specialist_gap": cost("only_c", "only_a", "a"),
        },
        "wide_all": {},
        "wide_a": {
            "gap": (cost("wide_a", "wide_all", "b") + cost("wide_a", "wide_all", "c")) / 2,
            "worst_gap": np.maximum(
                cost("wide_a", "wide_all", "b"), cost("wide_a", "wide_all", "c")
            ),
        },
    }
    assert {arm: set(row) for arm, row in made.items()} == {
        arm: set(row) for arm, row in wanted.items()
    }
    for arm, row in wanted.items():
        for name, values in row.items():
            np.testing.assert_allclose(made[arm][name], values, atol=1e-12, err_msg=name)
    # A table that is wrong in one place moves the gap that reads it.
    found["no_c"]["loss/c"] = [9.0, 9.0]
    assert arms_of.gaps(*figures_of(study_of(GAPS), found))["no_c"]["gap"] != made["no_c"]["gap"]


def test_specialists_are_averaged():
    arms = {name: {"domains": name} for name in "abc"}
    found = table_of(arms, 1)
    lost = [np.subtract(found["a"][f"loss/{n}"], found[n][f"loss/{n}"]) for n in "bc"]
    made = arms_of.gaps(*figures_of(study_of(arms), found))["a"]
    np.testing.assert_allclose(made["specialist_gap"], np.mean(lost, 0))
    assert set(made) == {"specialist_gap"}


def test_selections_by_hand():
    """(valid, unseen) of each arm; the order of the domains does not part arms."""
    table = {
        "best": ({"width": 16}, [2.0, 2.2], [5.0, 5.0]),
        "oracle": ({"domains": "b+a"}, [2.3, 2.5], [4.0, 4.2]),
        "seed_luck": ({}, [1.0, 4.0], [1.0, 9.0]),
        "long": ({"steps": 9}, [0.1, 0.1], [0.1, 0.1]),
        "long_too": ({"steps": 9, "width": 16}, [0.2, 0.2], [0.0, 0.0]),
        "other_domains": ({"domains": "a"}, [0.1, 0.1], [0.1, 0.1]),
        "tuned": ({"from": "best"}, [0.1, 0.1], [0.1, 0.1]),
        "limited": ({"limit": 5}, [0.1, 0.1], [0.1, 0.1]),
        "proxy": ({"dro": "best"}, [0.1, 0.1], [0.1, 0.1]),
        "diverged": ({"width": 12}, [np.nan, 0.1], [0.1, 0.1]),
        "nothing_unseen": ({"width": 4}, [0.1, 0.1], None),
    }
    study = study_of({arm: recipe for arm, (recipe, *_) in table.items()})
    found = {arm: {"valid": valid} | ({"unseen": unseen} if unseen else {})
             for arm, (_, valid, unseen) in table.items()}  # fmt: skip
    assert arms_of.selections(*figures_of(study, found)) == [
        (["best", "oracle", "seed_luck"], "best", "oracle"),
        (["long", "long_too"], "long", "long_too"),
    ]
