"""What two budgets foretell of a third: against a power law, and what counts as a ladder."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scripts import ROOT

from genjax.domains import forecast
from genjax.domains.config import Config


def test_a_power_law_is_foretold_exactly():
    """excess = a T^-b with a of each seed: at 1, 4 and 16 times the tokens."""
    scale, power = np.array([0.9, 1.0, 1.1]), 0.4
    first, second, third = (scale * tokens**-power for tokens in (1.0, 4.0, 16.0))
    mean, low, high = forecast.extrapolated(first, second)
    assert mean == pytest.approx(third.mean())
    # Half the slope leaves more of the excess, one and a half less.
    half, more = (second * (second / first) ** slope for slope in (0.5, 1.5))
    assert low < more.mean() < mean < half.mean() < high
    # Seeds that agree leave the slopes alone.
    _, low, high = forecast.extrapolated([1.0] * 3, [0.5] * 3)
    assert (low, high) == pytest.approx((0.5**2.5, 0.5**1.5))
    # What rises goes on rising.
    mean, low, high = forecast.extrapolated([1.0] * 3, [1.2] * 3)
    assert mean == pytest.approx(1.44) and 1.2 < low < mean < high


def test_a_ladder_is_of_arms_that_differ_in_steps_alone():
    rungs = {f"a{n}": {"steps": n} for n in (2, 8, 32, 5)}
    other = {f"b{n}": {"steps": n, "model": "lstm"} for n in (2, 8)}
    tuned = {f"c{n}": {"steps": n, "from": "a2"} for n in (2, 8, 32)}
    arms = Config(variants=rungs | other | tuned).arms()
    assert forecast.ladders(arms) == [["a2", "a8", "a32"]]
    found = {name: {"excess_seen": [1.0, 1.0]} for name in arms}
    found["a8"]["excess_seen"] = [0.5, 0.5]
    made = forecast.made(arms, found)
    assert made.keys() == {"a32/forecast_excess_seen"}
    assert made["a32/forecast_excess_seen"][0] == 0.25


SEALED = Path(forecast.__file__).with_name("forecast.json")


def test_the_sealed_forecast_is_the_one_on_the_page():
    sealed = json.loads(SEALED.read_text())
    text = json.dumps(sealed["forecast"], sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == sealed["sha256"]
    page = (ROOT / "docs" / "domains_budget.md").read_text()
    assert sealed["sha256"] in page
    for path, values in sealed["forecast"].items():
        arm, measure = path.split("/forecast_")
        (line,) = (row for row in page.splitlines() if row.startswith(f"| {arm}, {measure} |"))
        assert "{:.2f} ({:.2f} to {:.2f})".format(*values) in line
    # From each seed's excess at the first two budgets, of the code of that day.
    first = {"n3": ("n3_1", "n3_4"), "lstm": ("lstm_1", "lstm_4")}
    for path, values in sealed["forecast"].items():
        arm, measure = path.split("/forecast_")
        both = first[arm.removesuffix("_16")]
        found = forecast.extrapolated(*(sealed["made_of"][f"{name}/{measure}"] for name in both))
        np.testing.assert_allclose(found, values, rtol=1e-4)
    # The run that is published is of later code, and foretells its own.
    place = ROOT / "results" / f"{sealed['flagfile']}.json"
    metrics = json.loads(place.read_text())["metrics"] if place.exists() else {}
    made = {path: one for path, one in metrics.items() if "/forecast_" in path}
    assert not metrics or made.keys() == sealed["forecast"].keys()
    for path, one in made.items():
        arm, measure = path.split("/forecast_")
        both = first[arm.removesuffix("_16")]
        found = forecast.extrapolated(*(metrics[f"{name}/{measure}"]["per_seed"] for name in both))
        np.testing.assert_allclose(found, [one[key] for key in ("mean", "low", "high")], rtol=1e-4)
