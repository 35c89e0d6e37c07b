"""Speed as ratios measured in one run: against this machine's own products, and against peers.

`python experiments/benchmark.py --help` says more; `genjax benchmark` is the same.
"""

import missing  # noqa: F401 - First.

from genjax_cli import launch

if __name__ == "__main__":
    launch.script("benchmark")
