"""How training is fitted into memory and spread over devices: options, without jax."""

from dataclasses import dataclass

from genjax.core.config import Options, nearest, option, shown
from genjax.core.errors import UsageError

REMAT = ("none", "dots", "full")
# Positions x width x depth of a transformer whose gradient a CPU computes at once. It keeps some 15
# times as many numbers for it, and what leaves the caches makes its elementwise passes wait.
CACHED = 2**18
# Axes of a mesh that are asked for; those of seeds and batch are made where they are of use.
AXES = ("fsdp",)


@dataclass(frozen=True)
class Spread(Options):
    """What a transformer too large for a device asks for."""

    remat: str = option(
        "none",
        "transformer: what a block keeps for its gradient. none: all; dots: its products with "
        "weights; full: its input alone. What is not kept is computed twice: at most a third more "
        "work.",
        group="Memory",
        choices=REMAT,
    )
    microbatches: int = option(
        1,
        "Parts of a device's batch that are computed in turn, their gradients added up: the "
        "result of the whole batch with the memory of a part. A transformer on CPU takes more "
        "where a part would leave the caches.",
        group="Memory",
        low=1,
        high=2**24,
    )
    mesh: str = option(
        "",
        "transformer: devices by axis, '<axis>:<number>'. fsdp:8: eight devices share parameters "
        "and moments, each keeps its part and gathers a block's as it comes. Left out: as few "
        "devices as hold them in half of their memory.",
        group="Memory",
    )

    @property
    def axes(self) -> dict[str, int]:
        """{axis: devices} of --mesh. Raises UsageError where it names none."""
        found = {}
        for entry in filter(None, self.mesh.split(",")):
            name, colon, size = entry.partition(":")
            where = f"--mesh={shown(self.mesh)}"
            if name not in AXES:
                raise UsageError(f"{where}: no axis {shown(name)!r}{nearest(name, AXES)}")
            if not colon or not size.isdecimal() or not 1 <= int(size) <= 2**20:
                raise UsageError(f"{where}: '{name}:<number of devices>', a whole number from 1")
            if name in found:
                raise UsageError(f"{where}: {name} is named twice")
            found[name] = int(size)
        return found

    @property
    def fsdp(self) -> int:
        """Devices that --mesh splits the parameters over; 0: it does not say."""
        return self.axes.get("fsdp", 0)


def parts_in_cache(rows: int, numbers: int, least: int = 1) -> int:
    """Even parts of a CPU's batch of so many rows, of which each stays in the caches; at least one.

    numbers: positions x width x depth of a row. least: parts that were asked for.
    """
    ways = (n for n in range(least, rows) if rows % n == 0 and rows // n * numbers <= CACHED)
    return next(ways, max(rows, least))
