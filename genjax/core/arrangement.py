"""How a step is spread over devices: a plan of numbers alone, and the mesh that follows from it.

Nothing here compiles, places or asks a backend: the platform is that of the devices, which may be
described only (jax.experimental.topologies).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.core import fsdp
from genjax.core.errors import UsageError

MODES = ("jit", "pmap")
# The least of a batch that is worth a CPU device of its own.
CPU_ROWS = 4
# The most that share seeds which they do not divide: each holds the state of all of them.
UNEVEN_DEVICES = 8
# The least rows of a matrix product that are worth an accelerator of its own. A product of m rows
# with a bfloat16 matrix does m multiply-adds for each two bytes of weights: below peak rate /
# bandwidth rows it takes the time of reading the weights, however few they are. That is 197e12 /
# 819e9 = 240 rows on a TPU v5e, 166 on a v5p, 295 on an H100.
ACCELERATOR_ROWS = 256
# Python costs about a millisecond a call; a step of a small model far less on an accelerator.
CPU_STEPS_PER_CALL, ACCELERATOR_STEPS_PER_CALL = 100, 1000


class Needs(NamedTuple):
    """What a step asks of the devices.

    convolutions: whether it has any. rows: of a matrix product that one example brings, such as the
    length of a sequence. log_every: steps that no call passes a multiple of; 0: any.
    steps_per_call: at most; 0: decided by the platform, up to most_steps (0: any). fsdp: devices
    that a copy of the parameters is split over (core.fsdp). vmapped: a device's seeds side by side
    even where in turn is faster. whole: a program must be on all devices or on one (`whole`).
    """

    convolutions: bool = False
    rows: int = 1
    log_every: int = 0
    steps_per_call: int = 0
    fsdp: int = 1
    vmapped: bool = False
    most_steps: int = 0
    whole: bool = False


class Plan(NamedTuple):
    """Who does what.

    replicas: devices that share the seeds. parts: devices that share the batch of each. idle:
    devices that do nothing. steps_per_call: steps inside one compiled call. unrolled: replicas side
    by side, no vmap. fsdp: devices that take the place of each, share its batch, and its copy of
    the parameters. turns: a device's seeds one after the other (core.turns). uneven: so that they
    have equal work, though they do not divide the seeds. copied: idle devices do the same as the
    others, since a program must be on all of them.
    """

    replicas: int
    parts: int
    idle: int
    steps_per_call: int
    unrolled: bool
    fsdp: int = 1
    turns: bool = False
    uneven: bool = False
    copied: bool = False

    @property
    def devices(self) -> int:
        """All that there are."""
        return self.replicas * self.parts * self.fsdp + self.idle

    def __str__(self):
        used = self.devices - self.idle
        words = f"seeds over {self.replicas}, the batch of each over {self.parts}"
        if used == 1:
            words = "one device does all"
        elif self.turns:
            words = f"seeds over {self.replicas}, on each in turn"
            words += " and some in parts" if self.uneven else ""
        if self.fsdp > 1:
            words = f"seeds over {self.replicas}, the batch of each over {self.parts * self.fsdp}"
            words += f", its parameters over {self.fsdp}"
        if self.idle:
            words += f", {self.idle} {'repeat it' if self.copied else 'idle'}"
        return f"{words}, {self.steps_per_call} step{'s' * (self.steps_per_call > 1)} a call"


def plan(
    platform: str,
    devices: int,
    seeds: int,
    batch_size: int,
    needs: Needs = Needs(),  # noqa: B008 - immutable.
    mode: str = "jit",
) -> Plan:
    """The plan of a step for so many devices of a platform (cpu, gpu, tpu).

    As many devices work as share the seeds, and then the batch of each, evenly, with no fewer rows
    than make a device worth it; of two such ways the one with more of the seeds side by side, which
    needs no communication. On CPU the seeds of a device take turns (docs/notes/core.md has the
    times), and share a few devices that do not divide them too. With pmap all devices share the
    batch. Where a copy of the parameters is split, what is said of a device is of as many together.
    Raises UsageError where devices do not divide the batch, or copies the devices.
    """
    if needs.fsdp > 1:
        check_copies(needs.fsdp, devices, batch_size)
        one, rows = needs._replace(fsdp=1, vmapped=True), batch_size // needs.fsdp
        made = plan(platform, devices // needs.fsdp, seeds, rows, one, mode)
        idle = devices - made.replicas * made.parts * needs.fsdp
        return made._replace(fsdp=needs.fsdp, idle=idle, copied=needs.whole and idle > 0)
    on_cpu = platform == "cpu"
    # Both habits, loops and vmap, are wrong for convolutions on XLA:CPU: 3 to 13 times slower.
    unrolled = needs.convolutions and on_cpu
    auto = 1 if unrolled else CPU_STEPS_PER_CALL if on_cpu else ACCELERATOR_STEPS_PER_CALL
    steps = needs.steps_per_call or min(auto, needs.most_steps or auto)
    if needs.log_every and steps > 1:
        # Calls of one length, so that an index has no more rows than its call has steps. But two:
        # a call of one is another program, without a loop, and rounds otherwise.
        steps = max(2, -(-needs.log_every // -(-needs.log_every // steps)))
    can_turn = on_cpu and mode == "jit" and steps > 1 and not (unrolled or needs.vmapped)
    if mode == "pmap":
        check_batch(mode, batch_size, devices)
        replicas, parts = 1, devices
    else:
        least = CPU_ROWS if on_cpu else -(-ACCELERATOR_ROWS // needs.rows)
        # A convolution on CPU takes all cores by itself, and half a batch longer than a whole.
        most = 1 if unrolled else max(1, batch_size // least)
        able = [r for r in _divisors(seeds) if not (needs.whole and devices % r)]
        shared = [math.gcd(batch_size, devices // r) if needs.whole else batch_size for r in able]
        ways = [
            (r, largest_divisor(rows, min(most, devices // r)))
            for r, rows in zip(able, shared, strict=True)
        ]
        if can_turn:
            ways += [(r, 1) for r in range(2, 1 + min(devices, seeds, steps, UNEVEN_DEVICES))]
        replicas, parts = max(
            (way for way in ways if way[1]), key=lambda way: (math.prod(way), way)
        )
    turns = can_turn and parts == 1
    idle = devices - replicas * parts
    copied = needs.whole and 0 < idle < devices - 1
    return Plan(replicas, parts, idle, steps, unrolled, 1, turns, bool(seeds % replicas), copied)


def plan_on(devices: Sequence, seeds: int, batch_size: int, needs: Needs, mode: str) -> Plan:
    """The plan for these devices."""
    needs = needs._replace(whole=needs.whole or whole(devices))
    return plan(devices[0].platform, len(devices), seeds, batch_size, needs, mode)


def whole(devices: Sequence) -> bool:
    """Whether a program must be on all of these devices, or on one.

    XLA's compiler for v5e refuses others beyond eight chips ("on platforms with limited ICI routing
    device assignment should include all slice devices", libtpu 0.0.42); v4, v5p and v6e may.
    """
    return len(devices) > 8 and devices[0].device_kind == "TPU v5 lite"


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor that is no larger than `most`; 0 where most is 0."""
    return next((d for d in range(min(number, most), 0, -1) if number % d == 0), 0)


def check_batch(mode: str, batch_size: int, devices: int) -> None:
    """Raises UsageError where pmap's devices do not divide the batch."""
    if mode == "pmap" and batch_size % devices:
        raise UsageError(
            f"--batch_size={batch_size}: --parallel=pmap needs a multiple of the {devices} devices"
        )


def check_copies(fsdp: int, devices: int, batch_size: int) -> None:
    """Raises UsageError where a copy's devices do not divide all devices, or the batch."""
    if devices % fsdp:
        more = f"XLA_FLAGS=--xla_force_host_platform_device_count={fsdp} makes more of a CPU"
        raise UsageError(f"--mesh=fsdp:{fsdp}: does not divide the devices, {devices}; {more}")
    if batch_size % fsdp:
        raise UsageError(f"--batch_size={batch_size}: --mesh=fsdp:{fsdp} needs a multiple")


class Arrangement(NamedTuple):
    """A plan on devices: the mesh, and which of its axes each thing is split over.

    sharers: the axes of the devices that share the batch of a seed; () where one device has it.
    state, keys [seeds, ...], arrays (what is read), batches (the index [steps, seeds, batch, ...])
    and metrics [steps, seeds]: partition specs, of all leaves or trees of them. inner: axes that
    the step takes by hand where it needs to, and that are XLA's elsewhere.
    """

    plan: Plan
    mode: str
    mesh: Mesh
    sharers: tuple[str, ...] = ("batch",)
    state: Any = P("replica")
    keys: P = P("replica")
    arrays: Any = P()
    batches: P = P(None, "replica", "batch")
    metrics: P = P(None, "replica")
    inner: tuple[str, ...] = ()

    def sharding(self, spec) -> NamedSharding:
        """Of a partition spec."""
        return NamedSharding(self.mesh, spec)

    def placed(self, state):
        """The shardings of a state, leaves [seeds, ...]."""

        def one(leaf):
            if self.plan.fsdp == 1:
                return self.sharding(self.state)
            return self.sharding(P("replica", *fsdp.spec(leaf.shape[1:], self.plan.fsdp)))

        return jax.tree.map(one, state)


def arrange(plan: Plan, devices: Sequence, mode: str = "jit") -> Arrangement:
    """The first devices that the plan has use for, as a mesh (replica, batch), or with `fsdp`, and
    `copy` in front where the others do the same."""
    shape = (plan.replicas, plan.parts, plan.fsdp)
    copies = (plan.devices // math.prod(shape),) if plan.copied else ()
    used = np.array(devices[: math.prod((*copies, *shape))])
    names = (*["copy"] * len(copies), "replica", "batch")
    sharers = ("batch",) if plan.parts > 1 else ()
    if plan.fsdp == 1:
        mesh = Mesh(used.reshape(*copies, *shape[:2]), names)
        if plan.uneven:
            return Arrangement(plan, mode, mesh, (), P(), P(), batches=P(), metrics=P())
        return Arrangement(plan, mode, mesh, sharers)
    mesh = Mesh(used.reshape(*copies, *shape), (*names, fsdp.AXIS))
    batches = P(None, "replica", ("batch", fsdp.AXIS))
    return Arrangement(plan, mode, mesh, sharers, batches=batches, inner=(fsdp.AXIS,))
