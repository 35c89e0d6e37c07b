"""Draws the page of finished runs again from their files, without training.

python experiments/report.py runs/vae/vae_digits
python experiments/report.py --table runs/vae/vae_digits     the tables in Markdown
python experiments/report.py --judge runs/vae/vae_digits     the verdicts anew, and what changed
python experiments/report.py --publish=vae_digits runs/vae/vae_digits
                             results/vae_digits.json, and the pages of docs/ that quote it
"""

import argparse
import contextlib
import importlib
import sys
from pathlib import Path

import missing  # noqa: F401 - First.

from genjax.core.config import shown
from genjax.core.errors import UsageError
from genjax.core.flags import shown_line
from genjax.core.folder import read_config
from genjax.report import page


class Parser(argparse.ArgumentParser):
    """One that refuses in one line, as the other scripts do."""

    def error(self, message: str):
        self.exit(2, f"report.py: {shown_line(message)}\n")


def main():
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folders", nargs="+", help="run folders that hold a summary.json")
    parser.add_argument("--table", action="store_true", help="print the tables in Markdown")
    parser.add_argument(
        "--judge", action="store_true", help="judge the claims anew; nothing is written"
    )
    parser.add_argument(
        "--publish",
        metavar="FLAGFILE",
        help="of one run, made by experiments/flags/<FLAGFILE>.flags",
    )
    options = parser.parse_args()
    try:
        if options.publish:
            from publishing import publish

            publish(options.publish, options.folders)
            return
        rooms = {folder: room_of(folder) for folder in map(Path, options.folders)}
        for folder, room in rooms.items():
            if options.table:
                print(page.markdown_table(page.read(folder)["summary"]))
            elif options.judge:
                print("\n".join(judged(folder)))
            else:
                print(page.write(folder, *room))
    except UsageError as error:
        print(f"report.py: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def room_of(folder: Path) -> tuple:
    """The figures of the room that made a run, and what it says of itself; no jax."""
    asked = read_config(folder)
    if asked is None:
        raise UsageError(f"{folder}: no run, config.json is missing")
    room = asked.get("room")
    if isinstance(room, str) and room.isidentifier():
        with contextlib.suppress(ModuleNotFoundError):
            figures = importlib.import_module(f"genjax.{room}.figures").FIGURES
            return figures, importlib.import_module(f"genjax.{room}.about").ABOUT
    raise UsageError(f"{folder / 'config.json'}: no experiment {shown(room)}")


def judged(folder: Path) -> list[str]:
    """A line a claim, judged anew from the files; what differs from summary.json is said."""
    from genjax.run import Run

    run = Run(folder)
    before = page.verdicts(run.claims)
    with page.of_this_version(folder):
        now = page.verdicts(run.judge())
    lines = [
        f"{id} {verdict}" + ("" if before.get(id) == verdict else f" (was {before.get(id)})")
        for id, verdict in now.items()
    ]
    lines += [f"{id} is judged no more (was {was})" for id, was in before.items() if id not in now]
    changed = sum("(was" in line for line in lines)
    return [*lines, f"{changed} of {len(lines)} verdicts changed"]


if __name__ == "__main__":
    main()
