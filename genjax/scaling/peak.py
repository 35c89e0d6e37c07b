"""The peak memory of one point of a sweep: `python -m genjax.scaling.peak`, a process of its own.

From stdin {"config", "point", "compile_cache"} as JSON; to stdout the bytes.
"""

import json
import sys

from genjax.core import config as configs
from genjax.core import environment
from genjax.scaling import microbenchmark, sweep
from genjax.scaling.config import Config
from genjax.scaling.timings import Point


def growth(asked: dict) -> int:
    """By how many bytes a call of the point that is asked for raises this process's peak."""
    config = configs.from_json(Config, asked["config"])
    sweep.settle(config)
    with environment.compile_cache(asked["compile_cache"]):
        return microbenchmark.peak_growth(sweep.program(config, Point(*asked["point"])))


if __name__ == "__main__":
    sys.stdout.write(f"{growth(json.load(sys.stdin))}\n")
