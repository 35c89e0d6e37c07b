"""The GAN room from Python: run, read, and use what was trained, without flags."""

import shutil

import jax
import numpy as np
import pytest

import genjax
from genjax.core.errors import UsageError
from genjax.gan.losses import ADVERSARIAL

TINY = {
    "steps": 20, "seeds": 2, "g_width": 8, "d_width": 8, "batch_size": 16, "points": 500,
    "eval_samples": 200, "evaluations": 4, "checkpoint_every": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = genjax.gan.Config(
        variants={
            "gan": {},
            "pac": {"pack": 2, "resample": 2},
            "mix": {"generators": 3},
            "flow": {"method": "flow", "flow_steps": (4, 1), "ema": 0.9},
        },
        **TINY,
    )
    folder = tmp_path_factory.mktemp("library") / "run"
    return genjax.gan.run(config, folder, compile_cache="off")


def test_a_folder_gives_back_what_was_asked_and_found(trained):
    run = genjax.open(trained.folder)
    assert run.config == trained.config
    assert {row["arm"] for row in run.metrics} == {"gan", "pac", "mix", "flow"}
    assert {claim["id"] for claim in run.claims} == {
        "G1", "G2a", "G2b", "G8a", "G8b", "G8c", "G8d", "G8e",
    }  # fmt: skip
    assert run.judge() == run.claims
    assert "samples" in run.figures()
    better = {path: value["better"] for path, value in run.summary["metrics"].items()}
    assert better["gan/recall"] == better["truth/recall"] == "more" and better["gan/modes"] is None


def test_a_row_of_a_flow_that_is_lost_is_measured_again(trained, tmp_path, no_page):
    folder, lost = tmp_path / "run", "evaluation/flow.json"
    shutil.copytree(trained.folder, folder)
    (folder / lost).unlink()
    with pytest.raises(UsageError, match=f"{lost}: is missing"):
        genjax.open(folder).judge()
    run = genjax.gan.run(trained.config, folder, compile_cache="off")
    assert (folder / lost).read_bytes() == (trained.folder / lost).read_bytes()
    assert run.claims == trained.claims


@pytest.mark.parametrize("arm", ["gan", "pac", "mix", "flow"])
def test_a_trained_model_samples_what_was_measured(trained, arm):
    with np.load(trained.folder / "arrays" / f"{arm}.npz") as arrays:
        measured = arrays["samples"]
    for seed in (0, 1):
        model = trained.model(arm, seed=seed)
        assert model.step == 20
        samples = model.sample(jax.random.key(2**31), 200)
        np.testing.assert_allclose(samples, measured[seed], rtol=1e-5, atol=1e-6)
    assert not np.allclose(measured[0], measured[1])
    other = model.sample(jax.random.key(0), 7)
    assert other.shape == (7, 2) and not np.allclose(other, samples[:7])


def test_a_trained_model_is_plain_functions(trained):
    model = trained.model("mix")
    latents = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    made = [
        np.asarray(model.generate(np.concatenate([latents, np.tile(code, (6, 1))], 1)))
        for code in np.eye(3, dtype=np.float32)
    ]
    assert made[0].shape == (6, 2) and not np.allclose(made[0], made[1])
    # The last row of the log holds the mean logits of the last window; the discriminator's loss
    # of what it judges now is near it.
    model = trained.model("gan", seed=1)
    real = np.float32(trained.config.mixture().means)
    fake = model.sample(jax.random.key(0), 8)
    logits = model.discriminate(real), model.discriminate(fake)
    assert logits[0].shape == (8,)
    loss = ADVERSARIAL["ns"].discriminator(*logits).mean()
    logged = [row for row in trained.metrics if row["arm"] == "gan" and "loss" in row]
    assert float(loss) == pytest.approx(logged[-1]["loss"], abs=0.2)


def test_a_flow_is_measured_as_a_gan_is(trained):
    """One training, a row for each number of steps; what needs a game is left out, and said."""
    metrics, run = trained.summary["metrics"], genjax.open(trained.folder)
    names = {path.partition("/")[2] for path in metrics if path.startswith("gan/")}
    # Other numbers of steps are measured as the evaluations along training are.
    quick = names - {"contrast", "js", "ndb", "vendi", "birthday_support"}
    for row, expected in (("flow", names), ("flow@1", quick)):
        assert {p.partition("/")[2] for p in metrics if p.partition("/")[0] == row} == expected
    assert metrics["flow/log_jacobian"] != metrics["flow@1/log_jacobian"]
    with np.load(trained.folder / "arrays" / "flow.npz") as arrays:
        assert "landscape" not in arrays and arrays["snapshots"].shape[1:] == (2, 200, 2)
        assert arrays["singular_values"].shape == (2, 100, 2)
    assert any(
        note.startswith("flow: ") and "4 steps of heun" in note for note in run.summary["notes"]
    )
    model = trained.model("flow")
    assert model.discriminate is None and set(model.params) == {"velocity", "average"}
    noise = np.zeros((3, 2), np.float32)
    assert np.ptp(model.generate(noise), axis=0).max() == 0


def test_what_is_not_there_is_named(trained, tmp_path):
    with pytest.raises(UsageError, match="no arm 'pak'; did you mean pac"):
        trained.model("pak")
    with pytest.raises(UsageError, match="another configuration .*--steps=21"):
        genjax.gan.run(trained.config.replace(steps=21), trained.folder)
    with pytest.raises(UsageError, match="--eval_samples=50: .* need 100"):
        genjax.gan.run(trained.config.replace(eval_samples=50), tmp_path / "few")
    assert not (tmp_path / "few").exists()
