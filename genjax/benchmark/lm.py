"""Rows of a small byte-level decoder: training, tokens a second."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import optax

from genjax import attention
from genjax.benchmark import peers, products, repeated
from genjax.benchmark.config import Config
from genjax.benchmark.harness import Part, Rates, Row, ratio
from genjax.benchmark.sizes import Decoder
from genjax.core import arrangement, machine, parallel, steps
from genjax.lm import transformer
from genjax.lm.objectives import token_loss


def part(config: Config, size: Decoder) -> Part:
    """The decoder; `config` says nothing of it."""
    del config

    def settle():
        machine.tune_cpu()
        machine.split_cpu(1, size.batch)

    return Part(settle, partial(rows, size), partial(ratios, size), partial(peers.lm_rows, size))


def rows(size: Decoder) -> dict[str, Row]:
    """With attention in tiles, and as the textbook has it."""
    return {
        "square": products.square(size.square),
        "flash": decoder(size, "flash"),
        "full": decoder(size, "full"),
    }


def ratios(size: Decoder, rates: Rates) -> dict[str, np.ndarray]:
    """Against the machine's products, textbook attention, and the peer."""
    found = {
        "training / the machine's products": flops(size)
        * np.asarray(rates["flash"])
        / np.asarray(rates["square"]),
        "flash / full": ratio(rates, "flash", "full"),
    }
    if "PyTorch decoder" in rates:
        found["training / PyTorch decoder"] = ratio(rates, "flash", "PyTorch decoder")
    return found


def flops(size: Decoder) -> float:
    """A token: six a weight, and attention's causal half of 4 n^2 d a layer, three times."""
    weights = 12 * size.depth * size.width**2 + size.vocabulary * size.width
    return 6.0 * weights + 6 * size.depth * size.context * size.width


def decoder(size: Decoder, variant: str) -> Row:
    """Tokens a second through the real training step."""
    made = attention.build(variant, size.context, size.width // size.heads, causal=True)
    model = transformer.build(
        made, vocabulary=size.vocabulary, length=size.context, width=size.width,
        depth=size.depth, heads=size.heads,
    )  # fmt: skip
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.01))

    def take(arrays, windows):
        del arrays
        ones = jnp.ones(len(windows))
        return {"tokens": windows[:, :-1], "target": windows[:, 1:], "weight": ones}

    compiled = parallel.compile_step(
        steps.training_step(token_loss(model.apply), optimizer),
        {},
        [0],
        size.batch,
        needs=arrangement.Needs(rows=size.context, steps_per_call=size.steps),
        take=take,
    )
    shape = (size.steps, 1, size.batch, size.context + 1)
    return repeated.row(
        compiled,
        lambda key: steps.init_state(model.init(key), optimizer),
        [0],
        np.random.default_rng(0).integers(0, size.vocabulary - 1, shape, np.int32),
        work=size.steps * size.batch * size.context,
        unit="tokens/s",
    )
