"""The claims of the domains experiment, D1 to D9, and their thresholds: fixed before any run."""

import math
from typing import NamedTuple

import numpy as np

from genjax import claims
from genjax.domains.arms import Facts, Figures, alike, parent
from genjax.domains.config import NETWORK, Arm, Config
from genjax.lm import transfer

# Two models count as equal in parameters or FLOPs within this factor.
EQUAL = 1.15
# Domains that a rank correlation takes: of four, one order in twelve is perfect by chance.
FEWEST = 5
# What two architectures must have been taught alike.
SCHOOLING = ("domains", "mixture", "dro", "limit", "steps")


class Study(NamedTuple):
    """What the claims read: measures by arm, logged rows, facts of the data, arms, seeds."""

    found: dict[str, dict]
    rows: list[dict]
    facts: Facts
    arms: dict[str, Arm]
    seeds: list[int]

    def of(self, arm: str, name: str) -> np.ndarray:
        """A measure of an arm, [seeds]; what is not finite is nan."""
        return np.asarray(self.found[arm][name], float)

    @property
    def zero(self) -> np.ndarray:
        """Of each seed, to compare a difference with."""
        return np.zeros(len(self.seeds))

    def same_but(self, *names: str) -> list[list[str]]:
        """Groups of arms that agree in all other options."""
        return [group for group in alike(self.arms, *names) if len(group) > 1]

    def bases(self) -> list[str]:
        """Arms from scratch that leave a domain unseen."""
        return [a for a in self.arms if not self.arms[a].from_ and "unseen" in self.found[a]]

    def tuned(self) -> list[str]:
        """Arms that adapt another of this run, and had a domain to forget."""
        return [a for a in self.arms if parent(self.arms, a) and "forgetting" in self.found[a]]

    def plain(self) -> list[str]:
        """Of those, the ones that train all weights, and nothing else."""
        return [a for a in self.tuned() if self.arms[a].train == "all" and bare(self.arms[a])]


def judge(figures: Figures, config: Config) -> list[dict]:
    """The claims that these arms can bear; every threshold stands here, before the run.

    Paired over seeds: the same seed has the same initial weights where shapes agree, and the same
    order of batches where domains do.
    """
    study = Study(*figures, config.arms(), config.all_seeds)
    judges = (
        judge_diversity, judge_architecture, judge_shape, judge_distance, judge_overfitting,
        judge_lora, judge_replay, judge_front, judge_examples,
    )  # fmt: skip
    return [claim for judged in judges for claim in judged(study)]


def compare(id, text, left, right, direction="greater", threshold=0.0) -> dict:
    """A claim on left - right, paired over seeds."""
    return claims.claim(id, text, left, right, direction=direction, threshold=threshold)


def part(id: str, number: int) -> str:
    """The name of a claim's part: a to z, then numbers."""
    return id + (chr(ord("a") + number) if number < 26 else str(number))


def is_attention(arm: Arm) -> bool:
    """Whether every token sees all before it."""
    return arm.model == "transformer" and arm.attention in ("full", "flash")


def bare(arm: Arm) -> bool:
    """Whether an adapted arm does nothing to keep what it knew, and sees all of its domains."""
    return not (arm.replay or arm.ewc or arm.anchor or arm.limit) and arm.average == 1


def rank_of(arm: Arm) -> int:
    """LoRA's rank; 0 for what trains otherwise."""
    return arm.lora_rank if arm.train == "lora" else 0


def equal(study: Study, a: str, b: str, measure: str) -> bool:
    """Whether two arms are of one size, in `parameters` or `flops`."""
    sizes = [study.facts.sizes[arm][measure] for arm in (a, b)]
    return max(sizes) <= EQUAL * min(sizes)


def judge_diversity(study: Study) -> list[dict]:
    """D1: few training domains against many, at one budget of tokens."""
    bases, trained_on = study.bases(), study.facts.trained_on
    for group in study.same_but("domains"):
        # All are measured on the same unseen domains.
        beside = {*study.facts.far, *study.facts.held_out}
        near = [a for a in group if a in bases and not beside & {*trained_on[a]}]
        if not near:
            continue
        near.sort(key=lambda a: len(trained_on[a]))
        few, many = near[0], near[-1]
        counts = [len(trained_on[arm]) for arm in (few, many)]
        if counts[0] == counts[1]:
            continue
        text = f"loss on unseen domains, {counts[0]} training domains - {counts[1]}"
        parts = [compare("D1a", text, study.of(few, "unseen"), study.of(many, "unseen"))]
        if "score" in study.found[few]:
            text = f"with {counts[0]} it does not compose: score below a quarter"
            parts.append(compare("D1b", text, study.of(few, "score"), study.zero, "less", 0.25))
            text = f"with {counts[1]} it composes: score above a half"
            parts.append(compare("D1c", text, study.of(many, "score"), study.zero, "greater", 0.5))
        return [claims.both("D1", "At a fixed budget more training domains carry further", parts)]
    return []


def judge_architecture(study: Study) -> list[dict]:
    """D2, D2F: attention against what is taught alike, at equal parameters and at equal FLOPs."""
    arms, bases, made = study.arms, study.bases(), []
    full = [a for a in bases if is_attention(arms[a])]
    for id, measure in (("D2", "parameters"), ("D2F", "flops")):
        pairs = [
            (other, arm)
            for arm in full
            for other in bases
            if other not in full
            and all(getattr(arms[other], key) == getattr(arms[arm], key) for key in SCHOOLING)
            and (
                # An n-gram has neither size: it stands once beside networks that do.
                (arms[other].model == "ngram" and id == "D2") or equal(study, arm, other, measure)
            )
        ]
        if any(arms[other].model != "ngram" for other, _ in pairs):
            text = f"Attention carries further than other architectures, at equal {measure}"
            parts = [
                compare(
                    part(id, number),
                    f"loss on unseen domains, {other} - {arm}",
                    study.of(other, "unseen"),
                    study.of(arm, "unseen"),
                )
                for number, (other, arm) in enumerate(pairs)
            ]
            made.append(claims.both(id, text, parts))
    return made


def judge_shape(study: Study) -> list[dict]:
    """D3: the wide and the deep of one size, and the first of what adapts both in one way."""
    arms, found = study.arms, study.found
    for group in study.same_but("width", "depth", "heads", "learning_rate"):
        pairs = [
            (wide, deep)
            for wide in group
            for deep in group
            if arms[wide].depth < arms[deep].depth
            and not arms[wide].from_
            and equal(study, wide, deep, "parameters")
            and "unseen" in found[wide]
        ]
        if not pairs:
            continue
        wide, deep = pairs[0]
        statement = "Of two nets of one size the deeper carries further"
        text = f"loss on unseen domains, {wide} - {deep}"
        parts = [compare("D3a", text, study.of(wide, "unseen"), study.of(deep, "unseen"))]
        tuned = {
            name: arm
            for name, arm in arms.items()
            if arm.from_ in (wide, deep) and "forgetting" in found[name] and not arm.limit
        }
        for pair in alike(tuned, "from", *NETWORK):
            starts = {arms[arm].from_ for arm in pair}
            if len(pair) == len(starts) == 2 and len(parts) == 1:
                a, b = sorted(pair, key=lambda arm: arms[arm].from_ == deep)
                learnt = " and ".join(f"{study.of(arm, 'new').mean():.2f}" for arm in (a, b))
                text = f"forgetting, {a} - {b}, which are at {learnt} bits on the new domain"
                sides = study.of(a, "forgetting"), study.of(b, "forgetting")
                parts.append(compare("D3b", text, *sides))
                statement += ", and forgets less"
        return [claims.both("D3", statement, parts)]
    return []


def judge_distance(study: Study) -> list[dict]:
    """D4: does adaptation gain most where the domain is far?"""
    single = {
        arm: study.arms[arm]
        for arm in study.plain()
        if len(study.facts.trained_on[arm]) == 1 and "overlap" in study.found[arm]
    }
    single = max(alike(single, "domains"), key=len, default=[])
    if len(single) < FEWEST:
        return []
    fit = with_overlap(study.found, single, "gain")
    statement = (
        "Adaptation gains most where the domain is far: rank correlation of the gain with the "
        f"overlap of 5-grams, {len(single)} domains"
    )
    how = "95% Fisher z over domains"
    return [claims.between("D4", statement, fit, -math.inf, 0.0, how)]


def with_overlap(found: dict, arms: list[str], measure: str) -> tuple[float, float, float]:
    """Rank correlation of a measure's mean over seeds with the lexical overlap, over arms."""
    values = (np.array([found[arm][name] for arm in arms], float) for name in ("overlap", measure))
    return transfer.rank_correlation(*(value.mean(-1) for value in values))


def judge_overfitting(study: Study) -> list[dict]:
    """D5: finetuning on few tokens, past the turn of their own valid loss."""
    arms = study.arms
    limited = [arm for arm in study.tuned() if arms[arm].limit and arms[arm].train == "all"]
    if not limited:
        return []
    # The one that went over its tokens most often.
    arm = max(limited, key=lambda arm: arms[arm].steps / arms[arm].limit)
    curve = [row for row in study.rows if row["arm"] == arm and "valid_old" in row]
    new = along(curve, study.seeds, "valid_new")
    old = along(curve, study.seeds, "valid_old")
    places = sorted({row["step"] for row in curve})
    turns = turning(new)
    shown = "/".join(str(places[turn]) for turn in sorted(set(turns)))
    rows_of = np.arange(len(turns))
    forgotten = study.of(arm, "forgetting")
    text = f"Over-finetuning on {arms[arm].limit} tokens ({arm}) costs elsewhere"
    parts = [
        compare("D5a", "old domains: loss after - before", forgotten, study.zero),
        compare(
            "D5b",
            f"new domain's valid loss turns (lowest at step {shown} of {places[-1]} by the "
            "other seeds' mean): end - that step",
            new[:, -1],
            new[rows_of, turns],
        ),
        compare(
            "D5c",
            "old domains' valid loss still rises behind the turn: end - that step",
            old[:, -1],
            old[rows_of, turns],
        ),
    ]
    return [claims.both("D5", text, parts)]


def along(rows: list[dict], seeds: list[int], name: str) -> np.ndarray:
    """A measure of one arm's rows, [seeds, evaluations]."""
    return np.array(
        [[r[name] for r in sorted(rows, key=lambda r: r["step"]) if r["seed"] == s] for s in seeds]
    )


def turning(curves: np.ndarray) -> list[int]:
    """Where each seed's curve [seeds, evaluations] is lowest by the mean of the others.

    By its own mean, the end could never lie below the lowest place, whatever the truth.
    """
    others = (curves.sum(0) - curves) if len(curves) > 1 else curves
    return others.argmin(1).tolist()


def judge_examples(study: Study) -> list[dict]:
    """D6: examples in context, where most domains were seen."""
    full = [a for a in study.bases() if is_attention(study.arms[a])]
    shown = [a for a in full if "few_shot_gain" in study.found[a]]
    if not shown:
        return []
    best = max(shown, key=lambda a: len(study.facts.trained_on[a]))
    text = f"Examples in context lower the loss on an unseen domain ({best}), bits"
    return [compare("D6", text, study.of(best, "few_shot_gain"), study.zero)]


def judge_lora(study: Study) -> list[dict]:
    """D7, each method at its best rate by the valid text of what it trains on."""
    groups = {}
    for name in study.tuned():
        arm = study.arms[name]
        if arm.train in ("all", "lora") and bare(arm):
            kinds = groups.setdefault((arm.from_, arm.domains, arm.steps), {})
            kinds.setdefault((arm.train, rank_of(arm)), []).append(name)
    for group in groups.values():
        best = {
            kind: min(group[kind], key=lambda arm: study.of(arm, "valid").mean()) for kind in group
        }
        ranks = sorted(kind for kind in best if kind[0] == "lora")
        if ("all", 0) not in best or not ranks:
            continue
        whole, parts = best["all", 0], []
        for number, kind in enumerate(ranks):
            arm = best[kind]
            text = f"rank {kind[1]} learns less: loss on the new domain, {arm} - {whole}"
            left, right = study.of(arm, "new"), study.of(whole, "new")
            parts.append(compare(part("D7", 2 * number), text, left, right))
            text = f"rank {kind[1]} forgets less: forgetting, {whole} - {arm}"
            left, right = study.of(whole, "forgetting"), study.of(arm, "forgetting")
            parts.append(compare(part("D7", 2 * number + 1), text, left, right))
        return [claims.both("D7", "LoRA learns less and forgets less", parts)]
    return []


def judge_replay(study: Study) -> list[dict]:
    """D8: the share of the gap to joint training that little replay closes."""
    arms, tuned = study.arms, study.tuned()
    trained_on, trained_before = study.facts.trained_on, study.facts.trained_before
    for none in study.plain():
        peers = next(group for group in alike(arms, "domains", "replay") if none in group)
        little = [a for a in peers if a in tuned and 0 < arms[a].replay <= 0.05]
        union = {*trained_on[none], *trained_before[none]}
        joint = [a for a in peers if set(trained_on[a]) == union]
        if not little or not joint:
            continue

        def both(arm, none=none):
            """Mean of the new domains' and the old domains' losses (Ibrahim et al. 2024)."""
            groups = trained_on[none], trained_before[none]
            means = [np.mean([study.of(arm, f"loss/{n}") for n in names], 0) for names in groups]
            return np.mean(means, 0)

        start, replayed, end = both(none), both(little[0]), both(joint[0])
        closed = (start - replayed).mean() / (start - end).mean()
        text = (
            f"{arms[little[0]].replay:.0%} of replay closes most of the gap between none and "
            "joint training"
        )
        parts = [
            compare("D8a", f"there is a gap: {none} - {joint[0]}", start, end),
            compare(
                "D8b",
                f"{little[0]} closes {closed:.0%} of it: half the gap left - what is left",
                start - replayed,
                0.5 * (start - end),
            ),
        ]
        return [claims.both("D8", text, parts)]
    return []


def judge_front(study: Study) -> list[dict]:
    """D9: whether one way of adapting is best in both learning and keeping."""
    methods = rivals(study.arms, study.found, study.facts)
    if len(methods) < 3:
        return []
    hits = []
    for i in range(len(study.seeds)):
        points = np.array([[study.of(a, n)[i] for n in ("new", "forgetting")] for a in methods])
        hits.append(len({way(study.arms[methods[j]]) for j in transfer.front(points)}) > 1)
    text = "Learning and keeping are a balance: more than one method lies on the front"
    return [claims.share("D9", text, hits, direction="greater", threshold=0.5)]


def way(arm: Arm) -> tuple:
    """A way of adapting, whatever its rate and length."""
    return (arm.train, arm.replay, arm.ewc, arm.anchor, arm.average, rank_of(arm))


def rivals(arms: dict[str, Arm], found: dict, facts: Facts) -> list[str]:
    """The most arms that adapt one start to the same domains, each in its way."""
    groups = {}
    for arm, row in found.items():
        if "forgetting" in row and not arms[arm].limit:
            key = (parent(arms, arm), *facts.trained_on[arm])
            groups.setdefault(key, []).append(arm)
    return max(groups.values(), key=len, default=[])
