"""Rows of PacGAN's 2-D protocol; rates are steps a second times seeds."""

from functools import partial

import jax
import numpy as np
import optax

from genjax.benchmark import peers, repeated, roofs
from genjax.benchmark.config import Config
from genjax.benchmark.harness import Part, Rates, Row, against, ratio
from genjax.benchmark.sizes import Game
from genjax.core import arrangement, machine, parallel
from genjax.gan import losses, mixtures, networks, objectives
from genjax.gan.architecture import Architecture
from genjax.gan.players import Recipe


def part(config: Config, size: Game) -> Part:
    """The game; `config` says nothing of it.

    On CPU a core is a device, as in the experiment: one seed works on one, its products on all.
    """
    del config

    def settle():
        machine.tune_cpu()
        machine.split_cpu(size.seeds, batch_size=1)

    return Part(settle, partial(rows, size), partial(ratios, size), partial(peers.gan_rows, size))


def rows(size: Game) -> dict[str, Row]:
    """One seed and several, and what remedies cost."""
    made = {
        "train": game(size, [0]),
        "a seed a device": game(size, list(range(jax.local_device_count()))),
        "packs of two": game(size, [0], pack=2),
        "RpGAN": game(size, [0], loss="rpgan"),
        "RpGAN with R1 and R2": game(size, [0], loss="rpgan", r1=0.1, r2=0.1),
        "seeds at once": game(size, list(range(size.seeds))),
    }
    return roofs.beside(made, size.roofs)


def ratios(size: Game, rates: Rates) -> dict[str, np.ndarray]:
    """Remedies and seeds against one without, and against the peers."""
    found = {
        "time of R1 and R2 / without": ratio(rates, "RpGAN", "RpGAN with R1 and R2"),
        "time of a pack of 2 / of 1": ratio(rates, "train", "packs of two"),
        f"time of {size.seeds} seeds / of one": size.seeds * ratio(rates, "train", "seeds at once"),
    }
    return found | against(rates, {"train": peers.LOOPS})


def game(size: Game, seeds: list[int], *, pack: int = 1, loss: str = "ns", **recipe) -> Row:
    """Steps a second (times seeds) through the real adversarial step of PacGAN's protocol."""
    mixture = mixtures.mixture("ring8")
    rng = np.random.default_rng(0)
    packs = mixtures.packs(mixtures.draw(mixture, size.points, rng), pack, rng)
    how_to = Recipe(loss=losses.ADVERSARIAL[loss], pack=pack, scale=mixture.spread, **recipe)
    nets = networks.build(
        Architecture(
            shape=(2,), latent=2, pack=pack, g_width=size.g_width, g_depth=size.g_depth,
            g_norm=True, d_width=size.d_width, d_depth=size.d_depth, d_layer="maxout",
            init_std=0.02,
        )
    )  # fmt: skip
    optimizers = {name: optax.adam(1e-4, 0.8) for name in ("generator", "discriminator")}
    compiled = parallel.compile_step(
        objectives.adversarial_step(nets, how_to, optimizers),
        {"real": packs},
        seeds,
        size.packs,
        devices=jax.local_devices()[: len(seeds)],
        needs=arrangement.Needs(steps_per_call=size.steps),
    )
    return repeated.row(
        compiled,
        lambda key: objectives.init_state(key, nets, how_to, optimizers),
        seeds,
        rng.integers(0, len(packs), (size.steps, len(seeds), size.packs), np.int32),
        work=size.steps * len(seeds),
        unit="steps/s",
    )
