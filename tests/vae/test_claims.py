"""The claims of the VAE experiment: a verdict must turn where the figures do."""

import numpy as np
import pytest
import scripts

from genjax.vae.claims import judge
from genjax.vae.config import Config

NOISE = np.array([-0.001, 0.0, 0.001, 0.0])
# Figures that support every claim.
HELD = {
    "ae@0.1/mse": 0.01, "vae@0.1/mse": 0.02, "pca/mse": 0.03, "ae@0.1/mmd": 0.5,
    "vae@0.1/mmd": 0.1,
    "ae@0.1/roughness": 0.9, "vae@0.1/roughness": 0.5,
    "ae@0.1/normal/kfid": 9.0, "vae@0.1/normal/kfid": 5.0,
    "ae@0.1/probe/all": 0.9, "pca/probe/all": 0.8, "ae@0.1/gmm/kfid": 3.0, "vae@0.1/gmm/kfid": 3.0,
}  # fmt: skip
BOTH, SAMPLERS = ["ae", "vae"], ["normal", "gmm"]


def asked(arms=BOTH, samplers=SAMPLERS):
    """A sweep over two decoder scales, of which the first is judged."""
    variants = {arm: {"model": arm} for arm in arms}
    scales = ("0.1", "0.2")
    return Config(variants=variants, seeds=len(NOISE), samplers=samplers, decoder_std=scales)


def verdicts(arms=BOTH, samplers=SAMPLERS, **changes):
    found = {
        # No seed matters to PCA.
        path: [value] if path.startswith("pca") else list(value + NOISE)
        for path, value in (HELD | changes).items()
    }
    made = judge(found, asked(arms, samplers))
    return scripts.verdicts(made)


def test_figures_that_support_every_claim():
    assert set(verdicts().values()) == {"supported"}
    assert list(verdicts(samplers=["normal"])) == ["V5a", "V5b", "V1", "V2", "V3", "V4", "V5"]
    assert verdicts(arms=["vae"]) == {}
    assert verdicts(arms=["ae"]).keys() == {"V5", "V5a", "V5b"}


@pytest.mark.parametrize(
    ("id", "changes"),
    [
        ("V1", {"ae@0.1/mse": 0.025}),
        ("V2", {"vae@0.1/normal/kfid": 10.0}),
        ("V3", {"vae@0.1/mmd": 0.6}),
        ("V4", {"vae@0.1/roughness": 1.0}),
        ("V5a", {"pca/mse": 0.005}),
        ("V5b", {"pca/probe/all": 0.95}),
        ("V6", {"ae@0.1/gmm/kfid": 3.4}),
    ],
)
def test_each_claim_is_refuted_by_its_own_figure(id, changes):
    found = verdicts(**changes)
    assert found[id] == "refuted"
    rest = {key: verdict for key, verdict in found.items() if key not in (id, id[:2])}
    assert set(rest.values()) == {"supported"}


def test_what_is_no_number_decides_nothing():
    found = {path: list(value + NOISE) for path, value in HELD.items()}
    found["vae@0.1/roughness"][0] = None
    made = {claim["id"]: claim for claim in judge(found, asked())}
    assert made["V4"]["verdict"] == "inconclusive" and made["V1"]["verdict"] == "supported"
    # Of a sweep one arm is judged, and named.
    assert made["V1"]["statement"].endswith("(ae@0.1/mse, vae@0.1/mse)")


def test_as_good_with_the_same_mixture_is_within_a_tenth():
    assert verdicts(**{"ae@0.1/gmm/kfid": 3.2})["V6"] == "supported"


def test_the_first_of_each_model_is_judged_wherever_it_stands():
    """Models before, between and behind them are others."""
    arms = ["wae_mmd", "vamp", "vae", "beta_vae", "ae", "rae", "dae"]
    assert verdicts(arms=arms) == verdicts()
    both = {"vae": {"model": "vae"}, "ae": {"model": "ae"}}
    found = {path.replace("@0.1", ""): [value] * 4 for path, value in HELD.items()}
    made = judge(found, Config(variants=both, seeds=4, samplers=SAMPLERS))
    assert made[0]["statement"].endswith("MSE(AE) - MSE(VAE)")
