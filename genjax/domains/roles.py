"""Which arms of a run bear which claim, and the values that are judged: one a seed. No jax."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from genjax.domains.arms import Facts, Figures, alike, along
from genjax.domains.config import NETWORK, Arm, Config
from genjax.domains.names import parent
from genjax.lm import transfer

# Two models count as equal in parameters within this factor.
EQUAL = 1.15
# Domains that a rank correlation takes: of four, one order in twelve is perfect by chance.
FEWEST = 5
# What two architectures must have been taught alike; each has a learning rate of its own.
SCHOOLING = ("domains", "mixture", "dro", "limit", "steps")
# Rates that a way of adapting is tried at, where fronts are compared.
RATES = 3


class Study(NamedTuple):
    """What the claims read: measures by arm, logged rows, facts of the data, arms, seeds."""

    found: dict[str, dict]
    rows: list[dict]
    facts: Facts
    baselines: dict[str, list]
    arms: dict[str, Arm]
    seeds: list[int]

    def of(self, arm: str, name: str) -> np.ndarray:
        """A measure of an arm, [seeds]; what is not finite is nan."""
        return np.asarray(self.found[arm][name], float)

    def row(self, name: str) -> np.ndarray:
        """A measure that no arm made, `unigram/unseen` say, [seeds]."""
        return np.asarray(self.baselines[name], float)

    @property
    def zero(self) -> np.ndarray:
        """Of each seed, to compare a difference with."""
        return np.zeros(len(self.seeds))

    def along(self, arm: str, name: str) -> np.ndarray:
        """A measure of an arm along training, [seeds, evaluations]."""
        return along(self.rows, arm, self.seeds, name)

    def end(self, arm: str, name: str) -> np.ndarray:
        """A measure of the watched windows at the last step, [seeds]."""
        return self.along(arm, name)[:, -1]

    def bases(self) -> list[str]:
        """Arms from scratch that leave a domain unseen."""
        return [a for a in self.arms if not self.arms[a].from_ and "unseen" in self.found[a]]

    def tuned(self) -> list[str]:
        """Arms that adapt another of this run, and had a domain to forget."""
        return [a for a in self.arms if parent(self.arms, a) and "forgetting" in self.found[a]]


def study_of(figures: Figures, config: Config) -> Study:
    """The study of a run's figures."""
    return Study(*figures, config.arms(), config.all_seeds)


def is_attention(arm: Arm) -> bool:
    """Whether every token sees all before it."""
    return arm.model == "transformer" and arm.attention in ("full", "flash")


def way(arm: Arm) -> tuple:
    """A way of adapting, whatever its rate and length."""
    rank = arm.lora_rank if arm.train == "lora" else 0
    return (arm.train, arm.replay, arm.ewc, arm.anchor, arm.average, rank)


PLAIN = way(Arm())


# --- Roles: {role: arm}, or None where a run cannot bear the claim -------------------------------


def exact(find: Callable) -> Callable:
    """A finder for claims whose controls ask for the optimum, which nobody knows of texts.

    There a seed redraws weights and not domains: a verdict would speak of one set of texts.
    """
    return lambda study: find(study) if "family/unseen" in study.baselines else None


def diversity(study: Study) -> dict | None:
    """Arms that differ in their domains alone: the fewest, and the most."""
    beside = {*study.facts.far, *study.facts.held_out}
    trained_on = study.facts.trained_on
    for group in alike(study.arms, "domains"):
        # All are measured on the same unseen domains.
        near = [a for a in group if a in study.bases() and not beside & {*trained_on[a]}]
        near.sort(key=lambda a: len(trained_on[a]))
        if near and len(trained_on[near[0]]) < len(trained_on[near[-1]]):
            return {"few": near[0], "many": near[-1]}
    return None


def rival(model: str):
    """Attention, and another network of its size that was taught alike; `window`: its own kind."""

    def roles(study: Study) -> dict | None:
        arms, sizes = study.arms, study.facts.sizes
        full = [a for a in study.bases() if is_attention(arms[a])]
        for own in full:
            for other in study.bases():
                arm = arms[other]
                kind = "window" if arm.model == "transformer" else arm.model
                both = [sizes[a]["parameters"] for a in (own, other)]
                if (
                    other not in full
                    and kind == model
                    and all(getattr(arm, key) == getattr(arms[own], key) for key in SCHOOLING)
                    and max(both) <= EQUAL * min(both)
                ):
                    return {"attention": own, "other": other}
        return None

    return roles


def shape(study: Study) -> dict | None:
    """The wide and the deep of one size."""
    arms, sizes = study.arms, study.facts.sizes
    for group in alike(arms, "width", "depth", "heads", "learning_rate"):
        for wide in group:
            for deep in group:
                both = [sizes[a]["parameters"] for a in (wide, deep)]
                if (
                    {wide, deep} <= {*study.bases()}
                    and arms[wide].depth < arms[deep].depth
                    and max(both) <= EQUAL * min(both)
                ):
                    return {"wide": wide, "deep": deep}
    return None


def adapted_shape(study: Study) -> dict | None:
    """The same two, and the first of what adapts both in one way."""
    found = shape(study)
    if not found:
        return None
    tuned = {
        name: study.arms[name]
        for name in study.tuned()
        if study.arms[name].from_ in found.values() and not study.arms[name].limit
    }
    for pair in alike(tuned, "from", *NETWORK):
        made = {study.arms[name].from_: name for name in pair}
        if len(pair) == len(made) == 2:
            return {"wide": made[found["wide"]], "deep": made[found["deep"]]}
    return None


def distance(study: Study) -> dict | None:
    """Arms that adapt one base to a domain each, in one way: {domain: arm}."""
    single = {
        name: study.arms[name]
        for name in study.tuned()
        if way(study.arms[name]) == PLAIN
        and len(study.facts.trained_on[name]) == 1
        and "overlap" in study.found[name]
        and not study.arms[name].limit
    }
    group = max(alike(single, "domains"), key=len, default=[])
    if len(group) < FEWEST:
        return None
    return {study.facts.trained_on[name][0]: name for name in group}


def overfitted(study: Study) -> dict | None:
    """What went over few tokens most often, and what adapts the same base to all there are."""
    arms = study.arms
    limited = [a for a in study.tuned() if arms[a].limit and way(arms[a]) == PLAIN]
    if not limited:
        return None
    over = max(limited, key=lambda a: arms[a].steps / arms[a].limit)
    fresh = [
        a
        for a in study.tuned()
        if way(arms[a]) == PLAIN
        and not arms[a].limit
        and (arms[a].from_, arms[a].domains) == (arms[over].from_, arms[over].domains)
    ]
    if not fresh or not study.along(over, "valid_new").size:
        return None
    fresh.sort(key=lambda a: arms[a].learning_rate)
    return {"over": over, "fresh": fresh[-1], "low": fresh[0]}


def shown(study: Study) -> dict | None:
    """Attention from scratch that saw most domains, and was shown examples."""
    full = [
        a
        for a in study.bases()
        if is_attention(study.arms[a])
        and "few_shot_strange" in study.found[a]
        and "cache/few_shot_gain" in study.baselines
    ]
    if not full:
        return None
    return {"arm": max(full, key=lambda a: len(study.facts.trained_on[a]))}


def rivals(arms: dict[str, Arm], found: dict, facts: Facts) -> list[str]:
    """The most arms that adapt one start to new domains, each in its way."""
    groups = {}
    for arm, row in found.items():
        if "forgetting" in row and not arms[arm].limit:
            # What replays old domains, or joins them, adapts to the same new ones.
            new = [d for d in facts.trained_on[arm] if d not in trained_on_start(arms, facts, arm)]
            groups.setdefault((parent(arms, arm), *new), []).append(arm)
    return max(groups.values(), key=len, default=[])


def trained_on_start(arms: dict[str, Arm], facts: Facts, arm: str) -> list[str]:
    """The domains of the arm that one starts from."""
    start = parent(arms, arm)
    return facts.trained_on[start] if start else []


def ways(study: Study) -> dict[tuple, list[str]]:
    """{way of adapting: arms by rate}, of one start to the same new domains."""
    found = {}
    for name in rivals(study.arms, study.found, study.facts):
        found.setdefault(way(study.arms[name]), []).append(name)
    return {
        key: sorted(group, key=lambda a: study.arms[a].learning_rate)
        for key, group in found.items()
    }


def replayed(study: Study) -> dict | None:
    """Finetuning at a high rate and a low one, with little replay at both, and with half of it."""
    found = ways(study)
    plain, replays = found.get(PLAIN, []), {}
    for key, group in found.items():
        if key[1] and key == way(Arm(replay=key[1], from_="x")):
            replays[key[1]] = group
    little = [group for share, group in replays.items() if share <= 0.05]
    joint = [group for share, group in replays.items() if share >= 0.5]
    if not little or not joint or not len(plain) == len(little[0]) > 1:
        return None
    return {
        "none": plain[-1],
        "low": plain[0],
        "little": little[0][-1],
        "little_low": little[0][0],
        "joint": joint[0][-1],
    }


def low_rank(rank: int):
    """Each way at the rate that the new domain's valid text prefers: all weights, and LoRA.

    low: all weights at the lowest rate.
    """

    def roles(study: Study) -> dict | None:
        found = ways(study)
        lora = way(Arm(train="lora", lora_rank=rank, from_="x"))
        if len(found.get(PLAIN, [])) < RATES or len(found.get(lora, [])) < RATES:
            return None
        best = [min(found[key], key=lambda a: study.of(a, "valid").mean()) for key in (PLAIN, lora)]
        return {"all": best[0], "lora": best[1], "low": found[PLAIN][0]}

    return roles


def fronts(**other):
    """The arms of plain finetuning, and of another way at as many rates: {role: names}."""

    def roles(study: Study) -> dict | None:
        found = ways(study)
        plain, rival = found.get(PLAIN, []), found.get(way(Arm(from_="x", **other)), [])
        return {"plain": plain, "other": rival} if len(plain) == len(rival) >= RATES else None

    return roles


# --- Values: one a seed --------------------------------------------------------------------------


def path(study: Study, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """(new domains' loss, forgetting) along adaptation, [seeds, 1 + evaluations].

    Of the test windows that are watched; the first is the arm that it starts from.
    """
    start, trained_on = parent(study.arms, arm), study.facts.trained_on
    assert start is not None  # Of adapted arms alone it is asked.
    before = [_before(study, start, name) for name in trained_on[arm]]
    new = np.column_stack([np.mean(before, 0), study.along(arm, "test_new")])
    old = study.along(arm, "test_old") - study.end(start, "test_new")[:, None]
    return new, np.column_stack([study.zero, old])


def _before(study, start, domain):
    """A new domain's loss before adaptation, on the windows that are watched where it was."""
    watched = study.along(start, f"test/{domain}")
    return watched[:, -1] if watched.size else study.of(start, f"loss/{domain}")


def reached(study: Study, arms: Sequence[str]) -> np.ndarray:
    """The least loss on the new domains that all of the arms come down to, [seeds]."""
    return np.max([path(study, arm)[0].min(1) for arm in arms], 0)


def forgetting_at(study: Study, arm: str, level: np.ndarray) -> np.ndarray:
    """Forgetting where the loss on the new domains first comes down to a level, [seeds], in bits.

    Between two evaluations by interpolation; infinite where it never does.
    """
    return np.array([_first(*rows) for rows in zip(*path(study, arm), level, strict=True)])


def _first(new, old, level):
    below = np.flatnonzero(new <= level)
    if not below.size:
        return np.inf
    i = below[0]
    if i == 0:
        return old[0]
    share = (new[i - 1] - level) / (new[i - 1] - new[i])
    return old[i - 1] + share * (old[i] - old[i - 1])


def volume(study: Study, arms: Sequence[str]) -> np.ndarray:
    """Area that arms dominate below (the start's loss, one bit of forgetting), [seeds].

    Every evaluation along adaptation is a point: each could have been the end.
    """
    paths = [path(study, arm) for arm in arms]
    return np.array(
        [
            transfer.hypervolume(
                np.concatenate([np.column_stack([new[i], old[i]]) for new, old in paths]),
                np.array([paths[0][0][i, 0], 1.0]),
            )
            for i in range(len(study.seeds))
        ]
    )


def room(study: Study, arm: str) -> np.ndarray:
    """The area of an adapted model that knows the new domains and forgot nothing, [seeds]."""
    new, _ = path(study, arm)
    return new[:, 0] - study.of(arm, "new_known_line")


def correlation(study: Study, arms: dict[str, str], shift: int = 0) -> np.ndarray:
    """Rank correlation over domains of the gain with the overlap, [seeds].

    shift: gains are given to other domains, so many places on.
    """
    names = list(arms.values())
    overlap = np.array([study.of(name, "overlap")[0] for name in names])
    gains = np.stack([study.of(name, "gain") for name in names], 1)
    return np.array([transfer.rank_correlation(overlap, np.roll(row, shift))[0] for row in gains])


def with_overlap(found: dict, arms: list[str], measure: str) -> tuple[float, float, float]:
    """Rank correlation of a measure's mean over seeds with the lexical overlap, over arms."""
    values = (np.array([found[arm][name] for arm in arms], float) for name in ("overlap", measure))
    return transfer.rank_correlation(*(value.mean(-1) for value in values))


def past(study: Study, arm: str, group: str) -> np.ndarray:
    """Test loss of `new` or `old` domains at the end less at the step that valid text chooses."""
    return study.end(arm, f"test_{group}") - study.of(arm, f"stopped_{group}")
