"""What training needs on described chips: compiles, writes results/scale.jsonl and docs/scale.md.

python experiments/scale.py vae:v5e:64 vae_batch:v5e:8:2   program:chip:chips[:slices], any number
python experiments/scale.py                                the page alone, from the file

Programs and chips are those of genjax/benchmark/scale.py. A TPU's compiler comes with
`pip install "libtpu==0.0.42.*"`, CUDA's with jax-cuda12-plugin and jax-cuda12-pjrt of jax's version
and nvidia-cuda-nvcc-cu12; no such device is needed. Both belong into an environment, or a folder on
PYTHONPATH, of their own.
"""

import json
import os
import sys
from pathlib import Path

import missing  # noqa: F401 - First.

from genjax.core.errors import UsageError
from genjax_cli.ending import ending

ROOT = Path(__file__).parent.parent
FILE, PAGE = ROOT / "results" / "scale.jsonl", ROOT / "docs" / "scale.md"


def main(words: list[str]) -> None:
    os.environ["JAX_PLATFORMS"] = "cpu"
    from genjax.benchmark import scale, scale_page

    rows = {scale_page.place(row): row for row in map(json.loads, FILE.read_text().splitlines())}
    chips = {
        f"{chip}:{count}:{slices}": (chip, count, slices)
        for chip, count, slices in scale.TOPOLOGIES
    }
    for word in words:
        name, _, where = word.partition(":")
        place = chips.get(where) or chips.get(f"{where}:1")
        if name not in scale.CASES or place is None:
            raise UsageError(
                f"{word}: <program>:<chip>:<chips>[:<slices>]; programs are "
                f"{', '.join(scale.CASES)}; chips are "
                f"{', '.join(name.removesuffix(':1') for name in chips)}"
            )
        row = scale.measure(name, *place)
        rows[scale_page.place(row)] = row
        print(json.dumps(row), flush=True)
        lines = [json.dumps(rows[key]) for key in sorted(rows)]
        FILE.write_text("\n".join(lines) + "\n")
    PAGE.write_text(scale_page.text(list(rows.values())))


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        print(__doc__.strip())
    else:
        with ending("scale.py"):
            main(sys.argv[1:])
