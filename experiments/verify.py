"""Repeats published verdicts on this machine, with seeds that nobody chose.

    python experiments/verify.py                            every decided claim
    python experiments/verify.py --claims=V1,V2b --budget=20m

Says repeated, contradicted or not decided for each, and appends each try to
results/replications.jsonl; the rate over all tries stands beside the verdict in the docs.
"""

import sys
from collections import Counter

import missing  # noqa: F401 - First.
import signals

from genjax import verify
from genjax.core import flags, interrupt
from genjax.core.errors import RunError, UsageError


def main():
    signals.install("verify.py")
    try:
        asked = flags.read(verify.Config, sys.argv[1:])
        if asked.help:
            script, full = "experiments/verify.py", asked.help == "helpfull"
            text = flags.help_text(verify.Config, script, __doc__, full=full, place=False)
            print(text, end="")
            return
        counts = Counter()
        for one in verify.run(asked.config):
            counts[one["outcome"]] += 1
            print(
                f"{one['claim']} ({one['flagfile']}): {one['outcome']}, {one['found']} now, "
                f"{one['published']} as published",
                flush=True,
            )
        print(", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing tried")
    except (UsageError, RunError) as error:
        print(f"verify.py: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from None
    except interrupt.Interrupted as stopped:
        print(f"verify.py: {stopped}", file=sys.stderr)
        raise SystemExit(128 + stopped.number) from None


if __name__ == "__main__":
    main()
