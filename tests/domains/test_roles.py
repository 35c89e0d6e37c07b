"""Which arms bear which claim, and what is read of them."""

import numpy as np
from domain_arms import ADAPTED, arms, figures

from genjax.domains import roles
from genjax.domains.config import Config


def study(changes=None, remove=()):
    found = figures({}, {}, {}, 0.0)
    made = {k: v for k, v in (arms() | (changes or {})).items() if k not in remove}
    facts = found.facts._replace(
        sizes={name: found.facts.sizes.get(name, {"parameters": 1000}) for name in made}
    )
    config = Config(seeds=10, steps=100, corpus="texts", domains="a+b+c", variants=made)
    kept = {name: found.found[name] for name in made}
    return roles.study_of(found._replace(found=kept, facts=facts), config)


def test_rivals_are_of_one_size_and_taught_alike():
    find = roles.rival("lstm")
    assert find(study()) == {"attention": "many", "other": "lstm"}
    # A rate of its own is no difference, other tokens are.
    rate, longer = ({"lstm": {"model": "lstm", **more}} for more in
                    ({"learning_rate": 0.1}, {"steps": 200}))  # fmt: skip
    assert find(study(rate)) and not find(study(longer))
    large = study()
    large.facts.sizes["lstm"] = {"parameters": 1200}
    assert find(large) is None


def test_fewer_domains_are_of_those_that_others_hold_out_none():
    assert roles.diversity(study()) == {"few": "few", "many": "many"}
    held = study()
    held.facts.trained_on["few"] = ["held"]
    assert roles.diversity(held) is None


def test_ways_of_as_many_rates_are_compared():
    assert roles.fronts(replay=0.05)(study())["other"] == ["replay2", "replay1", "replay0"]
    assert roles.fronts(replay=0.05)(study(remove=["replay1"])) is None
    assert roles.low_rank(8)(study(remove=["lora8_1"])) is None
    assert roles.low_rank(4)(study()) is None
    assert roles.replayed(study(remove=["joint"])) is None


def test_over_finetuning_is_of_what_went_over_its_tokens_most_often():
    assert roles.overfitted(study()) == {"over": "over", "fresh": "plain0", "low": "plain2"}
    wide = {"wide": ADAPTED | {"limit": 4000}}
    found = figures({}, {}, {}, 0.0)
    found.found["wide"] = found.found["over"]
    config = Config(seeds=10, steps=100, corpus="texts", domains="a+b+c", variants=arms() | wide)
    assert roles.overfitted(roles.study_of(found, config))["over"] == "over"


def test_forgetting_is_read_where_the_loss_is_first_reached():
    found = study()
    level = np.full(10, 3.75)
    np.testing.assert_allclose(roles.forgetting_at(found, "plain0", level), 0.6)
    # The start has forgotten nothing, and what is never reached has no end.
    np.testing.assert_allclose(roles.forgetting_at(found, "plain0", np.full(10, 5.5)), 0)
    np.testing.assert_allclose(roles.forgetting_at(found, "plain0", np.full(10, 4.5)), 0.2)
    assert np.isinf(roles.forgetting_at(found, "plain0", np.full(10, 2.9))).all()
    # `over` comes down, and up again.
    np.testing.assert_allclose(roles.forgetting_at(found, "over", np.full(10, 4.0)), 0.5)
    np.testing.assert_allclose(roles.reached(found, ["plain0", "plain2"]), 4.0)


def test_hypervolume_counts_every_evaluation_of_every_rate():
    found = study()
    one = roles.volume(found, ["replay0"])
    # Strips below (5, 1): (4, 0.1), (3.5, 0.15), (3.1, 0.2).
    np.testing.assert_allclose(one, 1.9 * 0.8 + 1.5 * 0.05 + 1.0 * 0.05)
    assert (roles.volume(found, ["replay0", "replay1"]) > one).all()
    # Forgetting of more than a bit is worth nothing.
    np.testing.assert_allclose(
        roles.volume(found, ["plain0"]), roles.volume(found, ["plain0", "over"]), atol=0.6
    )
    np.testing.assert_allclose(roles.room(found, "plain0"), 2.5)
