"""Whether verdicts repeat: one try is a published claim judged anew on fresh replicates."""

from collections.abc import Iterable

DECIDED = ("supported", "refuted", "equivalent")


def outcome(published: str, found: str) -> str:
    """`repeated`, `contradicted`, or `not decided` by the new verdict."""
    if found not in DECIDED:
        return "not decided"
    return "repeated" if found == published else "contradicted"


def rate(tries: Iterable[dict], flagfile: str, *claims: dict) -> str:
    """How often the verdicts of a flagfile's claims came again.

    Of the tries of their wording with as many replicates: fewer leave more undecided, and say
    nothing of what was published.
    """
    asked = {(claim["id"], claim.get("seal"), claim.get("replicates")) for claim in claims}
    own = [
        one["outcome"]
        for one in tries
        if one["flagfile"] == flagfile
        and (one["claim"], one["seal"], one.get("replicates")) in asked
    ]
    if not own:
        return "not tried"
    against = own.count("contradicted")
    said = f"{own.count('repeated')} of {len(own)}"
    return f"{said}, {against} against" if against else said
