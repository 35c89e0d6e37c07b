"""The command `genjax`: finds the subcommand, and hands it the rest of the line."""

import importlib
import os
import sys
from importlib.metadata import version
from pathlib import Path

from genjax.core import shipped
from genjax.core.config import nearest, shown
from genjax_cli import launch
from genjax_cli.ending import die, put

DISTRIBUTION = "genjax-experiments"
# Characters of a first word that are looked at.
LONGEST_NAME = 100
# {name: what it does}, those that one needs first. Each but the experiments has a module here.
RUNS = {
    "vae": "a VAE has a latent space that one can sample from; an autoencoder has none",
    "gan": "a GAN collapses onto few modes; its remedies do not",
    "attention": "self-attention costs O(n^2); its variants cost less, and lose something",
    "domains": "how far a language model carries to an unseen domain",
}
TOOLS = {
    "list": "the published runs: what each reproduces, minutes, machine",
    "claims": "all published verdicts, and how often they repeated",
    "sample": "pictures, points or texts of a trained model",
    "report": "a finished run's page again, its tables, its verdicts anew; an index of runs",
    "compare": "what differs between runs: configuration, verdicts, figures",
    "export": "a trained model as safetensors with a model card",
    "verify": "repeats published verdicts here, on fresh seeds",
    "benchmark": "speed as ratios, beside peers",
}
MODULES = {"list": "listing"}

HELP = """\
Four textbook statements about generative models, measured in JAX.

    genjax vae --flagfile=vae_digits       the main job: two minutes on two cores, then a page
    genjax vae --help                      its flags, common ones first
    genjax list                            every published run
    genjax sample runs/vae/vae_digits      pictures of what was trained
    genjax report runs/vae/vae_digits      the page again, from the files

Experiments, each a statement under test:
{runs}

Tools:
{tools}

`genjax <subcommand> --help` says more; `genjax --version` says which this is."""


def main() -> None:
    """The command line of the process."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name == "help" and arguments:
        name, arguments = arguments[0], ["--help"]
    if name in ("--help", "-h", "help"):
        put(HELP.format(runs=_listed(RUNS), tools=_listed(TOOLS)))
    elif name == "--version":
        put(f"genjax {version(DISTRIBUTION)}")
    elif name in launch.EXPERIMENTS:
        launch.launch(name, arguments, f"genjax {name}")
    elif name in TOOLS:
        module = importlib.import_module(f"genjax_cli.{MODULES.get(name, name)}")
        module.main(arguments, f"genjax {name}")
    else:
        die("genjax", 2, f"{shown(name)!r}: no such subcommand{_instead(name[:LONGEST_NAME])}")


def _instead(name: str) -> str:
    """What was meant by a first word that is no subcommand."""
    file = shipped.flagfiles().get(name)
    if file:
        return f"; a run: genjax {file.experiment} --flagfile={name}"
    if (Path(name) / "config.json").exists():
        return f"; a run: genjax report {name}"
    if os.path.isdir(name) and any(Path(name).glob("*/*/config.json")):
        return f"; a folder of runs: genjax report {name}"
    return nearest(name, [*RUNS, *TOOLS])


def _listed(commands: dict[str, str]) -> str:
    return "\n".join(f"    {name:<11}{about}" for name, about in commands.items())
