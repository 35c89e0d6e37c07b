"""A trained GAN or flow, used: sample, generate, discriminate."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from genjax.gan import evaluate

# Samples by default: of images, and of points.
IMAGES, POINTS = 64, 1000


class Sampler(NamedTuple):
    """A trained arm as plain functions; samples are [n, *shape], points or images in [-1, 1].

    sample: (key, n) -> samples, NumPy, as they are measured: where one is chosen of several
    proposals, it is. generate: latents [n, latent (+ a one-hot component)] -> samples, one each.
    discriminate: samples -> logits [n], each sample in a pack with the `pack` - 1 that follow it,
    around the end; where a logit depends on the batch, the samples are the batch. The zero of a
    loss of differences alone (rpgan, wgan) says nothing. None of a flow, whose latents are noise
    [n, values of a sample]. points: whether samples are points.
    """

    params: dict
    step: int
    sample: Callable
    generate: Callable
    discriminate: Callable | None
    points: bool


def model(run, arm: str, step: int, params: dict) -> Sampler:
    """The functions of an arm with parameters of a step."""
    from genjax.gan.experiment import method_of

    facts = run.facts()
    method = method_of(run.config, arm, tuple(facts["shape"]), facts["spread"])
    generate = jax.jit(method.generate)
    judge = jax.jit(method.discriminate) if method.discriminate else None
    return Sampler(
        params,
        step,
        sample=lambda key, n: evaluate.sampler(method, n, key)(params),
        generate=lambda latents: generate(params, latents),
        discriminate=(lambda samples: judge(params, samples)) if judge else None,
        points=len(facts["shape"]) == 1,
    )


def samples(model: Sampler, key, n: int | None) -> np.ndarray:
    """Points [n, d], by default 1,000, or images [n, h, w, c] in [0, 1], by default 64."""
    made = model.sample(key, n or (POINTS if model.points else IMAGES))
    return made if model.points else (made + 1) / 2
