"""Runs of three rooms as their figures see them, of numbers that no training made; two seeds."""

import numpy as np

from genjax import claims
from genjax.core import config
from genjax.domains.config import Arm
from genjax.gan import figures

SEEDS = [3, 4]
GRID = {"unit": "bits a token", "domains": ["s0", "s1", "s2", "s3"], "held_out": ["s2", "s3"]}


def metric(*values) -> dict:
    return claims.summarize(list(values), "")


def gan() -> dict:
    """Two arms on four modes, told apart by a classifier: images."""
    rng = np.random.default_rng(0)
    even = np.tile(np.arange(100) % 4, (2, 1))
    modes = {"a": np.repeat([[0, 0, 0, 1], [2, 2, 3, 1]], 25, 1), "b": even}
    arrays = {
        arm: {
            "mode": modes[arm],
            "singular_values": 10.0 ** rng.uniform(-6, 1, (2, 50, 2)),
            "samples": rng.random((2, 30, 8, 8, 1)),
            "snapshots": rng.random((2, 2, 25, 8, 8, 1)),
            "snapshot_steps": np.array([1, 2]),
        }
        for arm in ("a", "b")
    }  # fmt: skip
    names = figures.CURVES
    rows = [
        {"arm": arm, "seed": seed, "step": step, **{name: step + seed for name in names}}
        for arm in arrays for seed in SEEDS for step in (10, 20)
    ]  # fmt: skip
    summary = {
        "arms": ["a", "b"], "seeds": SEEDS, "modes": 4, "weights": [0.25] * 4, "mixture": None,
        "window": [15, 20], "metrics": {"truth/modes": metric(4, 4)},
    }  # fmt: skip
    return {"summary": summary, "rows": rows, "arrays": arrays}


def scaling() -> dict:
    """Textbook attention and linear attention at two lengths; transformers of one task."""
    arms = ["full", "linear", "flash"]
    parts = ["full.scores", "full.softmax", "full.values"]
    point = {
        "lengths": [64.0, 128.0], "seconds": [0.001, 0.004], "low": [0.0009, 0.0035],
        "high": [0.002, 0.005], "predicted_bytes": [2e6, 8e6], "peak_bytes": [1e6, None],
        "local_exponents": [2.0],
    }  # fmt: skip
    points = {f"{name}/forward": point for name in (*arms, *parts)}
    metrics = {}
    for i, arm in enumerate(arms, 1):
        metrics[f"{arm}/milliseconds/forward"] = metric(1.0 * i, 1.2 * i)
        metrics[f"{arm}/needles"] = metric(0.5, 0.75)
        metrics[f"{arm}/error"] = metric(0.1)
        metrics[f"{arm}/predicted/forward"] = metric(7.0)
        metrics[f"{arm}/recall_state/64"] = metric(100.0 * i)
    trained = {"accuracy": [0.5, 0.75], "chance": [0.1], "seconds": [6.4e-5, 7e-5]}
    learnt = {"recall": {n: dict.fromkeys(arms, trained) for n in ("32", "64")}}
    summary = {"arms": arms, "seeds": SEEDS, "points": points, "metrics": metrics}
    return {"summary": summary | {"reference": 128, "learnt": learnt}, "rows": [], "arrays": {}}


def domains() -> dict:
    """Arms from scratch on one and two domains, over three budgets, adapted to two domains."""
    arms = {
        "few": Arm(domains="s0", steps=100), "many": Arm(domains="s0+s1", steps=100),
        "many_4": Arm(domains="s0+s1", steps=400), "many_16": Arm(domains="s0+s1", steps=1600),
        **{f"limit{n}": Arm(from_="many", domains="s2", limit=n) for n in (32, 64, 128)},
        **{f"to_{n}": Arm(from_="many", domains=n) for n in GRID["domains"]},
        "faster": Arm(from_="many", domains="s2", learning_rate=0.1),
    }  # fmt: skip
    metrics, arrays = {}, {}
    floors = {"unigram": 5.0, "cache": 4.0, "cache_bigram": 3.5}
    for name, loss in floors.items():
        metrics[f"{name}/unseen"] = metric(loss)
    for i, (name, arm) in enumerate(arms.items()):
        values = {
            "unseen": 4.0,
            "seen": 3.0,
            "excess_seen": 1.0,
            "excess_unseen": 2.0,
            "valid": 3.0,
        }
        if arm.from_:
            values |= {"new": 3.0, "forgetting": 0.1, "gain": 0.5 + i, "overlap": 0.01 * i}
        metrics |= {f"{name}/{key}": metric(v, v + 0.5) for key, v in values.items()}
        lines = np.repeat([[1.0], [1.5], [2.5]], 64, 1)
        arrays[name] = {
            "losses": np.full((2, 4), 3.0) + [[0.0], [1.0]],
            "known": np.ones(4), "family": np.full(4, 1.5),
            "position_seen": np.tile(np.arange(64.0), (2, 1)), "position_seen_lines": lines,
            "position_unseen": np.tile(np.arange(64.0), (2, 1)), "position_unseen_lines": lines,
            "few_shot": np.array([[3.0, 2.0], [4.0, 3.0]]),
            "prompts": np.array(["given"] * 4), "generated": np.array(["made"] * 4),
        }  # fmt: skip
    for kind in ("excess_seen", "excess_unseen"):
        made = {"mean": 0.7, "low": 0.5, "high": 0.9}
        metrics[f"many_16/forecast_{kind}"] = made
    rows = [
        {"arm": "many", "seed": seed, "step": step, "test_new": step + seed, "test_unseen": 9.0}
        for seed in SEEDS for step in (10, 20)
    ]  # fmt: skip
    summary = GRID | {
        "arms": [*arms], "seeds": SEEDS, "metrics": metrics,
        "recipes": {name: config.to_json(arm) for name, arm in arms.items()},
        "trained_on": {name: arm.domains.split("+") for name, arm in arms.items()},
        "flags": {"batch_size": 2, "context": 16, "shots": [0, 3]},
    }  # fmt: skip
    return {"summary": summary, "rows": rows, "arrays": arrays}
