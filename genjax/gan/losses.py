"""Adversarial losses of paired logits, elementwise; in nats where they are logistic."""

import jax
from jax import Array


def _bce(real: Array, fake: Array) -> Array:
    """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1), of logits."""
    return jax.nn.softplus(-real) + jax.nn.softplus(fake)


# Each pair: the discriminator's loss and the generator's, functions of (real, fake), elementwise.
ADVERSARIAL = {
    # Goodfellow et al. 2014, section 3: -log D(G(z)) in place of log(1 - D(G(z))).
    "ns": (_bce, lambda real, fake: jax.nn.softplus(-fake)),
    "minimax": (_bce, lambda real, fake: -jax.nn.softplus(fake)),
    # Mao et al. 2017, eq. 9.
    "lsgan": (
        lambda real, fake: 0.5 * (real - 1) ** 2 + 0.5 * fake**2,
        lambda real, fake: 0.5 * (fake - 1) ** 2,
    ),
    # Lim & Ye 2017; Miyato et al. 2018, eq. 16 and 17.
    "hinge": (
        lambda real, fake: jax.nn.relu(1 - real) + jax.nn.relu(1 + fake),
        lambda real, fake: -fake,
    ),
    # Arjovsky et al. 2017, eq. 2.
    "wgan": (lambda real, fake: fake - real, lambda real, fake: -fake),
    # Jolicoeur-Martineau 2019; pairs of logits, the generator's non-saturating (R3GAN's code).
    "rpgan": (
        lambda real, fake: jax.nn.softplus(fake - real),
        lambda real, fake: jax.nn.softplus(real - fake),
    ),
}
