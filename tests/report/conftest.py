"""A run folder that no training made, for the page's tests."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from genjax import claims
from genjax.core.config import to_json
from genjax.core.folder import VERSION
from genjax.vae.config import Config
from genjax.vae.evaluate import better

ARMS = ["ae", "vae@0.1"]


def claim(id, statement, estimate, ends, verdict):
    """A claim as a summary holds it, without controls."""
    return {
        "id": id, "statement": statement, "estimate": estimate, "low": ends[0], "high": ends[1],
        "threshold": 0.0, "direction": "less", "p": None, "verdict": verdict,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A run folder as experiments/vae.py leaves it, two arms, two seeds."""
    rng = np.random.default_rng(0)
    images = load_digits().images[..., None].astype(np.float32) / 16
    metrics = {}
    for arm in ARMS:
        metrics[f"{arm}/mse"] = [0.01, 0.012]
        metrics[f"{arm}/probe/100"] = [0.8, 0.9]
        metrics[f"{arm}/gmm/kfid"] = [3.0, 4.0]
    metrics |= {f"vae@0.1/nll/k={k}": [30.0 - k, 31.0 - k] for k in (1, 10)}
    metrics |= {"vae@0.1/rate": [5.0, 6], "vae@0.1/distortion": [20.0, 19], "floor/kfid": [1.0]}
    metrics["vae@0.1/psnr"] = [float("nan"), 20.0]
    units = {"mse": "per pixel"}
    summary = {
        "experiment": "vae",
        "title": "A <b>title</b>",
        "data": "digits/none",
        "flags": {"latent": 8},
        "seeds": [0, 1],
        "arms": ARMS,
        "samplers": ["normal", "gmm"],
        "metrics": {p: claims.summarize(v, units.get(p.split("/")[1], "")) | {"better": better(p)}
                    for p, v in metrics.items()},
        "claims": [
            claim("V1", "smaller", -4.9, (-4.9, -4.9), "supported"),
            claim("V2", "one replica", -4.9, (None, None), "undetermined"),
            claim("V5a", "part", 9.0, (9.0, 9.0), "refuted"),
        ],
        "notes": ["kFID is not FID"],
        "timing": {"total_s": 1.5},
        "device": {"kind": "cpu"},
        "versions": {"jax": "0"},
        "commit": "abc",
    }  # fmt: skip
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    asked = {"version": VERSION, "experiment": "vae", "room": "vae"}
    (tmp_path / "config.json").write_text(json.dumps(asked | {"config": to_json(Config())}))
    rows = [
        {"arm": arm, "seed": seed, "step": step, key: 100 / step + seed}
        for arm in ARMS
        for seed in (0, 1)
        for step in range(10, 110, 10)
        for key in ("loss", "valid_loss")
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "arrays").mkdir()
    for arm in ARMS:
        arrays = {
            "inputs": images[:8],
            "reconstructions": images[:8] * 0.5,
            "interpolations": images[:44].reshape(4, 11, 8, 8, 1),
            "latent": rng.normal(size=(60, 3)),
            "label": np.arange(60) % 10,
            "samples_gmm": images[:64],
            "variances": rng.random((2, 3)),
            "kl_units": rng.random((2, 3)),
        }
        np.savez(tmp_path / "arrays" / f"{arm}.npz", **arrays)
    return tmp_path
