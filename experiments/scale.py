"""What training needs on described chips: compiles, writes results/scale.jsonl and docs/scale.md.

python experiments/scale.py vae:v5e:64 vae_batch:v5e:8:2   program:chip:chips[:slices], any number
python experiments/scale.py                                the page alone, from the file

Programs and chips are those of genjax/benchmark/chips.py; several that run at once wait for each
other. A TPU's compiler comes with `pip install "libtpu==0.0.42.*"`, CUDA's with jax-cuda12-plugin
and jax-cuda12-pjrt of jax's version and nvidia-cuda-nvcc-cu12; no such device is needed. Both
belong into an environment, or a folder on PYTHONPATH, of their own.
"""

import json
import os
import sys
from pathlib import Path

import missing  # noqa: F401 - First.

from genjax.benchmark import chips
from genjax.core.errors import UsageError
from genjax_cli.ending import ending

ROOT = Path(__file__).parent.parent
FILE, PAGE = ROOT / "results" / "scale.jsonl", ROOT / "docs" / "scale.md"


def main(words: list[str]) -> None:
    wanted = chips.places(words)
    os.environ["JAX_PLATFORMS"] = "cpu"
    from genjax.benchmark import scale, scale_page

    for place in wanted:
        try:
            row = scale.measure(*place)
        except ImportError as error:
            raise UsageError(f"{':'.join(map(str, place))}: {error}; see --help") from error
        print(json.dumps(row), flush=True)
        scale_page.enter([row], FILE, PAGE)
    if not wanted:
        scale_page.enter([], FILE, PAGE)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        print(__doc__.strip())
    else:
        with ending("scale.py"):
            main(sys.argv[1:])
