"""Convolutional players: the sides of their maps."""

import jax
import jax.numpy as jnp
import pytest

from genjax.core import parallel
from genjax.gan.architecture import Architecture
from genjax.gan.networks_convolutional import ConvGenerator


@pytest.mark.parametrize(("arch", "sides"), [("dcgan", [2, 4, 7, 14]), ("metz", [4, 7, 14, 28])])
def test_sides_are_halves_of_the_next_rounded_up(arch, sides):
    net = ConvGenerator(Architecture(shape=(28, 28, 3), latent=16, arch=arch, init_std=0.02))

    def layers(key):
        return net.init_with_output(
            key, jnp.zeros((1, 2, 16)), parallel.identity, capture_intermediates=True, mutable=True
        )[1]["intermediates"]

    found = jax.eval_shape(layers, jax.random.key(0))
    norms = [found[f"BatchNorm_{i}"]["__call__"][0].shape for i in range(4)]
    assert [shape[2:4] for shape in norms] == [(side, side) for side in sides]
