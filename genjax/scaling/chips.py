"""What long sequences need on many chips, told by a compiler: nothing runs, no chip need be there.

Devices may be a topology's (`jax.experimental.topologies`), so that libtpu's compiler on a CPU host
says what a slice would need.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from jax.sharding import Mesh

from genjax.attention import VARIANTS, find
from genjax.attention.sharded import spread
from genjax.scaling import cases
from genjax.scaling.microbenchmark import facts_of, lower

COLLECTIVES = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
NEEDED = {"bigbird": {"random_blocks": 0}}
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}


def variants() -> dict[str, dict]:
    """{variant: the options without which it cannot be spread}, of those that can be."""
    return {
        name: NEEDED.get(name, {})
        for name, entry in VARIANTS.items()
        if not isinstance(entry.sharded, str)
    }


def row(
    name: str,
    mode: str,
    devices: Sequence,
    shape: tuple[int, int, int, int],
    *,
    dtype: str = "bfloat16",
    causal: bool = False,
    **options,
) -> dict:
    """What a variant needs of each device, whose positions are equal parts of the sequence.

    mode: `forward`, or `both`. shape: of q, k and v, [batch, length, heads, head_dim]. Returns the
    bytes of `microbenchmark.facts_of`, `devices`, and by kind of collective how
    often it runs and the bytes that a device receives: {"collectives": {kind: [count, bytes]}}.
    Raises UsageError where the variant cannot be spread so.
    """
    _, length, _, head_dim = shape
    mesh = Mesh(devices, ("sequence",))
    causal = causal or find(name).must_be_causal
    variant = spread(name, mesh, length, head_dim, causal=causal, **options)
    program = cases.of_variant(variant, mode, shape, dtype, name)
    compiled = lower(program).compile()
    return {
        "variant": name,
        "mode": mode,
        "causal": causal,
        "devices": len(devices),
        **facts_of(program, compiled),
        "collectives": collectives(compiled.as_text() or ""),
    }


def collectives(text: str) -> dict[str, list[int]]:
    """{kind: [runs, bytes received by a device]} of a compiled program's text (HLO).

    A loop's body counts as often as it runs, where the compiler knows that; of a condition's
    branches, all.
    """
    bodies, entry = _computations(text)
    runs, received = Counter(), Counter()
    for line, times in _lines(bodies, entry, 1):
        found = re.search(rf" = (.*?) ({COLLECTIVES})(-start)?\(", line)
        if found:
            kind = found[2]
            runs[kind] += times
            # What has begun holds its operand, its result, and numbers of its own.
            received[kind] += times * _bytes(found[1]) // (2 if found[3] else 1)
    return {kind: [runs[kind], received[kind]] for kind in sorted(runs)}


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """{name: lines} of the computations, and the name of the one that is entered."""
    found, entry, name = {}, "", ""
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.-]+) \(.*\{$", line)
        if head:
            name = head[2]
            found[name] = []
            entry = name if head[1] else entry
        elif name:
            found[name].append(line)
    return found, entry


def _lines(bodies: dict[str, list[str]], name: str, times: int) -> Iterator[tuple[str, int]]:
    """Every line that runs from a computation on, and how often."""
    for line in bodies.get(name, ()):
        yield line, times
        trips = _trips(bodies, line)
        called = re.findall(r"(?:body|to_apply|calls|\w+_computation)=%?([\w.-]+)", line)
        for several in re.findall(r"branch_computations=\{([^}]*)\}", line):
            called += [part.strip(" %") for part in several.split(",")]
        for other in called:
            yield from _lines(bodies, other, times * trips)


def _trips(bodies: dict[str, list[str]], line: str) -> int:
    """How often a line's loop runs; 1 where that is not known, or of no loop.

    TPU's compiler does not say. jax's loops count from 0, and what they count to stands in the
    condition.
    """
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
    condition = re.search(r"condition=%?([\w.-]+)", line)
    if known or not condition:
        return int(known[1]) if known else 1
    text = "\n".join(bodies.get(condition[1], ()))
    bounds = re.findall(r" s32\[\]\S* constant\((\d+)\)", text)
    return int(bounds[0]) if len(bounds) == 1 and "direction=LT" in text else 1


def _bytes(types: str) -> int:
    """Of all arrays in a type, such as `(f32[8,128]{1,0}, bf16[4])`; scalars are not counted."""
    arrays = re.findall(r"\b([a-z]+\d*)\[([\d,]+)\]", types)
    return sum(BYTES.get(kind, 4) * math.prod(map(int, dims.split(","))) for kind, dims in arrays)
