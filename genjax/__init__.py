"""Four textbook statements about generative models, each as an experiment that measures it.

Five nouns: `params` (a pytree), `state` (step, params, opt_state), `batch` (a dict of arrays with
an `index` and a `weight`), `step` (a pure function), `run` (a folder). One contract:

    step(state, batch, key, *, total, gather) -> (state, metrics)

Read `experiments/vae.py`, then `genjax/steps.py`, then `genjax/losses.py`. This module imports
nothing.
"""
