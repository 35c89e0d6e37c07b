"""What belongs to a way of training a sampler: one value, made once from a recipe."""

from collections.abc import Callable
from typing import NamedTuple


class Method(NamedTuple):
    """A way to train a sampler, and to use it.

    init: key -> params. state: key -> the state before the first step. step: of the contract.
    latents: (key, index [b]) -> [b, n], the noise of samples, N(0, I) in its first `latent`
        entries; a sample's own, whatever stands beside it.
    generate: (params, latents [b, n]) -> samples [b, *shape].
    sample: (params, key, index [b]) -> samples [b, *shape], as they are measured.
    discriminate: (params, samples [n, *shape]) -> logits [n]; see `game.method`.
    landscape: (params, task, mixture) -> arrays of its picture.
    passes: of the generator a sample.
    """

    init: Callable
    state: Callable
    step: Callable
    latents: Callable
    latent: int
    generate: Callable
    sample: Callable
    discriminate: Callable
    landscape: Callable
    passes: int
