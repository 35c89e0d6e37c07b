"""What the training steps need on described chips, by their own compilers; no chip is there.

`measure` compiles one program for so many chips; `estimate` says from its text what a step would
take at stated peak rates. Where the compiler of a platform cannot be had, ImportError is raised.
"""

import importlib.metadata
import math
import os
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import NamedTuple

import jax

import genjax.vae.config
from genjax.benchmark import described
from genjax.benchmark.chips import CHIPS, TOPOLOGIES
from genjax.core import hlo
from genjax.core.arrangement import ACCELERATOR_ROWS
from genjax.domains.config import Config as LmConfig
from genjax.gan.config import Config as GanConfig
from genjax.scaling.config import Config as AttentionConfig

# A GPU as XLA asks for it; figures of an H100 SXM.
H100 = """gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84978434048 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 patch: 0 }
runtime_version { major: 12 minor: 9 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


# Chips that share a copy of a large model's parameters, at most.
LARGE_PARTS = 8


class Case(NamedTuple):
    """A program: what it is in words, its seeds, examples a step, rows of a product an example."""

    title: str
    make: Callable[[Sequence], described.Step]
    seeds: int
    batch: int
    rows: int = 1


def _vae(seeds: int, batch: int) -> Case:
    config = genjax.vae.config.Config(
        model="vae", hidden=(400,), latent=20, seeds=seeds, batch_size=batch
    )
    return Case(
        f"VAE 784-400-20, {seeds} seed{'s' * (seeds > 1)}, batch {batch:,}",
        lambda devices: described.vae(config, "vae", devices),
        seeds,
        batch,
    )


def _gan(seeds: int) -> Case:
    config = GanConfig(seeds=seeds)
    return Case(
        f"GAN on the ring, {seeds} seeds, batch {config.batch_size}",
        lambda devices: described.gan(config, "gan", devices),
        seeds,
        config.batch_size,
    )


def _attention(batch: int, length: int) -> Case:
    config = AttentionConfig(seeds=1, batch_size=batch)
    return Case(
        f"attention's transformer, {config.depth} x {config.width}, batch {batch} x {length}",
        lambda devices: described.attention(config, length, devices),
        1,
        batch,
        length,
    )


def _lm(depth: int, width: int, vocabulary: int, batch: int, length: int, rows: int = 0) -> Case:
    """rows: of a batch that a chip computes at once, of a model too large for plain training: its
    blocks are rematerialised, its parameters and AdamW's moments split over up to eight chips.
    0: all of them, and the configuration's own optimizer, Muon."""
    config = LmConfig(
        depth=depth, width=width, heads=max(1, width // 64), attention="flash", seeds=1,
        batch_size=batch, context=length, precision="bfloat16",
    )  # fmt: skip

    def make(devices):
        count, large = len(devices), config
        if rows:
            large = config.replace(
                remat="full", optimizer="adamw", mesh=f"fsdp:{min(count, LARGE_PARTS)}",
                microbatches=max(1, batch // (count * rows)),
            )  # fmt: skip
        return described.lm(large, vocabulary, devices)

    how = (
        f", rematerialised, AdamW, parameters over up to {LARGE_PARTS} chips" if rows else ", Muon"
    )
    return Case(
        f"language model, {depth} x {width:,}, vocabulary {vocabulary:,}, "
        f"batch {batch} x {length:,}{how}",
        make,
        1,
        batch,
        length,
    )


CASES = {
    "vae": _vae(1, 128),
    "vae_batch": _vae(1, 4096),
    "vae_seeds": _vae(64, 128),
    "gan": _gan(64),
    "attention": _attention(64, 512),
    "lm_small": _lm(2, 128, 4096, 64, 512),
    "lm": _lm(2, 768, 32_768, 64, 1024),
    "lm_12": _lm(12, 768, 32_768, 512, 1024, rows=8),
    "lm_1b": _lm(24, 2048, 32_768, 256, 4096, rows=4),
}


def devices(chip: str, chips: int, slices: int = 1) -> list:
    """Described chips of a TPU, or one H100. Raises ImportError without their compiler."""
    from jax.experimental import topologies

    module = "jax_cuda12_plugin" if chip == "h100" else "libtpu"
    if find_spec(module) is None:
        raise ImportError(f"no {module}, the compiler of {chip}")
    if chip == "h100":
        found = topologies.get_topology_desc(platform="cuda", target_config=H100, topology="1x1x1")
        return list(found.devices)
    for name, value in {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_ACCELERATOR_TYPE": "v5e-8",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }.items():
        os.environ.setdefault(name, value)
    more = {"num_slices": slices} if slices > 1 else {}
    found = topologies.get_topology_desc(TOPOLOGIES[chip, chips, slices], platform="tpu", **more)
    return list(found.devices)[:chips]


def measure(name: str, chip: str, chips: int, slices: int = 1) -> dict:
    """What a program of CASES is on so many chips: bytes, FLOPs, cycles and collectives of a step.

    All figures are of one device; first: bytes to make the first state, where it is in parts. Of a
    program that does not fit the chip there is but `needs`, the bytes that its compiler names.
    Raises ImportError without the chip's compiler.
    """
    step = CASES[name].make(devices(chip, chips, slices))
    plan, more = step.program.arrangement.plan, {}
    place = {
        "program": name, "chip": chip, "chips": chips, "slices": slices,
        "compiler": _compiler(chip), "plan": str(plan), "used": plan.devices - plan.idle,
    }  # fmt: skip
    try:
        compiled = step.compile()
    except jax.errors.JaxRuntimeError as error:
        said = re.match(r"RESOURCE_EXHAUSTED: .*?([\d.]+)G\b", str(error), re.DOTALL)
        if not said:
            raise
        return place | {"needs": float(said[1]) * 2**30}
    program, memory = hlo.Program(compiled.as_text() or ""), compiled.memory_analysis()
    assert memory is not None  # Told by XLA on CPU, GPU and TPU.
    if plan.fsdp > 1:
        start = step.compile_first().memory_analysis()
        assert start is not None
        more = {"first": start.output_size_in_bytes + start.temp_size_in_bytes}
    return place | {
        "flops": program.flops(), "cycles": program.cycles(),
        "arguments": memory.argument_size_in_bytes, "temporaries": memory.temp_size_in_bytes,
        "constants": program.constants(), "calls_home": program.calls_home(),
        "collectives": [
            {
                "kind": one.kind, "types": sorted({array.dtype for array in one.arrays}),
                "bytes": one.bytes, "devices": one.devices, "times": one.times,
            }
            for one in program.collectives()
        ],
        **more,
    }  # fmt: skip


def _compiler(chip: str) -> str:
    name = "jax-cuda12-plugin" if chip == "h100" else "libtpu"
    return f"{name} {importlib.metadata.version(name)}"


class Estimate(NamedTuple):
    """Seconds of a step on a device: of products at peak, by the compiler's cycles, on links."""

    products: float
    cycles: float
    links: float

    @property
    def step(self) -> float:
        """Of all; nothing is hidden behind anything else."""
        return max(self.products, self.cycles) + self.links


def estimate(row: dict) -> Estimate:
    """A step of a `measure` at peak rates.

    A ring sums B bytes over k devices by sending 2 B (k - 1) / k, and gathers by half of that.
    """
    chip, links = CHIPS[row["chip"]], 0.0
    for one in row["collectives"]:
        k = max(1, one["devices"])
        twice = 2 if one["kind"] == "all-reduce" else 1
        links += one["times"] * twice * one["bytes"] * (k - 1) / k / chip.ring
    return Estimate(row["flops"] / chip.flops, row["cycles"] / chip.cycles, links)


def least_batch(name: str, chips: int) -> int:
    """Examples a step of each seed below which not all of so many chips have rows enough."""
    case = CASES[name]
    parts = chips // math.gcd(case.seeds, chips)
    return 1 if parts == 1 else math.ceil(ACCELERATOR_ROWS / case.rows) * parts
