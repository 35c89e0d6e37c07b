"""Tables for a terminal, as wide as it is."""

import shutil
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

# Columns where the output is no terminal, such as a file.
WIDE = 160


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose long cells fold; the first column does not."""
    made = Table(box=box.SIMPLE_HEAD)
    for column, name in enumerate(head):
        made.add_column(name, no_wrap=column == 0)
    for row in rows:
        made.add_row(*row)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    console = Console(width=width, no_color=True, markup=False, highlight=False)
    with console.capture() as said:
        console.print(made)
    return "\n".join(line.rstrip() for line in said.get().strip("\n").splitlines())
