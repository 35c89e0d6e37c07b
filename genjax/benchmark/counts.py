"""What a program does, from its compiled text, and what of the machine's rates it reaches. No jax.

FLOPs are those of products and convolutions, loops as often as they run. Bytes are those that
kernels read and write; caches serve part of them, so that a program may move more than a copy in
memory does.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.core import hlo

# {row: one value a round}
Rates = Mapping[str, Any]
# What rows are held against: names of rates, FLOP/s or B/s.
BEST, MEMORY, CACHE = "best product", "copy in memory", "copy in cache"


class Counts(NamedTuple):
    """flops, bytes: of a unit of a row's work, on all devices together.

    dots: {product: how often}, of one step on one of the devices; empty: they are not measured by
    themselves.
    """

    flops: float
    bytes: float
    dots: Mapping[hlo.Dot, int]
    devices: int = 1


def of_steps(text: str, steps: int, devices: int, work: float) -> Counts:
    """Of a program of so many steps (its loop of unknown length), which does `work` units."""
    whole, one = hlo.Program(text, steps), hlo.Program(text)
    each = devices / work
    return Counts(each * whole.flops(), each * whole.bytes(), one.dots(), devices)


def of_call(text: str) -> Counts:
    """Of a program whose call is a unit, on one device."""
    program = hlo.Program(text)
    return Counts(program.flops(), program.bytes(), {})


def owners(counts: Mapping[str, Counts]) -> dict[str, str]:
    """{row: the first row with the same products on as many devices}."""
    found: dict[tuple, str] = {}
    return {
        name: found.setdefault((frozenset(one.dots.items()), one.devices), name)
        for name, one in counts.items()
        if one.dots
    }


def products_of(row: str) -> str:
    """The row of a row's products by themselves."""
    return f"products of {row}"


def shares(counts: Mapping[str, Counts], rates: Rates) -> dict[str, dict[str, np.ndarray]]:
    """{row: {of what: share, one a round}}.

    Of its own products by themselves, of the better of these and a large square product, and of
    copies in memory and in the cache.
    """
    own, found = owners(counts), {}
    for name, one in counts.items():
        done = one.flops * np.asarray(rates[name])
        moved = one.bytes * np.asarray(rates[name])
        best, found[name] = np.asarray(rates[BEST]), {}
        if name in own:
            alone = np.asarray(rates[products_of(own[name])])
            best, found[name]["own products"] = np.maximum(best, alone), done / alone
        found[name] |= {"best products": done / best}
        found[name] |= {copy: moved / np.asarray(rates[copy]) for copy in (MEMORY, CACHE)}
    return found


def table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines of `shares`: median, least and most of each."""
    columns = ("own products", "best products", MEMORY, CACHE)
    lines = ["".join([f"{'share of':36}", *(f"{name:>20}" for name in columns)])] if found else []
    for row, own in found.items():
        cells = []
        for name in columns:
            three = (np.median, np.min, np.max) if name in own else ()
            shown = [f"{f(own[name]):.2f}" for f in three]
            cells.append("{} ({}-{})".format(*shown) if shown else "")
        lines.append("".join([f"{row:36}", *(f"{cell:>20}" for cell in cells)]))
    return lines
