"""Measures of posteriors whose answers are known: a linear Gaussian model, and wrong ones."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from linear_gaussian import LATENT, SHAPE, VARIANCE, B, S, W, flat
from scipy import stats

from genjax.vae import evaluate, learned_prior, networks


def linear(slope=1.0, spread=1.0, ratio=1.0, rate=1.0, constant=0.0, tall=False, vamp=None):
    """The autoencoder with its own posterior; every argument makes it wrong in one way.

    slope, spread: times the posterior's mean and deviation. ratio: times log p(z) - log q(z|x).
    rate: times the KL. constant: added to log p(x|z). tall: one more layer, of one unit.
    """
    log_std = jnp.asarray(0.5 * np.log(VARIANCE) + np.log(spread))

    def encode(params, images):
        mean = slope * (images.reshape(len(images), -1) - B) @ (W * VARIANCE / S**2)
        return {"mean": mean, "log_std": jnp.broadcast_to(log_std, mean.shape)}

    def draw(params, code, noise):
        mean, log_std = code["mean"], code["log_std"]
        noise, top = noise[..., :LATENT], noise[..., LATENT:]
        z = mean + jnp.exp(log_std) * noise
        log_q = (-0.5 * noise**2 - log_std).sum(-1)
        kl = 0.5 * (mean**2 + jnp.exp(2 * log_std) - 1) - log_std
        kl = jnp.broadcast_to(rate * kl, z.shape)
        means = jnp.broadcast_to(mean, z.shape)
        # The upper layer's mean moves with the lower one's draw.
        means = jnp.concatenate([means, z[..., :1] + 0 * top], -1) if tall else means
        return networks.Draw(z, ratio * ((-0.5 * z**2).sum(-1) - log_q), kl, means)

    def log_prob(params, pixels, images):
        scaled = ((images - pixels) / S).reshape(*pixels.shape[:-3], -1)
        density = -0.5 * scaled**2 - np.log(S) - 0.5 * np.log(2 * np.pi)
        return density.sum(-1) + constant

    return networks.Model(
        init=lambda key, images: {"shift": jnp.zeros(())},
        encode=encode,
        draw=draw,
        mean=lambda params, code: code["mean"],
        descend=lambda params, noise: noise[..., :LATENT] + params["shift"],
        mixture=vamp and (lambda params: vamp),
        decode=lambda params, z: (z @ W.T + B).reshape(*z.shape[:-1], *SHAPE),
        log_prob=log_prob,
        log_std=None,
        layers=(LATENT, 1) if tall else (LATENT,),
    )


PARAMS = {"shift": jnp.zeros(())}


def posterior(ref, samples=1000, **wrong):
    model = linear(**wrong)
    functions = evaluate.compile_functions(model, samples)
    return evaluate.measure_posterior(model, functions, PARAMS, ref, seed=3)


def neural(ref, **wrong):
    model = linear(**wrong)
    functions = evaluate.compile_functions(model, 10)
    return evaluate.neural_coder(model, functions, PARAMS, ref, seed=3)


def exact_posterior(ref, slope=1.0, spread=1.0):
    """{measure: (value, tolerance)} from SciPy's densities; only draws have an error."""
    x, train = (flat(ref.splits[split]["image"]) for split in ("test", "train"))
    nll = -stats.multivariate_normal(B, W @ W.T + S**2 * np.eye(4)).logpdf(x).mean()
    project = W * VARIANCE / S**2
    mean, variance = slope * (x - B) @ project, spread**2 * VARIANCE
    kl = 0.5 * (mean**2 + variance - 1 - np.log(variance))
    own = stats.norm.logpdf(x, mean @ W.T + B, S).sum(1).mean()
    distortion = -own + 0.5 * (variance * (W**2).sum(0)).sum() / S**2
    rate = kl.sum(1).mean()
    # q(z) is a Gaussian too, but for the finite set of images.
    total = np.cov(slope * (train - B) @ project, rowvar=False) + np.diag(variance)
    information = 0.5 * (np.linalg.slogdet(total)[1] - np.log(variance).sum())
    found = {
        "rate": (rate, 1e-4),
        "distortion": (distortion, 0.02),
        "elbo": (-rate - distortion, 0.02),
        "nll/k=1000": (nll, 0.02),
        "nll/k=1": (rate + distortion, 0.02),
        "mutual_information": (information, 0.08),
        "kl_to_prior": (0.5 * (np.trace(total) - 2 - np.linalg.slogdet(total)[1]), 0.08),
    }
    for e in evaluate.COLLAPSE:
        found[f"collapsed/eps={e}"] = (((kl < e).mean(0) >= 0.99).mean(), 1e-9)
    return found, kl.mean(0)


@pytest.mark.parametrize("wrong", ({}, {"slope": 0.9, "spread": 1.3}))
def test_measures_of_a_posterior_are_the_closed_forms(ref, wrong):
    """With the true posterior, and with others, whose bound the importance weights close."""
    found, arrays = posterior(ref, **wrong)
    exact, kl = exact_posterior(ref, **wrong)
    if not wrong:
        # All importance weights are equal: the bounds are the likelihood whatever k.
        for k in (1, 10, 100, 1000):
            assert found[f"nll/k={k}"] == pytest.approx(exact["nll/k=1000"][0], abs=1e-3)
        assert exact["elbo"][0] == pytest.approx(-exact["nll/k=1000"][0])
        assert found["ess"] == pytest.approx(1000, abs=0.1) and found["unreliable"] == 0
    for name, (value, tolerance) in exact.items():
        assert found[name] == pytest.approx(value, abs=tolerance), name
    np.testing.assert_allclose(arrays["kl_units"], kl, rtol=1e-3)
    assert found["mutual_information_cap"] == np.log(len(ref.splits["train"]["image"]))
    more = {"nll/k=10", "nll/k=100", "ess", "unreliable", "mutual_information_cap"}
    assert set(found) == set(exact) | more


@pytest.mark.parametrize(
    ("wrong", "seen"),
    (
        ({"slope": 0.5}, ("rate", "distortion", "elbo", "nll/k=1", "kl_to_prior")),
        ({"spread": 2.0}, ("rate", "distortion", "elbo", "mutual_information", "kl_to_prior")),
        ({"ratio": -1.0}, ("nll/k=1", "nll/k=1000")),
        ({"rate": 0.1}, ("rate", "elbo", "collapsed/eps=1.0", "collapsed/eps=0.1")),
        ({"constant": 0.2}, ("distortion", "elbo", "nll/k=1", "nll/k=1000")),
    ),
)
def test_a_wrong_posterior_is_seen(ref, wrong, seen):
    found, exact = posterior(ref, **wrong)[0], exact_posterior(ref)[0]
    for name in seen:
        value, tolerance = exact[name]
        assert abs(found[name] - value) > 2 * tolerance, name


def test_a_learned_mixture_has_no_units_and_two_layers_no_aggregate(ref):
    vamp = np.zeros((2, LATENT)), np.zeros((2, LATENT))
    found, arrays = posterior(ref, 10, vamp=vamp)
    assert "mutual_information" in found and not arrays
    assert not any(name.startswith("collapsed") for name in found)
    found, arrays = posterior(ref, 10, tall=True)
    assert "kl_units" in arrays and "mutual_information" not in found


def test_active_units_are_those_of_all_layers(ref):
    def measure(**wrong):
        functions = evaluate.compile_functions(linear(**wrong), 10)
        return evaluate.measure_units(functions, PARAMS, ref, seed=3)

    x = flat(ref.splits["test"]["image"])
    means = (x - B) @ (W * VARIANCE / S**2)
    lower = np.sort(means.var(0))[::-1]
    found, arrays = measure()
    assert found == {"active_units": 2.0}
    np.testing.assert_allclose(arrays["variances"], lower, rtol=1e-4)
    # The upper layer's mean is the first unit's draw, which has the posterior's variance too.
    found, arrays = measure(tall=True)
    assert found == {"active_units": 3.0}
    np.testing.assert_allclose(arrays["variances"][0], lower[0] + VARIANCE[0], rtol=0.05)
    assert measure(slope=0.1)[0] == {"active_units": 0.0 + (0.01 * lower > 0.01).sum()}
    assert measure(slope=0.0)[0] == {"active_units": 0.0}


def test_a_neural_coder_encodes_means_draws_posteriors_and_decodes_grey_levels(ref):
    coder = neural(ref)
    x = ref.splits["test"]["image"]
    mean = (flat(x) - B) @ (W * VARIANCE / S**2)
    np.testing.assert_allclose(coder.encode(x), mean, atol=1e-5)
    noise = (coder.draw(x) - mean) / np.sqrt(VARIANCE)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    np.testing.assert_array_equal(coder.draw(x), coder.draw(x))
    grey = 1 / (1 + np.exp(-(mean @ W.T + B)))
    np.testing.assert_allclose(flat(coder.decode(coder.encode(x))), grey, atol=1e-5)
    wrong = neural(ref, slope=0.5, spread=2.0)
    assert np.abs(wrong.encode(x) - mean).max() > 0.1
    noise = (wrong.draw(x) - wrong.encode(x)) / np.sqrt(VARIANCE)
    assert stats.kstest(noise.ravel(), "norm").pvalue < 1e-9


def test_samplers_of_a_neural_coder_follow_their_laws(ref, monkeypatch):
    """By moments: N(0, I) pushed down, the posteriors' draws, and what is fitted to those."""
    # A Gaussian is learned in fewer than the flow's usual steps.
    fitted = partial(learned_prior.fitted, steps=500)
    monkeypatch.setattr(learned_prior, "fitted", fitted)
    vamp = np.array([[5.0, 5.0]]), np.log([[0.1, 2.0]])
    model = linear(spread=2.0, vamp=vamp)
    functions = evaluate.compile_functions(model, 10)
    shifted = {"shift": jnp.full((), 2.0)}
    coder = evaluate.neural_coder(model, functions, shifted, ref, seed=3)
    project = (flat(ref.splits["train"]["image"]) - B) @ (W * VARIANCE / S**2)
    # Draws, not codes: the posterior's own variance counts.
    drawn = project.mean(0), np.cov(project, rowvar=False) + 4 * np.diag(VARIANCE)
    laws = {
        "normal": (np.full(2, 2.0), np.eye(2)),
        "posterior": drawn,
        "gaussian": drawn,
        "gmm": drawn,
        "flow": drawn,
        "vamp": (np.full(2, 5.0), np.diag([0.01, 4.0])),
    }
    assert set(coder.sources) == set(laws) and "vamp" not in neural(ref).sources
    for name, (mean, covariance) in laws.items():
        found = coder.sources[name](3000, np.random.default_rng(5))
        assert found.shape == (3000, LATENT)
        np.testing.assert_allclose(found.mean(0), mean, atol=0.2, err_msg=name)
        spread = np.cov(found, rowvar=False)
        np.testing.assert_allclose(spread, covariance, rtol=0.12, atol=0.2, err_msg=name)


def test_noise_belongs_to_seed_and_position(ref):
    functions = evaluate.compile_functions(linear(), 10)
    x = ref.splits["test"]["image"]
    draws = [evaluate.represent(functions, PARAMS, x, seed)[1] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all()
    part = evaluate.represent(functions, PARAMS, x[:50], 1)[1]
    np.testing.assert_allclose(part, draws[0][:50], rtol=1e-5)
    # An image seen twice is drawn twice.
    twice = evaluate.represent(functions, PARAMS, np.repeat(x[:1], 2, 0), 1)[1]
    assert (twice[0] != twice[1]).any()


def test_a_posterior_that_is_too_narrow_is_called_unreliable(ref):
    """Its weights have no variance, and few draws count."""
    found = posterior(ref, spread=0.4)[0]
    assert found["unreliable"] > 0.5 and found["ess"] < 300
