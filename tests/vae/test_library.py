"""The VAE room from Python: run, read, and use what was trained, without flags."""

import jax
import numpy as np
import pytest

import genjax
from genjax.core.errors import UsageError

TINY = {
    "steps": 30, "seeds": 2, "hidden": (16,), "latent": 3, "classifier_steps": 20,
    "nll_samples": 20, "samplers": ("normal",), "checkpoint_every": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = genjax.vae.Config(
        variants={"ae": {"model": "ae"}, "vae": {}, "vamp": {"model": "vamp", "pseudo_inputs": 4}},
        **TINY,
    )
    folder = tmp_path_factory.mktemp("library") / "run"
    return genjax.vae.run(config, folder, compile_cache="off")


def test_a_folder_gives_back_what_was_asked_and_found(trained):
    run = genjax.open(trained.folder)
    assert run.config == trained.config
    assert {row["arm"] for row in run.metrics} == {"ae", "vae", "vamp", "classifier"}
    assert {claim["id"] for claim in run.claims} == {
        "V1", "V3", "V3b", "V4", "V5a", "V5b",
    }  # fmt: skip
    assert run.judge() == run.claims
    assert "samples" in run.figures()


def test_a_trained_model_is_plain_functions(trained):
    model = trained.model("vae", seed=1)
    assert model.step == 30
    images = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    codes = model.encode(images)
    assert codes.shape == (5, 3) and model.decode(codes).shape == images.shape
    samples = model.sample(jax.random.key(0), 4)
    assert samples.shape == (4, 8, 8, 1) and samples.min() >= 0 and samples.max() <= 1
    np.testing.assert_array_equal(samples, model.sample(jax.random.key(0), 4))
    # A tighter bound with more draws, on average, and none for a point.
    bounds = [model.log_prob(images, jax.random.key(0), samples=k).mean() for k in (1, 200)]
    assert bounds[0] < bounds[1]
    assert trained.model("ae").log_prob is None
    other = trained.model("vae", seed=0)
    assert not np.allclose(other.encode(images), codes)


def test_samples_of_a_learned_prior_come_from_it(trained):
    model = trained.model("vamp")
    samples = np.asarray(model.sample(jax.random.key(1), 300)).reshape(300, -1)
    codes = np.asarray(model.encode(samples.reshape(-1, 8, 8, 1)))
    assert np.isfinite(codes).all() and samples.std(0).max() > 0


def test_what_is_not_there_is_named(trained, tmp_path):
    with pytest.raises(UsageError, match="no arm 'vea'; did you mean vae"):
        trained.model("vea")
    with pytest.raises(UsageError, match="no seed 7; choices: 0, 1"):
        trained.model("vae", seed=7)
    with pytest.raises(UsageError, match="no run"):
        genjax.open(tmp_path)
    with pytest.raises(UsageError, match="another configuration .*--steps=31"):
        genjax.vae.run(trained.config.replace(steps=31), trained.folder)


def test_a_finished_run_is_read_not_repeated(trained, no_page):
    before = (trained.folder / "metrics.jsonl").read_bytes()
    again = genjax.vae.run(trained.config, trained.folder, compile_cache="off")
    assert again.claims == trained.claims
    assert (trained.folder / "metrics.jsonl").read_bytes() == before
