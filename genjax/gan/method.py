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
    passes: proposals that are made for a sample.
    note: what a reader must know of its figures; ''.
    discriminate: (params, samples [n, *shape]) -> logits [n]; see `game.method`. None: no game.
    landscape: (params, task, mixture) -> arrays of its picture; None: no game.
    more: other samplers with the same params, by what is added to the arm's name.
    """

    init: Callable
    state: Callable
    step: Callable
    latents: Callable
    latent: int
    generate: Callable
    sample: Callable
    passes: int = 1
    note: str = ""
    discriminate: Callable | None = None
    landscape: Callable | None = None
    more: "dict[str, Method]" = {}
