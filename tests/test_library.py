"""All experiments from Python, in one process, twice; no command line is read."""

import jax
import numpy as np
import pytest
from absl import flags

import genjax

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


@pytest.mark.parametrize("room", ["vae", "gan", "scaling", "domains"])
def test_every_experiment_runs_from_python_twice_in_one_process(room, tmp_path):
    config = configurations()[room]
    module = getattr(genjax, room)
    runs = [
        module.run(asked, tmp_path / str(number), compile_cache="off")
        for number, asked in enumerate((config, config.replace(seed=5)))
    ]
    assert not flags.FLAGS.is_parsed()
    for run, seed in zip(runs, (0, 5), strict=True):
        opened = genjax.open(run.folder)
        assert opened.config.seed == seed and opened.summary["seeds"] == [seed, seed + 1]
        assert opened.judge() == opened.claims and opened.figures()
        assert {row["seed"] for row in opened.metrics if "seed" in row} >= {seed, seed + 1}
    models = [run.model() for run in runs]
    leaves = [jax.tree.leaves(model.params) for model in models]
    assert [x.shape for x in leaves[0]] == [x.shape for x in leaves[1]]
    assert any(not np.allclose(a, b) for a, b in zip(*leaves, strict=True))
