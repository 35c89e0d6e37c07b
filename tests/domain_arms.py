"""Arms of the domains experiment that bear every claim but D4, and figures that support them."""

import numpy as np

from genjax.domains import arms as arms_of

SEEDS = list(range(10))
# Each measure has noise of its own, so that a difference has some, too.
DRAWS = np.random.default_rng(0)
OLDS, NEW = ["a", "b", "c"], "new"
RATES = (0.02, 0.01, 0.001)
ADAPTED = {"from": "many", "domains": NEW, "steps": 30}


def arms():
    """Arms that bear every claim but D4."""
    made = {
        "few": {"domains": "a"},
        "many": {},
        "lstm": {"model": "lstm"},
        "window": {"attention": "longformer", "window": 8},
        "ssm": {"model": "ssm"},
        "deep": {"depth": 4},
        "joint": ADAPTED | {"replay": 0.5},
        "over": ADAPTED | {"limit": 1000},
        "deep_new": ADAPTED | {"from": "deep", "depth": 4},
    }
    for name, more in (
        ("plain", {}),
        ("replay", {"replay": 0.05}),
        ("lora2_", {"train": "lora", "lora_rank": 2}),
        ("lora8_", {"train": "lora", "lora_rank": 8}),
    ):
        for i, rate in enumerate(RATES):
            made[f"{name}{i}"] = ADAPTED | more | {"learning_rate": rate}
    return made


# Measures that support every claim.
HELD = {
    "few": {"unseen": 5.0, "stopped_unseen": 5.0, "stopped_score": -0.2, "unigram_unseen": 5.5},
    "many": {"unseen": 4.0, "stopped_unseen": 4.0, "stopped_score": 0.3, "few_shot_gain": 0.1,
             "few_shot_strange": -0.1, "loss/new": 9.0, "seen": 3.0, "training_margin": 0.5,
             "unigram_unseen": 5.5, "stopped_new": 3.0},
    "lstm": {"unseen": 4.5, "stopped_unseen": 4.5, "stopped_new": 3.0},
    "window": {"unseen": 4.5, "stopped_unseen": 4.5, "stopped_new": 3.0},
    "ssm": {"unseen": 4.5, "stopped_unseen": 4.5, "stopped_new": 3.0},
    "deep": {"unseen": 3.8, "stopped_unseen": 3.8, "stopped_new": 3.0, "loss/new": 5.0},
}  # fmt: skip
BASELINES = {
    "family/unseen": 3.0, "unigram/unseen": 5.5, "family/score": 1.0, "unigram/score": -0.3,
    "cache/score": 0.0, "memory/score": -1.0, "cache/few_shot_gain": 0.2,
}  # fmt: skip
# (new domain's loss, forgetting) at three evaluations; both start at (5, 0).
PATHS = {
    "plain0": ([4.0, 3.5, 3.0], [0.4, 0.8, 1.2]),
    "plain1": ([4.2, 3.8, 3.4], [0.35, 0.7, 1.0]),
    "plain2": ([4.5, 4.2, 4.0], [0.2, 0.3, 0.4]),
    "joint": ([4.0, 3.5, 3.0], [0.05, 0.1, 0.15]),
    "over": ([4.0, 3.8, 4.4], [0.5, 1.0, 3.0]),
    "deep_new": ([4.0, 3.5, 3.0], [0.1, 0.2, 0.3]),
    "replay0": ([4.0, 3.5, 3.1], [0.1, 0.15, 0.2]),
    "replay1": ([4.2, 3.8, 3.4], [0.05, 0.1, 0.15]),
    "replay2": ([4.6, 4.4, 4.2], [0.02, 0.05, 0.1]),
} | {
    f"lora{rank}_{i}": ([4.2 + i / 10, 3.8 + i / 10, 3.4 + i / 10], [0.1, 0.2, 0.3])
    for rank in (2, 8)
    for i in range(3)
}  # fmt: skip


def around(value, spread):
    return list(value + spread * DRAWS.normal(size=len(SEEDS)))


def figures(changes, baselines, paths, spread):
    """Of `arms()`, as a run's files give them."""
    made, sizes = arms(), {"parameters": 1000, "flops": 1000.0}
    on = {name: arm.get("domains", "a+b+c").split("+") for name, arm in made.items()}
    before = {name: OLDS if "from" in arm else [] for name, arm in made.items()}
    found, rows = {name: {} for name in made}, []
    for name, own in HELD.items():
        found[name] = {k: around(v, spread) for k, v in (own | changes.get(name, {})).items()}
    for name in ("many", "deep"):
        rows += [row(name, seed, 10, 3.0, None) for seed in SEEDS]
    # Of `many` the start was watched, and is not what all documents say.
    rows = [r | ({"test/new": 5.0} if r["arm"] == "many" else {}) for r in rows]
    for name, (new, old) in (PATHS | paths).items():
        ends = {"new": new[-1], "valid": new[-1], "forgetting": old[-1], "new_known_line": 2.5}
        found[name] = {k: around(v, spread) for k, v in (ends | changes.get(name, {})).items()}
        rows += [
            row(name, seed, 10 * (i + 1), *(around(v, spread)[0] for v in (new[i], 3.0 + old[i])))
            for seed in SEEDS
            for i in range(len(new))
        ]
        found[name] |= arms_of.stopped(rows, name, SEEDS)
    facts = arms_of.Facts(
        names=[*OLDS, NEW], held_out=["held"], far=[], unit="bits", exact=True, vocabulary=500,
        length=16, tokens="numbers", trained_on=on, trained_before=before,
        sizes=dict.fromkeys(made, sizes), overlaps={},
    )  # fmt: skip
    ends = {name: around(value, spread) for name, value in (BASELINES | baselines).items()}
    return arms_of.Figures(found, rows, facts, ends)


def row(arm, seed, step, new, old):
    """A row of metrics.jsonl."""
    found = {"arm": arm, "seed": seed, "step": step, "valid_new": new, "test_new": new}
    return found if old is None else found | {"test_old": old}
