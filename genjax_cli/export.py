"""`genjax export`: a trained model as safetensors with a model card."""

from dataclasses import dataclass
from pathlib import Path

from genjax.core import writable
from genjax.core.config import Options, option, shown
from genjax.core.errors import UsageError
from genjax.core.files import RECORD
from genjax_cli import runs
from genjax_cli.ending import ending, put, read

ABOUT = """\
Writes a trained model into a folder of its own: parameters as safetensors, a model card.

    {command} runs/vae/vae_digits my_vae --arm=vae --seed=3
    {command} runs/vae/vae_digits my_vae --push=owner/name     to huggingface.co, too

`genjax sample my_vae` draws from it; in Python `genjax.load("my_vae")` is what
`genjax.open(run).model(arm, seed)` was, bit for bit, without the run."""


@dataclass(frozen=True)
class Config(Options):
    """Which model, and where to."""

    arm: str | None = option(None, "Default: the first of the run.")
    seed: int | None = option(None, "Seed that the model was trained with. Default: the first.")
    licence: str = option("apache-2.0", "Of the parameters, as the card says it.")
    push: str | None = option(None, "Upload it to huggingface.co as owner/name (extra: hub).")
    force: bool = option(False, "Replace a model that was exported into the folder before.")


def main(arguments: list[str], command: str) -> None:
    """Exports what the arguments ask for, and says where it lies."""
    with ending(command):
        asked = read(Config, arguments, command, ABOUT, words=True)
        if len(asked.words) != 2:
            line = f"{command} runs/vae/vae_digits my_vae"
            raise UsageError(f"a run, and the folder of the model: {line}")
        config, target = asked.config, Path(asked.words[1])
        source = runs.folder(asked.words[0])
        writable.require(shown(target), target)
        if config.push and len(list(filter(None, config.push.split("/")))) != 2:
            raise UsageError(f"--push={shown(config.push)}: owner/name")
        from genjax import export
        from genjax.run import Run

        if (target / RECORD).exists() and not config.force:
            raise UsageError(f"{target}: holds a model already; --force replaces it")
        if config.push:
            export.hub(config.push)
        export.export(Run(source), target, config.arm, config.seed, licence=config.licence)
        record = export.Exported(target).record
        put(f"{target}: {record['arm']}, seed {record['seed']}, step {record['step']}")
        if config.push:
            put(export.push(target, config.push))
