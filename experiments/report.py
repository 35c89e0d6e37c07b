"""Draws the figures and the page of finished runs again, from their files, without training.

python experiments/report.py runs/vae/vae_digits
python experiments/report.py --table runs/vae/vae_digits     the tables in Markdown
"""

import argparse
import sys

from genjax.core.errors import UsageError
from genjax.report import page


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", help="run folders that hold a summary.json")
    parser.add_argument("--table", action="store_true", help="print the tables in Markdown")
    options = parser.parse_args()
    try:
        for folder in options.folders:
            with page.of_this_version(folder):
                if options.table:
                    print(page.markdown_table(page.read(folder)["summary"]))
                else:
                    print(page.write(folder))
    except UsageError as error:
        print(f"report.py: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
