"""The claims of the attention experiment: a verdict must turn where its figures do."""

import subprocess
import sys

import numpy as np
import pytest
import timed
import wrong

from genjax.claims import sealed
from genjax.scaling import claims
from genjax.scaling.config import Config

CONFIG = Config(widths=(64, timed.WIDTH), lengths=timed.LENGTHS)
GROWTH = {"A1", "A2", "A4", "A5"} | {f"A3 {name}" for name in claims.LINEAR[:-1]}
ALL = GROWTH | {"A1m", "A2m", "A6a", "A6b", "A7"}


def judged(made=None, config=CONFIG, **how):
    return {one["id"]: one for one in claims.judge(timed.timings(made, **how), config)}


def verdicts(made=None, config=CONFIG, **how):
    return {id: one["verdict"] for id, one in judged(made, config, **how).items()}


def supported(made=None, **how):
    return {id for id, verdict in verdicts(made, **how).items() if verdict == "supported"}


def test_times_that_grow_as_they_should_support_every_claim():
    found = judged()
    assert {id: one["verdict"] for id, one in found.items()} == dict.fromkeys(ALL, "supported")
    assert all(one["replicate"] == "process" and one["replicates"] == 10 for one in found.values())


@pytest.mark.parametrize(
    ("id", "changed"),
    [
        ("A1", {"full": 1.5}),
        ("A2", {"flash": 1.6}),
        ("A3 longformer", {"longformer": 1.4}),
        ("A3 bigbird", {"bigbird": 1.6}),
        ("A3 linformer", {"linformer": 0.5}),
        ("A3 performer", {"performer": 2.0}),
        ("A3 linear", {"linear": 0.3}),
        ("A4", {"reformer": 1.4}),
        ("A5", {"sparse_strided": 2.0}),
    ],
)
def test_each_claim_of_growth_is_refuted_by_its_own_curve(id, changed):
    found = verdicts(timed.curves(**changed))
    assert found.pop(id) == "refuted"
    assert set(found.values()) == {"supported"}


def test_bounds_are_of_one_side():
    """Faster than n^2, where a matrix leaves a cache; slower than n^1.5, where tiles are small."""
    found = verdicts(timed.curves(full=2.4, products=2.4, sparse_strided=1.2))
    assert set(found.values()) == {"supported"}


def test_one_mode_or_one_octave_that_is_off_refutes():
    made = timed.curves()
    made["longformer", "both"] = made["longformer", "both"] ** 1.5
    # A bend: the longest alone takes half as long again.
    made["flash", "forward"] = made["flash", "forward"] * [1, 1, 1, 1, 1.5]
    made["full", "both"] = made["full", "both"] ** 0.75
    made["sparse_strided", "forward"] = made["sparse_strided", "forward"] ** 1.5
    found = verdicts(made)
    assert found["A3 longformer"] == found["A2"] == found["A1"] == found["A5"] == "refuted"


def test_memory_and_halves_and_needles_refute_theirs():
    assert verdicts(peaks={"full": 1.0})["A1m"] == "refuted"
    # As large as the matrix of textbook attention.
    assert verdicts(peaks={"flash": 2.0})["A2m"] == "refuted"
    made = timed.curves()
    arm = (f"attention@{timed.WIDTH}", "forward")
    assert verdicts(made | {arm: made[arm] * 8})["A6a"] == "refuted"
    assert verdicts(made | {arm: made[arm] / 8})["A6b"] == "refuted"
    assert verdicts(needles={"bigbird": (0.3, 0.1)})["A7"] == "refuted"
    assert verdicts(needles={"bigbird": (0.12, 0.1)})["A7"] == "supported"
    # A pattern that reaches one pair in two hundred and finds nothing.
    assert verdicts(needles={"truncated": (0.0, 0.005)})["A7"] == "refuted"
    # Where all is reached, any finding fits.
    everything = dict.fromkeys(claims.FIXED, (1.0, 1.0))
    assert claims.NEXT in judged(needles=everything)["A7"]["because"]


def test_a_control_that_turns_takes_the_verdict_away():
    """The clock is wrong where known products do not grow as they must."""
    for control, power, off in (
        ("products", 1.5, {"A1"}),
        ("tiles", 2.4, {"A2"}),
        ("rows", 1.5, {f"A3 {name}" for name in claims.LINEAR[:-1]} | {"A4"}),
        ("roots", 1.75, {"A5"}),
    ):
        found = judged(timed.curves(**{control: power}))
        open_ = {id for id, one in found.items() if one["verdict"] == "undetermined"}
        assert open_ == off
        assert all("positive control" in found[id]["because"] for id in off)
    # What must not pass passes: nothing is known of those that do.
    for control, power, off in (
        ("rows", 2.0, {"A1", "A2"}),
        ("roots", 2.0, {"A1", "A2"}),
        ("tiles", 1.5, {"A5"}),
    ):
        found = judged(timed.curves(**{control: power}))
        assert all(found[id]["verdict"] == "undetermined" for id in off), (control, off)
    found = judged(timed.curves(truncated=1.0))
    assert "negative control truncated attention" in found["A3 linear"]["because"]


def test_too_few_processes_or_lengths_decide_nothing():
    assert set(verdicts(processes=5).values()) == {"undetermined"}
    short = {key: seconds[:2] for key, seconds in timed.curves().items()}
    assert not GROWTH & supported(short)
    assert claims.judge(timed.timings(processes=0), CONFIG) == []


def test_only_what_was_timed_is_judged():
    some = CONFIG.replace(variants=("flash", "linear"))
    assert verdicts(config=some).keys() == {"A2", "A6a", "A6b"}
    assert "A5" not in verdicts(config=CONFIG.replace(stride=32))


# --- Wrong on purpose ----------------------------------------------------------------------------


def test_a_clock_that_stands_still_supports_nothing():
    """Of what is timed: memory and look-ups are not."""
    still = {key: np.full(len(seconds), 1e-3) for key, seconds in timed.curves().items()}
    assert not (GROWTH | {"A6a", "A6b"}) & supported(still)
    assert not (GROWTH | {"A6a", "A6b"}) & supported(still, noise=0.3)


def test_times_of_two_variants_exchanged():
    made = timed.curves()
    for mode in ("forward", "both"):
        made["full", mode], made["linear", mode] = made["linear", mode], made["full", mode]
    found = verdicts(made)
    assert found["A1"] == found["A3 linear"] == "refuted"
    # Full attention stands by as what must fail, and does not.
    assert not {f"A3 {name}" for name in claims.LINEAR} & supported(made)


@pytest.mark.parametrize(
    "order", [[4, 3, 2, 1, 0], [0, 1, 2, 4, 3], [0, 3, 2, 1, 4], [2, 0, 4, 1, 3]]
)
def test_lengths_shuffled(order):
    """Of every arm alike, so that controls are shuffled too."""
    shuffled = {key: seconds[order] for key, seconds in timed.curves().items()}
    assert not GROWTH & supported(shuffled)
    assert order[0] != 4 or not {"A6a", "A6b"} & supported(shuffled)


def test_an_arm_frozen_at_one_time_is_not_supported():
    made = timed.curves()
    for name in ("full", "flash", "linear", "sparse_strided"):
        frozen = {(name, mode): np.full(5, 1e-3) for mode in ("forward", "both")}
        id = {"full": "A1", "flash": "A2", "linear": "A3 linear", "sparse_strided": "A5"}[name]
        assert verdicts(made | frozen)[id] == "undetermined"


# --- What is learnt ------------------------------------------------------------------------------


def learnt(exact, other, task="recall", seeds=10, chance=0.1):
    noise = np.linspace(-0.01, 0.01, seeds)
    short, long = (
        {
            "flash": {"accuracy": list(a + noise), "chance": [chance] * seeds},
            "linear": {"accuracy": list(b + noise[::-1]), "chance": [chance] * seeds},
            # Trained without a causal mask, unlike the exact one: not judged.
            "bigbird": {"accuracy": list(b + noise), "chance": [chance] * seeds},
        }
        for a, b in ((0.0, 1.0), (exact, other))
    )
    return claims.judge_learnt({task: {"8": short, "32": long}}, Config(steps=1500))


def test_what_an_approximation_loses_is_judged_at_the_longest_length():
    (lost,) = learnt(0.99, 0.5)
    assert (lost["id"], lost["verdict"]) == ("A8 linear", "supported")
    assert "questions of recall at n = 32" in lost["statement"]
    assert lost["statement"].startswith("After 1,500 steps, each at one learning rate, a small")
    (kept,) = learnt(0.8, 0.79)
    assert kept["verdict"] == "refuted"
    (few,) = learnt(0.99, 0.5, seeds=5)
    assert few["verdict"] == "undetermined"


@pytest.mark.parametrize("name", ("attention_mqar", "attention_listops"))
def test_published_look_ups_under_other_names_support_nothing(name):
    right, *others = wrong.of_look_ups(name)
    assert "supported" in {claim["verdict"] for claim in right.claims}
    for case in others:
        assert case.false
        held = {claim["id"] for claim in case.claims if claim["verdict"] == "supported"}
        assert not held & {*case.false}, case.name


def test_where_the_exact_one_guesses_nothing_is_lost():
    """An exact one that is hardly ahead of who does not read the question."""
    (made,) = learnt(0.5, 0.3, chance=0.48)
    assert made["verdict"] == "undetermined" and "does not read" in made["because"]


def test_without_the_exact_transformer_nothing_is_judged():
    row = {"accuracy": [0.9] * 8, "chance": [0.1] * 8}
    tried = Config(rates=(0.01, 0.02))
    assert not claims.judge_learnt({"recall": {"32": {"linear": row}}}, tried)
    found = {"copy": {"32": {"linear": row}}, "recall": {"32": {"flash": row, "linear": row}}}
    (made,) = claims.judge_learnt(found, tried)
    assert made["id"] == "A8 linear recall" and "the best of 2 learning rates" in made["statement"]


# --- The ledger ----------------------------------------------------------------------------------


def test_the_claims_are_those_of_the_ledger():
    assert sealed.unsealed(claims.CLAIMS, claims.LEDGER) == []
    for versions in sealed.ledger(claims.LEDGER).values():
        numbers = [entry["version"] for entry in versions]
        assert numbers == sorted(set(numbers)) and numbers[-1] <= 3
        assert all(entry["statement"] and entry["date"] for entry in versions)


def test_every_claim_has_controls_that_are_measured():
    for claim in claims.CLAIMS:
        assert claim.negative and claim.positive and claim.margin > 0 and claim.why


def test_verdicts_need_no_jax():
    modules = ("claims", "config", "fitting", "timings", "figures")
    imports = ", ".join(f"genjax.scaling.{name}" for name in modules)
    code = f"import sys, {imports}; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
