"""The claims about finetuning: over-finetuning (D5), LoRA (D7), replay (D8), the front (D9)."""

import numpy as np

from genjax.claims.sealed import again
from genjax.domains import roles
from genjax.domains.judged import LOW, NOTHING, Judged, claim, forgets, nothing
from genjax.domains.roles import past


def overfitting() -> list[Judged]:
    few = "Finetuning on {limit} tokens, past the step that their own valid text chooses, "
    return [
        Judged(
            claim(
                "D5a",
                "Finetuning on {limit} tokens for {over_steps} steps costs the old domains more "
                "than a bit a token",
                "forgetting of {over} at the last step",
                threshold=1.0,
                negative=(NOTHING, "a low rate"),
                positive=("a uniform guess",),
            ),
            roles.overfitted,
            lambda s, r: s.of(r["over"], "forgetting"),
            lambda s, r: [s.zero, s.of(r["low"], "forgetting")],
            lambda s, r: [
                np.log2(s.facts.vocabulary) - s.of(s.arms[r["over"]].from_, "seen") + s.zero
            ],
        ),
        Judged(
            claim(
                "D5b",
                few + "makes the new domain worse",
                "loss on the new domain of {over}, at the end - at that step",
                negative=("finetuning on fresh text",),
                positive=("a uniform guess",),
            ),
            roles.overfitted,
            lambda s, r: past(s, r["over"], "new"),
            lambda s, r: [past(s, r["fresh"], "new")],
            lambda s, r: [np.log2(s.facts.vocabulary) - s.of(r["over"], "stopped_new")],
        ),
        Judged(
            claim(
                "D5c",
                few + "makes the old domains worse",
                "loss on the old domains of {over}, at the end - at that step",
                negative=("finetuning on fresh text",),
                positive=("the whole of its forgetting",),
            ),
            roles.overfitted,
            lambda s, r: past(s, r["over"], "old"),
            lambda s, r: [past(s, r["fresh"], "old")],
            lambda s, r: [s.of(r["over"], "forgetting")],
        ),
    ]


def lora(rank: int, first: str, second: str) -> list[Judged]:
    find = roles.low_rank(rank)

    def both(study, found, *keys):
        return forgets(study, {key: found[key] for key in keys}, *keys)

    return [
        Judged(
            claim(
                first,
                f"LoRA of rank {rank} learns less than finetuning all weights, each at its best "
                "rate",
                "loss on the new domain, {lora} - {all}",
                negative=("finetuning all weights with the next seed",),
                positive=(NOTHING,),
            ),
            find,
            lambda s, r: s.of(r["lora"], "new") - s.of(r["all"], "new"),
            lambda s, r: [again(s.of(r["all"], "new"))],
            lambda s, r: [roles.path(s, r["all"])[0][:, 0] - s.of(r["all"], "new")],
        ),
        Judged(
            claim(
                second,
                f"LoRA of rank {rank} forgets less than finetuning all weights, at equal loss on "
                "the new domain",
                "forgetting, {all} - {lora}",
                negative=(NOTHING, LOW),
                positive=("no forgetting at all",),
                version=3,
                date="2026-11-24",
            ),
            find,
            lambda s, r: np.subtract(*both(s, r, "all", "lora")),
            lambda s, r: [nothing(s), np.subtract(*both(s, r, "all", "low"))],
            lambda s, r: both(s, r, "all", "lora")[:1],
        ),
    ]


def replay() -> list[Judged]:
    def saved(study, found, *keys):
        """What ways save of what plain finetuning forgets, beyond half of joint training's."""
        none, joint, *others = forgets(study, found, "none", "joint", *keys)
        return [(none - other) - 0.5 * (none - joint) for other in others]

    def better(study, found, *keys):
        return np.min(forgets(study, found, *keys), 0)

    plain, little = ("none", "low"), ("little", "little_low")

    at = "at equal loss on the new domain"
    return [
        Judged(
            claim(
                "D8a",
                f"5% of replay forgets less than the same finetuning without, {at}",
                "forgetting, {none} - {little}",
                negative=(NOTHING, LOW),
                positive=("as many new tokens, and as many old",),
            ),
            roles.replayed,
            lambda s, r: np.subtract(*forgets(s, r, "none", "little")),
            lambda s, r: [nothing(s), np.subtract(*forgets(s, r, "none", "low"))],
            lambda s, r: [np.subtract(*forgets(s, r, "none", "joint"))],
        ),
        Judged(
            claim(
                "D8b",
                "5% of replay forgets less than finetuning without, each at the better of two "
                f"rates, {at}",
                "forgetting, the less of {none} and {low} - the less of {little} and {little_low}",
                negative=(NOTHING, "the same finetuning of the next seed"),
                positive=("as many new tokens, and as many old",),
            ),
            roles.replayed,
            lambda s, r: better(s, r, *plain) - better(s, r, *little),
            lambda s, r: [nothing(s), again(better(s, r, *plain))],
            lambda s, r: [better(s, r, *plain) - better(s, r, "joint")],
        ),
        Judged(
            claim(
                "D8c",
                "5% of replay saves more than half of the forgetting that training on as many new "
                f"tokens and as many old ones saves, {at}",
                "saved by {little} - half of what {joint} saves",
                negative=(NOTHING, LOW),
                positive=("as many new tokens, and as many old",),
            ),
            roles.replayed,
            lambda s, r: saved(s, r, "little")[0],
            lambda s, r: [nothing(s), saved(s, r, "low")[0]],
            lambda s, r: saved(s, r, "joint"),
        ),
    ]


def front(id: str, words: str, **other) -> Judged:
    def ahead(study, found):
        return np.subtract(*(roles.volume(study, found[key]) for key in ("other", "plain")))

    return Judged(
        claim(
            id,
            f"{words} at as many rates dominates more of the plane of learning and forgetting than "
            "finetuning all weights",
            "hypervolume below (loss before, one bit of forgetting), {other} - {plain}",
            unit="square bits",
            margin=0.02,
            why="a fiftieth of a square bit: a tenth of a bit of learning at a fifth of forgetting",
            negative=(NOTHING, "the same rates with the next seed"),
            positive=("knowing the new domain and forgetting nothing",),
        ),
        roles.fronts(**other),
        ahead,
        lambda s, r: [-roles.volume(s, r["plain"]), again(roles.volume(s, r["plain"]))],
        lambda s, r: [roles.room(s, r["plain"][0]) - roles.volume(s, r["plain"])],
    )
