"""What an autoencoder is made of: one value that says it all."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax.typing import DTypeLike


@dataclass(frozen=True)
class Architecture:
    """An autoencoder for images of `image_shape`.

    family: `flat` (Kingma & Welling 2014; with `pseudo_inputs` Tomczak & Welling 2018's VampPrior),
        `hierarchical` (Burda et al. 2016, two stochastic layers in the paper) or `ladder`
        (Sonderby et al. 2016). Each layer above the first has half the latents and half the widths.
    layers: stochastic ones; a flat family has one.
    deterministic: a point for a posterior. pseudo_inputs: components of the prior. Both of `flat`.
    likelihood: `bernoulli` (a likelihood of binary images only; on grey levels a cross-entropy) or
        `gaussian` with mean sigmoid(logits) and one standard deviation for all pixels:
        `decoder_std`, or learned where it is None (Rybkin et al. 2021, sigma-VAE).
    spectral_norm: divides the decoder's kernels by their largest singular value (RAE-SN).
    """

    image_shape: tuple[int, int, int]
    latent: int
    layers: int = 1
    family: str = "flat"
    deterministic: bool = False
    pseudo_inputs: int = 0
    arch: str = "mlp"
    hidden: tuple[int, ...] = (200, 200)
    channels: int = 32
    activation: str = "relu"
    likelihood: str = "bernoulli"
    decoder_std: float | None = None
    spectral_norm: bool = False
    dtype: DTypeLike = jnp.float32

    @property
    def sizes(self) -> tuple[int, ...]:
        """Latents of each stochastic layer, lowest first."""
        return tuple(max(1, self.latent // 2**i) for i in range(self.layers))
