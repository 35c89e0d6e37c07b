"""Training alone: what seeds the streams, and that an odd recipe passes. Nothing is measured."""

import contextlib

import jax
import numpy as np
import pytest

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
