"""The claims of the domains experiment: a verdict must turn where the figures do."""

import dataclasses

import numpy as np
import pytest
import scripts

from genjax.domains import arms, claims
from genjax.domains.claims import part, turning
from genjax.domains.config import Config

SEEDS = [0, 1, 2, 3]
NEWS, OLDS = ["new"], ["a", "b", "c"]
NOISE = np.array([-0.01, 0.0, 0.01, 0.0])


@dataclasses.dataclass
class Study:
    """Arms {name: {option: value}} and what is known of them; `domains` of one names its own."""

    arms: dict
    sizes: dict = dataclasses.field(default_factory=dict)
    overlaps: dict = dataclasses.field(default_factory=dict)
    seeds: list = dataclasses.field(default_factory=lambda: SEEDS)

    def config(self):
        made = {name: {"domains": "all"} | changes for name, changes in self.arms.items()}
        return Config(seeds=len(self.seeds), steps=100, variants=made)

    def trained_on(self, arm):
        domains = self.arms[arm].get("domains", "all")
        return [*OLDS, *NEWS] if domains == "all" else domains.split("+")

    def old(self, arm):
        return [name for name in OLDS if name not in self.trained_on(arm)]

    def figures(self, found, rows=()):
        size = {"parameters": 1000, "flops": 1000.0}
        facts = arms.Facts(
            names=[*OLDS, *NEWS], held_out=["held"], far=["far"], unit="bits", exact=False,
            vocabulary=8, length=16, tokens="bytes",
            trained_on={arm: self.trained_on(arm) for arm in self.arms},
            trained_before={arm: self.old(arm) for arm in self.arms},
            sizes={arm: self.sizes.get(arm, size) for arm in self.arms},
            overlaps=self.overlaps,
        )  # fmt: skip
        return arms.Figures(found, list(rows), facts)


def around(value):
    return list(value + NOISE)


def verdicts(study, found, rows=()):
    return scripts.verdicts(claims.judge(study.figures(found, rows), study.config()))


def test_more_domains_carry_further():
    study = Study({"few": {"domains": "a"}, "many": {"domains": "a+b+c"}})

    def judged(few, many, few_score, many_score):
        found = {
            "few": {"unseen": around(few), "score": around(few_score)},
            "many": {"unseen": around(many), "score": around(many_score)},
        }
        return verdicts(study, found)

    assert judged(3.0, 2.0, 0.1, 0.8)["D1"] == "supported"
    assert judged(2.0, 3.0, 0.1, 0.8)["D1a"] == "refuted"
    assert judged(3.0, 2.0, 0.4, 0.8)["D1b"] == "refuted"
    assert judged(3.0, 2.0, 0.1, 0.4)["D1c"] == "refuted"
    # A chain is no fewer domains of the grid, and one domain not fewer than another.
    study.arms["few"]["domains"] = "far"
    assert "D1" not in judged(3.0, 2.0, 0.1, 0.8)
    # What trains on a domain that others hold out is measured on fewer unseen ones.
    study.arms["few"]["domains"] = "held"
    assert "D1" not in judged(3.0, 2.0, 0.1, 0.8)
    study.arms["few"]["domains"], study.arms["many"]["domains"] = "a", "b"
    assert "D1" not in judged(3.0, 2.0, 0.1, 0.8)


@pytest.mark.parametrize(("id", "measure"), [("D2", "parameters"), ("D2F", "flops")])
def test_attention_is_held_against_models_of_its_size(id, measure):
    other = {"parameters": "flops", "flops": "parameters"}[measure]
    small, same, large = ({measure: size, other: 1e9 * i + 1} for i, size in enumerate((9, 10, 20)))
    study = Study(
        {"attention": {}, "lstm": {"model": "lstm"}, "wide": {"model": "lstm", "width": 99}},
        {"attention": small, "lstm": same, "wide": large},
    )
    found = {arm: {"unseen": around(2.0)} for arm in study.arms}
    # Only `lstm` is of the size of `attention`; what `wide` reaches is of no weight.
    found["wide"]["unseen"] = around(0.5)
    found["lstm"]["unseen"] = around(2.5)
    assert verdicts(study, found)[id] == "supported"
    found["lstm"]["unseen"] = around(1.5)
    assert verdicts(study, found)[id] == "refuted"
    # Nor is one that was taught otherwise.
    study.arms["lstm"]["mixture"] = "proportional"
    assert id not in verdicts(study, found)


def test_an_n_gram_has_no_flops_to_be_alike_in():
    study = Study(
        {"attention": {}, "lstm": {"model": "lstm"}, "counts": {"model": "ngram"}},
        {"counts": {"parameters": 0, "flops": 0.0}},
    )
    found = {arm: {"unseen": around(2.0 + i)} for i, arm in enumerate(study.arms)}
    made = verdicts(study, found)
    assert {"D2a", "D2b", "D2Fa"} <= set(made) and "D2Fb" not in made


def test_parts_have_names_beyond_z():
    assert [part("D2", number) for number in (0, 25, 26)] == ["D2a", "D2z", "D226"]


def test_depth_against_width_at_one_size():
    study = Study({"wide": {"depth": 1, "width": 96}, "deep": {"depth": 4, "width": 48}})
    found = {"wide": {"unseen": around(2.5)}, "deep": {"unseen": around(2.0)}}
    assert verdicts(study, found)["D3"] == "supported"
    found = {"wide": {"unseen": around(2.0)}, "deep": {"unseen": around(2.5)}}
    assert verdicts(study, found)["D3"] == "refuted"
    # What adapts both in one way tells whether depth forgets less, too.
    for base in ("wide", "deep"):
        study.arms[f"{base}_new"] = study.arms[base] | tuned(**{"from": base})
        study.arms[f"{base}_slow"] = study.arms[f"{base}_new"] | {"learning_rate": 0.001}
    found = {"wide": {"unseen": around(2.5)}, "deep": {"unseen": around(2.0)}}
    found |= {"wide_new": results(1.0, 0.2), "deep_slow": results(1.0, 0.3)}
    found |= {"wide_slow": {}, "deep_new": results(1.0, 0.1)}
    judged = verdicts(study, found)
    assert (judged["D3b"], judged["D3"]) == ("supported", "supported")
    found["deep_new"] = results(1.0, 0.3)
    judged = verdicts(study, found)
    assert (judged["D3a"], judged["D3b"], judged["D3"]) == ("supported", "refuted", "refuted")
    del study.arms["deep_new"], found["deep_new"]
    assert "D3b" not in verdicts(study, found)
    study.sizes = {"wide": {"parameters": 2000, "flops": 1.0}}
    assert "D3" not in verdicts(study, found)


def test_examples_in_context_are_judged_where_most_domains_were_seen():
    study = Study({"few": {"domains": "a"}, "many": {"domains": "a+b+c"}})

    def judged(few, many):
        found = {"few": {"few_shot_gain": around(few)}, "many": {"few_shot_gain": around(many)}}
        for row in found.values():
            row["unseen"] = around(1.0)
        return verdicts(study, found)["D6"]

    assert judged(-1.0, 1.0) == "supported"
    assert judged(1.0, -1.0) == "refuted"


def tuned(**recipe):
    return {"from": "base", "domains": "new"} | recipe


def results(new, forgetting, valid=1.0, **losses):
    found = {"new": new, "forgetting": forgetting, "valid": valid, "gain": 3.0 - new}
    found |= {f"loss/{name}": new for name in NEWS} | {f"loss/{name}": 1.0 for name in OLDS}
    return {name: around(value) for name, value in (found | losses).items()}


def test_over_finetuning_turns_and_costs():
    # Judged is the arm that goes over its tokens most often.
    limits = {"short": (100, 50), "long": (100, 100), "wide": (1000, 300)}
    arms = {name: tuned(limit=limit, steps=steps) for name, (limit, steps) in limits.items()}
    study = Study({"base": {}} | arms)
    found = {"base": {}} | {name: results(2.0, -1.0) for name in arms}

    def judged(new, old, forgetting=1.0):
        rows = [
            {"arm": "long", "seed": s, "step": 10 * k, "valid_new": n + NOISE[s], "valid_old": o}
            for s in SEEDS
            for k, (n, o) in enumerate(zip(new, old, strict=True))
        ]
        found["long"] |= {"forgetting": around(forgetting)}
        return verdicts(study, found, rows)

    turned, rises = [3.0, 2.0, 2.5], [1.0, 2.0, 2.5]
    jitter = [[value + 0.001 * k for k, value in enumerate(row)] for row in (turned, rises)]
    assert judged(*jitter)["D5"] == "supported"
    assert judged(turned, rises, -1.0)["D5a"] == "refuted"
    # Where the lowest loss is the last, nothing turned.
    assert judged([3.0, 2.5, 2.0], rises)["D5b"] == "inconclusive"
    assert judged(turned, [1.0, 2.5, 2.0])["D5c"] == "refuted"


def test_where_a_curve_turns_is_said_by_the_other_seeds():
    curves = np.array([[3.0, 2.0, 2.5], [3.0, 2.0, 2.5], [3.0, 2.9, 0.0]])
    assert turning(curves) == [2, 2, 1]
    assert turning(curves[2:]) == [2]
    # Of noise around a flat curve the end lies as often below the turn as above.
    flat = np.random.default_rng(0).normal(size=(4000, 4, 6))
    apart = [np.mean(c[:, -1] - c[np.arange(4), turning(c)]) for c in flat]
    assert abs(np.mean(apart)) < 0.05


def test_lora_is_judged_at_the_rate_its_valid_text_prefers():
    study = Study(
        {
            "base": {},
            "all": tuned(),
            "low": tuned(train="lora", learning_rate=0.1),
            "high": tuned(train="lora", learning_rate=0.2),
        }
    )
    found = {
        "base": {},
        "all": results(1.0, 2.0),
        "low": results(1.5, 1.0, valid=1.0),
        "high": results(0.5, 3.0, valid=2.0),
    }
    judged = verdicts(study, found)
    assert (judged["D7a"], judged["D7b"]) == ("supported", "supported")
    # An average of before and after is not full finetuning.
    study.arms["wise"] = study.arms["all"] | {"average": 0.5}
    found["wise"] = results(9.0, 9.0, valid=0.0)
    assert verdicts(study, found)["D7a"] == "supported"
    # Each rank is held against it, from the lowest on.
    study.arms["rank16"] = tuned(train="lora", lora_rank=16)
    found["rank16"] = results(0.5, 1.0)
    judged = verdicts(study, found)
    ends = [judged[f"D7{letter}"] for letter in "abcd"]
    assert ends == ["supported", "supported", "refuted", "supported"] and "D7e" not in judged
    del study.arms["rank16"], found["rank16"]
    found["low"]["valid"], found["high"]["valid"] = around(2.0), around(1.0)
    judged = verdicts(study, found)
    assert (judged["D7a"], judged["D7b"]) == ("refuted", "refuted")


def test_replay_is_judged_by_the_share_of_the_gap_it_closes():
    study = Study({"base": {"steps": 1}, "none": tuned(), "some": tuned(replay=0.05)})
    study.arms["joint"] = study.arms["none"] | {"domains": "all"}

    def judged(old_some, joint=1.0):
        old = {"none": 2.0, "some": old_some, "joint": joint}
        found = {"base": {}} | {
            arm: results(1.0, 0.5, **{f"loss/{name}": value for name in OLDS})
            for arm, value in old.items()
        }
        # Seeds that move together leave the difference alone, up to a little noise.
        for name in OLDS:
            found["some"][f"loss/{name}"] += 0.01 * NOISE
            found["joint"][f"loss/{name}"] += 0.01 * NOISE[::-1]
        return verdicts(study, found)

    assert judged(1.2)["D8"] == "supported"
    assert judged(1.8)["D8b"] == "refuted"
    # Where joint training is no better there is no gap to close; what else differs is no peer.
    found = judged(1.2, joint=2.5)
    assert (found["D8a"], found["D8"]) == ("refuted", "refuted")
    study.arms["joint"]["anchor"] = 1.0
    assert "D8" not in judged(1.2)


def test_a_front_of_one_method_is_no_balance():
    study = Study({"base": {}, "x": tuned(), "y": tuned(replay=0.5), "z": tuned(ewc=1.0)})
    study.seeds = list(range(20))

    def judged(forgetting):
        found = {"base": {}}
        for arm, new, forgot in zip("xyz", (1.0, 1.5, 2.0), forgetting, strict=True):
            found[arm] = {"new": [new] * 20, "forgetting": [forgot] * 20, "gain": [0.0] * 20}
            found[arm] |= {"valid": [0.0] * 20}
            found[arm] |= {f"loss/{name}": [0.0] * 20 for name in (*NEWS, *OLDS)}
        return verdicts(study, found)["D9"]

    assert judged((3.0, 2.0, 1.0)) == "supported"
    assert judged((1.0, 2.0, 3.0)) == "refuted"
    # Two are more than one: the third learns less and keeps less.
    assert judged((2.0, 1.0, 3.0)) == "supported"
    # One way at three rates is one way.
    for arm, rate in zip("xyz", (0.1, 0.2, 0.3), strict=True):
        study.arms[arm] |= tuned(learning_rate=rate, replay=0.0, ewc=0.0)
    assert judged((3.0, 2.0, 1.0)) == "refuted"


def test_far_domains_gain_most():
    names = [f"d{i}" for i in range(8)]
    study = Study({"base": {"domains": "+".join(names)}})
    study.arms |= {f"to_{name}": tuned(domains=name) for name in names}
    study.old = lambda arm: [name for name in names if name != study.arms[arm]["domains"]]

    def judged(sign):
        found = {"base": {}}
        for i, name in enumerate(names):
            found[f"to_{name}"] = {
                "gain": around(sign * i), "overlap": around(1 - i / 8), "valid": around(1.0),
                "forgetting": around(1.0), "new": around(1.0),
                **{f"loss/{other}": around(1.0) for other in names},
            }  # fmt: skip
        return verdicts(study, found).get("D4")

    assert judged(1) == "supported"
    assert judged(-1) == "refuted"
    # Arms of another rate are no further domains.
    for name in names[4:]:
        study.arms[f"to_{name}"]["learning_rate"] = 0.001
    assert judged(1) is None


def test_gaps_are_taken_between_arms_that_differ_in_domains_alone():
    study = Study(
        {
            "left_out": {"domains": "a+b"},
            "again": {"domains": "b+a"},
            "both": {"domains": "a+b+c+new"},
            "one_more": {"domains": "a+b+c"},
            "alone": {"domains": "c"},
            "other": {"domains": "a+b+new", "width": 8},
            "tuned": tuned(),
        }
    )
    found = {arm: {f"loss/{name}": around(1.0) for name in (*OLDS, *NEWS)} for arm in study.arms}
    found["left_out"] |= {"loss/c": around(3.0), "loss/new": around(9.0)}
    found["one_more"] |= {"loss/c": around(2.5), "loss/new": around(4.0)}
    found["alone"] |= {"loss/c": around(2.0)}
    found["both"] |= {"loss/new": around(1.5)}
    study.overlaps = {"left_out": 0.25, "one_more": 0.5}
    gaps = arms.gaps(study.config().arms(), study.figures(found))
    np.testing.assert_allclose(gaps["left_out"]["gap"], [0.5] * 4)
    assert [gaps[arm]["overlap"] for arm in ("left_out", "one_more")] == [[0.25] * 4, [0.5] * 4]
    np.testing.assert_allclose(gaps["left_out"]["specialist_gap"], [1.0] * 4)
    np.testing.assert_allclose(gaps["one_more"]["gap"], [2.5] * 4)
    assert "specialist_gap" not in gaps["one_more"] and "tuned" not in gaps
    # Alone and then with three more: a mean of 0, and the worst of them.
    found["alone"] |= {"loss/a": around(2.0), "loss/b": around(0.0)}
    gaps = arms.gaps(study.config().arms(), study.figures(found))
    np.testing.assert_allclose(gaps["alone"]["worst_gap"], [1.0] * 4)
    np.testing.assert_allclose(gaps["alone"]["gap"], [0.0] * 4, atol=1e-12)
    assert gaps["both"] == gaps["other"] == {}


def test_valid_text_selects_and_the_oracle_stands_beside_it():
    study = Study(
        {
            "fast": {"domains": "a+b"},
            "slow": {"domains": "a+b", "learning_rate": 0.1},
            "third": {"domains": "b+a", "width": 8},
            "other": {"domains": "a"},
            "longer": {"domains": "a+b", "steps": 1000},
            "few": {"domains": "a+b", "limit": 10},
            "proxy": {"domains": "a+b", "dro": "fast"},
            "tuned": {"domains": "a+b", "from": "runs/base"},
            "damaged": {"domains": "a+b", "width": 16},
        }
    )
    found = {arm: {"valid": around(0.0), "unseen": around(0.0)} for arm in study.arms}
    for arm, valid, unseen in (("fast", 1.0, 5.0), ("slow", 2.0, 3.0), ("third", 3.0, 4.0)):
        found[arm] = {"valid": around(valid), "unseen": around(unseen)}
    found["damaged"]["valid"] = [None] * 4
    expected = (["fast", "slow", "third"], "fast", "slow")
    assert arms.selections(study.config().arms(), study.figures(found)) == [expected]
