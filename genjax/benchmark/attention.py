"""Rows of attention alone, 4 heads of 64, batch 1, float32, one core; rates: calls a second."""

from functools import partial

import jax
import numpy as np

from genjax import attention
from genjax.benchmark import counts, peers_attention, roofs
from genjax.benchmark.config import Config
from genjax.benchmark.harness import Part, Rates, Row, ratio
from genjax.benchmark.sizes import Heads
from genjax.core import machine
from genjax.scaling import cases, microbenchmark, timings

LENGTHS = (1024, 2048, 4096, 8192)
# Ours and the peers that compute the same, or what they call so.
PEERS = {
    "flash": ("SDPA", "jax.nn"),
    "longformer": ("FlexAttention", "local-attention", "HF Longformer"),
    "bigbird": ("HF BigBird",),
    "linformer": ("linformer-pytorch",),
    "performer": ("performer-pytorch",),
    "linear": ("linear-attention-transformer",),
    "reformer": ("reformer-pytorch",),
}


def part(config: Config, size: Heads) -> Part:
    """Every variant that has a peer, at every length of `config`, on its core."""
    cores, lengths = str(config.cores), config.lengths or LENGTHS

    def settle():
        machine.tune_cpu()
        microbenchmark.reserve(cores)
        machine.keep_buffers()
        # jax.nn forms the matrices of all pairs, four of them backward.
        longest = max(lengths)
        machine.require_memory({"--lengths": 4 * 4.0 * size.heads * longest**2}, config)

    return Part(
        settle,
        partial(rows, size, lengths),
        partial(ratios, lengths),
        partial(peers_attention.rows, size, lengths, timings.MODES, config.cores),
        cores,
    )


def rows(size: Heads, lengths: tuple[int, ...]) -> dict[str, Row]:
    """Forward, and forward and backward."""
    made = {}
    for length in lengths:
        for name in (*PEERS, "jax.nn"):
            for mode in timings.MODES:
                made[f"{name} {mode} {length}"] = call(size, name, mode, length)
    return roofs.beside(made, size.roofs)


def ratios(lengths: tuple[int, ...], rates: Rates) -> dict[str, np.ndarray]:
    """Our time over the peer's."""
    found = {}
    for mode in timings.MODES:
        for name, theirs in PEERS.items():
            for peer in theirs:
                for n in lengths:
                    if f"{peer} {mode} {n}" in rates:
                        found[f"time of {name} / {peer}, {mode}, {n}"] = ratio(
                            rates, f"{peer} {mode} {n}", f"{name} {mode} {n}"
                        )
    return found


def call(size: Heads, name: str, mode: str, length: int) -> Row:
    """Calls a second of a variant, or of jax.nn.dot_product_attention."""
    if name == "jax.nn":
        variant = attention.Variant(
            lambda q, k, v, **_: jax.nn.dot_product_attention(q, k, v),
            attention.Cost(0.0, 0.0),
        )
    else:
        variant = attention.build(name, length, size.dim, causal=False)
    program = cases.of_variant(variant, mode, (1, length, size.heads, size.dim), "float32")
    compiled, _ = microbenchmark.compile_program(program)
    arguments = program.arguments()
    done = counts.of_call(compiled.as_text() or "")
    return Row(lambda: jax.block_until_ready(compiled(*arguments)), 1, "calls/s", done)
