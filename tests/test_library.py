"""All experiments from Python, in one process, twice; no command line is read."""

import shutil

import jax
import numpy as np
import pytest
from absl import flags

import genjax
from genjax.export import Exported, export

SMALL = {"steps": 4, "seeds": 2, "batch_size": 8}


def configurations():
    """{room: the least that runs it whole}."""
    return {
        "vae": genjax.vae.Config(
            hidden=(8,), latent=2, classifier_steps=4, nll_samples=4, samplers=("normal",), **SMALL
        ),
        "gan": genjax.gan.Config(
            g_width=8, d_width=8, points=200, eval_samples=100, evaluations=1, **SMALL
        ),
        "scaling": genjax.scaling.Config(
            variants=("flash",), lengths=(32, 64), heads=1, head_dim=16, rounds=2, seconds=0.001,
            processes=1, widths=(16,), tasks=("recall",), task_lengths=(32,),
            recall_pairs=4, width=16, task_heads=1, **SMALL,
        ),
        "domains": genjax.domains.Config(
            grid=2, width=16, depth=1, context=16, pool=16, documents=2, shots=(), evaluations=1,
            **SMALL,
        ),
    }  # fmt: skip


def assert_exported(run, folder):
    """A model that was exported is the run's, bit for bit; the last seed's is no other's."""
    arm = list(run.config.arms())[-1]
    known = run.model(arm, seed=1)
    export(run, folder, arm, seed=1)
    away = shutil.move(run.folder, run.folder.with_suffix(".away"))  # Loading needs no run.
    found = genjax.load(folder)
    shutil.move(away, run.folder)
    leaves, tree = jax.tree.flatten(known.params)
    again, same = jax.tree.flatten(found.params)
    assert tree == same and known.step == found.step
    for left, right in zip(leaves, again, strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    other = jax.tree.leaves(run.model(arm, seed=0).params)
    assert any((a != b).any() for a, b in zip(leaves, other, strict=True))
    experiment, key = Exported(folder).experiment, jax.random.key(0)
    if experiment.samples:
        made = [experiment.samples(model, key, 5) for model in (known, found)]
        np.testing.assert_array_equal(*made)
        assert len(made[0]) == 5 and made[0].ndim in (2, 4)
    if experiment.texts:
        made = [experiment.texts(model, key, 3, "5 7", 4) for model in (known, found)]
        assert made[0] == made[1] and len(made[0]) == 3
        assert all(text.split()[:2] == ["5", "7"] for text in made[0])


@pytest.mark.parametrize("room", ["vae", "gan", "scaling", "domains"])
def test_every_experiment_runs_from_python_twice_in_one_process(room, tmp_path):
    config = configurations()[room]
    module = getattr(genjax, room)
    runs = [
        module.run(asked, tmp_path / str(number), compile_cache=str(tmp_path / "cache"))
        for number, asked in enumerate((config, config.replace(seed=5)))
    ]
    assert not flags.FLAGS.is_parsed()
    for run, seed in zip(runs, (0, 5), strict=True):
        opened = genjax.open(run.folder)
        assert opened.config.seed == seed and opened.summary["seeds"] == [seed, seed + 1]
        assert opened.judge() == opened.claims and opened.figures()
        assert {row["seed"] for row in opened.metrics if "seed" in row} >= {seed, seed + 1}
    models = [run.model() for run in runs]
    assert_exported(runs[0], tmp_path / "exported")
    leaves = [jax.tree.leaves(model.params) for model in models]
    assert [x.shape for x in leaves[0]] == [x.shape for x in leaves[1]]
    assert any(not np.allclose(a, b) for a, b in zip(*leaves, strict=True))
