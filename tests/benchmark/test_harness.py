"""The benchmark's rounds, its peers' process, its files and its refusals."""

import importlib
import json
import os
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import scripts

from genjax.benchmark import experiment, harness
from genjax.benchmark.config import Config
from genjax.benchmark.counts import Counts
from genjax.benchmark.harness import Part, Row
from genjax.core.errors import RunError, UsageError

COUNTS = Counts(30.0, 10.0, {})
ROOFS = ("best product", "copy in memory", "copy in cache")


def pause():
    """10 ms."""
    time.sleep(0.01)


def part(peers=dict, order=None, roofs=()):
    """Rows of 10 ms; `order` collects the names as they run."""
    order = [] if order is None else order

    def row(name, work):
        return Row(lambda: (order.append(name), pause()), work, "calls/s")

    return Part(
        lambda: None,
        lambda: (
            {"one": row("one", 1), "two": row("two", 2)._replace(counts=COUNTS)}
            | {name: row(name, 10) for name in roofs}
        ),
        lambda rates: {"two / one": harness.ratio(rates, "two", "one")},
        peers,
    )


def test_a_rate_is_work_over_time(monkeypatch):
    ticks = iter(np.arange(0, 100, 0.5))
    monkeypatch.setattr(harness, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    # Half a second passes at each look at the clock: begun, three looks, the end.
    assert harness.rate(Row(lambda: None, 6.0, ""), 1.2) == 3 * 6.0 / 2.0


def test_rounds_measure_every_row_in_changing_order_beside_the_peers():
    order = []
    peers = partial(dict, peer=Row(partial(time.sleep, 0.01), 3, "steps/s"))
    rates, units, counted = harness.measure(part(peers, order), 6, 0.001)
    assert units == {"one": "calls/s", "two": "calls/s", "peer": "steps/s"}
    assert counted == {"two": COUNTS}
    assert {name: len(values) for name, values in rates.items()} == dict.fromkeys(rates, 6)
    # 10 ms or more a call, of so much work: no rate is above.
    assert all(0 < rate <= 100 for rate in rates["one"])
    assert all(0 < rate <= 300 for rate in rates["peer"])
    rounds = [tuple(order[i : i + 2]) for i in range(len(order) - 12, len(order), 2)]
    assert set(rounds) == {("one", "two"), ("two", "one")}


def test_without_a_package_there_are_no_peers(capfd):
    with harness.started(partial(importlib.import_module, "no_such_package")) as peers:
        assert peers.units == {}
    assert "no peers: No module named 'no_such_package'; pip install" in capfd.readouterr().err


def test_peers_that_die_are_said():
    with (
        pytest.raises(RunError, match="the process of the peers has died"),
        harness.started(partial(os._exit, 3)),
    ):
        pass


def test_a_run_writes_what_it_says(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(experiment.PARTS, "lm", (lambda config, size: part(roofs=ROOFS), None))
    config = Config(only="lm", rounds=2, seconds=0.1, json=str(tmp_path / "too.json"))
    found = experiment.run(config, tmp_path / "new", compile_cache="off")
    written = json.loads((tmp_path / "new" / "results.json").read_text())
    assert written == json.loads((tmp_path / "too.json").read_text())
    assert written["rates"] == found["rates"] and len(found["rates"]["two"]) == 2
    np.testing.assert_allclose(
        written["ratios"]["two / one"], np.divide(found["rates"]["two"], found["rates"]["one"])
    )
    assert written["counts"] == {"two": {"flops": 30.0, "bytes": 10.0}}
    rate = np.array(found["rates"]["two"])
    for of, amount in (("best products", 30), ("copy in memory", 10), ("copy in cache", 10)):
        roof = found["rates"][of.replace("products", "product")]
        np.testing.assert_allclose(written["shares"]["two"][of], amount * rate / roof)
    assert (tmp_path / "new" / "roofline.png").read_bytes()[:4] == b"\x89PNG"
    assert written["flags"]["only"] == "lm" and "json" not in written["flags"]
    assert written["device"]["backend"] == "cpu"
    said = capfd.readouterr().err
    for values, name, digits in (
        (found["rates"]["one"], "one", 1),
        (found["ratios"]["two / one"], "two / one", 2),
    ):
        (line,) = (line for line in said.splitlines() if line.startswith(f"{name}  "))
        shown = [f"{f(values):.{digits}f}" for f in (np.median, np.min, np.max)]
        assert line.removeprefix(name).split()[:3] == shown
    assert "no measurement" not in said
    config = config.replace(check=True, rounds=9)
    again = experiment.run(config, tmp_path / "new", compile_cache="off")
    assert len(again["rates"]["two"]) == 2 and again["flags"]["check"]
    assert "--check: 2 rounds of 0.1 s a row; these figures are no m" in capfd.readouterr().err
    assert json.loads((tmp_path / "new" / "results.json").read_text())["rates"] == again["rates"]
    with pytest.raises(UsageError, match="holds results and --noresume"):
        experiment.run(config, tmp_path / "new", resume=False, compile_cache="off")


def test_a_rate_of_products_is_shown_in_giga():
    rates = {"products": [2e9, 3e9, 4e9]}
    assert harness.table(rates, {"products": "FLOP/s"}, {})[1].split() == [
        "products", "3.0", "2.0", "4.0", "GFLOP/s",
    ]  # fmt: skip


BAD = {
    "an unknown part": (["--only=x"], ["--only=x", "vae, gan, attention, lm"]),
    "one round": (["--rounds=1"], ["--rounds=1", "from 2"]),
    "no time": (["--seconds=0"], ["--seconds=0", "from 0.1"]),
    "no length": (["--lengths="], ["--lengths=", "at least one"]),
    "lengths of nothing": (["--lengths=8"], ["--lengths=8", "no effect with --only=vae"]),
    "a length that is none": (["--lengths=8,x"], ["--lengths=8,x", "whole number"]),
    "a core that is not there": (
        ["--only=attention", "--cores=4095"],
        ["--cores=4095", "may run on"],
    ),
    "curves": (["--writers=mlflow"], ["--writers=mlflow: no such flag"]),
    "a page that grows": (["--live"], ["--live=8008: no such flag"]),
    "a trace": (["--profile=3"], ["--profile=3: no such flag"]),
    "a file nowhere": (["--json={folder}/none/x.json"], ["--json=", "a folder that is there"]),
    "unknown flag": (["--round=3"], ["--round=3: no such flag", "did you mean rounds?"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(end, case):
    given, parts = BAD[case]
    scripts.assert_refused(end("benchmark", *given), parts)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="holds other files"):
        experiment.run(Config(), tmp_path, compile_cache="off")
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
