"""What a generator covers, by generators whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core.errors import UsageError
from genjax.gan import data, evaluate, game, mixtures
from genjax.gan import figures as plots
from genjax.gan.config import ROWS, Config

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def task():
    return data.mixture_task(mixtures.mixture("ring4"), 3000, 1, 0)


def test_slopes_of_a_linear_generator_are_its_singular_values(task):
    matrix = np.array([[3.0, 1.0], [0.5, -2.0], [1.0, 1.0]])
    config = Config(latent=3)
    linear = game.method(config, config.arms()["gan"], (2,))._replace(
        generate=lambda matrix, z: z @ matrix
    )

    def slopes(measure, params):
        return evaluate.sensitivity(linear, task, measure, count=60)(params)

    params = jnp.asarray(matrix, jnp.float32)

    expected = np.linalg.svd(matrix, compute_uv=False) / task.spread
    found = slopes(lambda jacobians: jnp.linalg.svd(jacobians, compute_uv=False), params)
    np.testing.assert_allclose(found, np.tile(expected, (60, 1)), rtol=1e-5)
    found = slopes(evaluate.log_norm, params)
    np.testing.assert_allclose(found, np.full(60, np.log((expected**2).sum()) / 2), rtol=1e-5)
    found = slopes(evaluate.log_norm, jnp.zeros((3, 2)))
    np.testing.assert_allclose(found, np.full(60, np.log(1e-12)), rtol=1e-6)


def test_each_sample_is_judged_with_those_that_follow_it():
    config = Config(pack=3, d_width=4, g_width=4)
    method = game.method(config, config.arms()["gan"], (2,))
    params = method.init(jax.random.key(0))
    samples = RNG.standard_normal((5, 2)).astype(np.float32)
    networks = game.players(config, config.arms()["gan"], (2,))
    for i, logit in enumerate(method.discriminate(params, samples)):
        members = np.concatenate([samples[i], samples[(i + 1) % 5], samples[(i + 2) % 5]])
        alone = networks.discriminate(
            params["discriminator"], members[None, None], *[lambda x: x] * 2
        )
        assert float(logit) == pytest.approx(float(alone[0, 0, 0]), rel=1e-5)


def test_contrast_is_distance_over_that_of_perfect_samples(task):
    perfect = task.perfect(2500, np.random.default_rng(7))
    assert evaluate.contrast(task, perfect) == pytest.approx(1, abs=0.05)
    assert evaluate.contrast(task, perfect / 2) == pytest.approx(0.5, abs=0.03)
    assert evaluate.contrast(task, np.zeros((2500, 2), np.float32)) == 0


def test_the_floor_is_every_measure_of_perfect_samples_and_of_wrong_ones(task, monkeypatch):
    monkeypatch.setattr(evaluate, "FLOOR_DRAWS", 5)
    monkeypatch.setattr(evaluate, "NEAR_DRAWS", 3)
    monkeypatch.setattr(evaluate, "SLOW_DRAWS", 2)
    rows = evaluate.floor(task, 500, 0)
    perfect = task.perfect(500, RNG)
    often = {*task.quick(perfect), *task.near(perfect)}
    assert rows["truth"].keys() == {*often, *task.slow(perfect, 0), "contrast"}
    # Each draw has a generator of its own, whichever thread comes first.
    for number, (row, sample) in enumerate((task.controls | {"truth": task.perfect}).items()):
        stream = [0, 4 if row == "truth" else 10 + number, 1]
        own = task.quick(sample(500, np.random.default_rng(stream)))
        found = {name: rows[row][name][1] for name in own}
        assert found == pytest.approx(own, nan_ok=True)
    # As many as were asked for.
    found = rows.pop("truth")
    assert len(found["modes"]) == len(set(found["spread"])) == 5
    assert len(set(found["recall"])) == 3 and len(set(found["vendi"])) == 2
    assert set(np.round(np.multiply(found["high_quality"], 500), 6) % 1) == {0.0}
    assert rows.keys() == {"lost", "thin", "blurred", "noise"} < {*ROWS}
    assert all(row.keys() == often and len(row["modes"]) == 3 for row in rows.values())
    # Each is wrong in its own way: three of four modes, 0.6 and 2 of the width, no mode.
    mean = {row: {name: np.mean(v) for name, v in part.items()} for row, part in rows.items()}
    assert mean["lost"]["modes"] == 3 and mean["lost"]["recall_thinned"] < 0.78
    assert mean["thin"]["spread"] == pytest.approx(0.6, abs=0.03)
    assert mean["blurred"]["high_quality"] == pytest.approx(1 - np.exp(-9 / 8), abs=0.05)
    assert mean["noise"]["high_quality"] < 0.03


@pytest.mark.parametrize(
    ("modes", "now", "lost"),
    [
        (8, {0: 8, 1: 7}, []),
        (8, {0: 7, 1: 7}, [0]),
        (8, {0: 7, 1: 6}, [0, 1]),
        (1000, {0: 908, 1: 900}, []),
        (1000, {0: 908, 1: 899}, [1]),
    ],
)
def test_the_alarm_is_a_tenth_of_the_modes_or_one(modes, now, lost):
    """Against the most that a seed ever had, be it before a pause."""
    most = {8: (8, 7), 1000: (1000, 999)}[modes]
    before = [{"seed": s, "modes": m - more} for s, m in enumerate(most) for more in (5, 0, 3)]
    assert evaluate.fallen(before, now, modes) == lost
    assert evaluate.fallen([], now, modes) == []


def test_directions_without_a_slope_are_in_the_picture():
    values = np.array([0, 0, 1e-6, 1e-4, 0.3, 7.0], np.float32).reshape(1, 3, 2)
    run = {
        "arrays": {"gan": {"singular_values": values}}, "summary": {"seeds": [0], "arms": ["gan"]},
    }  # fmt: skip
    _, chart = plots.FIGURES["slopes"](run)
    shares = np.asarray(chart.panels[0].series[0].y)
    assert shares.sum() == pytest.approx(1) and shares[0] == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("modes", "samples", "points"),
    [(8, 100, 32), (25, 100, 100), (60, 120, 100), (1000, 2000, 100)],
)
def test_measures_need_samples_of_all_modes_and_points_of_all_bins(modes, samples, points):
    """Two samples a mode, or the 100 that neighbours take; four bins a mode, at most 100."""
    evaluate.check_count(samples, points, modes)
    evaluate.check_count(samples + 7, points + 7, modes)
    what = "neighbours" if samples == 100 else f"{modes} modes"
    with pytest.raises(UsageError, match=f"--eval_samples={samples - 1}: .*{what} need {samples} "):
        evaluate.check_count(samples - 1, points, modes)
    with pytest.raises(UsageError, match=f"--points={points - 1}: fewer than the {points} bins"):
        evaluate.check_count(samples, points - 1, modes)


def test_with_a_reconstructor_pairs_of_sample_and_latent_are_judged():
    """VEEGAN's discriminator sees (x, F(x)); nothing of F, and it would judge otherwise."""
    config = Config(reconstruction=1.0, latent=3, d_width=4, g_width=4)
    arm = config.arms()["gan"]
    method, networks = game.method(config, arm, (2,)), game.players(config, arm, (2,))
    params = method.init(jax.random.key(0))
    samples = RNG.standard_normal((5, 2)).astype(np.float32)
    pairs = np.concatenate([samples, networks.reconstruct(params["reconstructor"], samples)], 1)
    assert pairs.shape == (5, 5)
    logits = networks.discriminate(params["discriminator"], pairs[None], *[lambda x: x] * 2)
    found = method.discriminate(params, samples)
    np.testing.assert_allclose(found, logits[0, :, 0], rtol=1e-5)


def test_samples_are_of_the_same_latents_for_all_params():
    """By default; of other keys, other ones."""
    config = Config(latent=3, d_width=4, g_width=4)
    method = game.method(config, config.arms()["gan"], (2,))
    some = method._replace(sample=lambda params, key, index: params * method.latents(key, index))
    draw = evaluate.sampler(some, 50)
    np.testing.assert_allclose(2 * draw(jnp.ones(())), draw(jnp.full((), 2.0)), rtol=1e-6)
    assert len(np.unique(draw(jnp.ones(())))) == 150
    other = evaluate.sampler(some, 50, jax.random.key(1))(jnp.ones(()))
    np.testing.assert_allclose(other, method.latents(jax.random.key(1), jnp.arange(50)), rtol=1e-6)
