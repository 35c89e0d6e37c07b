"""The autoencoders by name: what each is made of, what it minimises, and its own options.

A new model is an entry in MODELS, with options of its own in ModelOptions; flags, help, the table
and the page take both from here. No jax: it is imported when a loss is built.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from genjax.core.config import STRONGEST, Options, Reader, option, when

if TYPE_CHECKING:
    from genjax.vae.config import Arm
    from genjax.vae.networks import Model


class Kind(NamedTuple):
    """A model: (arm, network, **weights) -> its loss, in nats an image (`objectives`).

    weights: arm -> the weights of its loss by their names in `objectives`. deterministic: a code is
    a point, not a distribution. network: arm -> the fields of Architecture in which it differs from
    a flat one, Kingma & Welling's. draws: arm -> latents drawn an image.
    """

    loss: "Callable[..., Callable]"
    weights: "Callable[[Arm], dict[str, float]]" = lambda arm: {}
    deterministic: bool = False
    network: "Callable[[Arm], dict[str, Any]]" = lambda arm: {}
    draws: "Callable[[Arm], int]" = lambda arm: 1 if arm.deterministic else arm.k


# Who reads the two numbers of draws.
WEIGHTED = Reader("--model=iwae or --bound=iwae", lambda arm: "iwae" in (arm.model, arm.bound))
DRAWN = Reader(
    "a model that draws codes and has no --iwae_k: vae, beta_vae, vamp, hvae, ladder",
    lambda arm: not (arm.deterministic or WEIGHTED.reads(arm)),
)


@dataclass(frozen=True)
class ModelOptions(Options):
    """The options of models, and who reads them."""

    readers: ClassVar[dict[str, Reader]] = {
        "layers": when(model=("hvae", "ladder")),
        "k": DRAWN,
        "iwae_k": WEIGHTED,
        "dreg": when(model=("iwae",)),
        "bound": when(model=("vamp", "hvae", "ladder")),
        "beta": when(model=("beta_vae",)),
        "free_bits": when(model=("ladder",)),
        "pseudo_inputs": when(model=("vamp",)),
        "corruption": when(model=("dae",)),
        "rae": when(model=("rae",)),
        "rae_latent": when(model=("rae",)),
        "rae_decoder": when(model=("rae",), rae=("l2", "gp")),
        "mmd_weight": when(model=("wae_mmd",)),
    }

    layers: int = option(
        2,
        "Stochastic layers of hvae and ladder, each half as wide.",
        group="Network",
        low=2,
        high=16,
        rare=True,
    )
    k: int = option(
        1, "Posterior draws an image; iwae: see --iwae_k.", group="Objective", low=1, high=10**5
    )
    iwae_k: int = option(10, "Importance samples of iwae.", group="Objective", low=1, high=10**5)
    dreg: bool = option(
        False, "iwae: the doubly reparameterised gradient.", group="Objective", rare=True
    )
    bound: str = option(
        "elbo",
        "What vamp, hvae and ladder train; iwae takes --iwae_k.",
        group="Objective",
        choices=("elbo", "iwae"),
        rare=True,
    )
    beta: float = option(
        4.0, "beta_vae: weight of the rate.", group="Objective", low=0, high=STRONGEST
    )
    free_bits: float = option(
        0.5, "ladder: nats a layer.", group="Objective", low=0, high=1e6, rare=True
    )
    pseudo_inputs: int = option(
        50, "vamp: components.", group="Objective", low=1, high=10**5, rare=True
    )
    corruption: float = option(
        0.2,
        "dae: standard deviation of the input noise, in grey levels.",
        group="Objective",
        low=0,
        high=1e3,
        rare=True,
    )
    rae: str = option(
        "l2",
        "rae: what holds the decoder smooth: its weights' norm, its gradient's penalty, or "
        "spectral norm.",
        group="Objective",
        choices=("l2", "gp", "sn"),
        rare=True,
    )
    rae_latent: float = option(
        0.05, "rae: weight of |z|^2 / 2.", group="Objective", low=0, high=STRONGEST, rare=True
    )
    rae_decoder: float = option(
        1e-3, "rae: weight of l2 or gp.", group="Objective", low=0, high=STRONGEST, rare=True
    )
    mmd_weight: float = option(
        100.0, "wae_mmd: weight of the MMD.", group="Objective", low=0, high=STRONGEST, rare=True
    )


def weights(arm: "Arm") -> dict[str, float]:
    """The weights of an arm's loss."""
    return MODELS[arm.model].weights(arm)


def loss(arm: "Arm", model: "Model") -> Callable:
    """What an arm's network minimises, as `objectives` says."""
    return MODELS[arm.model].loss(arm, model, **weights(arm))


def _reconstruction(arm: "Arm", model: "Model", **weights) -> Callable:
    from genjax.vae import objectives

    return objectives.reconstruction_loss(model, **weights)


def _rae(arm: "Arm") -> dict[str, float]:
    smooth = {
        "l2": {"decoder_l2": arm.rae_decoder},
        "gp": {"decoder_gradient": arm.rae_decoder},
        "sn": {},  # In the network.
    }[arm.rae]
    return {"latent_weight": arm.rae_latent} | smooth


def _draws(arm: "Arm") -> int:
    return arm.iwae_k if arm.bound == "iwae" else arm.k


def _elbo(arm: "Arm", model: "Model", **weights) -> Callable:
    from genjax.vae import objectives

    return objectives.elbo_loss(model, k=arm.k, **weights)


def _iwae(arm: "Arm", model: "Model") -> Callable:
    from genjax.vae import objectives

    bound = objectives.dreg_loss if arm.dreg else objectives.iwae_loss
    return bound(model, k=arm.iwae_k)


def _bound(arm: "Arm", model: "Model", **weights) -> Callable:
    """The bound that --bound names; DReG is for one layer with the prior N(0, I) alone."""
    from genjax.vae import objectives

    if arm.bound == "iwae":
        return objectives.iwae_loss(model, k=arm.iwae_k)
    return _elbo(arm, model, **weights)


MODELS = {
    "ae": Kind(_reconstruction, deterministic=True),
    # Vincent et al. 2008.
    "dae": Kind(_reconstruction, lambda arm: {"corruption": arm.corruption}, deterministic=True),
    # Ghosh et al. 2020.
    "rae": Kind(
        _reconstruction,
        _rae,
        deterministic=True,
        network=lambda arm: {"spectral_norm": arm.rae == "sn"},
    ),
    # Kingma & Welling 2014.
    "vae": Kind(_elbo),
    # Higgins et al. 2017.
    "beta_vae": Kind(_elbo, lambda arm: {"beta": arm.beta}),
    # Burda et al. 2016.
    "iwae": Kind(_iwae, draws=lambda arm: arm.iwae_k),
    # Tolstikhin et al. 2018.
    "wae_mmd": Kind(
        _reconstruction, lambda arm: {"mmd_weight": arm.mmd_weight}, deterministic=True
    ),
    # Tomczak & Welling 2018.
    "vamp": Kind(_bound, network=lambda arm: {"pseudo_inputs": arm.pseudo_inputs}, draws=_draws),
    # Burda et al. 2016, several stochastic layers.
    "hvae": Kind(
        _bound,
        network=lambda arm: {"family": "hierarchical", "layers": arm.layers},
        draws=_draws,
    ),
    # Sonderby et al. 2016.
    "ladder": Kind(
        _bound,
        # Of --bound=elbo.
        lambda arm: {"free_bits": arm.free_bits} if arm.bound == "elbo" else {},
        network=lambda arm: {"family": "ladder", "layers": arm.layers},
        draws=_draws,
    ),
}
