"""Training to look up: the optimizer's rates, the measures of answers by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core.errors import NotFinite
from genjax.lm import transformer
from genjax.scaling import experiment, lookups, training
from genjax.scaling.config import Config


@pytest.mark.parametrize(("steps", "peak"), [(1, 1), (59, 3), (60, 4)])
def test_the_rate_warms_up_for_a_twentieth_and_falls_as_a_cosine(steps, peak):
    """Adam moves by its rate where all gradients are one; clipped at norm 1, these are."""
    optimizer = training.optimizer(Config(steps=steps, learning_rate=0.01))
    params = {"w": jnp.zeros(2)}
    state, rates = optimizer.init(params), []
    for i in range(steps):
        grads = {"w": jnp.array([3.0, 4.0]) * 10.0 ** (i % 3)}
        updates, state = optimizer.update(grads, state, params)
        rates.append(-float(updates["w"][1]))
    count = np.arange(steps)
    falling = 0.5 * (1 + np.cos(np.pi * (count - peak) / max(steps - peak, 1)))
    wanted = 0.01 * np.where(count < peak, count / peak, falling)
    np.testing.assert_allclose(rates, wanted, rtol=1e-4, atol=1e-7)


def test_weights_decay_by_the_rate_beside_the_gradient():
    """Loshchilov & Hutter 2019: what clipped Adam moves, and a tenth of the weight, by the rate."""
    params, grads = {"w": jnp.array([2.0, -4.0])}, {"w": jnp.array([0.3, -0.4])}
    moved = []
    for decay in (0.0, 0.1):
        optimizer = training.optimizer(Config(steps=1, learning_rate=0.5, weight_decay=decay))
        state = optimizer.init(params)
        for _ in range(2):  # The first step's rate is 0.
            updates, state = optimizer.update(grads, state, params)
        moved.append(updates["w"])
    np.testing.assert_allclose(moved[1] - moved[0], -0.5 * 0.1 * params["w"], rtol=1e-5)
    assert abs(moved[0]).min() > 0.1


def test_bands_of_distance_are_quarters_of_the_length():
    """Distances 0 to 15, one a place, of which the first, the fifth and the last two are right."""
    place = np.arange(16)
    data = {"target": place[None] % 3, "distance": place[None]}
    answers = np.where(np.isin(place, (0, 4, 14, 15)), place % 3, 9)[None]
    assert training.accuracies(answers, data, 16) == {
        "accuracy": 0.25,
        "chance": 6 / 16,  # Of 0, 1 and 2 the commonest.
        "accuracy_0-3": 0.25,
        "accuracy_4-7": 0.25,
        "accuracy_8-11": 0.0,
        "accuracy_12-15": 0.5,
    }


def test_who_does_not_read_the_question_guesses_among_what_was_shown():
    none = -1
    # Asked once each: the commonest of all, 5, is right twice in three.
    assert training.blind(np.array([[5, none], [none, 5], [7, none]])) == 2 / 3
    # Asked twice each: a guess among a sequence's own is right every other time, 5 twice in six.
    target = np.array([[5, none, 6], [5, 8, none], [none, 7, 9]])
    assert training.blind(target) == 3 / 6
    # All of a sequence alike.
    assert training.blind(np.array([[1, 1], [2, 2]])) == 1.0


def test_questions_at_which_every_shortcut_fails_are_counted_apart():
    """Four questions, of which the shortcuts know 1 and 1, 2; the third and fourth are hard."""
    target = np.full((4, 8), -1)
    target[:, 5] = [3, 4, 5, 6]
    data = {
        "target": target, "distance": np.where(target >= 0, 5, -1),
        "root_own": np.array([3, 0, 0, 0]), "root_all": np.array([3, 4, 0, 0]),
    }  # fmt: skip
    answers = np.where(target >= 0, np.array([[9], [4], [5], [9]]), 0)
    found = training.accuracies(answers, data, 8)
    assert (found["root_own"], found["root_all"], found["hard"]) == (0.25, 0.5, 0.5)
    assert found["accuracy"] == 0.5 == found["accuracy_hard"]


def test_answers_are_measured_seed_by_seed_on_all_fresh_sequences(monkeypatch):
    """A model that answers its parameter everywhere is right where that is asked for."""

    def apply(params, tokens):
        return jnp.broadcast_to(jnp.arange(4) == params["answer"], (*tokens.shape, 4)) * 1.0

    rng = np.random.default_rng(0)
    fresh = {
        "tokens": np.zeros((23, 8), np.int32),
        "target": rng.integers(-1, 4, (23, 8)),
        "distance": rng.integers(0, 8, (23, 8)),
    }
    # Ten calls a seed, of 6 seconds each but for the sixth.
    ticks = np.cumsum([100.0] + ([0.0, 6.0] * 5 + [0.0, 1.0] + [0.0, 6.0] * 4) * 2)[1:]
    clock = SimpleNamespace(perf_counter=iter(ticks.tolist()).__next__)
    monkeypatch.setattr(training, "time", clock)
    model = transformer.Model(None, apply)
    trained = training.Trained(model, {"answer": jnp.array([1, 3])}, fresh)
    found = training.measure(Config(seeds=2), trained)
    asked = fresh["target"] >= 0
    shares = [(fresh["target"][asked] == answer).mean() for answer in (1, 3)]
    assert found["accuracy"] == pytest.approx(shares)
    far = asked & (fresh["distance"] >= 6)
    assert found["accuracy_6-7"] == pytest.approx(
        [(fresh["target"][far] == answer).mean() for answer in (1, 3)]
    )
    # The fastest of ten calls on two or three sequences each: a second on two.
    assert found["seconds"] == [0.5, 0.5]
    assert {name for name in found if name.startswith("accuracy_")} == {
        "accuracy_0-1", "accuracy_2-3", "accuracy_4-5", "accuracy_6-7",
    }  # fmt: skip


def test_the_network_has_the_tasks_vocabulary_and_length():
    config = Config(
        variants=("flash",), tasks=("recall",), task_lengths=(32,), recall_pairs=4, symbols=5,
        width=16, depth=1,
    )  # fmt: skip
    model = training.network(config, "flash-recall-32")
    params = model.init(jax.random.key(0))
    logits = model.apply(params, np.zeros((1, 32), np.int32))
    assert logits.shape == (1, 32, lookups.vocabulary("recall", 5))


def test_rates_are_tried_with_a_seed_of_their_own_and_the_best_trains(monkeypatch):
    asked, files = [], {}

    def train(config, folder, label, *, name="", fresh=2000):
        asked.append((config.learning_rate, config.all_seeds, name, fresh))
        if config.learning_rate > 0.1:
            raise NotFinite("loss is nan at step 61 of seed 100")
        return config.learning_rate

    # The middle rate is best, and the last one diverges.
    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(
        training,
        "measure",
        lambda config, rate: {"accuracy": [1 - abs(rate - 0.02)] * config.seeds},
    )
    folder = SimpleNamespace(read_json=files.get, write_json=files.__setitem__)
    config = Config(
        variants=("linear",), tasks=("mqar",), task_lengths=(32,), recall_pairs=4, seeds=3,
        rates=(0.01, 0.02, 0.05, 0.5),
    )  # fmt: skip
    experiment.learn(config, folder, "linear-mqar-32")
    tries = [(rate, [100], f"linear-mqar-32-rate{i}", 3000) for i, rate in enumerate(config.rates)]
    assert asked == [*tries, (0.02, [0, 1, 2], "", 2000)]
    found = files["evaluation/linear-mqar-32.json"]
    assert found["rate"] == 0.02 and found["tried"] == pytest.approx([0.99, 1, 0.97, 0])
    experiment.learn(config, folder, "linear-mqar-32")
    assert len(asked) == 5
