"""Repeats published verdicts on this machine, with seeds that nobody chose.

`python experiments/verify.py --help` says more; `genjax verify` is the same.
"""

import sys

import missing  # noqa: F401 - First.

from genjax_cli import verify

if __name__ == "__main__":
    verify.main(sys.argv[1:], "python experiments/verify.py", called="verify.py")
