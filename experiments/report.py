"""Draws the page of finished runs again from their files, without training.

`python experiments/report.py --help` says more; `genjax report` is the same.
"""

import sys

import missing  # noqa: F401 - First.

from genjax_cli import report

if __name__ == "__main__":
    report.main(sys.argv[1:], "python experiments/report.py", called="report.py")
