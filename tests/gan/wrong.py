"""A finished run's figures made wrong on purpose, and which of the GAN's claims they still support.

    python tests/gan/wrong.py runs/gan/gan_ring

Nothing is trained: rows of the run are put under other names. Prints a table in Markdown; exits
with 1 where a claim that a case takes the ground from comes out supported.
"""

import sys

import numpy as np

import genjax
from genjax.gan.claims import judge, roles
from genjax.report import page

SUFFIXES = ("", "@early", "@last", "@noised")


def rows_of(run) -> dict[str, dict[str, np.ndarray]]:
    """{row: {measure: [seeds] or [draws]}} of a run's files."""
    evaluation = page.read_files(run.folder)["evaluation"]
    parts = {f"{arm}{at}": row for arm in run.config.arms() for at, row in evaluation[arm].items()}
    return {
        name: {measure: np.asarray(values, float) for measure, values in row.items()}
        for name, row in (parts | evaluation["truth"]).items()
    }


def exchanged(rows, v: str, p: str, turn) -> dict:
    """Both arms' rows exchanged where `turn` [seeds] says so."""
    changed = dict(rows)
    for at in SUFFIXES:
        one, other = rows[v + at], rows[p + at]
        both = one.keys() & other.keys()
        changed[v + at] = {m: np.where(turn, other[m], one[m]) for m in both}
        changed[p + at] = {m: np.where(turn, one[m], other[m]) for m in both}
    return changed


def cases(rows, v: str, p: str) -> dict[str, tuple[dict, tuple[str, ...]]]:
    """{case: (rows, claims that are false with them)}."""
    seeds = np.arange(len(rows[v]["modes"]))
    next_seed = {p + at: {m: np.roll(x, -1) for m, x in rows[v + at].items()} for at in SUFFIXES}
    frozen = {arm: rows[f"{arm}@untrained"] for arm in (v, p)}
    packing = ("G4a", "G4b", "G5")
    return {
        "nothing": (rows, ()),
        "the two arms swapped": (
            exchanged(rows, v, p, seeds >= 0), ("G1", "G2b", *packing),
        ),
        "the two arms swapped in every other seed": (exchanged(rows, v, p, seeds % 2), packing),
        "the same GAN of the next seed in the place of packing": (rows | next_seed, packing),
        "packing not trained": (rows | {p: frozen[p]}, ("G3", *packing)),
        "nothing trained": (rows | frozen, ("G1", "G2a", "G2b", "G3", *packing)),
        "perfect samples in the place of the GAN": (
            rows | {v: rows[v] | {m: np.resize(x, len(seeds)) for m, x in rows["truth"].items()}},
            ("G1", "G2b", *packing),
        ),
    }  # fmt: skip


def main(folder: str) -> int:
    run = genjax.open(folder)
    played = roles(run.config)
    failed = 0
    for name, (rows, false) in cases(rows_of(run), played["v"], played["p"]).items():
        found = {f"{row}/{m}": list(x) for row, part in rows.items() for m, x in part.items()}
        claims = judge(found, run.config)
        supported = [claim["id"] for claim in claims if claim["verdict"] == "supported"]
        wrongly = [id for id in supported if id in false]
        failed += len(wrongly)
        cells = (", ".join(ids) or "none" for ids in (false, supported, wrongly))
        print(f"| {name} | {' | '.join(cells)} |")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
