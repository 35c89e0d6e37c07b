"""Rows of attention alone, 4 heads of 64, batch 1, float32, one core; rates: calls a second."""

from functools import partial

import jax
import numpy as np

from genjax import attention
from genjax.benchmark import peers_attention, products
from genjax.benchmark.config import Config
from genjax.benchmark.harness import Part, Rates, Row, ratio
from genjax.benchmark.sizes import Heads
from genjax.core import machine
from genjax.scaling import cases, microbenchmark, timings

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
    cores = str(config.cores)

    def settle():
        machine.tune_cpu()
        microbenchmark.reserve(cores)
        machine.keep_buffers()
        # jax.nn forms the matrices of all pairs, four of them backward.
        longest = max(config.lengths)
        machine.require_memory({"--lengths": 4 * 4.0 * size.heads * longest**2}, config)

    return Part(
        settle,
        partial(rows, size, config.lengths),
        partial(ratios, size, config.lengths),
        partial(peers_attention.rows, size, config.lengths, timings.MODES, config.cores),
        cores,
    )


def rows(size: Heads, lengths: tuple[int, ...]) -> dict[str, Row]:
    """Forward, and forward and backward."""
    made = {"square": products.square(size.square)}
    for length in lengths:
        for name in (*PEERS, "jax.nn"):
            for mode in timings.MODES:
                made[f"{name} {mode} {length}"] = call(size, name, mode, length)
    return made


def ratios(size: Heads, lengths: tuple[int, ...], rates: Rates) -> dict[str, np.ndarray]:
    """Our time over the peer's, and flash against the machine's products."""
    found = {}
    for mode in timings.MODES:
        for name, theirs in PEERS.items():
            for peer in theirs:
                for n in lengths:
                    if f"{peer} {mode} {n}" in rates:
                        found[f"time of {name} / {peer}, {mode}, {n}"] = ratio(
                            rates, f"{peer} {mode} {n}", f"{name} {mode} {n}"
                        )
    for n in lengths:
        rate = 4.0 * size.width * n**2 * np.asarray(rates[f"flash forward {n}"])
        found[f"flash / the machine's products, forward, {n}"] = rate / rates["square"]
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
    return Row(lambda: jax.block_until_ready(compiled(*arguments)), 1, "calls/s")
