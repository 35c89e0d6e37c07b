"""Runs that are wrong on purpose, and which of the VAE's claims they still support.

    python tests/wrong_vae.py [--only="labels shuffled"] [flags of experiments/vae.py]

Each case is the digits' flagfile with one thing broken, on the seeds that it is given: by default
those from 100 on. A claim that a case takes the ground from must not come out supported. Prints a
table in Markdown; exits with 1 where one did.
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

from genjax import data
from genjax.core import flags
from genjax.vae import evaluate, experiment
from genjax.vae.config import Config

FLAGS = Path(__file__).parents[1] / "experiments" / "flags" / "vae_digits.flags"


class Case(NamedTuple):
    """One thing that is wrong: a patch, changed flags, and the claims that are false with it."""

    patch: Callable = contextlib.nullcontext
    flags: tuple[str, ...] = ()
    false: tuple[str, ...] = ()


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


def nothing_trained():
    """Steps that leave the weights as they are."""
    return mock.patch.object(experiment, "optimizer_of", lambda config, arm: optax.set_to_zero())


def codes_scaled(scale: float):
    """The autoencoder's codes in another unit, which its decoder undoes."""
    measure, coder_of = experiment.measure, evaluate.neural_coder

    def scaled(*args):
        coder = coder_of(*args)
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

    def measured(job, name, params, ref):
        wrong = scaled if job.config.arms()[name].deterministic else coder_of
        with mock.patch.object(evaluate, "neural_coder", wrong):
            return measure(job, name, params, ref)

    return mock.patch.object(experiment, "measure", measured)


OF_VAES = ("V2", "V2b", "V3", "V3b", "V4")
CASES = {
    "nothing": Case(),
    "arms swapped": Case(arms_swapped, false=OF_VAES),
    "labels shuffled": Case(labels_shuffled, false=("V2", "V2b", "V4", "V5b", "V6")),
    "nothing trained": Case(
        nothing_trained,
        ("--steps=10", "--log_every=10"),
        false=(*OF_VAES, "V1", "V5a", "V5b", "V6"),
    ),
    "codes of the autoencoder times 10": Case(lambda: codes_scaled(10.0), false=("V2", "V3")),
    "codes of the autoencoder times 1/10": Case(lambda: codes_scaled(0.1), false=("V2", "V3")),
    "half of the training images": Case(flags=("--valid=722",)),
}


def verdicts(case: Case, arguments: list[str]) -> dict[str, str]:
    """{claim: verdict} of a run with one thing wrong."""
    given = [f"--flagfile={FLAGS}", "--seed=100", *case.flags, *arguments]
    asked = flags.parse(Config, "vae", given)
    with tempfile.TemporaryDirectory() as folder, case.patch():
        made = experiment.run(asked.config, Path(folder) / "run")
        return {claim["id"]: claim["verdict"] for claim in made.claims}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=CASES)
    asked, arguments = parser.parse_known_args()
    failed = 0
    for name in [asked.only] if asked.only else CASES:
        found = verdicts(CASES[name], arguments)
        supported = [id for id, verdict in found.items() if verdict == "supported"]
        wrongly = [id for id in supported if id in CASES[name].false]
        failed += len(wrongly)
        cells = (", ".join(ids) or "none" for ids in (CASES[name].false, supported, wrongly))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
