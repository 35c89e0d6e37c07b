"""Which modes does a GAN lose, and which remedy keeps them?

`python experiments/gan.py --help` says more; `genjax gan` is the same.
"""

import missing  # noqa: F401 - First.

from genjax_cli import launch

if __name__ == "__main__":
    launch.script("gan")
