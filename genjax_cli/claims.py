"""`genjax claims`: every published verdict, and how often it came again on fresh seeds."""

from dataclasses import dataclass

from genjax import verify
from genjax.claims.replication import rate
from genjax.core import shipped
from genjax.core.config import Options, option
from genjax.core.errors import UsageError
from genjax.report import results
from genjax_cli.ending import ending, put, read
from genjax_cli.tables import table

VERDICTS = ("supported", "refuted", "equivalent", "undetermined")
ABOUT = """\
All published verdicts, and how often each came again where it was tried on fresh seeds.

    {command}
    {command} --flagfiles=vae_digits --verdicts=refuted
    {command} --claims=V1,G1

A verdict is of the run beside which it stands, and repeats as `genjax verify` found it: with the
tries that came with genjax, and those in runs/ here."""


@dataclass(frozen=True)
class Config(Options):
    """Which of them."""

    claims: tuple[str, ...] = option((), "Such as V1,G4. Empty: all.", distinct=True)
    flagfiles: tuple[str, ...] = option(
        (), "Published runs, such as vae_digits. Empty: all.", distinct=True
    )
    verdicts: tuple[str, ...] = option((), "Empty: all.", choices=VERDICTS, distinct=True)


def main(arguments: list[str], command: str) -> None:
    """Prints the claims, by run."""
    with ending(command):
        asked = read(Config, arguments, command, ABOUT)
        put(listing(asked.config))


def listing(config: Config) -> str:
    """A table a published run of its claims. Raises UsageError for names that there are not."""
    named = verify.Config(claims=config.claims, flagfiles=config.flagfiles)
    tried = results.replications(shipped.RESULTS, shipped.TRIES)
    blocks, count = [], dict.fromkeys(VERDICTS, 0)
    for name, result in verify.published(named).items():
        rows = []
        for claim in result["claims"]:
            if config.claims and claim["id"] not in config.claims:
                continue
            if config.verdicts and claim["verdict"] not in config.verdicts:
                continue
            count[claim["verdict"]] += 1
            repeats = rate(tried, name, claim)
            rows.append([claim["id"], claim["statement"], claim["verdict"], repeats])
        if rows:
            head = ["", "claim", "verdict", "repeats"]
            about = f"{name}: {result['title']}, {len(result['seeds'])} seeds"
            blocks.append(f"{about}\n{table(head, rows)}")
    if not blocks:
        raise UsageError("no published claim is of that verdict")
    total = ", ".join(f"{number} {verdict}" for verdict, number in count.items() if number)
    return "\n\n".join([*blocks, total])
