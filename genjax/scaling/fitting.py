"""How time and memory of a sweep grow with the length: curves, and where they cross. No jax."""

import math
from collections.abc import Sequence

import numpy as np

from genjax.scaling import exponents
from genjax.scaling.timings import Point, Timings

# Lengths of the claimed exponents; sizes of the rows that measure the machine.
TOP, SQUARE, COPIED = 4, 1024, 2**24


def figure(mean, low=None, high=None, unit="") -> dict:
    """A figure as summary.json holds it; an interval is over rounds."""
    return {"mean": mean, "low": low, "high": high, "per_seed": [], "unit": unit}


def rates(measured: Timings) -> dict:
    """FLOP/s of a matrix product and bytes/s of a copy in this run; nan where not timed."""
    found = {}
    for arm, amount in (("matmul", 2.0 * SQUARE**3), ("copy", 2.0 * COPIED)):
        _, times = measured.table(arm, "forward")
        found[arm] = float(amount / np.median(times)) if times.size else math.nan
    return found


def curve(measured: Timings, name: str, mode: str, rate: dict, moved: float):
    """(all figures by length, the exponent's fit, {measure: figure}) of one variant and mode.

    moved: bytes of arguments and result a position. None where fewer than two lengths, or rounds,
    were timed.
    """
    found, times = measured.table(name, mode)
    if len(found) < 2 or len(times) < 2:
        return None
    _, least = measured.table(name, mode, "least")
    fit = exponents.exponent(found, least, top=TOP, over=np.min)
    middle = np.median(times, 0)
    coefficients, turn = exponents.polynomial(found, middle)
    points = [Point(name, mode, int(n)) for n in found]
    facts = [measured.facts[point] for point in points]
    temp = np.array([f["temp_bytes"] for f in facts], float)
    flops = np.array([f["flops"] for f in facts])
    by_length = {
        "lengths": found.tolist(),
        "seconds": middle.tolist(),
        "least": least.min(0).tolist(),
        "low": np.quantile(times, 0.25, axis=0).tolist(),
        "high": np.quantile(times, 0.75, axis=0).tolist(),
        "flops": flops.tolist(),
        "xla_flops": [f["xla_flops"] for f in facts],
        "of_matmul": (flops / middle / rate["matmul"]).tolist(),
        "of_copy": (moved * found / middle / rate["copy"]).tolist(),
        "temp_bytes": temp.tolist(),
        "count_bytes": [f["count_bytes"] for f in facts],
        "rss_bytes": [measured.peaks.get(point) for point in points],
        "local_exponents": exponents.local_exponents(found, middle).tolist(),
        "polynomial": list(coefficients),
        "disagreement": exponents.disagreement(times),
        "notes": list(dict.fromkeys(f["note"] for f in facts if f["note"])),
    }
    row = {
        f"time_exponent/{mode}": figure(fit.estimate, fit.low, fit.high),
        f"median_exponent/{mode}": figure(*exponents.exponent(found, times, top=TOP)[:3]),
        f"memory_exponent/{mode}": figure(memory_exponent(found, temp)),
        f"largest/{mode}": figure(found[-1], unit="positions"),
        f"of_matmul/{mode}": figure(flops[-1] / middle[-1] / rate["matmul"]),
        f"n_star/{mode}": figure(turn, unit="positions"),
    }
    where = None if name == "full" else below_full(measured, name, mode)
    if where:
        row[f"below_full_from/{mode}"] = figure(*where, unit="positions")
    return by_length, fit, row


def memory_exponent(lengths, temp) -> float:
    """Slope of the compiled temporary bytes over the top lengths."""
    return float(exponents.slope(lengths[-TOP:], np.maximum(temp[-TOP:], 1.0)))


def below_full(measured: Timings, name: str, mode: str):
    """From which length on a variant is faster than `full`, with its interval; None if unknown."""
    ours, fast = measured.table(name, mode)
    theirs, slow = measured.table("full", mode)
    common, at, at_full = np.intersect1d(ours, theirs, return_indices=True)
    if len(common) < 2:
        return None
    return exponents.crossover(common, slow[:, at_full], fast[:, at])


def layers(measured: Timings, widths: Sequence[int]) -> dict:
    """{width: {"halves", "whole": (length, low, high)}}.

    halves: where attention's time overtakes the feed-forward part's. whole: where the quadratic
    part of a whole layer's time overtakes the linear one.
    """
    found = {}
    for width in widths:
        row = found[str(width)] = {}
        lengths, slow = measured.table(f"attention@{width}", "forward")
        _, fast = measured.table(f"feedforward@{width}", "forward")
        if len(lengths) > 1 and slow.shape == fast.shape:
            row["halves"] = exponents.crossover(lengths, slow, fast)
        lengths, whole = measured.table(f"layer@{width}", "forward")
        if len(lengths) > 2 and len(whole) > 1:
            row["whole"] = exponents.balance(lengths, whole)
    return found
