"""Runs that are wrong on purpose, and which of their claims they still support.

    python tests/wrong_runs.py vae|domains [--only="nothing trained"] [flags of the experiment]

Each case is the main flagfile of that experiment with one thing broken, on the seeds that it is
given: by default those from 100 on. A claim that a case takes the ground from must not come out
supported, nor equivalent where nothing was learnt that could be compared. Prints a table in
Markdown; exits with 1 where one did. A finished run's figures under other names: wrong.py.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import optax
import wrong

from genjax import data, domains, vae
from genjax.core import flags
from genjax.domains import data as grids
from genjax.lm import finetune
from genjax.vae import evaluate, experiment, training

FLAGS = Path(__file__).parents[1] / "experiments" / "flags"


class Case(NamedTuple):
    """One thing that is wrong: a patch, changed flags, and the claims that are false with it.

    void: as in wrong.Case.
    """

    patch: Callable = contextlib.nullcontext
    flags: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    void: bool = False


# --- VAE -----------------------------------------------------------------------------------------


def arms_swapped():
    """The figures of each arm under the other's name."""
    judge, other = experiment.judge, {"ae": "vae", "vae": "ae"}

    def swapped(found, config):
        paths = {path: path.partition("/") for path in found}
        named = {f"{other.get(arm, arm)}/{rest}": found[p] for p, (arm, _, rest) in paths.items()}
        return judge(named, config)

    return mock.patch.object(experiment, "judge", swapped)


def labels_shuffled():
    """Every image with the label of another."""
    load = data.load

    def shuffled(*args, **how):
        rng = np.random.default_rng(0)
        return {
            name: split | {"label": rng.permutation(split["label"])}
            for name, split in load(*args, **how).items()
        }

    return mock.patch.object(data, "load", shuffled)


def not_trained(*models: str):
    """Steps that leave the weights of these as they are."""
    make = training.optimizer_of

    def optimizer(config, arm):
        return optax.set_to_zero() if arm.model in models else make(config, arm)

    return mock.patch.object(training, "optimizer_of", optimizer)


def coder_changed(change: Callable):
    """What measures see of the autoencoder; change: evaluate.Coder -> another."""
    measure, coder_of = experiment.measure, evaluate.neural_coder

    def measured(job, name, params, ref):
        changed = job.config.arms()[name].deterministic
        wrong = (lambda *args: change(coder_of(*args))) if changed else coder_of
        with mock.patch.object(evaluate, "neural_coder", wrong):
            return measure(job, name, params, ref)

    return mock.patch.object(experiment, "measure", measured)


def codes_scaled(scale: float):
    """The autoencoder's codes in another unit, which its decoder undoes."""

    def scaled(coder):
        sources = {
            name: draw if name == "normal" else lambda n, rng, draw=draw: scale * draw(n, rng)
            for name, draw in coder.sources.items()
        }
        return evaluate.Coder(
            encode=lambda x: scale * coder.encode(x),
            draw=lambda x: scale * coder.draw(x),
            decode=lambda z: coder.decode(z / scale),
            sources=sources,
        )

    return coder_changed(scaled)


def training_images_copied():
    """The autoencoder's mixture hands out codes of training images."""
    return coder_changed(
        lambda coder: coder._replace(sources=coder.sources | {"gmm": coder.sources["posterior"]})
    )


# --- Domains -------------------------------------------------------------------------------------


def no_step():
    """Finetuned or not, nothing moves."""
    make = finetune.optimizer
    stays = optax.set_to_zero()
    return mock.patch.object(finetune, "optimizer", lambda inner, *rest: make(stays, *rest))


def windows_shuffled():
    """Whatever domain a window of training is asked of, it is one of a domain drawn at random."""
    make = grids.from_grid

    def shuffled(grid, **how):
        source = make(grid, **how)

        def draw(name, index):
            rng = np.random.default_rng([source.names.index(name), *index[:1]])
            others = rng.integers(len(grid.domains), size=len(index))
            rows = [
                source.draw(grid.domains[d], i[None]) for d, i in zip(others, index, strict=True)
            ]
            return np.concatenate(rows)

        return source._replace(draw=draw)

    return mock.patch.object(grids, "from_grid", shuffled)


# Of a second stage, where --samplers has a flow.
SECOND = ("V6b", "V7")
OF_VAES = ("V2", "V2b", "V3", "V3b", "V4")
REPLAY = ("D8a", "D8b", "D8c")
CASES = {
    "vae": {
        "nothing is wrong": Case(),
        "the figures of the two arms swapped": Case(arms_swapped, false=OF_VAES),
        "every image with the label of another": Case(
            labels_shuffled, false=("V2", "V2b", "V4", "V5b", "V6", *SECOND), void=True
        ),
        "nothing trained": Case(
            lambda: not_trained("ae", "vae"),
            ("--steps=10", "--log_every=10"),
            false=(*OF_VAES, "V1", "V5a", "V5b", "V6", *SECOND),
            void=True,
        ),
        "the VAE not trained": Case(
            lambda: not_trained("vae"), false=(*OF_VAES, "V1", "V6", "V6b"), void=True
        ),
        "the autoencoder not trained": Case(
            lambda: not_trained("ae"),
            false=(*OF_VAES, "V1", "V5a", "V5b", "V6", *SECOND),
            void=True,
        ),
        "codes of the autoencoder times 10": Case(lambda: codes_scaled(10.0), false=("V2", "V3")),
        "codes of the autoencoder times 1/10": Case(lambda: codes_scaled(0.1), false=("V2", "V3")),
        "copies of training images for the autoencoder's mixture": Case(
            training_images_copied, false=("V6",), void=True
        ),
        "half of the training images": Case(flags=("--valid=722",)),
    },
    "domains": {
        "nothing is wrong": Case(),
        "nothing trained": Case(
            no_step, false=("D1a", "D1c", "D2a", "D5a", "D5b", "D5c", "D6", *REPLAY), void=True
        ),
        "training windows of domains drawn at random": Case(
            windows_shuffled, false=("D1a", "D1c", "D2a", *REPLAY)
        ),
        "half of the training documents": Case(flags=("--pool=512",)),
    },
}
ROOMS = {"vae": (vae, "vae_digits"), "domains": (domains, "domains_grid")}


def claims(room: str, case: Case, arguments: list[str]) -> list[dict]:
    """The claims of a run with one thing wrong."""
    module, flagfile = ROOMS[room]
    given = [f"--flagfile={FLAGS / flagfile}.flags", "--seed=100", *case.flags, *arguments]
    asked = flags.parse(module.Config, room, given)
    with tempfile.TemporaryDirectory() as folder, case.patch():
        return module.run(asked.config, Path(folder) / "run").claims


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("room", choices=CASES)
    parser.add_argument("--only", help="one case")
    asked, arguments = parser.parse_known_args()
    cases = CASES[asked.room]
    if asked.only and asked.only not in cases:
        parser.error(f"--only={asked.only}: choose from {', '.join(cases)}")
    failed = 0
    for name in [asked.only] if asked.only else cases:
        found = claims(asked.room, cases[name], arguments)
        failed += wrong.told(wrong.Case(name, found, cases[name].false, cases[name].void))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
