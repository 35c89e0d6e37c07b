"""The claims of the attention experiment: a verdict must turn where the figures do."""

import subprocess
import sys

import numpy as np
import pytest
import scripts

from genjax.scaling.claims import Figures, judge
from genjax.scaling.config import Config
from genjax.scaling.fitting import memory_exponent

LENGTHS = [1024, 2048, 4096, 8192]


def verdicts(*, lengths=4, stride=0, **figures):
    nothing = {"time": {}, "memory": {}, "crossings": {}, "probes": {}, "learnt": {}}
    config = Config(lengths=LENGTHS[:lengths], stride=stride, probe_length=400)
    made = judge(Figures(**nothing | {"unmasked": ["bigbird"]} | figures), config)
    return scripts.verdicts(made)


def fit(exponent, half=0.02):
    return exponent, exponent - half, exponent + half


@pytest.mark.parametrize(
    ("id", "key", "holds", "fails"),
    [
        ("A1f", "full/forward", [1.95, 2.05], [1.8, 2.2]),
        ("A1b", "full/both", [2.0], [1.5]),
        ("A2f", "flash/forward", [1.95, 2.05], [1.8, 2.2]),
        ("A3f bigbird", "bigbird/forward", [0.7, 1.0], [1.2]),
        ("A3b linear", "linear/both", [1.05], [1.15]),
        ("A4f", "reformer/forward", [1.05, 1.25], [0.9, 1.4]),
        ("A5f", "sparse_strided/forward", [1.45, 1.55], [1.3, 1.7]),
    ],
)
def test_an_exponent_is_held_between_its_bounds(id, key, holds, fails):
    for exponent in holds:
        assert verdicts(time={key: fit(exponent)})[id] == "supported"
        # A wide interval, or one through two lengths alone, says nothing.
        assert verdicts(time={key: fit(exponent, 0.5)})[id] == "inconclusive"
        assert verdicts(time={key: fit(exponent)}, lengths=2)[id] == "inconclusive"
    for exponent in fails:
        assert verdicts(time={key: fit(exponent)})[id] == "refuted"


def test_a_fixed_stride_has_no_exponent_of_a_root():
    assert not verdicts(time={"sparse_strided/forward": fit(1.5)}, stride=32)


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
    lengths = np.array(LENGTHS, float)
    assert verdicts(memory={key: memory_exponent(lengths, lengths**power)})[id] == verdict


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
    probes = {"truncated": {"needle8_top1": hit, "reachable_share": 0.5}}
    assert verdicts(probes=probes)["A7"] == verdict


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
    return verdicts(learnt={task: {"8": short, "32": long}})


def test_what_an_approximation_loses_is_judged_at_the_longest_length():
    assert learnt(0.99, 0.5) == {"A8 recall": "supported", "A8 recall linear": "supported"}
    assert learnt(0.8, 0.79) == {"A8 recall": "refuted", "A8 recall linear": "refuted"}


def test_nobody_is_claimed_to_answer_listops():
    assert learnt(0.4, 0.2, "listops") == {"A8 listops linear": "supported"}


def test_without_the_exact_transformer_nothing_is_judged():
    assert not verdicts(learnt={"recall": {"32": {"linear": {"accuracy": [0.5, 0.6]}}}})


def test_verdicts_need_no_jax():
    modules = ("claims", "config", "fitting", "timings")
    imports = ", ".join(f"genjax.scaling.{name}" for name in modules)
    code = f"import sys, {imports}; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_through_two_lengths_the_exponent_is_told_without_an_interval():
    asked = Figures({"full/forward": fit(1.7)}, {}, {}, {}, {}, [])
    two, three = (judge(asked, Config(lengths=LENGTHS[:n]))[0] for n in (2, 3))
    assert [part["estimate"] for part in two["parts"]] == [1.7, 1.7]
    assert [part["low"] for part in two["parts"]] == [None, None]
    assert two["verdict"] == "inconclusive" and three["verdict"] == "refuted"


def test_a_task_without_the_exact_transformer_leaves_the_next_to_be_judged():
    row = {"accuracy": [0.99, 0.98, 1.0]}
    found = {"copy": {"32": {"linear": row}}, "recall": {"32": {"flash": row}}}
    assert verdicts(learnt=found) == {"A8 recall": "supported"}
