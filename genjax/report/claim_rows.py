"""Claims as the page shows them: in words, and as intervals on a scale. No HTML."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.ticker import MaxNLocator

from genjax.claims import intervals
from genjax.claims.replication import rate
from genjax.report.about import base
from genjax.report.tables import plural

# Answers to a question, in the order in which the page gives them.
VERDICTS = {
    "supported": ("✓", "The data show what the sentence says."),
    "refuted": ("✗", "The data show the opposite of what the sentence says."),
    "equivalent": ("≈", "The data show that any difference is smaller than the margin."),
    "undetermined": ("?", "The data do not decide, or a control does not do as it must."),
}
# The scale has room for the claim and, if they are not further off than this many times its width,
# for its controls.
FAR = 2.0
EDGE = 4.0  # Percent of the width that stay free at each end.


class Strip(NamedTuple):
    """One line of a claim's picture: a median and its interval, in percent of the width.

    off: "left" or "right" where the median lies beyond the scale. open: ends without a bound.
    """

    kind: str
    name: str
    text: str
    said: str
    at: float | None
    low: float
    high: float
    off: str
    open: tuple[bool, bool]


class Picture(NamedTuple):
    """Strips on one scale, in percent. claimed: the side that the sentence names, (from, to)."""

    strips: list[Strip]
    ticks: list[tuple[float, str]]
    threshold: float
    margin: tuple[float, float] | None
    claimed: tuple[float, float]


class Scale:
    """A linear scale: `at(value)` in percent of the width."""

    def __init__(self, values: Sequence[float]):
        low, high = min(values), max(values)
        if low == high:
            low, high = low - (abs(low) or 1.0), high + (abs(high) or 1.0)
        self.low, self.high = low, high

    def at(self, value: float) -> float:
        """Percent, cut to the edges."""
        share = (value - self.low) / (self.high - self.low)
        return round(min(100.0, max(0.0, EDGE + (100 - 2 * EDGE) * share)), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """(percent, number) of up to five round numbers."""
        found = MaxNLocator(4).tick_values(self.low, self.high)
        return [(self.at(v), f"{v:.4g}") for v in found if self.low <= v <= self.high]


def number(value: float | None) -> str:
    """Three digits, as many as an interval bears; what is not finite says so."""
    return "not finite" if value is None else f"{value:.3g}"


def ends(one: dict) -> str:
    """The interval in words."""
    if one["low"] is None and one["high"] is None:
        return "no interval"  # Too few replicates, or lengths.
    low, high = ("unbounded" if one[end] is None else number(one[end]) for end in ("low", "high"))
    return f"{low} to {high}"


def picture(claim: dict) -> Picture:
    """A claim's interval and those of its controls, on one scale with threshold and margin."""
    threshold, margin = claim["threshold"], claim.get("margin") or 0.0
    own = [claim[key] for key in ("estimate", "low", "high") if claim[key] is not None]
    own += [threshold - margin, threshold + margin]
    width = max(own) - min(own) or abs(threshold) or 1.0
    controls = claim.get("controls", [])
    near = [
        control["estimate"]
        for control in controls
        if control["estimate"] is not None
        and min(own) - FAR * width <= control["estimate"] <= max(own) + FAR * width
    ]
    scale = Scale(own + near)
    here = claim | {"kind": "run", "name": "this run, median"}
    at = scale.at(threshold)
    band = (scale.at(threshold - margin), scale.at(threshold + margin)) if margin else None
    claimed = (0.0, at) if claim["direction"] == "less" else (at, 100.0)
    few = bool(too_few(claim))
    strips = [_strip(one, scale, few) for one in [here, *controls]]
    return Picture(strips, scale.ticks(), at, band, claimed)


def _strip(one: dict, scale: Scale, few: bool) -> Strip:
    """few: replicates are too few for an interval, so that no control could pass."""
    value = one["estimate"]
    off = ""
    if value is not None and not scale.low <= value <= scale.high:
        off = "left" if value < scale.low else "right"
    low, high = (0.0 if one["low"] is None else scale.at(one["low"])), 100.0
    if one["high"] is not None:
        high = scale.at(one["high"])
    said = ""
    if "as_it_must" in one and not few:
        passes = "passes" if one["verdict"] == "supported" else "does not pass"
        said = f"{passes}, {'as it must' if one['as_it_must'] else 'and should not be so'}"
    if value is None:
        low = high = 0.0
    return Strip(
        one["kind"],
        one["name"],
        f"{number(value)} ({ends(one)})",
        said,
        None if value is None else scale.at(value),
        low,
        high,
        off,
        (one["low"] is None, one["high"] is None),
    )


def sentence(claim: dict) -> str:
    """What the sentence claims of the number."""
    side = "less" if claim["direction"] == "less" else "more"
    return f"{side} than {claim['threshold']:.4g}"


def agree(claim: dict) -> str:
    """How many replicates lie on the claimed side."""
    if "on_side" not in claim:
        return ""
    return f"{claim['on_side']} of {claim['replicates']} {plural(claim['replicate'])}"


def why(claim: dict) -> list[str]:
    """Why a claim is open, and what would settle it."""
    said = [claim["because"]] if "because" in claim else []
    unit = f" {claim['unit']}" if claim.get("unit") else ""
    said += filter(None, [too_few(claim)])
    if claim.get("visible") is not None:
        said.append(
            f"so many {plural(claim['replicate'])} show a difference of "
            f"{claim['visible']:.2g}{unit} four times in five, smaller ones less often"
        )
    if claim.get("would_settle"):
        said.append(f"{claim['would_settle']} {plural(claim['replicate'])} would settle it")
    return said


def too_few(claim: dict) -> str:
    """That a claim has too few replicates, and how many it takes; '' where it has enough."""
    if claim["estimate"] is None or ends(claim) != "no interval" or "replicates" not in claim:
        return ""
    count, each = claim["replicates"], claim["replicate"]
    have = f"1 {each} is" if count == 1 else f"{count} {plural(each)} are"
    needed = intervals.fewest(sequential="every look" in claim.get("interval", ""))
    return f"{have} too few for an interval, which takes {needed}"


def details(claim: dict) -> list[tuple[str, str]]:
    """(name, text) of what folds out."""
    found = [
        ("interval", claim.get("interval")),
        ("p", claim.get("p") is not None and f"{claim['p']:.2g}"),
        (
            "p, adjusted over its family (Holm)",
            claim.get("p_holm") is not None
            and f"{claim['p_holm']:.2g}, family {claim.get('family', '')}",
        ),
        ("wording", "version" in claim and f"version {claim['version']}, fixed before the run"),
        ("seal (SHA-256)", claim.get("seal")),
    ]
    return [(name, text) for name, text in found if text]


def answer(claims: Sequence[dict], asserts: Mapping[str, str]) -> list[tuple[str, str]]:
    """[(verdict, what the claims of that verdict assert)], from the verdicts alone."""
    groups: dict[tuple[str, str], list[str]] = {}
    for claim in claims:
        id_, rest = base(claim["id"])
        key = claim["id"] if claim["id"] in asserts else id_
        if key in asserts:
            groups.setdefault((claim["verdict"], key), []).append(rest)
    said: dict[str, list[str]] = {}
    for (verdict, key), names in groups.items():
        said.setdefault(verdict, []).append(asserts[key].format(listed(names)))
    return [(verdict, "; ".join(said[verdict])) for verdict in VERDICTS if verdict in said]


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def counts(claims: Sequence[dict]) -> str:
    """ "Of 6 claims 4 are supported, 1 is refuted, ..." """
    found = [claim["verdict"] for claim in claims]
    said = [
        f"{n} {'is' if n == 1 else 'are'} {verdict}"
        for verdict in VERDICTS
        if (n := found.count(verdict))
    ]
    return f"Of {len(found)} claims {listed(said)}."


def placed(beside: Mapping[str, Sequence[str]], claims: Sequence[dict]) -> dict[str, str]:
    """{figure: claim beside which it stands}: the first of those that it pictures."""
    ids = [claim["id"] for claim in claims]
    found = {}
    for name, wanted in beside.items():
        of = (id_ for id_, one in itertools.product(ids, wanted) if one in (id_, base(id_)[0]))
        first = next(of, None)
        if first:
            found[name] = first
    return found


def rows(
    claims: Sequence[dict], wordings: Mapping[str, list], tries: tuple[list, str]
) -> list[dict]:
    """A dict a claim, as the template takes it.

    wordings: the ledger, {claim: its versions}. tries: what verify.py found, and the flagfile that
    published this configuration; '' where none did.
    """
    made = []
    for claim in claims:
        old = wordings.get(claim["id"], wordings.get(base(claim["id"])[0], []))
        made.append({
            "id": claim["id"],
            "anchor": "claim-" + claim["id"].replace(" ", "-"),
            "statement": claim["statement"],
            "verdict": claim["verdict"],
            "unit": claim.get("unit", ""),
            "estimand": claim.get("estimand", ""),
            "claimed": sentence(claim),
            "margin": number(claim["margin"]) if claim.get("margin") else "",
            "agree": agree(claim),
            "rate": rate(*tries, claim),
            "why": why(claim),
            "details": details(claim),
            "old": [one for one in old if one["version"] < claim.get("version", 0)],
            "picture": picture(claim),
        })  # fmt: skip
    return made
