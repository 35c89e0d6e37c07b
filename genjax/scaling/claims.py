"""The claims of the attention experiment, A1 to A8: what is said, and what must not pass for it.

Sealed in ledger.json beside this file; a change is a new version there. A1 to A7 have one value a
process that timed everything anew, A8 one a seed of training. Controls are timed in the same
processes: products whose growth is known, and variants of which the claim must not hold.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genjax.claims import sealed
from genjax.claims.sealed import Claim, Control
from genjax.scaling import fitting
from genjax.scaling.config import Config
from genjax.scaling.timings import MODES, Timings

LEDGER = Path(__file__).with_name("ledger.json")

# The laws in question, n, n^1.5 and n^2, lie half a power apart: nearer to one than to the next.
NEAR, NEAR_WHY = 0.25, "a twentieth of a power is what processes of one machine differ by"
OF_LAW = (
    "distance from {} of the exponent over the three longest lengths, the larger of forward and "
    "forward + backward"
)
# What grows as a known power, and a variant whose time does not depend on the length.
ROWS = "n rows times one matrix"
PRODUCTS = "the two products without a softmax"
TILES = "the two products in tiles, without a softmax"
ROOTS = "the same in tiles, of 8 sqrt(n) keys"
CONSTANT = "truncated attention, whose time does not grow"
NEXT = "each finding held against the reach of the next look-up"
# Reformer is n log n: at these lengths a local exponent of 1.1.
LINEAR = ("longformer", "bigbird", "linformer", "performer", "linear", "reformer")
FIXED = ("truncated", "sparse_strided", "sparse_fixed", "longformer", "bigbird")


def _claim(id: str, statement: str, estimand: str, **more) -> Claim:
    common = {
        "unit": "powers of n",
        "direction": "less",
        "threshold": NEAR,
        "margin": 0.05,
        "why": NEAR_WHY,
        "replicate": "process",
        "family": "attention",
        "version": 2,
        "date": "2026-11-23",
    }
    return Claim(id=id, statement=statement, estimand=estimand, **common | more)


class Judged(NamedTuple):
    """A claim, and how its values come from a sweep.

    values, negative, positive: functions of `Sweep`; controls in the order of the claim's names.
    needs: variants without which it is not judged.
    """

    claim: Claim
    values: Callable
    negative: Callable
    positive: Callable
    needs: tuple[str, ...]


class Sweep:
    """What the claims ask of a sweep: one value a process."""

    def __init__(self, measured: Timings, config: Config):
        self._measured, self._config = measured, config

    def exponents(self, name: str, modes: Sequence[str] = MODES) -> np.ndarray:
        """The exponent over the longest lengths, [modes, processes]."""
        return fitting.exponents_of(self._measured, name, modes)

    def far(self, name: str, power: float) -> np.ndarray:
        """How far the exponent lies from a power, the larger of both modes."""
        return np.abs(self.exponents(name) - power).max(0)

    def control(self, name: str) -> np.ndarray:
        return self.exponents(name, ("forward",))[0]

    def control_far(self, name: str, power: float) -> np.ndarray:
        return np.abs(self.control(name) - power)

    def peak_far(self, name: str, power: float) -> np.ndarray:
        return np.abs(fitting.peak_exponents(self._measured, name) - power)

    def peak_share(self, name: str) -> np.ndarray:
        """log10 of an arm's peak over that of `full`, at the longest length that both reached."""
        lengths, ours = self._measured.peaks(name, "forward")
        others, full = self._measured.peaks("full", "forward")
        common, at, at_full = np.intersect1d(lengths, others, return_indices=True)
        if not len(common):
            return np.full(len(full), np.nan)
        # A growth that no page shows counts as one page.
        ours, full = (np.maximum(x, 4096.0) for x in (ours[:, at[-1]], full[:, at_full[-1]]))
        return np.log10(ours / full)

    def halves(self, end: int) -> np.ndarray:
        """log2 of attention over feed-forward part of the widest layer, at n = 2^end widths."""
        width = max(self._config.widths)
        lengths, slow, fast = fitting.halves(self._measured, width)
        at = np.flatnonzero(lengths == width * 2**end)
        if not len(at):
            return np.full(len(slow), np.nan)
        return np.log2(slow[:, at[0]] / fast[:, at[0]])

    def feed_forward(self, end: int, other: int) -> np.ndarray:
        """log2 of the feed-forward part at n = 2^end widths over that at 2^other."""
        width = max(self._config.widths)
        lengths, times = self._measured.table(f"feedforward@{width}", "forward")
        places = [np.flatnonzero(lengths == width * 2**i) for i in (end, other)]
        if not all(len(at) for at in places):
            return np.full(len(times), np.nan)
        one, two = (times[:, at[0]] for at in places)
        return np.log2(one / two)

    def largest(self, measures: Sequence[str], names: Sequence[str]) -> np.ndarray:
        """The largest of some shares of look-ups, over some variants."""
        return np.max([self._quality(name, m) for name in names for m in measures], axis=0)

    def lost(self, name: str) -> np.ndarray:
        """The share of needles that a variant misses though it sees every position."""
        return 1 - self._quality(name, "needles")

    def _quality(self, name, measure):
        found = self._measured.quality(name, measure)
        return np.array(found or [np.nan] * len(self._measured.processes))


def _linear(id: str, name: str) -> Judged:
    return Judged(
        _claim(
            id,
            f"{name.capitalize()} attention takes time that grows as n",
            OF_LAW.format(1),
            negative=("full attention", CONSTANT),
            positive=(ROWS,),
        ),
        lambda s: s.far(name, 1),
        lambda s: [s.far("full", 1), s.far("truncated", 1)],
        lambda s: [s.control_far("rows", 1)],
        (name, "full", "truncated"),
    )


JUDGED = (
    Judged(
        _claim(
            "A1",
            "Textbook attention takes time that grows at least as n^2",
            "exponent over the three longest lengths, the smaller of forward and forward + "
            "backward",
            direction="greater",
            threshold=2 - NEAR,
            negative=(ROWS, ROOTS),
            positive=(PRODUCTS,),
            version=3,
            date="2026-11-24",
        ),
        lambda s: s.exponents("full").min(0),
        lambda s: [s.control("rows"), s.control("roots")],
        lambda s: [s.control("products")],
        ("full",),
    ),
    Judged(
        _claim(
            "A1m",
            "The memory that textbook attention takes grows as n^2",
            "distance from 2 of the exponent of a process's measured peak between the two longest "
            "lengths, forward",
            negative=("flash attention",),
            positive=(PRODUCTS,),
        ),
        lambda s: s.peak_far("full", 2),
        lambda s: [s.peak_far("flash", 2)],
        lambda s: [s.peak_far("products", 2)],
        ("full", "flash"),
    ),
    Judged(
        _claim(
            "A2",
            "Exact attention in tiles (flash) takes time that grows as n^2",
            OF_LAW.format(2),
            negative=(ROWS, ROOTS),
            positive=(TILES,),
            version=3,
            date="2026-11-24",
        ),
        lambda s: s.far("flash", 2),
        lambda s: [s.control_far("rows", 2), s.control_far("roots", 2)],
        lambda s: [s.control_far("tiles", 2)],
        ("flash",),
    ),
    Judged(
        _claim(
            "A2m",
            "Exact attention in tiles (flash) takes less than a tenth of the memory of textbook "
            "attention",
            "log10(measured peak of flash / of full), forward, the longest length of both",
            unit="powers of ten",
            threshold=-1.0,
            margin=0.1,
            why="a quarter more or less of a peak is what a process keeps of its own",
            negative=(PRODUCTS,),
            positive=(ROWS,),
        ),
        lambda s: s.peak_share("flash"),
        lambda s: [s.peak_share("products")],
        lambda s: [s.peak_share("rows")],
        ("full", "flash"),
    ),
    *(_linear(f"A3 {name}", name) for name in LINEAR if name != "reformer"),
    _linear("A4", "reformer"),
    Judged(
        _claim(
            "A5",
            "Strided sparse attention with a stride of sqrt(n) takes time that grows no faster "
            "than n^1.5",
            "exponent over the three longest lengths, the larger of forward and forward + backward",
            threshold=1.5 + NEAR,
            negative=(TILES,),
            positive=(ROOTS,),
            version=3,
            date="2026-11-24",
        ),
        lambda s: s.exponents("sparse_strided").max(0),
        lambda s: [s.control("tiles")],
        lambda s: [s.control("roots")],
        ("sparse_strided",),
    ),
    Judged(
        _claim(
            "A6a",
            "In a layer of width d, attention takes less time than the feed-forward part at n = d",
            "log2(time of attention / of the feed-forward part), forward, n = d",
            unit="doublings",
            threshold=0.0,
            margin=0.2,
            why="a seventh of the time",
            negative=("the same at n = 16 d",),
            positive=("the feed-forward part at n = d against 16 d",),
        ),
        lambda s: s.halves(0),
        lambda s: [s.halves(4)],
        lambda s: [s.feed_forward(0, 4)],
        (),
    ),
    Judged(
        _claim(
            "A6b",
            "In a layer of width d, attention takes more time than the feed-forward part at "
            "n = 16 d",
            "log2(time of attention / of the feed-forward part), forward, n = 16 d",
            unit="doublings",
            direction="greater",
            threshold=0.0,
            margin=0.2,
            why="a seventh of the time",
            negative=("the same at n = d",),
            positive=("the feed-forward part at n = 16 d against d",),
        ),
        lambda s: s.halves(4),
        lambda s: [s.halves(0)],
        lambda s: [s.feed_forward(4, 0)],
        (),
    ),
    Judged(
        _claim(
            "A7",
            "Without training, a fixed pattern (truncated, strided, fixed, Longformer, BigBird) "
            "finds a needle exactly where it reaches",
            "the larger of two shares: of needles within reach those missed, of needles out of it "
            "those found; the largest over the five patterns",
            unit="share of look-ups",
            threshold=0.05,
            margin=0.01,
            why="one look-up in a hundred",
            negative=("linear attention, which sees every position", NEXT),
            positive=("flash attention, which sees every position",),
            version=3,
            date="2026-11-24",
        ),
        lambda s: s.largest(("missed", "beyond"), FIXED),
        lambda s: [s.lost("linear"), s.largest(("shifted",), FIXED)],
        lambda s: [s.lost("flash")],
        (*FIXED, "linear", "flash"),
    ),
)


def judge(measured: Timings, config: Config) -> list[dict]:
    """A1 to A7, those whose variants were timed."""
    sweep = Sweep(measured, config)
    if not measured.processes:
        return []
    made = [
        sealed.judge(
            judged.claim,
            judged.values(sweep),
            negative=sealed.controls(judged.claim.negative, judged.negative(sweep)),
            positive=sealed.controls(judged.claim.positive, judged.positive(sweep)),
        )
        for judged in JUDGED
        if {*judged.needs} <= {*config.variants}
        # A stride that is given is no root.
        and not (judged.claim.id == "A5" and config.stride)
    ]
    return sealed.family(made)


# --- What is learnt ------------------------------------------------------------------------------

AGAIN = "the exact transformer of the next seed"
BLIND = "an answer that does not read the question, in the other's place"


def _loses(name: str) -> Claim:
    return _claim(
        f"A8 {name}",
        f"After {{steps}} steps, each at {{rates}}, a small transformer with {name} attention "
        "answers fewer questions of {task} at n = {length} than one with exact attention",
        f"accuracy(exact) - accuracy({name}), new sequences",
        unit="share of questions",
        direction="greater",
        threshold=0.05,
        margin=0.02,
        why="one question in fifty",
        replicate="seed",
        family="attention learnt",
        negative=(AGAIN,),
        positive=(BLIND,),
        version=3,
        date="2026-11-24",
    )


# Linformer and BigBird cannot be causal: what they lack may be the mask's.
LOSES = tuple(
    _loses(name)
    for name in (
        "truncated", "sparse_strided", "sparse_fixed", "longformer", "performer", "linear",
        "reformer",
    )
)  # fmt: skip
CLAIMS = (*(judged.claim for judged in JUDGED), *LOSES)


def judge_learnt(learnt: dict[str, dict], config: Config) -> list[dict]:
    """A8 of each task at its longest length, where the exact transformer was trained too.

    learnt: {task: {length: {variant: {"accuracy", "chance": [seeds]}}}}.
    """
    tries = len(config.rates)
    said = {
        "steps": f"{config.steps:,}",
        "rates": f"the best of {tries} learning rates" if tries > 1 else "one learning rate",
    }
    made = []
    for task, lengths in learnt.items():
        length, found = max(lengths.items(), key=lambda item: int(item[0]))
        if "flash" not in found:
            continue
        exact = np.array(found["flash"]["accuracy"])
        for claim in LOSES:
            name = claim.id.removeprefix("A8 ")
            if name in found:
                other = np.array(found[name]["accuracy"])
                one = sealed.judge(
                    claim,
                    exact - other,
                    negative=[Control(AGAIN, sealed.again(exact))],
                    positive=[Control(BLIND, exact - np.array(found[name]["chance"]))],
                    names=said | {"task": task, "length": length},
                )
                # Of several tasks in a run each has its own.
                made.append(one if len(learnt) == 1 else one | {"id": f"{claim.id} {task}"})
    return sealed.family(made)
