"""Training alone: what seeds the streams, and that an odd recipe passes. Nothing is measured."""

import contextlib
import functools

import jax
import numpy as np
import pytest

from genjax.core import parallel
from genjax.core.folder import Folder
from genjax.gan import experiment, watch
from genjax.gan.config import Config

TINY = {"batch_size": 16, "points": 200, "eval_samples": 200, "g_width": 8, "d_width": 8}


class Blind:
    """Stands for the Watch."""

    def __init__(self, *given, **options):
        pass

    def __call__(self, state):
        return {}

    def status(self):
        return ""


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Parameters, leaves [seeds, ...], after a configuration's steps."""
    monkeypatch.setattr(watch, "Watch", Blind)

    def run(**options):
        config = Config(**TINY, **options)
        job = experiment.prepare(config)
        kept = Folder(tmp_path / "run", config, experiment="gan", room="gan")
        with contextlib.closing(kept):
            (name,) = config.arms()
            (task,) = experiment.tasks_of(job, kept).values()
            method = experiment.method_of(config, name, task.shape, task.spread)
            begun = experiment.begin(config, method)
            return experiment.train(config, kept, name, method, begun, task)[0]

    return run


@pytest.mark.parametrize("own", [None, "init", "noise", "order"])
def test_streams_are_seeded_apart(own, train):
    """Replicas that share the seeds of all three streams are one; of two, they differ."""
    shared = {f"{name}_seed": 5 for name in ("init", "noise", "order") if name != own}
    leaves = jax.tree.leaves(train(seeds=2, steps=2, **shared)["generator"])
    assert leaves
    alike = all((leaf[0] == leaf[1]).all() for leaf in leaves)
    assert alike == (own is None)


def test_unrolling_passes_the_moments_that_maxout_leaves_at_zero(train):
    """A loss that is not finite would end it; the last step's gradients show in what it left."""
    params = train(seeds=1, steps=3, variants={"unrolled": {"unroll": 1, "d_layer": "maxout"}})
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "way, rates",
    [
        ({}, {"learning_rate": 3e-3, "d_learning_rate": 1e-3}),
        ({"schedule": "cosine", "resample": 2}, {"learning_rate": 3e-3}),
        ({"method": "flow"}, {"learning_rate": 3e-3}),
    ],
)
def test_arms_that_differ_in_their_rates_are_one_program(way, rates):
    arms = {"a": way, "b": way | rates, "c": way | {"beta1": 0.3}}
    config = Config(**TINY, seeds=1, steps=100, variants=arms)

    def program(name):
        method = experiment.method_of(config, name, (2,))
        state = jax.eval_shape(method.state, jax.random.key(0))
        batch = {"real": np.zeros((4, 1, 2), np.float32), "index": np.arange(4)}
        batch |= {"weight": np.ones(4, np.float32)}
        alone = functools.partial(method.step, total=parallel.identity, gather=parallel.identity)
        return jax.jit(alone).lower(state, batch, jax.random.key(0)).as_text()

    a, b, c = map(program, arms)
    assert a == b != c
