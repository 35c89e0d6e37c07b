"""The claims of the attention experiment: a verdict must turn where the figures do."""

import numpy as np
import pytest
import scripts

from genjax.scaling.claims import judge, judge_learnt

LENGTHS = [1024.0, 2048.0, 4096.0, 8192.0]


def verdicts(fits=None, points=None, lost=None, crossings=None, *, lengths=4, root_stride=True):
    made = judge(
        fits or {}, points or {}, lost or {}, crossings or {},
        lengths=lengths, root_stride=root_stride, lookups=400,
    )  # fmt: skip
    return scripts.verdicts(made)


def fit(exponent, half=0.02):
    return exponent, exponent - half, exponent + half


@pytest.mark.parametrize(
    ("id", "name", "mode", "holds", "fails"),
    [
        ("A1f", "full", "forward", [1.95, 2.05], [1.8, 2.2]),
        ("A1b", "full", "both", [2.0], [1.5]),
        ("A2f", "flash", "forward", [1.95, 2.05], [1.8, 2.2]),
        ("A3f bigbird", "bigbird", "forward", [0.7, 1.0], [1.2]),
        ("A3b linear", "linear", "both", [1.05], [1.15]),
        ("A4f", "reformer", "forward", [1.05, 1.25], [0.9, 1.4]),
        ("A5f", "sparse_strided", "forward", [1.45, 1.55], [1.3, 1.7]),
    ],
)
def test_an_exponent_is_held_between_its_bounds(id, name, mode, holds, fails):
    for exponent in holds:
        assert verdicts({(name, mode): fit(exponent)})[id] == "supported"
        # A wide interval, or one through two lengths alone, says nothing.
        assert verdicts({(name, mode): fit(exponent, 0.5)})[id] == "inconclusive"
        assert verdicts({(name, mode): fit(exponent)}, lengths=2)[id] == "inconclusive"
    for exponent in fails:
        assert verdicts({(name, mode): fit(exponent)})[id] == "refuted"


def test_a_fixed_stride_has_no_exponent_of_a_root():
    assert not verdicts({("sparse_strided", "forward"): fit(1.5)}, root_stride=False)


@pytest.mark.parametrize(
    ("id", "key", "power", "verdict"),
    [
        ("A1fm", "full/forward", 2, "supported"),
        ("A1fm", "full/forward", 1, "refuted"),
        ("A2bm", "flash/both", 1, "supported"),
        # Less than linear is no breach of a bound.
        ("A2bm", "flash/both", 0.5, "supported"),
        ("A2bm", "flash/both", 2, "refuted"),
    ],
)
def test_memory_grows_as_its_power(id, key, power, verdict):
    temp = [n**power for n in LENGTHS]
    assert verdicts(points={key: {"lengths": LENGTHS, "temp_bytes": temp}})[id] == verdict


@pytest.mark.parametrize(
    ("n", "verdict"),
    [(256, "supported"), (140, "refuted"), (500, "refuted"), (384, "inconclusive")],
)
def test_a_layers_halves_cross_at_four_times_its_width(n, verdict):
    crossings = {"64": {"halves": (n, n - 5, n + 5)}}
    assert verdicts(crossings=crossings)["A6 halves d=64"] == verdict
    # The whole layer has them at six times.
    crossings = {"64": {"whole": (1.5 * n, 1.5 * n - 5, 1.5 * n + 5)}}
    assert verdicts(crossings=crossings)["A6 whole d=64"] == verdict


@pytest.mark.parametrize(
    ("hit", "verdict"), [(0.5, "supported"), (0.7, "refuted"), (0.3, "refuted")]
)
def test_truncation_finds_what_it_reaches(hit, verdict):
    assert (
        verdicts(lost={"truncated": {"needle8_top1": hit, "reachable_share": 0.5}})["A7"] == verdict
    )


def learnt(exact, other, task="recall"):
    noise = np.array([-0.01, 0.0, 0.01])
    short, long = (
        {
            "flash": {"accuracy": list(a + noise)},
            "linear": {"accuracy": list(b + noise)},
            # Trained without a causal mask, unlike the exact one: not judged.
            "bigbird": {"accuracy": list(b + noise)},
        }
        for a, b in ((0.0, 1.0), (exact, other))
    )
    made = judge_learnt({task: {"8": short, "32": long}}, ["bigbird"])
    return scripts.verdicts(made)


def test_what_an_approximation_loses_is_judged_at_the_longest_length():
    assert learnt(0.99, 0.5) == {"A8 recall": "supported", "A8 recall linear": "supported"}
    assert learnt(0.8, 0.79) == {"A8 recall": "refuted", "A8 recall linear": "refuted"}


def test_nobody_is_claimed_to_answer_listops():
    assert learnt(0.4, 0.2, "listops") == {"A8 listops linear": "supported"}


def test_without_the_exact_transformer_nothing_is_judged():
    assert not judge_learnt({"recall": {"32": {"linear": {"accuracy": [0.5, 0.6]}}}})
