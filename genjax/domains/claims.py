"""The claims of the domains experiment, D1 to D9: what is said, and what must not pass for it.

Sealed in ledger.json beside this file; a change is a new version there. A replicate is a seed: its
own grid, its own documents, its own initial weights. Losses from scratch are those of the step that
the training domains' valid text chooses (`arms.stopped`).
"""

from pathlib import Path

import numpy as np

from genjax.claims import sealed
from genjax.claims.sealed import Looks, again
from genjax.domains import adapting, roles
from genjax.domains.arms import Figures
from genjax.domains.config import Config
from genjax.domains.judged import AGAIN, NOTHING, OPTIMUM, Judged, claim, forgets, nothing
from genjax.domains.roles import Study

LEDGER = Path(__file__).with_name("ledger.json")
# Nets that learnt nothing differ by their first weights; both must have learnt that much.
UNIGRAM = "a unigram of the training text in the other's place"
RIVAL = "the other against a unigram of the training text"
# A rival that was merely taught worse would be behind on these, too.
TAUGHT = "the domains that both were trained on, in the unseen ones' place"
# Where counting tokens gains as well, nothing of a domain's structure was carried.
COUNTED = "unigrams of the same training domains in the models' place"
# No model is asked: whether one composes is not read from how well it does.
UNLEAKED = "each window of training is likelier under a domain trained on than under an unseen one"


def _unseen(study: Study, arm: str) -> np.ndarray:
    return study.of(arm, "stopped_unseen")


def _diversity() -> list[Judged]:
    return [
        Judged(
            claim(
                "D1a",
                "At one budget of tokens {many_pairs} training domains carry further than "
                "{few_pairs}: the loss on unseen domains is lower",
                "loss on unseen domains, {few} - {many}",
                negative=(AGAIN, COUNTED),
                positive=(OPTIMUM,),
                version=3,
                date="2026-11-24",
            ),
            roles.exact(roles.diversity),
            lambda s, r: _unseen(s, r["few"]) - _unseen(s, r["many"]),
            lambda s, r: [
                again(_unseen(s, r["few"])),
                s.of(r["few"], "unigram_unseen") - s.of(r["many"], "unigram_unseen"),
            ],
            lambda s, r: [_unseen(s, r["few"]) - s.row("family/unseen")],
        ),
        Judged(
            claim(
                "D1b",
                "A model of {few_pairs} training domains does not compose: on unseen domains it is "
                "behind the best floor",
                "score of {few}; 0: the best of three floors, 1: `family`",
                unit="of 1",
                direction="less",
                why="a twentieth of the way to composition",
                negative=(OPTIMUM,),
                positive=("the unigram of the training text",),
            ),
            roles.exact(roles.diversity),
            lambda s, r: s.of(r["few"], "stopped_score"),
            lambda s, r: [s.row("family/score")],
            lambda s, r: [s.row("unigram/score")],
        ),
        Judged(
            claim(
                "D1c",
                "A model of {many_pairs} training domains composes: on unseen domains it is ahead "
                "of the best floor",
                "score of {many}; 0: the best of three floors, 1: `family`",
                unit="of 1",
                why="a twentieth of the way to composition",
                negative=("perfect memory of the training domains", "a cache of the document"),
                positive=(OPTIMUM, UNLEAKED),
                version=3,
                date="2026-11-24",
            ),
            roles.exact(roles.diversity),
            lambda s, r: s.of(r["many"], "stopped_score"),
            lambda s, r: [s.row("memory/score"), s.row("cache/score")],
            lambda s, r: [s.row("family/score"), s.of(r["many"], "training_margin")],
        ),
    ]


def _architecture(id: str, model: str, words: str) -> Judged:
    return Judged(
        claim(
            id,
            f"After {{tokens}} tokens, each at its best learning rate, attention carries further "
            f"than {words} of as many parameters",
            "loss on unseen domains, {other} - {attention}",
            margin=0.02,
            why="a fiftieth of a bit: two in a hundred of what training leaves to be gained",
            negative=(TAUGHT,),
            positive=(OPTIMUM, UNIGRAM, RIVAL),
            version=5,
            date="2026-11-25",
        ),
        roles.exact(roles.rival(model)),
        lambda s, r: _unseen(s, r["other"]) - _unseen(s, r["attention"]),
        lambda s, r: [s.of(r["other"], "stopped_new") - s.of(r["attention"], "stopped_new")],
        lambda s, r: [
            _unseen(s, r["other"]) - s.row("family/unseen"),
            s.row("unigram/unseen") - _unseen(s, r["attention"]),
            s.row("unigram/unseen") - _unseen(s, r["other"]),
        ],
    )


def _shape() -> list[Judged]:
    return [
        Judged(
            claim(
                "D3a",
                "Of two nets of one size the deeper carries further",
                "loss on unseen domains, {wide} - {deep}",
                negative=(TAUGHT,),
                positive=(OPTIMUM,),
                version=3,
                date="2026-11-25",
            ),
            roles.exact(roles.shape),
            lambda s, r: _unseen(s, r["wide"]) - _unseen(s, r["deep"]),
            lambda s, r: [s.of(r["wide"], "stopped_new") - s.of(r["deep"], "stopped_new")],
            lambda s, r: [_unseen(s, r["wide"]) - s.row("family/unseen")],
        ),
        Judged(
            claim(
                "D3b",
                "Of two nets of one size the deeper forgets less, at equal loss on the new domain",
                "forgetting, {wide} - {deep}",
                negative=(NOTHING,),
                positive=("no forgetting at all",),
            ),
            roles.adapted_shape,
            lambda s, r: np.subtract(*forgets(s, r, "wide", "deep")),
            lambda s, r: [nothing(s)],
            lambda s, r: forgets(s, r, "wide"),
        ),
    ]


def _distance() -> Judged:
    return Judged(
        claim(
            "D4",
            "Adaptation gains most where the domain is far: less shared 5-grams, more gain",
            "rank correlation over domains of the gain with the overlap of 5-grams",
            unit="",
            direction="less",
            margin=0.1,
            why="a tenth of a rank correlation cannot be seen in a picture",
            negative=("the gains of other domains, three places on",),
            positive=("the distance itself",),
        ),
        roles.distance,
        lambda s, r: roles.correlation(s, r),
        lambda s, r: [roles.correlation(s, r, 3)],
        lambda s, r: [s.zero - 1],
    )


def _examples() -> Judged:
    return Judged(
        claim(
            "D6",
            "Examples in context lower a model's loss on an unseen domain",
            "loss without examples - behind {shots} of them, {arm}",
            margin=0.02,
            why="a fiftieth of a bit, half of what a perfect reader needs to name the domain",
            negative=("as many examples of another unseen domain",),
            positive=("a cache of the document",),
        ),
        roles.shown,
        lambda s, r: s.of(r["arm"], "few_shot_gain"),
        lambda s, r: [s.of(r["arm"], "few_shot_strange")],
        lambda s, r: [s.row("cache/few_shot_gain")],
    )


JUDGED = (
    *_diversity(),
    _architecture("D2a", "lstm", "an LSTM"),
    _architecture("D2b", "window", "attention that sees {window} tokens back"),
    _architecture("D2d", "ssm", "a diagonal state-space net"),
    *_shape(),
    _distance(),
    *adapting.overfitting(),
    _examples(),
    *adapting.lora(2, "D7a", "D7b"),
    *adapting.lora(8, "D7c", "D7d"),
    *adapting.replay(),
    adapting.front("D9a", "Finetuning with 5% of replay", replay=0.05),
    adapting.front("D9b", "LoRA of rank 8", train="lora", lora_rank=8),
)
CLAIMS = tuple(judged.claim for judged in JUDGED)


def judge(figures: Figures, config: Config) -> list[dict]:
    """The claims that these arms can bear."""
    study, made = roles.study_of(figures, config), []
    for judged in JUDGED:
        found = judged.find(study)
        if found is None:
            continue
        own = judged.claim
        made.append(
            sealed.judge(
                own,
                judged.values(study, found),
                negative=sealed.controls(own.negative, judged.negative(study, found)),
                positive=sealed.controls(own.positive, judged.positive(study, found)),
                looks=Looks(sequential=config.max_seeds > 0),
                names=_names(study, found, config),
            )
        )
    return sealed.family(made)


def _names(study: Study, found: dict, config: Config) -> dict[str, str]:
    """What a claim's `{...}` stand for in this run."""
    arms, names = study.arms, {}
    for role, arm in found.items():
        names[role] = arm if isinstance(arm, str) else "+".join(arm)
    own = [arm for arm in found.values() if isinstance(arm, str)]
    arm = arms[own[0]] if own else None
    names |= {
        "shots": str(config.shots[-1]) if config.shots else "",
        "window": str(arms[own[-1]].window // 2) if "attention" in found else "",
        "tokens": f"{arm.steps * config.batch_size * study.facts.length:,}" if arm else "",
        "limit": f"{arms[found['over']].limit:,}" if "over" in found else "",
        "over_steps": str(arms[found["over"]].steps) if "over" in found else "",
    }
    for role in ("few", "many"):
        if role in found:
            names[f"{role}_pairs"] = str(len(study.facts.trained_on[found[role]]))
    return names
