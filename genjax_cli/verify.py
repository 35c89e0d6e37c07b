"""`genjax verify`, experiments/verify.py: published verdicts repeated on fresh seeds."""

from collections import Counter

from genjax_cli.ending import ending, put, read

ABOUT = """\
Repeats published verdicts on this machine, with seeds that nobody chose.

    {command}                            every decided claim
    {command} --claims=V1,V2b --budget=20m

Says repeated, contradicted or not decided for each, and appends each try to --tries; the rate over
all tries stands beside the verdict in the docs and in `genjax claims`."""


def main(arguments: list[str], command: str, called: str = "") -> None:
    """Repeats what the arguments ask for, a line a claim."""
    with ending(called or command):
        from genjax import verify

        asked = read(verify.Config, arguments, command, ABOUT, full=False)
        counts = Counter()
        for one in verify.run(asked.config):
            counts[one["outcome"]] += 1
            put(
                f"{one['claim']} ({one['flagfile']}): {one['outcome']}, {one['found']} now, "
                f"{one['published']} as published"
            )
        put(", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing tried")
