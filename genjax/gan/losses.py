"""Adversarial losses of paired logits, elementwise; in nats where they are logistic.

The configuration takes their names from here, and needs no jax: it is imported when a loss is
computed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jax import Array


class Loss(NamedTuple):
    """The losses of both players, functions of the logits (real, fake), elementwise.

    relativistic: the generator's loss reads the logit of real too, so that the step hands it pairs.
    monotone: the slope of the discriminator's loss by the logit of fake is above 0 everywhere, so
        that one way back through the discriminator may serve both players. False is never wrong,
        only slower.
    lipschitz: without a bound on the discriminator's slopes the loss has none either.
    """

    discriminator: "Callable[[Array, Array], Array]"
    generator: "Callable[[Array, Array], Array]"
    relativistic: bool = False
    monotone: bool = False
    lipschitz: bool = False

    @property
    def shift_invariant(self) -> bool:
        """Whether one number added to all logits changes no gradient: their zero says nothing."""
        return self.relativistic or self.lipschitz


def _softplus(x: "Array") -> "Array":
    import jax

    return jax.nn.softplus(x)


def _relu(x: "Array") -> "Array":
    import jax

    return jax.nn.relu(x)


def _bce(real: "Array", fake: "Array") -> "Array":
    """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1), of logits."""
    return _softplus(-real) + _softplus(fake)


# A new loss is an entry here, and its formula in tests/gan/test_losses.py.
ADVERSARIAL: dict[str, Loss] = {
    # Goodfellow et al. 2014, section 3: -log D(G(z)) in place of log(1 - D(G(z))).
    "ns": Loss(_bce, lambda real, fake: _softplus(-fake), monotone=True),
    "minimax": Loss(_bce, lambda real, fake: -_softplus(fake), monotone=True),
    # Mao et al. 2017, eq. 9.
    "lsgan": Loss(
        lambda real, fake: 0.5 * (real - 1) ** 2 + 0.5 * fake**2,
        lambda real, fake: 0.5 * (fake - 1) ** 2,
    ),
    # Lim & Ye 2017; Miyato et al. 2018, eq. 16 and 17.
    "hinge": Loss(
        lambda real, fake: _relu(1 - real) + _relu(1 + fake),
        lambda real, fake: -fake,
    ),
    # Arjovsky et al. 2017, eq. 2.
    "wgan": Loss(lambda real, fake: fake - real, lambda real, fake: -fake, lipschitz=True),
    # Jolicoeur-Martineau 2019; pairs of logits, the generator's non-saturating (R3GAN's code).
    "rpgan": Loss(
        lambda real, fake: _softplus(fake - real),
        lambda real, fake: _softplus(real - fake),
        relativistic=True,
        monotone=True,
    ),
}
