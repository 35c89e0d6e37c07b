"""How time and memory of a sweep grow with the length, process by process. No jax."""

import math
from collections.abc import Sequence

import numpy as np

from genjax import claims
from genjax.scaling import exponents
from genjax.scaling.timings import Point, Timings

# Lengths of an exponent, the longest; sizes of the rows that measure the machine.
TOP, SQUARE, COPIED = 3, 1024, 2**24


def rates(measured: Timings) -> dict[str, float]:
    """FLOP/s of a matrix product and bytes/s of a copy in this run; nan where not timed."""
    found = {}
    for arm, amount in (("matmul", 2.0 * SQUARE**3), ("copy", 2.0 * COPIED)):
        _, times = measured.table(arm, "forward")
        found[arm] = float(amount / np.median(times)) if times.size else math.nan
    return found


def top_exponents(measured: Timings, name: str, mode: str) -> np.ndarray:
    """The local exponents between the TOP longest lengths that all processes reached.

    [processes, TOP - 1], ascending; nan where there are fewer lengths.
    """
    lengths, times = measured.table(name, mode)
    if len(lengths) < TOP:
        return np.full((len(times), TOP - 1), np.nan)
    return exponents.local_exponents(lengths[-TOP:], times[:, -TOP:])


def exponents_of(measured: Timings, name: str, modes: Sequence[str]) -> np.ndarray:
    """The exponent over the TOP longest lengths, [modes, processes].

    nan in a process whose times do not ascend with the length: an exponent says nothing of them.
    """
    top = np.stack([top_exponents(measured, name, mode) for mode in modes])
    return np.where((top > 0).all(-1), top.mean(-1), np.nan)


def peak_exponents(measured: Timings, name: str) -> np.ndarray:
    """The exponent of the measured peak between the two longest lengths, forward, [processes]."""
    lengths, peaks = measured.peaks(name, "forward")
    if len(lengths) < 2:
        return np.full(len(peaks), np.nan)
    return exponents.slope(lengths[-2:], np.maximum(peaks[:, -2:], 1.0))


def curve(measured: Timings, name: str, mode: str, rate: dict, moved: float):
    """(all figures by length, {measure: figure}) of one arm and mode; None below two lengths.

    moved: bytes of arguments and result a position. Times are those of each process's fastest call;
    intervals are over processes.
    """
    lengths, times = measured.table(name, mode)
    if len(lengths) < 2 or not len(times):
        return None
    middle = np.median(times, 0)
    facts = [measured.facts[Point(name, mode, int(n))] for n in lengths]
    flops = np.array([f["flops"] for f in facts])
    predicted = np.array([f["temp_bytes"] + f["result_bytes"] for f in facts], float)
    peaks = measured.peaks(name, mode)[1]
    by_length = {
        "lengths": lengths.tolist(),
        "seconds": middle.tolist(),
        "low": times.min(0).tolist(),
        "high": times.max(0).tolist(),
        "flops": flops.tolist(),
        "xla_flops": [f["xla_flops"] for f in facts],
        "of_matmul": (flops / middle / rate["matmul"]).tolist(),
        "of_copy": (moved * lengths / middle / rate["copy"]).tolist(),
        "temp_bytes": [f["temp_bytes"] for f in facts],
        "count_bytes": [f["count_bytes"] for f in facts],
        "predicted_bytes": predicted.tolist(),
        "peak_bytes": np.nanmedian(peaks, 0).tolist() if np.isfinite(peaks).any(0).all() else [],
        "local_exponents": np.median(exponents.local_exponents(lengths, times), 0).tolist(),
        "notes": list(dict.fromkeys(f["note"] for f in facts if f["note"])),
    }
    top = top_exponents(measured, name, mode)
    row = {
        f"time_exponent/{mode}": claims.summarize(top.mean(1), ""),
        f"time_exponent_trend/{mode}": claims.summarize(top[:, -1] - top[:, 0], "an octave"),
        f"memory_exponent/{mode}": figure(float(exponents.slope(lengths[-2:], predicted[-2:]))),
        f"largest/{mode}": figure(lengths[-1], "positions"),
        f"of_matmul/{mode}": figure(flops[-1] / middle[-1] / rate["matmul"]),
    }
    where = None if name == "full" else below_full(measured, name, mode)
    if where is not None:
        row[f"below_full_from/{mode}"] = claims.summarize(where, "positions")
    return by_length, row


def at_length(measured: Timings, name: str, mode: str, length: int) -> dict[str, dict]:
    """{measure: figure} of an arm at one length: time, and memory as predicted and by the peak."""
    lengths, times = measured.table(name, mode)
    if length not in lengths:
        return {}
    i = list(lengths).index(length)
    facts = measured.facts[Point(name, mode, length)]
    predicted = facts["temp_bytes"] + facts["result_bytes"]
    peaks = measured.peaks(name, mode)[1][:, i]
    peaks = peaks[np.isfinite(peaks)]
    return {
        f"milliseconds/{mode}": claims.summarize(1e3 * times[:, i], "ms"),
        f"predicted/{mode}": figure(predicted / 1e6, "MB"),
    } | ({f"peak/{mode}": claims.summarize(peaks / 1e6, "MB")} if len(peaks) else {})


def figure(value: float, unit: str = "") -> dict:
    """A figure as summary.json holds it, of what no process differs in."""
    return {"mean": value, "low": None, "high": None, "per_seed": [], "unit": unit}


def below_full(measured: Timings, name: str, mode: str) -> list[float] | None:
    """From which length on a variant is faster than `full`, by process; None if unknown."""
    ours, fast = measured.table(name, mode)
    theirs, slow = measured.table("full", mode)
    common, at, at_full = np.intersect1d(ours, theirs, return_indices=True)
    if len(common) < 2:
        return None
    pairs = zip(slow[:, at_full], fast[:, at], strict=True)
    return [exponents.crossing(common, one, other) for one, other in pairs]


def halves(measured: Timings, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lengths, seconds of a layer's attention, and of its feed-forward part [processes, n])."""
    lengths, slow = measured.table(f"attention@{width}", "forward")
    others, fast = measured.table(f"feedforward@{width}", "forward")
    common, at, at_other = np.intersect1d(lengths, others, return_indices=True)
    return common, slow[:, at], fast[:, at_other]


def overtakes(measured: Timings, width: int) -> list[float]:
    """Where a layer's attention overtakes its feed-forward part, in widths, by process."""
    lengths, slow, fast = halves(measured, width)
    if len(lengths) < 2:
        return []
    pairs = zip(slow, fast, strict=True)
    return [exponents.crossing(lengths, one, other) / width for one, other in pairs]
