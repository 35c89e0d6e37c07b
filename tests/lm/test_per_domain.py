"""Losses domain by domain, drift, dynamic evaluation, generation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from genjax.data.text import Measured
from genjax.lm import ngram, per_domain, recurrent, transformer

SMALL = recurrent.build("ssm", vocabulary=9, width=8, depth=2)


def test_losses_are_bits_of_the_scored_tokens(source):
    test = source.measured("s0l0", "test")
    model = recurrent.build("gru", vocabulary=source.vocabulary, width=8, depth=1)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    scored = test.scored.copy()
    scored[:, :3] = False
    part = test._replace(scored=scored, units=scored.sum())
    (found,) = per_domain.losses(per_domain.meter(model.apply), params, [part])
    for i in range(2):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        log_p = jax.nn.log_softmax(jax.jit(model.apply)(own, test.windows[:, :-1]))
        picked = np.take_along_axis(np.asarray(log_p), test.windows[:, 1:, None], -1)[..., 0]
        np.testing.assert_allclose(found["loss"][i], -picked[:, 3:].mean() / np.log(2), rtol=1e-4)
    assert np.isnan(found["position"][:, :3]).all()
    np.testing.assert_allclose(found["documents"].sum(1) / scored.sum(), found["loss"], rtol=1e-5)


def test_windows_of_each_seed_are_measured_by_its_own_parameters(source):
    model = recurrent.build("gru", vocabulary=source.vocabulary, width=8, depth=1)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    tests = [source.measured(name, "test") for name in ("s0l1", "s1l2")]
    both = tests[0]._replace(windows=np.stack([test.windows for test in tests]))
    meter = per_domain.meter(model.apply)
    (found,) = per_domain.losses(meter, params, [both])
    drift = per_domain.drift_meter(model.apply)
    (drifts,) = drift((params, params), both.windows)
    dynamic = per_domain.dynamic_meter(model.apply)
    counted = [ngram.fit(source.sequences("s0l1"), order=n, vocabulary=33) for n in (1, 2)]
    grams = per_domain.losses(per_domain.ngram_meter(counted), None, [both])[0]["loss"]
    for i, test in enumerate(tests):
        (alone,) = per_domain.losses(meter, params, [test])
        for name in ("loss", "documents", "position", "ece"):
            np.testing.assert_allclose(found[name][i], alone[name][i], rtol=1e-5)
        np.testing.assert_allclose(
            drifts[i], drift((params, params), test.windows)[0][i], rtol=1e-5
        )
        own = dynamic(params, test, 0.5)[i]
        np.testing.assert_allclose(dynamic(params, both, 0.5)[i], own, rtol=1e-4)
        expected = np.mean([-counted[i].log2_probs(window).mean() for window in test.windows])
        np.testing.assert_allclose(grams[i], expected)
    assert abs(grams[0] - grams[1]) > 1e-3


def test_domains_share_chunks_and_lose_what_they_lose_alone(source, monkeypatch):
    """Five windows, three and forty, of which a chunk has 32: two calls, to the same bits."""
    model = recurrent.build("gru", vocabulary=source.vocabulary, width=8, depth=1)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    test = source.measured("s0l1", "test")
    which = [
        np.arange(first, last) % len(test.windows) for first, last in ((0, 5), (5, 8), (8, 48))
    ]
    parts = [
        Measured(test.windows[rows], test.scored[rows], 0.5 * test.scored[rows].sum(), rows)
        for rows in which
    ]
    meter, calls = per_domain.meter(model.apply), []

    def counted(params, windows):
        calls.append(windows.shape[-2])
        return meter(params, windows)

    alone = [per_domain.losses(meter, params, [part])[0] for part in parts]
    monkeypatch.setattr(per_domain, "PACKED", 10)
    for found, own in zip(per_domain.losses(counted, params, parts), alone, strict=True):
        for name, values in own.items():
            np.testing.assert_array_equal(found[name], values, name)
    assert calls == [8, 40]


def test_drift_from_itself_is_the_entropy(source):
    windows = source.measured("s0l0", "test").windows
    model = recurrent.build("gru", vocabulary=source.vocabulary, width=8, depth=1)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 1))
    other = jax.vmap(model.init)(jax.random.split(jax.random.key(1), 1))
    drift = per_domain.drift_meter(model.apply)
    p = jax.nn.softmax(model.apply(jax.tree.map(lambda x: x[0], params), windows[:, :-1]))
    entropy = -(p * jnp.log2(p)).sum(-1)
    np.testing.assert_allclose(drift((params, params), windows)[0][0], entropy, rtol=1e-4)
    assert drift((params, other), windows)[0].mean() > entropy.mean()


def test_dynamic_evaluation_scores_a_window_before_it_learns_it(source, monkeypatch):
    # Calls follow each other, and the last one is not full.
    monkeypatch.setattr(per_domain, "CHUNK", 4)
    model = recurrent.build("ssm", vocabulary=source.vocabulary, width=8, depth=1)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    test = source.measured("s0l1", "test")
    # Of the last window half a part counts.
    test = test._replace(scored=test.scored.copy())
    test.scored[-1, : source.length // 2] = False
    test = test._replace(units=test.scored.sum())
    measure = per_domain.dynamic_meter(model.apply)
    still = per_domain.losses(per_domain.meter(model.apply), params, [test])[0]["loss"]
    np.testing.assert_allclose(measure(params, test, 0.0), still, rtol=1e-5)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def slope(params, window, scored):
        log_p = jax.nn.log_softmax(model.apply(params, window[None, :-1])[0])
        total = -log_p[jnp.arange(source.length), window[1:]] @ scored
        return total / scored.sum(), total

    total, now = 0.0, jax.tree.map(lambda leaf: leaf[1], params)
    for window, scored in zip(test.windows, test.scored, strict=True):
        slopes, nats = slope(now, window, scored.astype(np.float32))
        total += nats / np.log(2)
        now = jax.tree.map(lambda p, g: p - 0.5 * g, now, slopes)
    found = measure(params, test, 0.5)
    np.testing.assert_allclose(found[1], total / test.units, rtol=1e-5)
    assert (found < still).all()


def test_an_ngram_is_measured_like_a_model(source):
    model = ngram.fit(source.sequences("s0l1"), order=2, vocabulary=source.vocabulary)
    test = source.measured("s0l1", "test")
    (found,) = per_domain.losses(per_domain.ngram_meter([model] * 3), None, [test])
    expected = np.mean([-model.log2_probs(window).mean() for window in test.windows])
    np.testing.assert_allclose(found["loss"], [expected] * 3)
    assert np.isnan(found["ece"]).all()


def test_generation_draws_every_token_anew():
    even = transformer.Model(lambda key: {}, lambda params, tokens: jnp.zeros((*tokens.shape, 9)))
    made = per_domain.generate(even, {}, np.zeros((2, 1), np.int32), 40, jax.random.key(0))
    assert [len(np.unique(row)) for row in made] == [9, 9]
    assert (made[0] != made[1]).any()


def test_generation_keeps_the_prompt():
    params = SMALL.init(jax.random.key(0))
    prompts = np.arange(20).reshape(4, 5) % 8
    made = per_domain.generate(SMALL, params, prompts, 16, jax.random.key(3))
    assert made.shape == (4, 16)
    np.testing.assert_array_equal(made[:, :5], prompts)
    assert len(np.unique(made[:, 5:])) > 1
    whole = per_domain.generate(SMALL._replace(step=None), params, prompts, 16, jax.random.key(3))
    np.testing.assert_array_equal(made, whole)
