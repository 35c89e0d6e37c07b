"""A claim as data, fixed before the run that judges it, and the ledger that holds it to that.

    CLAIM = Claim(id="V1", statement="...", ...)
    verdict = judge(CLAIM, values, controls=(Control("untrained", untrained),))

A changed claim is a new version: its SHA-256 no longer is the ledger's, and a test says so.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from genjax.claims import finite, holm, intervals


@dataclass(frozen=True)
class Claim:
    """One sentence that a run can show to be wrong.

    id: what it is called; a version keeps it. statement: the sentence, in words that need no other
    page. estimand: what is compared, one value a replicate; the claim is about its median. unit: of
    that value. direction: `greater` or `less`, the side of `threshold` that the statement claims.
    margin: the smallest distance from the threshold that matters, and why: the line that argues for
    it. replicate: what is independent of the others: seed, process, task. family: claims whose p
    values are adjusted together. negative: what must not pass; positive: what must. version, date:
    of the wording.
    """

    id: str
    statement: str
    estimand: str
    unit: str
    direction: str
    threshold: float
    margin: float
    why: str
    replicate: str
    family: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]
    version: int
    date: str

    def __post_init__(self):
        if self.direction not in ("less", "greater"):
            raise ValueError(f"{self.id}: direction {self.direction!r}; 'less' or 'greater'")
        if not (self.margin >= 0 and math.isfinite(self.threshold)):
            raise ValueError(f"{self.id}: a finite threshold and a margin of 0 or more")

    @property
    def seal(self) -> str:
        """SHA-256 of all that the claim says, in hexadecimal digits."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Control(NamedTuple):
    """What must fail (`negative`) or pass a claim, measured beside it: one value a replicate.

    name: as the claim's `negative` or `positive` lists it.
    """

    name: str
    values: Sequence[float] | np.ndarray


def controls(names: Sequence[str], values: Sequence) -> list[Control]:
    """Controls in the order in which a claim names them."""
    return [Control(*one) for one in zip(names, values, strict=True)]


def again(values: np.ndarray) -> np.ndarray:
    """What a replicate differs by from the next one: a control in which nothing else differs."""
    return values - np.roll(values, -1)


class Looks(NamedTuple):
    """How values came about. sequential: replicates were added until a verdict fell."""

    alpha: float = intervals.ALPHA
    sequential: bool = False


ONCE = Looks()


def judge(
    claim: Claim,
    values: Sequence[float] | np.ndarray,
    *,
    negative: Sequence[Control] = (),
    positive: Sequence[Control] = (),
    grounds: Sequence[str] = (),
    looks: Looks = ONCE,
    names: Mapping[str, str] = MappingProxyType({}),
) -> dict:
    """What a run's values say of a claim, as summary.json holds it.

    grounds: positive controls without which the measure means nothing, either way: they take a
    refutation, too. names: what the statement's and the estimand's `{...}` stand for in this run.
    Raises ValueError where a control that the claim names was not measured.
    """
    for kind, given in (("negative", negative), ("positive", positive)):
        if {control.name for control in given} != {*getattr(claim, kind)}:
            raise ValueError(
                f"{claim.id}: {kind} controls {getattr(claim, kind)} were not measured"
            )
    plain, p = _decide(claim, values, looks)
    found = intervals.of_median(values, **looks._asdict())
    made = {
        "id": claim.id,
        "version": claim.version,
        "seal": claim.seal,
        "statement": claim.statement.format(**names),
        "estimand": claim.estimand.format(**names),
        "unit": claim.unit,
        "direction": claim.direction,
        "threshold": claim.threshold,
        "margin": claim.margin,
        "replicate": claim.replicate,
        "family": claim.family,
        "replicates": len(values),
        "on_side": int(_on_side(claim, values).sum()),
        "estimate": finite(found.median),
        "low": finite(found.low),
        "high": finite(found.high),
        "interval": "95%, of the median" + (", at every look" if looks.sequential else ""),
        "p": p,
        "verdict": plain,
        "controls": [
            _control(claim, control, kind, looks)
            for kind, given in (("negative", negative), ("positive", positive))
            for control in given
        ],
    }
    failed = [
        control
        for control in made["controls"]
        if not control["as_it_must"] and plain in _taken(control, grounds)
    ]
    if failed:
        made["verdict"] = "undetermined"
        made["because"] = "; ".join(
            f"the {control['kind']} control {control['name']} "
            + ("passes too" if control["kind"] == "negative" else "does not pass")
            for control in failed
        )
    return made | _power(claim, values, made, looks)


def family(made: Sequence[dict], *, alpha: float = intervals.ALPHA) -> list[dict]:
    """Verdicts with p adjusted over each family (Holm 1979); above alpha they are undetermined."""
    adjusted = {}
    for name in {one["family"] for one in made}:
        adjusted |= holm({one["id"]: one["p"] for one in made if one["family"] == name})
    result = []
    for one in made:
        one = one | {"p_holm": adjusted[one["id"]]}
        if one["p_holm"] > alpha and one["verdict"] != "undetermined":
            because = f"p {one['p']:.2g}, adjusted over the family {one['p_holm']:.2g}"
            one |= {"verdict": "undetermined", "because": because}
        result.append(one)
    return result


def _decide(claim: Claim, values, looks: Looks) -> tuple[str, float]:
    """(verdict without controls, the least alpha at which the interval gives one)."""
    sequential = looks.sequential
    _, low, high = intervals.of_median(values, **looks._asdict())
    if (
        claim.margin
        and -claim.margin < low - claim.threshold <= high - claim.threshold < claim.margin
    ):
        p = intervals.p_equivalent(values, claim.threshold, claim.margin, sequential=sequential)
        return "equivalent", p
    p = intervals.p_value(values, claim.threshold, sequential=sequential)
    if low > claim.threshold or high < claim.threshold:
        greater = low > claim.threshold
        return "supported" if greater == (claim.direction == "greater") else "refuted", p
    return "undetermined", p


def _on_side(claim: Claim, values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values > claim.threshold if claim.direction == "greater" else values < claim.threshold


def _control(claim: Claim, control: Control, kind: str, looks: Looks) -> dict:
    """A control, judged as the claim is: a negative one must not be supported, a positive must."""
    verdict, _ = _decide(claim, control.values, looks)
    found = intervals.of_median(control.values, **looks._asdict())
    return {
        "name": control.name,
        "kind": kind,
        "estimate": finite(found.median),
        "low": finite(found.low),
        "high": finite(found.high),
        "verdict": verdict,
        "as_it_must": (verdict == "supported") == (kind == "positive"),
    }


def _taken(control: dict, grounds: Sequence[str]) -> set[str]:
    """The verdicts that a control takes away, where it is not as it must be.

    What a negative control passes no number of replicates will support. Where a positive one does
    not pass, the measure shows no difference that is there, so that being alike is no finding
    either; a refutation stays, being a difference the other way, unless the measure itself is gone.
    """
    if control["kind"] == "negative":
        return {"supported", "undetermined"}
    return {"supported", "equivalent"} | ({"refuted"} if control["name"] in grounds else set())


def _power(claim: Claim, values, made: dict, looks: Looks) -> dict:
    """Of a claim that the interval leaves open: the smallest visible effect, and what would settle
    it; no number of replicates settles what a control takes away."""
    if made["verdict"] != "undetermined" or "because" in made:
        return {}
    effect = intervals.visible(values, **looks._asdict())
    return {
        "visible": finite(effect),
        "would_settle": intervals.would_settle(
            values, claim.threshold, claim.margin, **looks._asdict()
        ),
    }


# --- The ledger ----------------------------------------------------------------------------------


def ledger(path: str | Path) -> dict[str, list[dict]]:
    """{claim: its versions, oldest first}, each {"version", "seal", "date", "statement", ...}."""
    return json.loads(Path(path).read_text())


def unsealed(claims: Sequence[Claim], path: str | Path) -> list[str]:
    """What keeps the claims from being those of the ledger, a line each; [] where nothing does."""
    known, said = ledger(path), []
    for claim in claims:
        versions = known.get(claim.id, [])
        if not versions or versions[-1]["version"] < claim.version:
            said.append(f"{claim.id}, version {claim.version}: not in the ledger")
        elif versions[-1]["version"] > claim.version:
            said.append(f"{claim.id}: version {claim.version} is older than the ledger's")
        elif versions[-1]["seal"] != claim.seal:
            said.append(f"{claim.id}: changed without a new version")
    return said
