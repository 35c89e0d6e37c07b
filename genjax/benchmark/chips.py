"""Chips that are described only, and the names of what is compiled for them; no jax."""

from collections.abc import Sequence
from typing import NamedTuple

from genjax.core.config import nearest, shown
from genjax.core.errors import UsageError


class Chip(NamedTuple):
    """Peak rates of a chip, as its maker states them.

    flops: of bfloat16 products a second. memory: bytes. ring: bytes a second that a ring of chips
    sends, both ways together. cycles: a second, of the matrix units at that peak.
    """

    flops: float
    memory: float
    ring: float
    cycles: float


# cloud.google.com/tpu/docs/v5e and /v5p; a ring takes one of two, or three, axes of the torus. A
# v5e has 4 matrix units of 128 x 128, a v5p 8.
CHIPS = {
    "v5e": Chip(197e12, 16e9, 200e9 / 2, 197e12 / (2 * 4 * 128**2)),
    "v5p": Chip(459e12, 95 * 2**30, 600e9 / 3, 459e12 / (2 * 8 * 128**2)),
}
# (chip, chips, slices): what the TPU's compiler calls it, or what holds it: none is a single chip.
TOPOLOGIES = {
    ("v5e", 1, 1): "v5e:2x2", ("v5e", 8, 1): "v5e:2x4", ("v5e", 64, 1): "v5e:8x8",
    ("v5e", 256, 1): "v5e:16x16", ("v5e", 8, 2): "v5e:2x2",
    ("v5p", 1, 1): "v5p:2x2x1", ("v5p", 8, 1): "v5p:2x2x2", ("v5p", 64, 1): "v5p:4x4x4",
    ("v5p", 256, 1): "v5p:4x8x8",
    ("h100", 1, 1): "",
}  # fmt: skip
# Those of `scale.CASES`, in its order.
PROGRAMS = (
    "vae", "vae_batch", "vae_seeds", "gan", "attention", "lm_small", "lm", "lm_12", "lm_1b",
)  # fmt: skip


def places(words: Sequence[str]) -> list[tuple[str, str, int, int]]:
    """(program, chip, chips, slices) of each word, <program>:<chip>:<chips>[:<slices>].

    Raises UsageError for one that names none.
    """
    return [_place(word) for word in words]


def _place(word: str) -> tuple[str, str, int, int]:
    program, _, where = word.partition(":")
    flag = f"{shown(word)}: <program>:<chip>:<chips>[:<slices>]"
    if program not in PROGRAMS:
        raise UsageError(
            f"{flag}; no program {shown(program)!r}{nearest(program, PROGRAMS)}; programs are "
            f"{', '.join(PROGRAMS)}"
        )
    known = {":".join(map(str, place)): place for place in TOPOLOGIES}
    place = known.get(where) or known.get(f"{where}:1")
    if place is None:
        raise UsageError(f"{flag}; chips are {', '.join(one.removesuffix(':1') for one in known)}")
    return program, *place
