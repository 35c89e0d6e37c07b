"""Arms beside each other: which start from which, which differ in one thing, what that cost."""

from typing import NamedTuple

import numpy as np

from genjax.domains.config import Arm


class Facts(NamedTuple):
    """What claims, notes and figures need of the data and the networks: data.json.

    names, held_out, far, unit: as in data.Source. exact: whether the optimum is known. vocabulary,
    length: tokens there are, and of a window. tokens: how a text becomes tokens, `numbers`, `bytes`
    or `bpe`. trained_on, trained_before: {arm: domains}. sizes: {arm: {"parameters", "flops" of a
    token's training step}}. overlaps: {arm: lexical overlap of the one domain that it leaves out}.
    """

    names: list[str]
    held_out: list[str]
    far: list[str]
    unit: str
    exact: bool
    vocabulary: int
    length: int
    tokens: str
    trained_on: dict[str, list[str]]
    trained_before: dict[str, list[str]]
    sizes: dict[str, dict[str, float]]
    overlaps: dict[str, float]


class Figures(NamedTuple):
    """What is judged: {arm: {measure: [seeds]}}, the rows of metrics.jsonl, and the facts.

    baselines: {row/measure: [seeds]} of what no arm made.
    """

    found: dict[str, dict]
    rows: list[dict]
    facts: Facts
    baselines: dict[str, list]


def facts_of(content: dict) -> Facts:
    """The facts that data.json holds."""
    return Facts(*(content[name] for name in Facts._fields))


def alike(arms: dict[str, Arm], *but: str) -> list[list[str]]:
    """The arms in groups that agree in all options but those."""
    groups = {}
    for name, arm in arms.items():
        key = tuple(value for option, value in arm.values().items() if option not in but)
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def preferred(arms: dict[str, Arm], score: dict, by: str, *but: str) -> list[list[str]]:
    """Groups of arms alike in all but `by` and `but`, in the order of `by`.

    Of arms that share its value too, the one of the least score.
    """
    made = []
    for group in alike(arms, by, *but):
        best = {getattr(arms[a], by): a for a in sorted(group, key=lambda a: -score[a])}
        made.append([best[value] for value in sorted(best)])
    return made


def compared(arms: dict[str, Arm], trained_on: dict) -> dict[str, dict[str, list]]:
    """What each arm from scratch lacks, beside arms that differ from it in domains alone.

    {arm: {"gap": [(domain, the arm of the fewest further domains that has it)], "specialist_gap":
    [(domain, an arm of that domain alone)]}}.
    """
    scratch = {name: arm for name, arm in arms.items() if not arm.from_}
    peers = {name: group for group in alike(scratch, "domains") for name in group}
    made = {}
    for name in scratch:
        own = set(trained_on[name])
        others = {other: set(trained_on[other]) for other in peers[name] if other != name}
        wider = [other for other in others if others[other] > own]
        more = min(wider, key=lambda other: len(others[other]), default="")
        made[name] = {
            "gap": [(domain, more) for domain in sorted(others.get(more, own) - own)],
            "specialist_gap": [
                (*domains, other)
                for other, domains in others.items()
                if len(domains) == 1 and not domains <= own
            ],
        }
    return made


def along(rows: list[dict], arm: str, seeds: list[int], name: str) -> np.ndarray:
    """A measure of an arm along training, [seeds, evaluations]; [seeds, 0] where it has none."""
    found = {seed: [] for seed in seeds}
    for row in sorted((r for r in rows if r["arm"] == arm and name in r), key=lambda r: r["step"]):
        found[row["seed"]].append(row[name])
    return np.array([found[seed] for seed in seeds], float)


def stopped(rows: list[dict], arm: str, seeds: list[int]) -> dict[str, list[float]]:
    """Each seed where its valid text of what it trains on is lowest: early stopping.

    stopped_at: the step. stopped_new, stopped_old, stopped_unseen: the watched test windows' loss
    there, of what it trains on, trained on before, and never did. {} without evaluations.
    """
    valid = along(rows, arm, seeds, "valid_new")
    if not valid.size:
        return {}
    best, each = valid.argmin(1), np.arange(len(seeds))
    steps = sorted({row["step"] for row in rows if row["arm"] == arm and "valid_new" in row})
    made = {"stopped_at": [float(steps[i]) for i in best]}
    for group in ("new", "old", "unseen"):
        curve = along(rows, arm, seeds, f"test_{group}")
        if curve.size:
            made[f"stopped_{group}"] = curve[each, best].tolist()
    return made


def gaps(arms: dict[str, Arm], figures: Figures) -> dict[str, dict]:
    """What it costs not to have seen a domain, at equal tokens (Gulrajani & Lopez-Paz 2021).

    Of arms from scratch that differ in their domains alone. gap, worst_gap: L(D - d -> d) -
    L(D -> d) for the fewest further domains d that another arm was trained on, mean and most.
    specialist_gap: L(D - d -> d) - L({d} -> d), mean over the d that an arm alone is trained
    on. overlap: of the one domain left out, where it is one. {arm: {measure: [seeds]}}, in bits a
    unit.
    """
    found, made = figures.found, {}
    for name, pairs in compared(arms, figures.facts.trained_on).items():
        row = {}
        for measure, cases in pairs.items():
            if not cases:
                continue
            lost = [
                np.subtract(
                    np.array(found[name][f"loss/{domain}"], float),
                    np.array(found[other][f"loss/{domain}"], float),
                )
                for domain, other in cases
            ]
            row[measure] = np.mean(lost, 0).tolist()
            if measure == "gap":
                row["worst_gap"] = np.max(lost, 0).tolist()
                if name in figures.facts.overlaps:
                    row["overlap"] = [figures.facts.overlaps[name]] * len(lost[0])
        made[name] = row
    return made


def selections(arms: dict[str, Arm], figures: Figures) -> list[tuple[list[str], str, str]]:
    """(arms to choose from, the one to take, the oracle's), seeds averaged.

    Of one start, the same domains and as many steps. Training-domain validation, and test-domain
    validation beside it, which is no valid choice (Gulrajani & Lopez-Paz 2021, section 3): the
    losses on `valid` and on `unseen`.
    """

    def least(group: dict[str, list], part: int) -> str:
        return min(group, key=lambda name: group[name][part])

    groups = {}
    for name, row in figures.found.items():
        arm = arms[name]
        losses = [np.array(row.get(part, np.nan), float).mean() for part in ("valid", "unseen")]
        if np.isfinite(losses).all() and not arm.limit and not arm.dro:
            key = (arm.from_, arm.steps, *sorted(figures.facts.trained_on[name]))
            groups.setdefault(key, {})[name] = losses
    many = (group for group in groups.values() if len(group) > 1)
    return [(list(group), least(group, 0), least(group, 1)) for group in many]
