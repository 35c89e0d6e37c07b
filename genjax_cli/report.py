"""`genjax report`, experiments/report.py: the page of finished runs from their files."""

import contextlib
import importlib
import os
from dataclasses import dataclass
from pathlib import Path

from genjax.core.config import Options, option, shown
from genjax.core.errors import UsageError, one_line
from genjax_cli import runs
from genjax_cli.ending import ending, put, read

ABOUT = """\
Draws the page of finished runs again from their files, without training.

    {command} runs/vae/vae_digits
    {command} --table runs/vae/vae_digits     the tables in Markdown
    {command} --judge runs/vae/vae_digits     the verdicts anew, and what changed
    {command} runs                            an index of all runs: runs/index.html
    {command} --publish=vae_digits runs/vae/vae_digits
                             results/vae_digits.json, and the pages of docs/ that quote it"""


@dataclass(frozen=True)
class Config(Options):
    """What is done with the runs."""

    table: bool = option(False, "Print the tables in Markdown; nothing is written.")
    judge: bool = option(False, "Judge the claims anew; nothing is written.")
    publish: str | None = option(
        None, "Name of the flagfile that made the one run: its results, in a checkout."
    )


def main(arguments: list[str], command: str, called: str = "") -> None:
    """Does with run folders what the arguments ask."""
    with ending(called or command):
        asked = read(Config, arguments, command, ABOUT, words=True)
        if not asked.words:
            raise UsageError(f"which run? Such as: {command} runs/vae/vae_digits")
        if asked.config.publish:
            from genjax_cli.publishing import publish

            publish(asked.config.publish, asked.words)
            return
        # What is no folder is refused before the imports, which take most of a second.
        places = [Path(w) if os.path.isdir(w) else runs.folder(w) for w in asked.words]
        try:
            _report(places, asked.config)
        except OSError as error:
            names = ", ".join(map(shown, places))
            raise UsageError(f"{names}: cannot be written: {one_line(error)}") from error


def _report(places: list[Path], config: Config) -> None:
    from genjax.report import index, page

    if len(places) == 1 and index.holds_runs(places[0]):
        put(str(index.write(places[0])))
        return
    # All are looked at before a page is written.
    rooms = {folder: room_of(folder) for folder in map(runs.folder, map(str, places))}
    for folder, room in rooms.items():
        if config.table:
            put(page.markdown_table(page.read(folder)["summary"]))
        elif config.judge:
            put("\n".join(judged(folder)))
        else:
            put(str(page.write(folder, *room)))


def room_of(folder: Path) -> tuple:
    """The figures of the room that made a run, and what it says of itself; no jax."""
    from genjax.core.folder import read_config

    room = (read_config(folder) or {}).get("room")
    if isinstance(room, str) and room.isidentifier():
        with contextlib.suppress(ModuleNotFoundError):
            figures = importlib.import_module(f"genjax.{room}.figures").FIGURES
            return figures, importlib.import_module(f"genjax.{room}.about").ABOUT
    raise UsageError(f"{folder / 'config.json'}: no experiment {shown(room)}")


def judged(folder: Path) -> list[str]:
    """A line a claim, judged anew from the files; what differs from summary.json is said, and of
    one that is open why, as the page says it."""
    from genjax.report import claim_rows, page
    from genjax.run import Run

    run = Run(folder)
    before = page.verdicts(run.claims)
    with page.of_this_version(folder):
        claims = run.judge()
    now = page.verdicts(claims)
    reasons = {claim["id"]: "; ".join(claim_rows.why(claim)) for claim in claims}
    lines = []
    for id, verdict in now.items():
        was = "" if before.get(id) == verdict else f" (was {before.get(id)})"
        why = reasons.get(id, "") if verdict == "undetermined" else ""
        lines.append(f"{id} {verdict}{was}" + (f": {why}" if why else ""))
    lines += [f"{id} is judged no more (was {was})" for id, was in before.items() if id not in now]
    changed = sum("(was" in line for line in lines)
    return [*lines, f"{changed} of {len(lines)} verdicts changed"]
