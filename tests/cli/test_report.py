"""`genjax report --judge`: verdicts, what changed, and why one is open."""

from types import SimpleNamespace

from genjax_cli import report


def claim(id, verdict, **more):
    ends = {"estimate": 1.0, "low": 0.5, "high": 2.0, "replicates": 3, "replicate": "seed"}
    return {"id": id, "verdict": verdict} | ends | more


def test_of_an_open_verdict_the_reason_is_said(tmp_path, monkeypatch):
    before = [claim("X1", "supported"), claim("X2", "supported"), claim("X9", "refuted")]
    now = [
        claim("X1", "supported", because="of nothing"),
        claim("X2", "undetermined", because="the control X passes"),
        claim("X3 a", "undetermined", would_settle=9),
        claim("X3 b", "refuted"),
    ]
    run = SimpleNamespace(claims=before, judge=lambda: now)
    monkeypatch.setattr("genjax.run.Run", lambda folder: run)
    (tmp_path / "config.json").write_text("{}")
    assert report.judged(tmp_path) == [
        "X1 supported",
        "X2 undetermined (was supported): the control X passes",
        "X3 a undetermined (was None): 9 seeds would settle it",
        "X3 b refuted (was None)",
        "X9 is judged no more (was refuted)",
        "4 of 5 verdicts changed",
    ]
