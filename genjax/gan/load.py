"""A trained GAN or flow, used: sample, generate, discriminate."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.core.checkpoints import last_params
from genjax.core.errors import UsageError
from genjax.gan import evaluate


class Sampler(NamedTuple):
    """A trained arm as plain functions; samples are [n, *shape], points or images in [-1, 1].

    sample: (key, n) -> samples, NumPy, as they are measured: where one is chosen of several
    proposals, it is. generate: latents [n, latent (+ a one-hot component)] -> samples, one each.
    discriminate: samples -> logits [n], each sample in a pack with the `pack` - 1 that follow it,
    around the end; where a logit depends on the batch, the samples are the batch. The zero of a
    loss of differences alone (rpgan, wgan) says nothing. None of a flow, whose latents are noise
    [n, values of a sample].
    """

    params: dict
    step: int
    sample: Callable
    generate: Callable
    discriminate: Callable | None


def model(run, arm: str, seed: int) -> Sampler:
    """The sampler of an arm and seed at its last checkpoint; UsageError where there is none."""
    from genjax.gan.experiment import method_of

    config, facts = run.config, run.facts()
    method = method_of(config, arm, tuple(facts["shape"]), facts["spread"])
    step, all_params = last_params(run.folder / "checkpoints" / arm)
    if all_params is None:
        raise UsageError(f"{run.folder}: no checkpoint of arm {arm} yet")
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf[config.all_seeds.index(seed)]), all_params)
    generate = jax.jit(method.generate)
    judge = jax.jit(method.discriminate) if method.discriminate else None
    return Sampler(
        params,
        step,
        sample=lambda key, n: evaluate.sampler(method, n, key)(params),
        generate=lambda latents: generate(params, latents),
        discriminate=(lambda samples: judge(params, samples)) if judge else None,
    )
