"""`genjax compare`: what differs between runs in configuration, figures and claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genjax.core import config as configs
from genjax.core.config import Options, option
from genjax.core.errors import UsageError
from genjax_cli import runs
from genjax_cli.ending import ending, put, read
from genjax_cli.tables import table

ABOUT = """\
What differs between finished runs of one experiment: configuration, figures with their 95%
intervals over seeds, verdicts.

    {command} runs/vae/vae_digits runs/vae/vae_fashion
    {command} runs/gan/gan_ring runs/gan/mine --measures=modes,mode_tv

Figures whose intervals overlap are left out, but with --all. Intervals apart are no claim: many
figures are compared at once, and by chance some lie apart."""
# Longest text of a cell.
LONGEST = 60


@dataclass(frozen=True)
class Config(Options):
    """Which figures."""

    measures: tuple[str, ...] = option(
        (), "Such as mse,kkid. Empty: every one that the runs share.", distinct=True
    )
    all: bool = option(False, "Figures whose intervals overlap, too.")


def main(arguments: list[str], command: str) -> None:
    """Prints what differs."""
    with ending(command):
        asked = read(Config, arguments, command, ABOUT, words=True)
        if len(asked.words) < 2:
            raise UsageError(f"which runs? Two or more: {command} runs/gan/gan_ring runs/gan/mine")
        put(comparison([runs.folder(word) for word in asked.words], asked.config))


def comparison(folders: Sequence[Path], config: Config) -> str:
    """Tables of what differs. Raises UsageError for runs that are not finished, or not alike."""
    from genjax.report import page

    found = []
    for folder in folders:
        summary = page.read_json(folder, "summary.json")
        if summary is None:
            raise UsageError(f"{folder}: not finished; the command that began it goes on with it")
        found.append(summary)
    kinds = dict.fromkeys(summary["experiment"] for summary in found)
    if len(kinds) > 1:
        raise UsageError(f"runs of different experiments: {', '.join(kinds)}")
    names = [str(folder) for folder in folders]
    same = "nothing differs"
    apart_alone = "none apart; one seed has no interval; --all shows every figure"
    blocks = {
        "configuration": (changed(found), same),
        "verdicts": (verdicts(found), same),
        "figures, mean and 95% interval": (
            figures(found, config), "none is in all" if config.all else apart_alone
        ),
    }  # fmt: skip
    made = [
        f"{what}\n{table(['', *names], rows)}" if rows else f"{what}: {empty}"
        for what, (rows, empty) in blocks.items()
    ]
    return "\n\n".join(made)


def changed(summaries: Sequence[dict]) -> list[list[str]]:
    """[option, its value in each run] of what was asked differently."""
    asked = [summary["flags"] for summary in summaries]
    return [
        [name, *(configs.typed(name, one.get(name))[:LONGEST] for one in asked)]
        for name in dict.fromkeys(name for one in asked for name in one)
        if any(one.get(name) != asked[0].get(name) for one in asked)
    ]


def verdicts(summaries: Sequence[dict]) -> list[list[str]]:
    """[claim, its verdict in each run] where they differ."""
    from genjax.report import page

    judged = [page.verdicts(summary["claims"]) for summary in summaries]
    rows = [
        [name, *(one.get(name, "not judged") for one in judged)]
        for name in dict.fromkeys(name for one in judged for name in one)
    ]
    return [row for row in rows if len({*row[1:]}) > 1]


def figures(summaries: Sequence[dict], config: Config) -> list[list[str]]:
    """[figure, its value in each run] of those in all runs whose intervals do not all overlap."""
    from genjax.report.tables import figure

    metrics = [summary["metrics"] for summary in summaries]
    shared = [path for path in metrics[0] if all(path in one for one in metrics)]
    known = dict.fromkeys(path.rpartition("/")[2] for path in shared)
    for name in config.measures:
        if name not in known:
            near = configs.nearest(name, known)
            raise UsageError(f"--measures={configs.shown(name)}: not in all of the runs{near}")
    rows = []
    for path in shared:
        values = [one[path] for one in metrics]
        wanted = not config.measures or path.rpartition("/")[2] in config.measures
        if wanted and (config.all or apart(values)):
            unit = f" ({values[0]['unit']})" if values[0]["unit"] else ""
            rows.append([path + unit, *map(figure, values)])
    return rows


def apart(values: Sequence[dict]) -> bool:
    """Whether the intervals of two figures at least have no value in common."""
    ends = [(one["low"], one["high"]) for one in values]
    if any(None in end for end in ends):  # One seed has no interval.
        return False
    return max(low for low, _ in ends) > min(high for _, high in ends)
