"""What a claim of the GAN experiment is judged by: a run's figures, by the roles that arms play."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from genjax.claims.sealed import Claim

# What nothing but the seed differs in.
AGAIN = "the same GAN of the next seed"
TRUTH, LOST = "perfect samples", "perfect samples without a quarter of the modes"
THIN, BLURRED = "perfect samples, modes 0.6 as wide", "perfect samples, blurred"
NOISE = "uniform noise"
NOISED = "the GAN, every second sample replaced by uniform noise"
# Of a GAN that learnt something, precision before training as a share of that after is less.
ALIKE = 0.95
LEARNED = "its precision before training, against that after"
REACHED = "share of the modes that perfect samples reach"
HELD = "share of the modes that perfect samples hold"
SAMPLES = "share of samples"


def claim(id: str, statement: str, estimand: str, **more) -> Claim:
    """A claim, of the family about the GAN without remedies unless said otherwise."""
    common = {
        "threshold": 0.0,
        "replicate": "seed",
        "family": "collapse",
        "version": 2,
        "date": "2026-11-23",
    }
    return Claim(id=id, statement=statement, estimand=estimand, **common | more)


class Judged(NamedTuple):
    """A claim, and how its values come from a run's figures.

    values, negative, positive: functions of `Figures` to one value a seed; controls in the order of
    the claim's names. needs: rows, by role, and measures of each, without which it is not judged.
    least_steps: of a run long enough to be asked.
    """

    claim: Claim
    values: Callable
    negative: Callable
    positive: Callable
    needs: dict[str, tuple[str, ...]]
    least_steps: int = 0


def holds_every_mode(
    id: str, who: str, role: str, *, family: str, negative: dict[str, str], how: str = ""
) -> Judged:
    """The claim that a role's samples hold every mode; `modes` counts single ones, which noise has.

    who, how: of the sentence. negative: {control: the row that it is of}.
    """
    name, rest = role[0], role[1:]
    rows = [*negative.values()]
    return Judged(
        claim(
            id,
            f"On {{data}}, after {{steps}} steps, {who} holds every mode, each with a quarter of "
            f"its share or more{how}",
            f"held({{{name}}}{rest}) / held(truth)",
            unit=HELD,
            direction="greater",
            threshold=0.99,
            margin=0.005,
            why="one of eight modes at one evaluation in twenty-five",
            family=family,
            negative=(*negative,),
            positive=(TRUTH,),
            version=3,
            date="2026-11-25",
        ),
        lambda f: f.reach(role, "held"),
        lambda f: [f.reach(row, "held") for row in rows],
        lambda f: [f.reach("truth", "held")],
        {row: ("held",) for row in (role, *rows)},
    )


class Figures:
    """A run's figures by role: of(role, measure) -> [seeds].

    Roles are `v`, `p`, `s`, `f` (`roles`), with what a row's name adds to an arm's, such as
    `v@early`, and the rows without training, whose draws stand for the seeds.
    """

    def __init__(self, found: dict, names: dict[str, str | None], seeds: int):
        self._found, self._names, self._seeds = found, names, seeds

    def _path(self, role: str, measure: str) -> str:
        name, at, suffix = role.partition("@")
        return f"{self._names.get(name, name)}{at}{suffix}/{measure}"

    def has(self, role: str, measures: Iterable[str]) -> bool:
        """Whether each measure of a role is there."""
        return all(self._path(role, measure) in self._found for measure in measures)

    def of(self, role: str, measure: str) -> np.ndarray:
        """A measure over seeds."""
        values = np.asarray(self._found[self._path(role, measure)], float)
        return np.resize(values, self._seeds)

    def reach(self, role: str, measure: str = "modes") -> np.ndarray:
        """Modes reached, or `held`, as a share of those of perfect samples."""
        return self.of(role, measure) / np.mean(self._found[f"truth/{measure}"])

    def unlearned(self, role: str) -> np.ndarray:
        """Precision before training, as a share of that after; 1 where there is none after."""
        before, after = self.of(f"{role}@untrained", "precision"), self.of(role, "precision")
        return np.divide(before, after, out=np.ones_like(before), where=after > 0)

    def lack(self, role: str, measure: str) -> np.ndarray:
        """What a measure is below that of perfect samples, on average."""
        return np.mean(self._found[f"truth/{measure}"]) - self.of(role, measure)

    def uneven(self, role: str) -> np.ndarray:
        """KL of the modes' shares in nats, above that of perfect samples, on average."""
        measure = "reverse_kl_hq" if "truth/reverse_kl_hq" in self._found else "kl"
        return -self.lack(role, measure)

    def later(self, role: str) -> np.ndarray:
        """What mode TV falls by, by a role in the place of `v`: in the final window, less early."""
        at_end = self.of("v", "mode_tv") - self.of(role, "mode_tv")
        return at_end - (self.of("v@early", "mode_tv") - self.of(f"{role}@early", "mode_tv"))
