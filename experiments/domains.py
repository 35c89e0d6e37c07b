"""How far does a language model carry to a domain it never saw, and what moves the gap?

`python experiments/domains.py --help` says more; `genjax domains` is the same.
"""

import missing  # noqa: F401 - First.

from genjax_cli import launch

if __name__ == "__main__":
    launch.script("domains")
