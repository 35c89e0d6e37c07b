"""Whether verdicts repeat: one try is a published claim judged anew on fresh replicates."""

from collections import Counter
from collections.abc import Iterable

DECIDED = ("supported", "refuted", "equivalent")


def outcome(published: str, found: str) -> str:
    """`repeated`, `contradicted`, or `not decided` by the new verdict."""
    if found not in DECIDED:
        return "not decided"
    return "repeated" if found == published else "contradicted"


def overall(tries: list[dict]) -> str:
    """All tries of whatever wording and number of replicates, given up or not."""
    outcomes = Counter(one["outcome"] for one in tries)
    return (
        f"{outcomes['repeated']} of {len(tries)} repeated, {outcomes['contradicted']} were "
        f"contradicted, {outcomes['not decided']} not decided"
    )


def rate(tries: Iterable[dict], flagfile: str, *claims: dict) -> str:
    """How often the verdicts of a flagfile's claims came again.

    Of the tries of their wording with as many replicates: fewer leave more undecided, and say
    nothing of what was published. Processors of two kinds are two machines, and of one kind those
    whose families or models differ, as far as tries name them.
    """
    asked = {(claim["id"], claim.get("seal"), claim.get("replicates")) for claim in claims}
    own = [
        one
        for one in tries
        if one["flagfile"] == flagfile
        and (one["claim"], one["seal"], one.get("replicates")) in asked
    ]
    if not own:
        return "not tried"
    outcomes = Counter(one["outcome"] for one in own)
    kinds: dict[str | None, set] = {}
    for device in (one.get("device", {}) for one in own):
        kinds.setdefault(device.get("kind"), set()).update({device.get("processor")} - {None})
    machines = sum(max(1, len(processors)) for processors in kinds.values())
    said = f"{outcomes['repeated']} of {len(own)}"
    said += f" on {machines} machines" if machines > 1 else ""
    against = outcomes["contradicted"]
    return f"{said}, {against} against" if against else said
