"""Published figures: a small JSON a flagfile under results/, and the pages that quote it.

A page quotes between two comments, which Markdown does not show:

    <!-- results vae_digits claims -->  ...  <!-- end -->
    <!-- results attention_mqar claims A8 -->  ...  <!-- end -->
    <!-- results vae_digits table ae,vae,pca mse,normal/kkid -->  ...  <!-- end -->
    <!-- results vae_digits value vae/mse -->  ...  <!-- end -->
    <!-- results vae_digits verdicts -->  ...
    <!-- results vae_digits made -->  ...  <!-- end -->
    <!-- results replications all -->  ...  <!-- end -->

`fill` writes what lies between; a test finds the pages as it writes them.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from genjax.claims.replication import DECIDED, overall, rate
from genjax.core.errors import UsageError
from genjax.report.results import read, replications
from genjax.report.tables import figure, heading, plural

QUOTE = re.compile(r"(<!-- results (\S+) (\w+)([^>]*?) -->)(.*?)(<!-- end -->)", re.S)
KEPT = ("experiment", "title", "data", "seeds", "arms", "device", "versions", "commit", "flags")
# What a published verdict holds of a claim.
CLAIM = (
    "id", "version", "seal", "statement", "estimand", "unit", "direction", "threshold", "margin",
    "replicate", "replicates", "on_side", "estimate", "low", "high", "p", "p_holm", "verdict",
    "because", "visible", "would_settle", "controls",
)  # fmt: skip


METRIC = ("mean", "low", "high", "per_seed", "unit", "better")


def publish(summary: dict, flagfile: str, room: str, date: str) -> dict:
    """What results/<flagfile>.json holds of a finished run."""
    return {"flagfile": flagfile, "room": room, "date": date} | {
        "minutes": round(summary["timing"]["total_s"] / 60, 1),
        **{key: summary[key] for key in KEPT},
        "claims": [
            {key: claim[key] for key in CLAIM if key in claim} for claim in summary["claims"]
        ],
        "metrics": {
            path: {key: _short(value.get(key)) for key in METRIC}
            for path, value in summary["metrics"].items()
        },
    }


def _short(value):
    """Six digits are more than any figure here knows."""
    if isinstance(value, list):
        return [_short(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def text(result: dict) -> str:
    """JSON of what was published, a list of numbers or names on one line."""
    lines = json.dumps(result, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), lines) + "\n"


def fill(text: str, folder: str | Path) -> str:
    """A page with all its quotations of `folder` anew. Raises UsageError for what is not there."""
    results, tried = read(folder), replications(folder)

    def one(match: re.Match) -> str:
        opening, name, kind, rest, _, end = match.groups()
        if (name, kind) == ("replications", "all"):
            return f"{opening}{overall(tried)}{end}"
        if name not in results:
            raise UsageError(f"{opening}: no {name}.json in {folder}")
        if kind not in KINDS:
            raise UsageError(f"{opening}: {kind} is none of {', '.join(KINDS)}")
        try:
            made = KINDS[kind](results[name], rest.split(), tried)
        except KeyError as error:
            raise UsageError(f"{opening}: no {error} in {name}.json") from error
        around = "" if kind in WITHIN_A_LINE else "\n"
        return f"{opening}{around}{made}{around}{end}"

    return QUOTE.sub(one, text)


def _rows(rows: Sequence[Sequence[str]]) -> str:
    first, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (first, ["---"] * len(first), *others))


def _claims(result: dict, rest: list[str], tries: list[dict]) -> str:
    rows = [
        [
            "claim",
            "verdict",
            "median (95% interval)",
            "threshold",
            "agree",
            "p, adjusted",
            "repeats",
        ]
    ]
    for claim in result["claims"]:
        if rest and claim["id"].partition(" ")[0] not in rest:
            continue
        sign = "<" if claim["direction"] == "less" else ">"
        verdict, estimate, agree, p, repeats = verdict_cells(result, claim, tries)
        threshold = f"{sign} {claim['threshold']:.3g} ± {claim['margin']:.3g}"
        sentence = f"{claim['id']}. {claim['statement']}"
        rows.append([sentence, verdict, estimate, threshold, agree, p, repeats])
    return _rows(rows)


def verdict_cells(result: dict, claim: dict, tries: list[dict]) -> tuple[str, ...]:
    """What a published run says of a claim: verdict, median with interval, agreement, p, repeats.

    p: as it is, and adjusted over the claim's family (Holm).
    """
    low, high = (
        "beyond all" if end is None else f"{end:.3g}" for end in (claim["low"], claim["high"])
    )
    estimate = "not finite" if claim["estimate"] is None else f"{claim['estimate']:.3g}"
    verdict = f"**{claim['verdict']}**"
    if "because" in claim:
        verdict += f": {claim['because']}"
    elif claim.get("would_settle"):
        verdict += f": {claim['would_settle']} {plural(claim['replicate'])} would settle it"
        if claim.get("visible"):
            verdict += f", of effects these show {claim['visible']:.2g} four times in five"
    return (
        verdict,
        f"{estimate} ({low} to {high}) {claim['unit']}",
        f"{claim['on_side']} of {claim['replicates']}",
        f"{claim['p']:.2g}, {claim['p_holm']:.2g}",
        rate(tries, result["flagfile"], claim),
    )


def _table(result: dict, rest: list[str], tries: list[dict]) -> str:
    arms, measures = (part.split(",") for part in rest)
    metrics = result["metrics"]
    known = {
        name: next(metrics[f"{arm}/{name}"] for arm in arms if f"{arm}/{name}" in metrics)
        for name in measures
    }
    head = [heading(name, found["unit"], found.get("better")) for name, found in known.items()]
    rows = [["", *head]]
    for arm in arms:
        cells = (metrics.get(f"{arm}/{name}") for name in measures)
        rows.append([arm, *(figure(cell) if cell else "" for cell in cells)])
    return _rows(rows)


def _value(result: dict, rest: list[str], tries: list[dict]) -> str:
    return figure(result["metrics"][rest[0]])


def _made(result: dict, rest: list[str], tries: list[dict]) -> str:
    device = result["device"]
    return (
        f"{len(result['seeds'])} seeds, {result['minutes']} minutes on {device['cores']} cores of "
        f"{device['kind']}, {result['date']}, commit {result['commit']}, jax "
        f"{result['versions']['jax']}: `python experiments/{result['experiment']}.py "
        f"--flagfile=experiments/flags/{result['flagfile']}.flags`"
    )


def _verdicts(result: dict, rest: list[str], tries: list[dict]) -> str:
    """Cells of a row: the claims of each verdict, and how many tries on fresh seeds repeat one."""
    cells = [
        ", ".join(claim["id"] for claim in result["claims"] if claim["verdict"] == verdict)
        for verdict in (*DECIDED, "undetermined")
    ]
    return " | ".join([*cells, rate(tries, result["flagfile"], *result["claims"])])


KINDS = {"verdicts": _verdicts, "claims": _claims, "table": _table, "value": _value, "made": _made}
WITHIN_A_LINE = ("value", "verdicts")
