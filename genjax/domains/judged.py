"""What the room's claims have in common: a sealed sentence, and how its values come from a run."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genjax.claims.sealed import Claim
from genjax.domains.roles import Study, forgetting_at, reached

# What nothing but the seed differs in.
AGAIN = "the same model of the next seed"
NOTHING = "doing nothing"
LOW = "a low rate without replay"
OPTIMUM = "`family`, the optimum of a reader who knows the grid"
TWENTIETH = "a twentieth of a bit a token is a hundredth of the loss"


def claim(id: str, statement: str, estimand: str, **more) -> Claim:
    common = {
        "unit": "bits",
        "direction": "greater",
        "threshold": 0.0,
        "margin": 0.05,
        "why": TWENTIETH,
        "replicate": "seed",
        "family": "domains",
        "version": 2,
        "date": "2026-11-23",
    }
    return Claim(id=id, statement=statement, estimand=estimand, **common | more)


class Judged(NamedTuple):
    """A claim, the arms that bear it, and how its values come from a run's figures.

    find: study -> {role: arm} or None. values, negative, positive: (study, roles) -> one value a
    seed; controls in the order of the claim's names.
    """

    claim: Claim
    find: Callable
    values: Callable
    negative: Callable
    positive: Callable


def forgets(study: Study, found: dict, *keys: str) -> list[np.ndarray]:
    """Forgetting of arms where all arms of the comparison have come down to one loss."""
    level = reached(study, list(found.values()))
    return [forgetting_at(study, found[key], level) for key in keys]


def nothing(study: Study) -> np.ndarray:
    """What an arm that never moves is ahead by: it never comes down to the loss of the others."""
    return study.zero - np.inf
