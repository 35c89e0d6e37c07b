"""What the nets of a GAN are made of: one value that says it all."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax.typing import DTypeLike


@dataclass(frozen=True)
class Architecture:
    """The nets of a GAN for samples of `shape`.

    pack: samples that the discriminator judges together (PacGAN, Lin et al. 2018).
    generators: a mixture of k generators that share all but their first layer (MGAN, Hoang et al.
        2018): the latent is followed by a one-hot code, and the first layer sees (code, code x
        latent), which is one dense layer a generator; so does the linear path of `g_skip`.
    reconstructor: a net from samples to latents whose codes the discriminator sees beside the
        samples (VEEGAN, Srivastava et al. 2017). mlp only.
    ratio: a net for `log_ratio`, the discriminator's but for packs, norms and batch features.
    arch: a key of networks.PAIRS. g_width, g_depth, g_layer, g_skip, d_width, d_depth, d_layer,
        d_fourier: of mlp alone. d_fraction: share of a convolutional discriminator's channels.
    g_norm, d_norm: batch norm; a convolutional generator always has it.
    d_fourier: finest wavelength of the discriminator's input waves, in the samples' unit; 0: none.
    init_std: of all kernels; 0 takes LeCun's 1/fan_in.
    spectral_norm: divides the discriminator's kernels (layers.spectral_normalize).
    minibatch: features of the batch, of networks_blocks.MINIBATCH.
    squash: "none", or "tanh" for images in [-1, 1].
    """

    shape: tuple[int, ...]
    latent: int
    pack: int = 1
    generators: int = 1
    reconstructor: bool = False
    ratio: bool = False
    arch: str = "mlp"
    g_width: int = 128
    g_depth: int = 2
    g_layer: str = "relu"
    g_skip: bool = False
    g_norm: bool = False
    d_width: int = 128
    d_depth: int = 2
    d_layer: str = "leaky_relu"
    d_norm: bool = False
    d_fraction: float = 1.0
    d_fourier: float = 0.0
    init_std: float = 0.0
    spectral_norm: bool = False
    minibatch: str = "none"
    squash: str = "none"
    dtype: DTypeLike = jnp.float32

    @property
    def codes(self) -> int:
        """Size of the one-hot code behind a latent: 0 for one generator."""
        return self.generators if self.generators > 1 else 0

    @property
    def outputs(self) -> int:
        """Of the discriminator: the logit and, for a mixture, the logits of who made a sample."""
        return 1 + self.codes
