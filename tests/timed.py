"""Sweeps whose times are made up: each arm a power law, or what a mistake makes of it."""

import numpy as np

from genjax.scaling.timings import MODES, Timings, name_of

LENGTHS = (512, 1024, 2048, 4096, 8192)
WIDTH = 128
# The exponent of time of each arm, and of its peak.
POWERS = {
    "full": 2.0, "flash": 2.0, "truncated": 0.0, "sparse_strided": 1.5, "sparse_fixed": 1.8,
    "longformer": 1.0, "bigbird": 1.05, "linformer": 1.0, "performer": 0.95, "linear": 1.1,
    "reformer": 1.15, "products": 2.0, "tiles": 2.0, "rows": 1.0, "roots": 1.5,
}  # fmt: skip
PEAKS = {"full": 2.0, "products": 2.0}
NEEDLES = {"flash": (1.0, 1.0), "linear": (0.0, None), "truncated": (0.06, 0.06)} | dict.fromkeys(
    ("sparse_strided", "sparse_fixed", "longformer", "bigbird"), (0.1, 0.1)
)


def curves(**powers):
    """{(arm, mode): seconds by length} of power laws; a layer's halves cross at n = 4 d."""
    made = {
        (arm, mode): np.array(LENGTHS, float) ** power * 1e-6
        for arm, power in (POWERS | powers).items()
        for mode in MODES
    }
    x = WIDTH * 2.0 ** np.arange(5)
    made |= {
        (f"feedforward@{WIDTH}", "forward"): 1e-6 * x * 4 * WIDTH,
        (f"attention@{WIDTH}", "forward"): 1e-6 * x**2,
    }
    return made


def sweep(made=None, *, processes=10, noise=0.01, peaks=None, needles=None, seed=0):
    """(rows, evaluation) of processes whose times differ by a factor of exp(noise) or so."""
    made, rng = made or curves(), np.random.default_rng(seed)
    rows, evaluation = [], {}
    for (arm, mode), seconds in made.items():
        for n in _lengths(arm, seconds):
            rows.append({
                "arm": arm, "mode": mode, "length": n, "flops": float(n), "xla_flops": 2.0 * n,
                "temp_bytes": 8 * n, "result_bytes": 4 * n, "argument_bytes": 4 * n,
                "count_bytes": 5.0 * n, "note": "",
            })  # fmt: skip
    for i in range(processes):
        points = {}
        for (arm, mode), seconds in made.items():
            for n, time in zip(_lengths(arm, seconds), seconds, strict=True):
                least = time * np.exp(noise * rng.standard_normal(2))
                peak = 1e3 * n ** (PEAKS | (peaks or {})).get(arm, 1.0)
                points[f"{arm} {mode} {n}"] = {
                    "first_s": 2 * time, "peak_bytes": peak,
                    "seconds": list(1.1 * least), "least": list(least),
                }  # fmt: skip
        quality = {
            name: {"length": LENGTHS[-1], "needles": hit, "error": 0.5}
            | ({} if share is None else of_reach(hit, share))
            for name, (hit, share) in (NEEDLES | (needles or {})).items()
        }
        evaluation[name_of(i)] = {
            "seed": i, "points": points, "skipped": {}, "quality": quality,
        }  # fmt: skip
    return rows, evaluation


def of_reach(hit, share):
    """Of a pattern that reaches a share of the look-ups, at first those that it finds."""
    missed, beyond = max(share - hit, 0) / share, max(hit - share, 0) / max(1 - share, 1e-9)
    return {"reached": share, "missed": missed, "beyond": beyond, "shifted": 1 - share}


def timings(made=None, **how):
    return Timings(*sweep(made, **how))


def _lengths(arm, seconds):
    lengths = [WIDTH * 2**i for i in range(5)] if "@" in arm else LENGTHS
    return lengths[: len(seconds)]
