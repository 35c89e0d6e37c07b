"""What a run costs as it grows: measures, writes results/costs.jsonl and docs/costs.md.

python experiments/costs.py                   every axis, three processes a point: an hour
python experiments/costs.py batch modes       these alone; what is there of others stays
python experiments/costs.py --processes=5     more of them

Axes are those of genjax/benchmark/costs.py. Alone on the machine, or the times say nothing.
"""

import json
import sys
from pathlib import Path

import missing  # noqa: F401 - First.
import numpy as np

from genjax.core.errors import UsageError
from genjax_cli.ending import ending

ROOT = Path(__file__).parent.parent
FILE, PAGE = ROOT / "results" / "costs.jsonl", ROOT / "docs" / "costs.md"


def main(words: list[str]) -> None:
    from genjax.benchmark import costs

    processes, names = 3, []
    for word in words:
        flag, _, value = word.partition("=")
        if flag == "--processes" and value.isdigit() and int(value) > 1:
            processes = int(value)
        elif word in costs.AXES:
            names.append(word)
        else:
            raise UsageError(
                f"{word}: an axis of {', '.join(costs.AXES)}, or --processes=<2 or more>"
            )
    names = names or [*costs.AXES]
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    rows = [row for row in map(json.loads, lines) if row["axis"] not in names]
    rng = np.random.default_rng(0)
    for name in names:
        for row in costs.measure(name, processes, rng):
            rows.append(row)
            print(json.dumps(row), flush=True)
            FILE.write_text("".join(json.dumps(one) + "\n" for one in rows))
    PAGE.write_text(costs.page(rows))


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        print(__doc__.strip())
    else:
        with ending("costs.py"):
            main(sys.argv[1:])
