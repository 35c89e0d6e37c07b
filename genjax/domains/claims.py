"""The claims of the domains experiment, D1 to D9, and their thresholds: fixed before any run."""

import math

import numpy as np

from genjax import claims
from genjax.core import variants
from genjax.domains.training import NETWORK, Study
from genjax.lm import transfer

# Two models count as equal in parameters or FLOPs within this factor.
ALIKE = 1.15
# Domains that a rank correlation takes: of four, one order in twelve is perfect by chance.
FEWEST = 5
# What two architectures must have been taught alike.
SCHOOLING = ("domains", "mixture", "dro", "limit", "steps")


def judge(study: Study, found: dict, rows: list[dict]) -> list[dict]:
    """The claims that these arms can bear; every threshold stands here, before the run.

    Paired over seeds: the same seed has the same initial weights where shapes agree, and the same
    order of batches where domains do.
    """
    arms = study.arms

    def of(arm, name):
        return np.asarray(found[arm][name], float)

    def compare(id, text, left, right, direction="greater", threshold=0.0):
        return claims.claim(id, text, left, right, direction=direction, threshold=threshold)

    def same_but(*names):
        """Groups of arms whose recipes agree in all else."""
        return [group for group in variants.alike(arms, *names) if len(group) > 1]

    made = []
    bases = [arm for arm in arms if not arms[arm]["from"] and "unseen" in found[arm]]
    for group in same_but("domains"):
        # All are measured on the same unseen domains.
        beside = {*study.source.far, *study.source.held_out}
        near = [a for a in group if a in bases and not beside & {*study.trained_on(a)}]
        if not near or "D1" in {claim["id"] for claim in made}:
            continue
        near.sort(key=lambda a: len(study.trained_on(a)))
        few, many = near[0], near[-1]
        counts = [len(study.trained_on(arm)) for arm in (few, many)]
        if counts[0] == counts[1]:
            continue
        text = f"loss on unseen domains, {counts[0]} training domains - {counts[1]}"
        parts = [compare("D1a", text, of(few, "unseen"), of(many, "unseen"))]
        if "score" in found[few]:
            zero = np.zeros(len(study.seeds))
            text = f"with {counts[0]} it does not compose: score below a quarter"
            parts.append(compare("D1b", text, of(few, "score"), zero, "less", 0.25))
            text = f"with {counts[1]} it composes: score above a half"
            parts.append(compare("D1c", text, of(many, "score"), zero, "greater", 0.5))
        text = "At a fixed budget more training domains carry further"
        made.append(claims.both("D1", text, parts))
    full = [a for a in bases if is_attention(arms[a])]
    for id, measure in (("D2", "parameters"), ("D2F", "flops")):
        pairs = [
            (other, arm)
            for arm in full
            for other in bases
            if other not in full
            and all(arms[other][key] == arms[arm][key] for key in SCHOOLING)
            and (
                # An n-gram has neither size: it stands once beside networks that do.
                (arms[other]["model"] == "ngram" and id == "D2")
                or alike(study, arm, other, measure)
            )
        ]
        if any(arms[other]["model"] != "ngram" for other, _ in pairs):
            text = f"Attention carries further than other architectures, at equal {measure}"
            parts = [
                compare(
                    part(id, number),
                    f"loss on unseen domains, {other} - {arm}",
                    of(other, "unseen"),
                    of(arm, "unseen"),
                )
                for number, (other, arm) in enumerate(pairs)
            ]
            made.append(claims.both(id, text, parts))
    made += judge_shape(study, of, compare, same_but, found)
    made += judge_finetuning(study, of, compare, rows, found)
    shown = [a for a in full if "few_shot_gain" in found[a]]
    if shown:
        best = max(shown, key=lambda a: len(study.trained_on(a)))
        text = f"Examples in context lower the loss on an unseen domain ({best}), bits"
        made.append(compare("D6", text, of(best, "few_shot_gain"), np.zeros(len(study.seeds))))
    return made


def part(id: str, number: int) -> str:
    """The name of a claim's part: a to z, then numbers."""
    return id + (chr(ord("a") + number) if number < 26 else str(number))


def is_attention(recipe) -> bool:
    return recipe["model"] == "transformer" and recipe["attention"] in ("full", "flash")


def alike(study, a, b, measure) -> bool:
    sizes = [study.size(arm)[measure] for arm in (a, b)]
    return max(sizes) <= ALIKE * min(sizes)


def judge_shape(study, of, compare, same_but, found) -> list[dict]:
    """D3: the wide and the deep of one size, and the first of what adapts both in one way."""
    arms = study.arms
    for group in same_but("width", "depth", "heads", "learning_rate"):
        pairs = [
            (wide, deep)
            for wide in group
            for deep in group
            if arms[wide]["depth"] < arms[deep]["depth"]
            and not arms[wide]["from"]
            and alike(study, wide, deep, "parameters")
            and "unseen" in found[wide]
        ]
        if pairs:
            wide, deep = pairs[0]
            statement = "Of two nets of one size the deeper carries further"
            text = f"loss on unseen domains, {wide} - {deep}"
            parts = [compare("D3a", text, of(wide, "unseen"), of(deep, "unseen"))]
            tuned = {
                arm: recipe
                for arm, recipe in arms.items()
                if recipe["from"] in (wide, deep)
                and "forgetting" in found[arm]
                and not recipe["limit"]
            }
            for pair in variants.alike(tuned, "from", *NETWORK):
                starts = {arms[arm]["from"] for arm in pair}
                if len(pair) == len(starts) == 2 and len(parts) == 1:
                    a, b = sorted(pair, key=lambda arm: arms[arm]["from"] == deep)
                    learnt = " and ".join(f"{of(arm, 'new').mean():.2f}" for arm in (a, b))
                    text = f"forgetting, {a} - {b}, which are at {learnt} bits on the new domain"
                    parts.append(compare("D3b", text, of(a, "forgetting"), of(b, "forgetting")))
                    statement += ", and forgets less"
            return [claims.both("D3", statement, parts)]
    return []


def judge_finetuning(study, of, compare, rows, found) -> list[dict]:
    """D4, D5, D7, D8 and D9: what adaptation gains, and what it costs."""
    arms, made = study.arms, []
    tuned = [arm for arm in arms if study.parent(arm) and "forgetting" in found[arm]]
    plain = [
        arm
        for arm in tuned
        if arms[arm]["train"] == "all"
        and not any(arms[arm][key] for key in ("replay", "ewc", "anchor", "limit"))
        and arms[arm]["average"] == 1
    ]
    zero = np.zeros(len(study.seeds))
    made += judge_distance(study, found, plain)
    limited = [arm for arm in tuned if arms[arm]["limit"] and arms[arm]["train"] == "all"]
    if limited:
        # The one that went over its tokens most often.
        arm = max(limited, key=lambda arm: arms[arm]["steps"] / arms[arm]["limit"])
        curve = [row for row in rows if row["arm"] == arm and "valid_old" in row]
        new = along(curve, study.seeds, "valid_new")
        old = along(curve, study.seeds, "valid_old")
        places = sorted({row["step"] for row in curve})
        turns = turning(new)
        shown = "/".join(str(places[turn]) for turn in sorted(set(turns)))
        rows_of = np.arange(len(turns))
        text = f"Over-finetuning on {arms[arm]['limit']} tokens ({arm}) costs elsewhere"
        parts = [
            compare("D5a", "old domains: loss after - before", of(arm, "forgetting"), zero),
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
        made.append(claims.both("D5", text, parts))
    made += judge_lora(study, of, compare, tuned)
    made += judge_replay(study, of, compare, tuned, plain)
    methods = rivals(study, found)
    if len(methods) > 2:
        hits = []
        for i in range(len(study.seeds)):
            points = np.array([[of(a, "new")[i], of(a, "forgetting")[i]] for a in methods])
            hits.append(len({way(arms[methods[j]]) for j in transfer.front(points)}) > 1)
        text = "Learning and keeping are a balance: more than one method lies on the front"
        made.append(claims.share("D9", text, hits, direction="greater", threshold=0.5))
    return made


def turning(curves: np.ndarray) -> list[int]:
    """Where each seed's curve [seeds, evaluations] is lowest by the mean of the others.

    By its own mean, the end could never lie below the lowest place, whatever the truth.
    """
    others = (curves.sum(0) - curves) if len(curves) > 1 else curves
    return others.argmin(1).tolist()


def way(recipe: dict) -> tuple:
    """A way of adapting, whatever its rate and length."""
    names = ("train", "replay", "ewc", "anchor", "average")
    rank = recipe["lora_rank"] if recipe["train"] == "lora" else 0
    return (*(recipe[name] for name in names), rank)


def rivals(study, found) -> list[str]:
    """The most arms that adapt one start to the same domains, each in its way."""
    groups = {}
    for arm, row in found.items():
        if "forgetting" in row and not study.arms[arm]["limit"]:
            key = (study.parent(arm), *study.trained_on(arm))
            groups.setdefault(key, []).append(arm)
    return max(groups.values(), key=len, default=[])


def judge_distance(study, found, plain) -> list[dict]:
    """D4: does adaptation gain most where the domain is far?"""
    single = {
        arm: study.arms[arm]
        for arm in plain
        if len(study.trained_on(arm)) == 1 and "overlap" in found[arm]
    }
    single = max(variants.alike(single, "domains"), key=len, default=[])
    if len(single) < FEWEST:
        return []
    fit = with_overlap(found, single, "gain")
    statement = (
        "Adaptation gains most where the domain is far: rank correlation of the gain with the "
        f"overlap of 5-grams, {len(single)} domains"
    )
    how = "95% Fisher z over domains"
    return [claims.between("D4", statement, fit, -math.inf, 0.0, how)]


def with_overlap(found, arms, measure) -> tuple[float, float, float]:
    """Rank correlation of a measure's mean over seeds with the lexical overlap, over arms."""
    values = (np.array([found[arm][name] for arm in arms], float) for name in ("overlap", measure))
    return transfer.rank_correlation(*(value.mean(-1) for value in values))


def judge_lora(study, of, compare, tuned) -> list[dict]:
    """D7, each method at its best rate by the valid text of what it trains on."""
    arms = study.arms
    groups = {}
    for arm in tuned:
        recipe = arms[arm]
        bare = not any(recipe[key] for key in ("replay", "ewc", "anchor", "limit"))
        if recipe["train"] in ("all", "lora") and bare and recipe["average"] == 1:
            kind = (recipe["train"], recipe["lora_rank"] if recipe["train"] == "lora" else 0)
            groups.setdefault((recipe["from"], recipe["domains"], recipe["steps"]), {}).setdefault(
                kind, []
            ).append(arm)
    for group in groups.values():
        best = {kind: min(group[kind], key=lambda arm: of(arm, "valid").mean()) for kind in group}
        ranks = sorted(kind for kind in best if kind[0] == "lora")
        if ("all", 0) not in best or not ranks:
            continue
        whole, parts = best["all", 0], []
        for number, kind in enumerate(ranks):
            arm = best[kind]
            text = f"rank {kind[1]} learns less: loss on the new domain, {arm} - {whole}"
            parts.append(compare(part("D7", 2 * number), text, of(arm, "new"), of(whole, "new")))
            text = f"rank {kind[1]} forgets less: forgetting, {whole} - {arm}"
            left, right = of(whole, "forgetting"), of(arm, "forgetting")
            parts.append(compare(part("D7", 2 * number + 1), text, left, right))
        return [claims.both("D7", "LoRA learns less and forgets less", parts)]
    return []


def judge_replay(study, of, compare, tuned, plain) -> list[dict]:
    """D8: the share of the gap to joint training that little replay closes."""
    arms = study.arms
    for none in plain:
        groups = variants.alike(arms, "domains", "replay")
        peers = next(group for group in groups if none in group)
        little = [a for a in peers if a in tuned and 0 < arms[a]["replay"] <= 0.05]
        union = {*study.trained_on(none), *study.old(none)}
        joint = [a for a in peers if set(study.trained_on(a)) == union]
        if not little or not joint:
            continue

        def both(arm, none=none):
            """Mean of the new domains' and the old domains' losses (Ibrahim et al. 2024)."""
            groups = study.trained_on(none), study.old(none)
            means = [np.mean([of(arm, f"loss/{n}") for n in names], 0) for names in groups]
            return np.mean(means, 0)

        start, replayed, end = both(none), both(little[0]), both(joint[0])
        closed = (start - replayed).mean() / (start - end).mean()
        text = (
            f"{arms[little[0]]['replay']:.0%} of replay closes most of the gap between none and "
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


def along(rows, seeds, name) -> np.ndarray:
    """A measure of one arm's rows, [seeds, evaluations]."""
    return np.array(
        [[r[name] for r in sorted(rows, key=lambda r: r["step"]) if r["seed"] == s] for s in seeds]
    )
