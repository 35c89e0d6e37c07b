"""`genjax list`: the flagfiles that come with genjax, what each reproduces, minutes and machine."""

from dataclasses import dataclass

from genjax.core import flags, shipped
from genjax.core.config import Options, nearest, shown
from genjax.core.errors import UsageError
from genjax.report import results
from genjax_cli.ending import ending, put
from genjax_cli.launch import EXPERIMENTS
from genjax_cli.tables import table

ABOUT = """\
The published runs: what each reproduces, minutes, machine.

    {command}            all
    {command} gan        those of one experiment, or with a word in their name
"""


@dataclass(frozen=True)
class Config(Options):
    """Nothing to choose but words."""


def main(arguments: list[str], command: str) -> None:
    """Prints the flagfiles, by experiment."""
    with ending(command):
        asked = flags.read(Config, arguments, words=True)
        if asked.help:
            put(ABOUT.format(command=command))
            return
        put(listing(asked.words))


def listing(words: tuple[str, ...]) -> str:
    """A table an experiment of the flagfiles with one of the words in their names, or all.

    Raises UsageError where there is none.
    """
    files, published = shipped.flagfiles(), results.read(shipped.RESULTS)
    if words:
        files = {
            name: file
            for name, file in files.items()
            if any(word in (*name.split("_"), name, file.experiment) for word in words)
        }
    if not files:
        known = {part for name in shipped.flagfiles() for part in (name, *name.split("_"))}
        near = nearest(words[0][:60], known, "`genjax list` has all")
        raise UsageError(f"no published run {shown(words[0])!r}{near}")
    blocks = []
    for experiment in EXPERIMENTS:
        rows = [
            [name, file.purpose, takes(file, published.get(name))]
            # Those whose figures are published first.
            for name, file in sorted(files.items(), key=lambda one: one[0] not in published)
            if file.experiment == experiment
        ]
        if rows:
            run = f"genjax {experiment} --flagfile=<name>"
            blocks.append(f"{run}\n{table(['name', 'what it reproduces', 'takes'], rows)}")
    return "\n\n".join(blocks)


def takes(file: shipped.Flagfile, result: dict | None) -> str:
    """Minutes and machine: as measured where the run is published, else as its header says."""
    if not result:
        needs = f" Needs {file.needs}." if file.needs else ""
        return file.takes + needs
    device = result["device"]
    where = f"{device['cores']} cores of {device['kind']}"
    return f"{result['minutes']} minutes on {where} ({result['date']})."
