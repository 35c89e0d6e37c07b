"""The claims of the GAN experiment: a verdict must turn where the figures do."""

import numpy as np
import pytest
import scripts

from genjax.gan.claims import Figures, judge
from genjax.gan.config import Config

# What differs from the defaults: the vanilla GAN, and two remedies.
GAN, PAC, R3 = {}, {"pack": 2}, {"loss": "rpgan", "r1": 0.1, "r2": 0.1}
NOISE = np.tile([-1.0, 0.0, 1.0, 0.0], 5) * 1e-3
# Twenty draws of perfect samples.
TRUTH = {"modes": 25.0, "precision": 0.95, "recall": 0.95, "high_quality": 0.989, "spread": 1.0}


def verdicts(arms, figures, rows=(), truth=None):
    """{claim or part: verdict}; figures: {arm: {measure: mean}} over twenty seeds."""
    found = {
        # Modes are counted; arms differ in their noise.
        f"{arm}/{name}": list(value + np.roll(NOISE, i) * (name != "modes"))
        for i, (arm, row) in enumerate(figures.items())
        for name, value in row.items()
    }
    perfect = {name: [value] * 20 for name, value in (TRUTH if truth is None else truth).items()}
    return scripts.verdicts(judge(Figures(found, perfect, list(rows)), asked(arms)))


def asked(arms, early=0.2):
    return Config(variants=arms, seeds=20, steps=100, early=early)


def vanilla(modes=15.0, precision=0.94, recall=0.5):
    return verdicts(
        {"gan": GAN}, {"gan": {"modes": modes, "precision": precision, "recall": recall}}
    )


def seeds(low, high, hits):
    """Modes of twenty seeds, so many of them `high`."""
    return np.where(np.arange(20) < hits, high, low).astype(float)


@pytest.mark.parametrize(
    ("lost", "verdict"),
    [(20, "supported"), (16, "supported"), (12, "inconclusive"), (4, "refuted"), (0, "refuted")],
)
def test_a_vanilla_gan_loses_modes_where_most_seeds_do(lost, verdict):
    assert vanilla(modes=seeds(25, 24, lost))["G1"] == verdict


def test_quality_and_diversity_come_apart():
    assert vanilla()["G2"] == "supported"
    assert vanilla(precision=0.905, recall=0.895)["G2"] == "supported"
    low = vanilla(precision=0.895)
    assert low["G2a"] == low["G2"] == "refuted"
    high = vanilla(recall=0.905)
    assert high["G2b"] == high["G2"] == "refuted"


def along(gan, pac):
    """metrics.jsonl of two arms whose mode TV at steps 10, 20 and 100 is given."""
    return [
        {"arm": arm, "seed": seed, "step": step, "mode_tv": value + noise}
        for arm, values in (("gan", gan), ("pac", pac))
        for step, value in zip((10, 20, 100), values, strict=True)
        for seed, noise in enumerate(NOISE)
    ]


def packing(gan, pac, early=(0.5, 0.5)):
    """gan, pac: (modes, mode TV, log slope) at the end; early: mode TV after 20 of 100 steps."""
    names = ("modes", "mode_tv", "log_jacobian")
    figures = {
        arm: dict(zip(names, row, strict=True)) | {"precision": 0.9, "recall": 0.5}
        for arm, row in (("gan", gan), ("pac", pac))
    }
    # What the first evaluation says is not asked.
    rows = along((0.9, early[0], gan[1]), (0.1, early[1], pac[1]))
    return verdicts({"gan": GAN, "pac": PAC}, figures, rows)


def test_packing_is_held_against_the_vanilla_gan():
    found = packing((15.0, 0.6, -2.0), (24.0, 0.2, -1.0))
    assert found["G3"] == found["G4"] == found["G5"] == "supported"
    assert packing((15.0, 0.6, -1.0), (24.0, 0.2, -2.0))["G3"] == "refuted"
    assert packing((15.0, 0.6, -1.0), (24.0, 0.2, -1.0))["G3"] == "inconclusive"
    fewer = packing((24.0, 0.6, -2.0), (15.0, 0.2, -1.0))
    assert fewer["G4a"] == fewer["G4"] == "refuted" and fewer["G4b"] == "supported"
    uneven = packing((15.0, 0.2, -2.0), (24.0, 0.6, -1.0))
    assert uneven["G4b"] == uneven["G4"] == "refuted" and uneven["G4a"] == "supported"


def test_packings_benefit_is_late_where_it_was_smaller_before():
    figures = (15.0, 0.6, -2.0), (24.0, 0.2, -1.0)
    assert packing(*figures, early=(0.5, 0.4))["G5"] == "supported"
    assert packing(*figures, early=(0.5, 0.2))["G5"] == "supported"  # 0.3 of 0.4.
    assert packing(*figures, early=(0.9, 0.1))["G5"] == "refuted"


def floor(modes=25.0, high_quality=0.989, spread=1.0):
    figures = {"r3": {"modes": modes, "high_quality": high_quality, "spread": spread}}
    return verdicts({"r3": R3}, figures)


def test_the_floor_is_reached_from_both_sides():
    assert floor()["G6"] == "supported"
    for high_quality, verdict in ((0.986, "supported"), (0.984, "refuted"), (0.994, "refuted")):
        assert floor(high_quality=high_quality)["G6b"] == verdict
    for spread, verdict in ((0.955, "supported"), (0.945, "refuted"), (1.055, "refuted")):
        assert floor(spread=spread)["G6c"] == verdict
    for full, verdict in ((19, "inconclusive"), (10, "refuted")):
        assert floor(modes=seeds(24, 25, full))["G6a"] == verdict


@pytest.mark.parametrize(
    "other", [{"loss": "wgan", "spectral_norm": True}, {"loss": "ns"}, {"r1": 0.0}, {"r2": 0.0}]
)
def test_rpgan_with_both_penalties_is_that_alone(other):
    figures = {"r3": {"modes": 25.0, "high_quality": 0.989, "spread": 1.0}}
    assert "G6" in verdicts({"r3": R3}, figures)
    assert not verdicts({"r3": R3 | other}, figures)


@pytest.mark.parametrize(
    ("kl", "verdict"), [((1.0, 0.5, 0.1), "supported"), ((1.0, 0.1, 0.5), "refuted")]
)
def test_remedies_of_stacked_images_are_ordered(kl, verdict):
    arms = {"gan": GAN, "pac": PAC, "r3": R3}
    common = {"modes": 900.0, "mode_tv": 0.5, "log_jacobian": 0.0, "precision": 0.9, "recall": 0.5}
    figures = {arm: common | {"kl": value} for arm, value in zip(arms, kl, strict=True)}
    truth = {"modes": 1000.0, "precision": 0.95, "recall": 0.95, "kl": 0.03}
    rows = along((0.9, 0.5, 0.5), (0.9, 0.5, 0.5))
    assert verdicts(arms, figures, [*rows], truth)["G7"] == verdict


@pytest.mark.parametrize(
    ("full", "verdict"), [(40, "supported"), (38, "inconclusive"), (20, "refuted")]
)
def test_a_flow_reaches_all_modes_where_most_seeds_do(full, verdict):
    arms = {"r3": R3, "flow": {"method": "flow"}}
    reached = np.where(np.arange(40) < full, 25.0, 24.0)
    names = ("modes", "high_quality", "spread")
    found = {f"{arm}/{name}": [0.5] * 40 for arm in arms for name in names}
    found |= {"flow/modes": list(reached)}
    truth = {name: [value] * 20 for name, value in TRUTH.items()}
    config = Config(variants=arms, seeds=40)
    assert scripts.verdicts(judge(Figures(found, truth, []), config))["G8"] == verdict
    alone = Config(method="flow", seeds=40)
    assert judge(Figures(found, truth, []), alone) == []


REMEDIES = [
    {"loss": "hinge"}, {"pack": 2}, {"n_critic": 2, "updates": "alternating"}, {"generators": 2},
    {"resample": 8},
    {"pack": 2, "n_critic": 2, "updates": "alternating"},
    {"minibatch": "stddev"}, {"minibatch": "discrimination"},
    {"r1": 1.0}, {"r2": 1.0}, {"gp": 1.0}, {"unroll": 1}, {"ema": 0.9},
    {"reconstruction": 1.0}, {"spectral_norm": True}, {"d_fourier": 0.1}, {"g_skip": True},
]  # fmt: skip


@pytest.mark.parametrize("remedy", REMEDIES)
def test_a_remedy_is_no_vanilla_gan(remedy):
    figures = {"a": {"modes": 25.0, "precision": 0.9, "recall": 0.9}}
    assert not verdicts({"a": remedy}, figures)


@pytest.mark.parametrize(
    "more", [{"resample": 8}, {"ema": 0.9}, {"loss": "rpgan", "r1": 1.0}, {"learning_rate": 0.1}]
)
def test_what_is_changed_besides_is_not_packings_merit(more):
    names = ("modes", "mode_tv", "log_jacobian", "precision", "recall")
    figures = {arm: dict.fromkeys(names, 0.5) for arm in ("gan", "pac")}
    rate = {"learning_rate": 0.01}
    found = verdicts({"gan": GAN | rate, "pac": PAC | rate | more}, figures)
    assert found.keys() == {"G1", "G2", "G2a", "G2b"}


def statements(arms, truth, rows=()):
    names = ("modes", "mode_tv", "log_jacobian", "precision", "recall", "kl")
    found = {f"{arm}/{name}": [0.5] * 20 for arm in arms for name in names}
    found |= {f"{arm}/{name}": [0.5] * 20 for arm in arms for name in truth}
    perfect = {name: [value] * 20 for name, value in truth.items()}
    made = judge(Figures(found, perfect, list(rows)), asked(arms, early=0.15))
    return {claim["id"]: claim["statement"] for claim in made}


def test_statements_say_what_was_judged():
    """The step of the evaluation that G5 calls early, and quality only where it is measured."""
    arms = {"gan": GAN, "pac": PAC, "r3": R3}
    found = statements(arms, TRUTH, along((0.9, 0.5, 0.5), (0.9, 0.5, 0.5)))
    assert "after 20 of 100 steps" in found["G5"] and "quality" in found["G6"]
    images = {"modes": 1000.0, "precision": 0.95, "recall": 0.95, "kl": 0.03}
    assert statements({"r3": R3}, images)["G6"] == "r3 covers all modes"
