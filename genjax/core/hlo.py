"""What a compiled program does, read from its text: products, bytes, collectives, calls home.

`cost_analysis` counts the body of a loop once, and an accelerator's compiler adds kernels that it
does not know. Here every instruction counts as often as the loops around it run. What stays
uncertain: a loop whose length is an argument counts once, or as often as the caller says, so that
a call of many training steps counts as one step, and such a loop inside it once; without the
compiler's word (a TPU's gives none) a loop is taken to count from 0, as jax's do, to the number in
its condition; and of a condition's branches all count.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "ragged-all-to-all",
)
_SHAPE = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_NAME = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
_CALLED = re.compile(r"\b(?:calls|body|to_apply|(?:true|false)_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"\b(?:branch_computations|called_computations)=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
# What moves no bytes, or whose parts are kernels of their own.
_FREE = (
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "call",
    "conditional", "after-all", "opt-barrier", "partition-id", "replica-id",
)  # fmt: skip
_SLICES = ("slice", "dynamic-slice", "gather")
_HOME = re.compile(r"callback|infeed|outfeed|host_compute", re.IGNORECASE)


class Array(NamedTuple):
    """An array's type, such as f32 or bf16, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> float:
        """Its size; types of less than eight bits count in full."""
        bits = 8 if self.dtype == "pred" else int(re.findall(r"\d+", self.dtype)[0])
        return math.prod(self.shape) * bits / 8


class Instruction(NamedTuple):
    """A line of the text: what it makes, what it is, what stands in its brackets, and the rest."""

    name: str
    results: list[Array]
    kind: str
    inside: str
    rest: str

    @property
    def operands(self) -> list[str]:
        """Names of what it takes."""
        return re.findall(r"%([\w.\-]+)", self.inside)


class Dot(NamedTuple):
    """So many products [m, k] @ [k, n] at once."""

    batch: int
    m: int
    k: int
    n: int

    @property
    def flops(self) -> float:
        """Two for each multiply-add."""
        return 2.0 * self.batch * self.m * self.k * self.n


class Collective(NamedTuple):
    """kind, without -start. arrays: that a device ends with. devices: that join in it."""

    kind: str
    arrays: list[Array]
    devices: int
    times: int

    @property
    def bytes(self) -> float:
        """Of all arrays, once."""
        return sum(array.bytes for array in self.arrays)


class Program:
    """A compiled program's text, by computations.

    trips: how often a loop runs whose length the text does not say.
    """

    def __init__(self, text: str, trips: int = 1):
        self.trips = trips
        self.computations: dict[str, dict[str, Instruction]] = {}
        self.entry, own = "", {}
        for line in text.splitlines():
            if (found := _COMPUTATION.match(line)) and not line.startswith("HloModule"):
                own = self.computations.setdefault(found[2], {})
                self.entry = found[2] if found[1] else self.entry
            elif found := _NAME.match(line):
                one = _instruction(found[1], line[found.end() :])
                own[one.name] = one

    def walk(self, *, fused: bool = True) -> Iterator[tuple[Instruction, dict, int]]:
        """(instruction, its computation, how often it runs), of all that a call runs.

        fused: those inside of a kernel too.
        """
        return self._walk(self.entry, 1, self.trips, fused)

    def _walk(self, name: str, times: int, trips: int, fused: bool) -> Iterator:
        own = self.computations[name]
        for one in own.values():
            yield one, own, times
            if not fused and one.kind not in ("while", "call", "conditional"):
                continue
            known = self._trips(one) if one.kind == "while" else 1
            inner, rest = (times * trips, 1) if known is None else (times * known, trips)
            called = _CALLED.findall(one.rest)
            for branches in _BRANCHES.findall(one.rest):
                called += re.findall(r"%?([\w.\-]+)", branches)
            for other in called:
                if other in self.computations:
                    yield from self._walk(other, inner, rest, fused)

    def _trips(self, loop: Instruction) -> int | None:
        if known := _TRIPS.search(loop.rest):
            return int(known[1])
        condition = _CONDITION.search(loop.rest)
        lines = [*self.computations[condition[1]].values()] if condition else []
        bounds = [
            int(one.inside.strip("()"))
            for one in lines
            if one.kind == "constant" and re.fullmatch(r"[su]\d+", one.results[0].dtype)
        ]
        if len(bounds) == 1 and any("direction=LT" in one.rest for one in lines):
            return bounds[0]
        return None

    def flops(self) -> float:
        """Two for each multiply-add of all matrix products and convolutions."""
        return sum(times * _flops(one, own) for one, own, times in self.walk())

    def dots(self) -> Counter[Dot]:
        """How often each matrix product runs, by its shape; convolutions are none."""
        found: Counter[Dot] = Counter()
        for one, own, times in self.walk():
            if dot := _dot(one, own):
                found[dot] += times
        return found

    def bytes(self) -> float:
        """That kernels read and write, each its operands and results once, from memory or a cache.

        Of a slice, and of an update, which is taken to be in place, the part alone.
        """
        return sum(times * self._moved(one, own) for one, own, times in self.walk(fused=False))

    def _moved(self, one: Instruction, own: dict[str, Instruction]) -> float:
        if one.kind in _FREE:
            return 0.0
        called = _CALLED.search(one.rest) if one.kind == "fusion" else None
        if called is None:
            found = sum(_read(one, i, own[name]) for i, name in enumerate(one.operands))
            return found + _written(one, own)
        body = self.computations[called[1]]
        found = _written([*body.values()][-1], body)
        for parameter in body.values():
            if parameter.kind == "parameter":
                parts = sum(_read(user, i, parameter) for user, i in _users(parameter.name, body))
                found += min(parts, _size(parameter))
        return found

    def collectives(self) -> list[Collective]:
        """All of them, in the order of the text."""
        found = []
        for one, _, times in self.walk():
            kind = one.kind.removesuffix("-start")
            if kind in COLLECTIVES:
                found.append(Collective(kind, _received(one), _together(one.rest), times))
        return found

    def constants(self) -> float:
        """Bytes of all constants of the text."""
        return sum(
            sum(array.bytes for array in one.results)
            for own in self.computations.values()
            for one in own.values()
            if one.kind == "constant"
        )

    def calls_home(self) -> list[str]:
        """Instructions that ask the host for something on the way."""
        kinds = ("custom-call", "infeed", "outfeed", "send", "recv")
        return [
            one.name
            for one, _, _ in self.walk()
            if one.kind in kinds and _HOME.search(f"{one.kind} {_target(one.rest)}")
        ]

    def cycles(self) -> int:
        """The TPU compiler's own estimate, of instructions that have one."""
        found = ((re.search(r'"estimated_cycles":"(\d+)"', o.rest), t) for o, _, t in self.walk())
        return sum(times * int(match[1]) for match, times in found if match)


def _instruction(name: str, line: str) -> Instruction:
    """What stands behind `name = `: results, kind, operands in brackets, attributes."""
    results, line = _bracketed(line) if line[0] == "(" else line.split(" ", 1)
    kind, line = line.strip().split("(", 1)
    operands, rest = _bracketed("(" + line)
    arrays = [
        Array(t, tuple(map(int, filter(None, s.split(","))))) for t, s in _SHAPE.findall(results)
    ]
    return Instruction(name, arrays, kind, operands, rest)


def _bracketed(text: str) -> tuple[str, str]:
    """Text up to the bracket that closes its first one, and what follows."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return text[: place + 1], text[place + 1 :]
    return text, ""


def _target(rest: str) -> str:
    found = re.search(r'custom_call_target="([^"]*)"', rest)
    return found[1] if found else ""


def _received(one: Instruction) -> list[Array]:
    """Of an asynchronous start's tuple (operands, results, context) the results."""
    arrays = [array for array in one.results if array.shape or len(one.results) == 1]
    doubled = one.kind.endswith("-start") and one.kind != "all-reduce-start"
    return arrays[len(one.operands) : 2 * len(one.operands)] if doubled else arrays


def _together(rest: str) -> int:
    """How many devices a collective joins: the size of its groups, or 2 for pairs."""
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
        return int(found[1])
    if found := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(found[1].split(","))
    return 2 if "source_target_pairs" in rest else 0


def _flops(one: Instruction, own: dict[str, Instruction]) -> float:
    if dot := _dot(one, own):
        return dot.flops
    return _convolution(one, own) if one.kind == "convolution" else 0.0


def _dot(one: Instruction, own: dict[str, Instruction]) -> Dot | None:
    """A product, also one that is left to a library."""
    target = _target(one.rest)
    if one.kind != "dot" and "gemm" not in target and "matmul" not in target:
        return None
    left = own[one.operands[0]].results[0].shape

    def of(axes: str, default: list[int]) -> int:
        named = re.search(rf'lhs_{axes}_dim(?:s=\{{|ensions":\[)([\d,"]*)', one.rest)
        places = map(int, re.findall(r"\d+", named[1])) if named else default
        return math.prod(left[place] for place in places)

    joined, batch = of("contracting", [len(left) - 1]), of("batch", [])
    rows = math.prod(left) // (joined * batch)
    return Dot(batch, rows, joined, math.prod(one.results[0].shape) // (batch * rows))


def _size(one: Instruction) -> float:
    return sum(array.bytes for array in one.results)


def _read(user: Instruction, place: int, operand: Instruction) -> float:
    """Bytes that an instruction reads of its operand at a place."""
    if place == 0 and user.kind in _SLICES:
        return _size(user)
    if place == 0 and user.kind in ("dynamic-update-slice", "scatter"):
        return 0.0
    return _size(operand)


def _users(name: str, body: dict[str, Instruction]) -> Iterator[tuple[Instruction, int]]:
    """(instruction, place among its operands) of all that take a value, in another shape too."""
    for one in body.values():
        for place, operand in enumerate(one.operands):
            if operand == name and one.kind == "bitcast":
                yield from _users(one.name, body)
            elif operand == name:
                yield one, place


def _written(one: Instruction, own: dict[str, Instruction]) -> float:
    """Bytes that an instruction, or a kernel that ends in it, writes; a sum in place reads them."""
    if one.kind == "tuple":
        return sum(_written(own[name], own) for name in one.operands)
    if one.kind == "bitcast" and one.operands[0] in own:
        return _written(own[one.operands[0]], own)
    if one.kind == "dynamic-update-slice":
        return _size(own[one.operands[1]])
    if one.kind == "scatter":
        return 2 * _size(own[one.operands[2]])
    return _size(one)


def _convolution(one: Instruction, own: dict[str, Instruction]) -> float:
    """As XLA's own count: taps that fall on padding, or between pixels, are no work.

    A TPU's compiler writes products as convolutions, batches as dimensions that are stretched so
    that one tap a place is left.
    """
    image, kernel = (own[name].results[0].shape for name in one.operands[:2])
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", one.rest)
    assert labels is not None
    window = dict(re.findall(r"(\w+)=([\dx_\-]+)", _window(one.rest)))
    groups = re.search(r"batch_group_count=(\d+)", one.rest)
    found = 2.0 * image[labels[1].index("b")] / (int(groups[1]) if groups else 1)
    found *= kernel[labels[2].index("i")] * kernel[labels[2].index("o")]
    for axis in range(len(labels[1]) - 2):

        def of(name, default, axis=axis):
            return window[name].split("x")[axis] if name in window else default

        digit = str(axis)
        found *= _taps(
            image[labels[1].index(digit)],
            one.results[0].shape[labels[3].index(digit)],
            int(of("size", "1")),
            int(of("stride", "1")),
            int(of("pad", "0_0").split("_")[0]),
            int(of("lhs_dilate", "1")),
            int(of("rhs_dilate", "1")),
        )
    return found


def _window(rest: str) -> str:
    found = re.search(r"window=\{([^}]*)\}", rest)
    return found[1] if found else ""


def _taps(image, out, size, stride, pad, apart, step) -> int:
    """Pairs of a result's place and a kernel's that meet a pixel, along one dimension."""
    count = 0
    for tap in range(size):
        for place in range(out):
            at = place * stride - pad + tap * step
            count += at % apart == 0 and 0 <= at // apart < image
    return count
