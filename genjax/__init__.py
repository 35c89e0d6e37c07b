"""Four textbook statements about generative models, each as an experiment that measures it.

Four rooms hold a question each: `vae`, `gan`, `scaling` (the cost of attention) and `domains`
(generalization of language models). Libraries serve them: `attention`, `lm`, `data`, `images`.
Below these lie `claims`, `report` and `core`. Imports point down, and a room never imports another.

One contract holds all training together, a pure function of `state` (step, params, opt_state), a
`batch` (a dict of arrays, one row an example) and a key:

    step(state, batch, key, *, total, gather) -> (state, metrics)

Start with `experiments/vae.py`, then `genjax/vae/objectives.py`. This module imports nothing.
"""
