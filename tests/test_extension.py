"""A fifth experiment is one folder: core and report know nothing of it, and do all for it."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import genjax
from genjax.core import flags
from genjax.core.errors import UsageError

HERE = Path(__file__).parent / "extension"


@pytest.fixture
def line(monkeypatch):
    """genjax with one more room."""
    monkeypatch.setattr(genjax, "__path__", [*genjax.__path__, str(HERE)])
    yield importlib.import_module("genjax.line.experiment")
    for name in [name for name in sys.modules if name.startswith("genjax.line")]:
        del sys.modules[name]
    vars(genjax).pop("line", None)


def test_a_fifth_experiment(line, tmp_path):
    given = ["--arm=fast", "--arm=slow:learning_rate=0.0001", "--steps=40", "--batch_size=16"]
    given += ["--slope=9", "--seeds=6"]
    asked = flags.parse(line.Config, "line", given)
    text = flags.help_text(line.Config, "python experiments/line.py", "Lines.", full=False)
    assert re.search(
        r"Common:\n  --learning_rate\n +Of plain gradient descent. \(number above 0", text
    )
    run = line.run(asked.config, tmp_path / "run", compile_cache="off")
    assert {claim["statement"]: claim["verdict"] for claim in run.claims} == {
        "fast finds the slope": "supported",
        "slow finds the slope": "refuted",
    }
    assert {(row["arm"], row["seed"]) for row in run.metrics} == {
        (arm, seed) for arm in ("fast", "slow") for seed in range(6)
    }
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Does descent find a slope?" in page and '<span class="unit">m/s</span>' in page
    assert "Fitted slopes, one a seed." in page and "slow finds the slope" in page
    # There is no command of that name.
    assert "genjax line" not in page and "execute(run.experiment, run.config" in page
    # Read again, judged again, used.
    found = genjax.open(tmp_path / "run")
    assert found.judge() == found.claims and list(found.figures()) == ["slopes"]
    model = found.model("fast", seed=1)
    assert abs(model.slope - 9) < 0.2
    np.testing.assert_allclose(model.predict(2.0), 2 * model.slope)
    # Damaged, named and mended.
    (tmp_path / "run" / "evaluation" / "slow.json").write_text("{}")
    line.run(asked.config, tmp_path / "run", compile_cache="off")
    assert genjax.open(tmp_path / "run").claims == found.claims
    assert (tmp_path / "run" / "damaged").exists()
    with pytest.raises(UsageError, match="holds another run|--slope"):
        line.run(asked.config.replace(slope=4.0), tmp_path / "run", compile_cache="off")


def test_a_run_says_why_nothing_is_decided(line, tmp_path, capsys, monkeypatch):
    few = line.Config(seeds=2, steps=5, batch_size=16)
    line.run(few, tmp_path / "few", compile_cache="off")
    assert "2 seeds are too few for an interval, which takes 6\n" in capsys.readouterr().err
    monkeypatch.setattr(line, "judge", lambda wrong, config: [])
    line.run(few, tmp_path / "none", compile_cache="off")
    assert "no claim is about these models and these data" in capsys.readouterr().err


def learning(rate, steps=40):
    return ["--arm=a:learning_rate=0.1", f"--arm=b:learning_rate={rate}", f"--steps={steps}"]


def test_seeds_are_added_until_every_claim_is_decided(line, tmp_path, capsys):
    given = [*learning(0.0001), "--batch_size=16", "--slope=9", "--seeds=auto"]
    config = flags.parse(line.Config, "line", given).config
    assert (config.seeds, config.max_seeds) == (5, 40)
    run = line.run(config, tmp_path / "auto", compile_cache="off")
    # Five seeds decide nothing, ten do: eight are the fewest when one looks again.
    said = capsys.readouterr().err
    assert "5 seeds: of 2 claims undetermined: L1, L1" in said
    assert "10 seeds: of 2 claims undetermined: none" in said
    assert run.summary["seeds"] == list(range(10)) and not (tmp_path / "auto/blocks/10").exists()
    assert [claim["verdict"] for claim in run.claims] == ["supported", "refuted"]
    assert all("at every look" in claim["interval"] for claim in run.claims)
    assert run.judge() == run.claims
    assert {(row["arm"], row["seed"]) for row in run.metrics} == {
        (arm, seed) for arm in "ab" for seed in range(10)
    }
    # The same seeds as one program, and the second block alone.
    plain = line.run(config.replace(max_seeds=0, seeds=10), tmp_path / "ten", compile_cache="off")
    for name in ("a/error", "b/error"):
        both = (found.summary["metrics"][name]["per_seed"] for found in (run, plain))
        np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-6)
    assert run.model("b", seed=7).slope == pytest.approx(plain.model("b", seed=7).slope, rel=1e-5)
    # Finished, it is left alone; a damaged block is mended.
    before = (tmp_path / "auto/summary.json").read_bytes()
    (tmp_path / "auto/blocks/5/evaluation/b.json").write_text("{}")
    again = line.run(config, tmp_path / "auto", compile_cache="off")
    assert again.judge() == run.claims
    assert (tmp_path / "auto/summary.json").read_bytes() == before


def test_the_cap_is_kept_where_a_claim_stays_open(line, tmp_path):
    """A rate at which some seeds end above the threshold and some below."""
    config = line.Config(
        variants={"c": {"learning_rate": 0.0001}}, steps=1, slope=0.2, seeds=2, max_seeds=6
    )
    run = line.run(config, tmp_path, compile_cache="off")
    assert run.summary["seeds"] == list(range(6)) and len(list(tmp_path.glob("blocks/*"))) == 3
    assert [claim["verdict"] for claim in run.claims] == ["undetermined"]


def test_blocks_that_do_not_fit_are_refused(line):
    with pytest.raises(UsageError, match="--max_seeds=7: a multiple of --seeds=2, two or more"):
        line.Config(seeds=2, max_seeds=7)
    with pytest.raises(UsageError, match="--max_seeds=4: the claims of this experiment hold for"):
        genjax.scaling.Config(seeds=2, max_seeds=4)


def test_a_run_leaves_linear_algebra_on_one_thread_and_gives_the_threads_back(
    line, tmp_path, monkeypatch
):
    def threads():
        return {
            one["num_threads"]
            for one in threadpoolctl.threadpool_info()
            if "blas" in one["user_api"]
        }

    seen, work = [], line.work
    counted = lambda *given: (seen.append(threads()), work(*given))  # noqa: E731
    monkeypatch.setattr(line, "EXPERIMENT", line.EXPERIMENT._replace(work=counted))
    asked = flags.parse(line.Config, "line", ["--arm=fast", "--steps=4", "--seeds=1"])
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert threads() == {2}
        line.run(asked.config, tmp_path / "run", compile_cache="off")
        assert seen == [{1}] and threads() == {2}
