"""What comes with the code: flagfiles and published results, inside the package where it is
installed, beside it in a checkout (setup.py)."""

from pathlib import Path
from typing import NamedTuple

from genjax.core.errors import UsageError

HERE = Path(__file__).parents[1]
INSTALLED = (HERE / "flagfiles").is_dir()
FLAGFILES = HERE / "flagfiles" if INSTALLED else HERE.parent / "experiments" / "flags"
RESULTS = HERE / "results" if INSTALLED else HERE.parent / "results"
# Where tries to repeat published claims are kept; what is installed is not written to.
TRIES = Path("runs") if INSTALLED else RESULTS

COMMAND, TAKES = "python experiments/", "Takes: "


class Flagfile(NamedTuple):
    """What a flagfile's header says.

    experiment: the script's name. purpose: what it reproduces. takes: time and machine. needs: the
    flags that are to be given beside it.
    """

    name: str
    experiment: str
    purpose: str
    takes: str
    needs: str


def flagfiles() -> dict[str, Flagfile]:
    """The flagfiles that come with the code, by name."""
    return {path.stem: read(path) for path in sorted(FLAGFILES.glob("*.flags"))}


def read(path: Path) -> Flagfile:
    """The header of a flagfile: its purpose, then a line with the command and one with `Takes:`.

    Raises UsageError where one of the three is missing.
    """
    lines = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
    commands = [line for line in lines if line.startswith(COMMAND)]
    takes = [line.removeprefix(TAKES) for line in lines if line.startswith(TAKES)]
    purpose = " ".join(lines[: lines.index(commands[0])]) if commands else ""
    if not (purpose and takes):
        raise UsageError(f"{path}: the header needs a purpose, a command and '# {TAKES}...'")
    script, _, *needs = commands[0].removeprefix(COMMAND).split()
    return Flagfile(path.stem, script.removesuffix(".py"), purpose, takes[0], " ".join(needs))
