"""A fifth experiment is one folder: core and report know nothing of it, and do all for it."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

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
    given += ["--slope=9"]
    asked = flags.parse(line.Config, "line", given)
    text = flags.help_text(line.Config, "experiments/line.py", "Lines.", full=False)
    assert re.search(
        r"Common:\n  --learning_rate\n +Of plain gradient descent. \(number above 0", text
    )
    run = line.run(asked.config, tmp_path / "run", compile_cache="off")
    assert {claim["statement"]: claim["verdict"] for claim in run.claims} == {
        "fast finds the slope": "supported",
        "slow finds the slope": "refuted",
    }
    assert {(row["arm"], row["seed"]) for row in run.metrics} == {
        (arm, seed) for arm in ("fast", "slow") for seed in range(3)
    }
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Does descent find a slope?" in page and "error ↓ (m/s)" in page
    assert "Fitted slopes, one a seed." in page and "slow finds the slope" in page
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
