"""A finished run's figures made wrong on purpose, and which of its claims they still support.

    python tests/wrong.py runs/gan/gan_ring    # or a run of domains or attention
    python tests/wrong.py attention_mqar       # published look-ups: results/ has all that is judged

Nothing is trained or timed: rows of the run are put under other names. Prints a table in Markdown;
exits with 1 where a claim that a case takes the ground from comes out supported, or equivalent
where nothing was learnt that could be compared. Runs that are trained with something wrong:
wrong_runs.py.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import genjax
from genjax import scaling
from genjax.core import flags
from genjax.domains.experiment import summarize
from genjax.gan import claims as of_the_gan
from genjax.report import page
from genjax.report.results import read
from genjax.scaling import claims as of_the_sweep
from genjax.scaling.timings import Point, Timings, name_of

ROOT = Path(__file__).parents[1]
RESULTS, FLAGS = ROOT / "results", ROOT / "experiments" / "flags"


class Case(NamedTuple):
    """What is wrong, the claims that come of it, and the ids of those that are false with it.

    void: these cannot be equivalent either, for what they compare did not learn, or is measured in
    features that say nothing. Elsewhere two equal arms are, rightly.
    """

    name: str
    claims: list[dict]
    false: Iterable[str] = ()
    void: bool = False


def told(case: Case) -> int:
    """Prints a row of the table; how many verdicts are wrong."""
    supported, equivalent = (
        [claim["id"] for claim in case.claims if claim["verdict"] == verdict]
        for verdict in ("supported", "equivalent")
    )
    held = supported + equivalent * case.void
    wrongly = [id for id in held if id in case.false]
    cells = (", ".join(ids) or "none" for ids in (case.false, supported, equivalent, wrongly))
    print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
    return len(wrongly)


# --- GAN -----------------------------------------------------------------------------------------

SUFFIXES = ("", "@early", "@last", "@noised")


def of_gan(run) -> Iterator[Case]:
    evaluation = page.read_files(run.folder)["evaluation"]
    parts = {f"{arm}{at}": row for arm in run.config.arms() for at, row in evaluation[arm].items()}
    rows = {
        name: {measure: np.asarray(values, float) for measure, values in row.items()}
        for name, row in (parts | evaluation["truth"]).items()
    }
    played = of_the_gan.roles(run.config)
    v, p, f = played["v"], played["p"], played["f"]
    seeds = np.arange(len(rows[v]["modes"]))

    def exchanged(turn):
        """Both arms' rows exchanged where `turn` [seeds] says so."""
        changed = dict(rows)
        for at in SUFFIXES:
            one, other = rows[v + at], rows[p + at]
            both = one.keys() & other.keys()
            changed[v + at] = {m: np.where(turn, other[m], one[m]) for m in both}
            changed[p + at] = {m: np.where(turn, one[m], other[m]) for m in both}
        return changed

    def case(name, changed, *false, void=False):
        found = {f"{row}/{m}": list(x) for row, part in changed.items() for m, x in part.items()}
        return Case(name, of_the_gan.judge(found, run.config), false, void)

    frozen = {arm: rows[f"{arm}@untrained"] for arm in (v, p, f) if arm}
    yield case("nothing is wrong", rows)
    if f:
        noise = {m: np.resize(x, len(seeds)) for m, x in rows["noise"].items()}
        of_flow = ("G8a", "G8b", "G8c", "G8d", "G8e")
        begun = {f: frozen[f], f"{f}@1": rows[f"{f}@1@untrained"]}
        yield case("the flow not trained", rows | begun, *of_flow, void=True)
        changed = rows | {f: noise, f"{f}@1": noise}
        yield case("uniform noise in the place of the flow", changed, *of_flow, void=True)
        gan = ("G1", "G2b", "G8c", "G8d")
        yield case("the GAN not trained", rows | {v: frozen[v]}, *gan, void=True)
        nothing = rows | frozen | begun
        yield case("nothing trained", nothing, "G1", "G2a", "G2b", *of_flow, void=True)
        return
    next_seed = {p + at: {m: np.roll(x, -1) for m, x in rows[v + at].items()} for at in SUFFIXES}
    perfect = rows[v] | {m: np.resize(x, len(seeds)) for m, x in rows["truth"].items()}
    packing = ("G4a", "G4b", "G5")
    yield case("the two arms swapped", exchanged(seeds >= 0), "G1", "G2b", *packing)
    yield case("the two arms swapped in every other seed", exchanged(seeds % 2), *packing)
    yield case("the same GAN of the next seed in the place of packing", rows | next_seed, *packing)
    yield case("packing not trained", rows | {p: frozen[p]}, "G3", *packing, void=True)
    nothing = ("G1", "G2a", "G2b", "G3", *packing)
    yield case("nothing trained", rows | frozen, *nothing, void=True)
    yield case(
        "perfect samples in the place of the GAN", rows | {v: perfect}, "G1", "G2b", *packing
    )


# --- Domains -------------------------------------------------------------------------------------


def of_domains(run) -> Iterator[Case]:
    files = page.read(run.folder)
    seeds = run.config.all_seeds
    following = dict(zip(seeds, (*seeds[1:], seeds[0]), strict=True))

    def taken(places, seed_of=lambda seed: seed):
        """Each arm of `places` has the figures of another, of which each seed has another's."""
        order = [seeds.index(seed_of(seed)) for seed in seeds]
        others = [row for row in files["rows"] if row.get("arm") not in places]
        moved = [
            row | {"arm": arm, "seed": seed}
            for arm, source in places.items()
            for seed in seeds
            for row in files["rows"]
            if row.get("arm") == source and row["seed"] == seed_of(seed)
        ]
        evaluation = dict(files["evaluation"])
        for arm, source in places.items():
            evaluation[arm] = {
                measure: [values[i] for i in order]
                for measure, values in files["evaluation"][source].items()
            }
        return files | {"rows": others + moved, "evaluation": evaluation}

    def case(name, changed, *false):
        return Case(name, summarize(changed, run.config)["claims"], false)

    def both_ways(*pairs):
        return dict(pairs) | {other: one for one, other in pairs}

    yield case("nothing is wrong", files)
    # Arms of domains_ways: a way of finetuning and its rate, from low to high.
    ways = {way: [] for way in ("full", "replay", "lora2", "lora8")}
    for arm in run.config.arms():
        ways.get(arm.partition("_")[0], []).append(arm)
    if ways["full"]:
        for way, false in (
            ("replay", ("D9a",)),
            ("lora2", ("D7a", "D7b")),
            ("lora8", ("D7c", "D7d", "D9b")),
        ):
            pairs = tuple(zip(ways["full"], ways[way], strict=True))
            yield case(f"{way} and all weights swapped", taken(both_ways(*pairs)), *false)
            again = taken({other: full for full, other in pairs}, following.get)
            yield case(f"all weights of the next seed in the place of {way}", again, *false)
        return
    replay, replayed = ("D8a", "D8b", "D8c"), (("tuned", "replay5"), ("tuned_low", "replay5_low"))
    yield case("few and many domains swapped", taken(both_ways(("n1", "n3"))), "D1a", "D2a")
    yield case(
        "the few domains' model of the next seed in the place of the many's",
        taken({"n3": "n1"}, following.get),
        *("D1a", "D1c"),
    )
    yield case("LSTM and attention swapped", taken(both_ways(("n3", "lstm"))), "D2a")
    yield case(
        "attention of the next seed in the place of the LSTM",
        taken({"lstm": "n3"}, following.get),
        "D2a",
    )
    yield case("replay and none swapped", taken(both_ways(*replayed)), *replay)
    yield case(
        "finetuning without replay, of the next seed, in the place of replay",
        taken({little: none for none, little in replayed}, following.get),
        *replay,
    )
    yield case(
        "finetuning on fresh text in the place of that on few tokens",
        taken({"over": "tuned"}),
        *("D5b", "D5c"),
    )


# --- Attention -----------------------------------------------------------------------------------


def of_attention(run) -> Iterator[Case]:
    files = page.read(run.folder)
    names = set(run.config.variants)
    shortest = min(row["length"] for row in files["rows"] if row.get("arm") in names)
    timed = [
        Point(arm, mode, int(length))
        for arm, mode, length in map(str.split, files["evaluation"][name_of(0)]["points"])
    ]

    def case(name, change: Callable[[Point], Point], *false):
        """change: point -> the point whose times it has."""
        evaluation = dict(files["evaluation"])
        for key, process in evaluation.items():
            if not key.startswith("process-"):
                continue
            points = {}
            for text in process["points"]:
                arm, mode, length = text.split()
                source = change(Point(arm, mode, int(length)))
                points[text] = process["points"].get(str(source), process["points"][text])
            evaluation[key] = process | {"points": points}
        timings = Timings(files["rows"], evaluation)
        return Case(name, of_the_sweep.judge(timings, run.config), false)

    def swapped(one, other):
        names = {one: other, other: one}
        return lambda point: point._replace(arm=names.get(point.arm, point.arm))

    def reordered(order):
        """Of every arm alike, so that controls are too. order: sorted lengths -> lengths."""

        def change(point):
            own = sorted(p.length for p in timed if p[:2] == point[:2])
            return point._replace(length=dict(zip(own, order(own), strict=True))[point.length])

        return change

    def frozen(point):
        return point._replace(length=shortest) if point.arm in names else point

    growth = ("A1", "A2", *(f"A3 {name}" for name in of_the_sweep.LINEAR[:-1]), "A4", "A5")
    linear = tuple(f"A3 {name}" for name in of_the_sweep.LINEAR[:-1])
    yield case("nothing is wrong", lambda point: point)
    yield case("textbook and linear attention swapped", swapped("full", "linear"), "A1", *linear)
    yield case("flash and Longformer swapped", swapped("flash", "longformer"), "A2", linear[0])
    yield case(
        "flash and strided sparse attention swapped", swapped("flash", "sparse_strided"), "A2", "A5"
    )
    yield case(
        "the halves of a layer swapped",
        lambda point: point._replace(arm=_other_half(point.arm)),
        "A6a", "A6b",
    )  # fmt: skip
    yield case("lengths backwards", reordered(lambda own: own[::-1]), *growth, "A6a", "A6b")
    yield case(
        "the two longest lengths exchanged",
        reordered(lambda own: [*own[:-2], *own[:-3:-1]]),
        *growth,
    )
    yield case("every variant frozen at its shortest length", frozen, "A1m", *growth)


def _other_half(arm: str) -> str:
    halves = {"attention": "feedforward", "feedforward": "attention"}
    name, at, width = arm.partition("@")
    return f"{halves[name]}@{width}" if at and name in halves else arm


# --- Attention, what is learnt -------------------------------------------------------------------


def of_look_ups(name: str) -> Iterator[Case]:
    """Of results/<name>.json, at its one length of one task."""
    metrics = read(RESULTS)[name]["metrics"]
    config = flags.parse(scaling.Config, "attention", [f"--flagfile={FLAGS / name}.flags"]).config
    (task,), (length,) = config.tasks, config.task_lengths
    accuracy = {
        variant: metrics[f"{variant}/{task}_accuracy/{length}"] for variant in config.variants
    }
    chance = metrics[f"chance/{task}_accuracy/{length}"]["mean"]
    rows = {variant: np.array(found["per_seed"]) for variant, found in accuracy.items()}
    exact = rows["flash"]

    def case(name, changed, *false, void=False):
        found = {
            variant: {"accuracy": list(values), "chance": [chance] * len(values)}
            for variant, values in changed.items()
        }
        learnt = of_the_sweep.judge_learnt({task: {length: found}}, config)
        return Case(name, learnt, false, void)

    every = [claim.id for claim in of_the_sweep.LOSES if claim.id.removeprefix("A8 ") in rows]
    other = every[-1].removeprefix("A8 ")
    yield case("nothing is wrong", rows)
    yield case(
        f"exact and {other} attention swapped",
        rows | {"flash": rows[other], other: exact},
        f"A8 {other}",
    )
    next_seed = {variant: np.roll(exact, 1 + i) for i, variant in enumerate(rows)}
    yield case("exact attention of other seeds in the place of all others", next_seed, *every)
    guess = np.full(len(exact), chance)
    changed = rows | {"flash": guess}
    yield case("a guess in the place of exact attention", changed, *every, void=True)
    yield case("a guess in the place of all", dict.fromkeys(rows, guess), *every, void=True)


ROOMS = {"gan": of_gan, "domains": of_domains, "attention": of_attention}


def main(asked: str) -> int:
    if asked in read(RESULTS):
        return sum(map(told, of_look_ups(asked))) > 0
    run = genjax.open(asked)
    return sum(told(case) for case in ROOMS[run.experiment.name](run)) > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
