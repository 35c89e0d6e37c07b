"""What is measured, in numbers: the same for our rows and the peers'. No jax, no torch."""

from typing import NamedTuple


class Roofs(NamedTuple):
    """What stands for the machine: a square product, and bytes of arrays that are copied."""

    square: int = 1024
    memory: int = 2**28
    cache: int = 2**19


class Net(NamedTuple):
    """An autoencoder of one hidden width after the other, and the images it trains on."""

    side: int
    hidden: tuple[int, ...]
    latent: int
    images: int
    batch: int = 128

    @property
    def pixels(self) -> int:
        """Of a square image."""
        return self.side**2

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each dense layer; the encoder ends in mean and variance."""
        there = (self.pixels, *self.hidden, 2 * self.latent)
        back = (self.latent, *self.hidden[::-1], self.pixels)
        return [pair for way in (there, back) for pair in zip(way[:-1], way[1:], strict=True)]


class Autoencoders(NamedTuple):
    """net: 784-400-20. small: the net of the main VAE run. seeds: at once, or in turn.

    nll_images, nll_samples: of a call of the likelihood, and of its bound.
    """

    net: Net = Net(28, (400,), 20, 60_000)
    small: Net = Net(8, (128, 128), 8, 1150)
    seeds: int = 10
    nll_images: int = 50
    nll_samples: int = 5000
    roofs: Roofs = Roofs()


class Game(NamedTuple):
    """PacGAN's 2-D protocol: G's four layers, D's three of maxout units in five pieces, packs.

    steps: inside a call. seeds: at once.
    """

    g_width: int = 400
    g_depth: int = 4
    d_width: int = 200
    d_depth: int = 3
    pieces: int = 5
    packs: int = 100
    points: int = 100_000
    steps: int = 20
    seeds: int = 20
    roofs: Roofs = Roofs()


class Decoder(NamedTuple):
    """A small decoder of bytes. steps: inside a call."""

    width: int = 128
    depth: int = 4
    heads: int = 4
    batch: int = 16
    vocabulary: int = 257
    steps: int = 2
    roofs: Roofs = Roofs()


class Heads(NamedTuple):
    """Of attention, batch 1."""

    heads: int = 4
    dim: int = 64
    roofs: Roofs = Roofs()

    @property
    def width(self) -> int:
        """Of all heads."""
        return self.heads * self.dim
