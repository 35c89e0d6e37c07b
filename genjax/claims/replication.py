"""Whether verdicts repeat: one try is a published claim judged anew on fresh replicates."""

from collections.abc import Iterable

DECIDED = ("supported", "refuted", "equivalent")


def outcome(published: str, found: str) -> str:
    """`repeated`, `contradicted`, or `not decided` by the new verdict."""
    if found not in DECIDED:
        return "not decided"
    return "repeated" if found == published else "contradicted"


def rate(tries: Iterable[dict], claim: str, seal: str, flagfile: str) -> str:
    """How often a claim's verdict came again, of the tries of this very wording and flagfile."""
    own = [
        one["outcome"]
        for one in tries
        if (one["claim"], one["seal"], one["flagfile"]) == (claim, seal, flagfile)
    ]
    if not own:
        return "not tried"
    against = own.count("contradicted")
    said = f"{own.count('repeated')} of {len(own)}"
    return f"{said}, {against} against" if against else said
