"""When is O(n^2) visible, what do sparse, low-rank and linear attention save, what do they lose?

`python experiments/attention.py --help` says more; `genjax attention` is the same.
"""

import missing  # noqa: F401 - First.

from genjax_cli import launch

if __name__ == "__main__":
    launch.script("attention")
