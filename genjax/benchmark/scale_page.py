"""docs/scale.md, from the rows of `scale.measure`."""

import json
from collections.abc import Sequence
from pathlib import Path

import filelock

from genjax.benchmark import scale
from genjax.core import files

HEAD = """# What training needs on 1, 8, 64 and 256 chips

**Nothing on this page was measured on a device.** Each row is a training step as
[genjax/benchmark/described.py](../genjax/benchmark/described.py) builds it, compiled by the
chip's own compiler on a host without such a chip; figures are of one chip. Made by `python
experiments/scale.py` from [results/scale.jsonl](../results/scale.jsonl).

- **used**: chips that the plan gives work; the others stay idle, since a share below {rows} rows
  of a product takes as long as {rows}. On a v5e of more than eight they repeat what the used ones
  do: its compiler takes programs for all chips or for one.
- **memory**: arguments and temporaries, by the compiler, in MB (10^6 bytes) a chip; of a v5e's 16
  GB, a v5p's 102 GB. What does not fit its compiler refuses, and names what it would take. Where
  the first state is made in its parts, the most that this takes is behind the step's.
- **collectives**: how many a step, of which type, and the MB that each chip ends with.
- **products**: microseconds of a step's matrix products at the chip's bfloat16 peak. FLOPs are
  counted from the compiled text; of an H100 in GFLOP. **cycles**: the compiler's own estimate of a
  call, at the clock that the peak implies; what a call does once is in it; an H100's names none.
  **links**: collectives at the rate of one ring of chips.
- **efficiency**: time of one chip / (time on all x chips), step time being the larger of products
  and cycles, plus links: nothing is hidden behind anything else. Idle chips count, and so does a
  batch that stays the same while chips are added.
- **least batch**: of each seed, below which some of the chips stay idle: there the program stops
  scaling.

Peak rates: {rates} (cloud.google.com/tpu/docs/v5e and /v5p, read in November 2026). Compilers:
{compilers}.
"""
COLUMNS = (
    "chips", "used", "memory", "collectives", "products", "cycles", "links", "efficiency",
    "least batch",
)  # fmt: skip


def place(row: dict) -> tuple:
    """Where a row stands: its program, chip, chips and slices."""
    return row["program"], row["chip"], row["chips"], row["slices"]


def enter(rows: Sequence[dict], file: Path, page: Path) -> None:
    """Enters rows in a file of them, and writes the page; several at once wait for each other."""
    with filelock.FileLock(f"{file}.lock"):
        every = {place(row): row for row in map(json.loads, file.read_text().splitlines())}
        every |= {place(row): row for row in rows}
        lines = [json.dumps(every[key]) + "\n" for key in sorted(every)]
        files.replace(file, "".join(lines).encode())
        files.replace(page, text([*every.values()]).encode())


def text(rows: Sequence[dict]) -> str:
    """The page of rows, a table a program."""
    rates = "; ".join(
        f"{name} {chip.flops / 1e12:.0f} TFLOP/s, {chip.ring / 1e9:.0f} GB/s a ring"
        for name, chip in scale.CHIPS.items()
    )
    compilers = ", ".join(sorted({row["compiler"] for row in rows}))
    said = [HEAD.format(rows=scale.ACCELERATOR_ROWS, rates=rates, compilers=compilers)]
    for name, case in scale.CASES.items():
        own = sorted((row for row in rows if row["program"] == name), key=place)
        if own:
            said.append(f"## {case.title[0].upper()}{case.title[1:]}\n")
            said += ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
            said += ["| " + " | ".join(_cells(row, own)) + " |" for row in own]
            said.append("")
    return "\n".join(said).rstrip() + "\n"


def _cells(row: dict, table: Sequence[dict]) -> list[str]:
    slices = f", {row['slices']} slices" if row["slices"] > 1 else ""
    first = [f"{row['chips']} {row['chip'].replace('h', 'H')}{slices}", str(row["used"])]
    least = f"{scale.least_batch(row['program'], row['chips']):,}"
    if "needs" in row:
        return [*first, f"{row['needs'] / 1e6:,.0f}, does not fit", "", "", "", "", "", least]
    memory = f"{(row['arguments'] + row['temporaries']) / 1e6:,.0f}"
    memory += f", first {row['first'] / 1e6:,.0f}" if "first" in row else ""
    first += [memory, _collectives(row)]
    if row["chip"] not in scale.CHIPS:
        return [*first, f"{row['flops'] / 1e9:,.2f} GFLOP", "", "", "", least]
    found = scale.estimate(row)
    return [
        *first,
        f"{found.products * 1e6:,.1f}",
        f"{found.cycles * 1e6:,.0f}",
        "unknown" if slices and row["collectives"] else f"{found.links * 1e6:,.0f}",
        _efficiency(row, table),
        least,
    ]


def _collectives(row: dict) -> str:
    kinds: dict[tuple, list] = {}
    for one in row["collectives"]:
        kinds.setdefault((one["kind"], "/".join(one["types"])), []).append(one)
    return "; ".join(
        f"{sum(one['times'] for one in own)} {kind} {types}, "
        f"{sum(one['times'] * one['bytes'] for one in own) / 1e6:,.1f} MB"
        for (kind, types), own in kinds.items()
    ) or "none"  # fmt: skip


def _efficiency(row: dict, table: Sequence[dict]) -> str:
    alone = [one for one in table if one["chips"] == 1 and one["chip"] == row["chip"]]
    if not alone or "needs" in alone[0] or row["slices"] > 1:
        return ""
    share = scale.estimate(alone[0]).step / scale.estimate(row).step / row["chips"]
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
