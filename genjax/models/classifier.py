"""A small convolutional classifier whose penultimate layer is the feature space of the measures."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from genjax.models.layers import PixelEncoder, dense

FEATURES = 64


class _Classifier(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images):
        features = PixelEncoder("conv", (FEATURES,), 32, "relu", jnp.float32)(images)
        return dense(self.classes, jnp.float32)(features), features


def build(classes: int) -> tuple[Callable, Callable]:
    """(init, apply): apply(params, images [b, h, w, c]) -> (logits [b, classes], features [b, 64]).

    The features stand in for Inception's in Frechet and kernel distances on small images.
    """
    module = _Classifier(classes)
    return (
        lambda key, images: module.init(key, images)["params"],
        lambda params, images: module.apply({"params": params}, images),
    )
