"""How far does a language model carry to a domain it never saw, and what moves the gap?

Trains language models on some domains and measures them on all: architecture, the number of
training domains at a fixed token budget, and finetuning are switches of an arm. Arms may start from
each other, so that a study is a graph of runs. On the default data, a grid of hidden Markov models,
the optimum is exact; text comes from a folder.

    python experiments/domains.py --flagfile=experiments/flags/domains_grid.flags
"""

import math
import time

import numpy as np
from absl import flags

from genjax import attention, claims
from genjax.core import environment, parallel, runs, variants
from genjax.core.errors import UsageError
from genjax.data import leaks, text
from genjax.domains import chains, data, evaluate, hmm
from genjax.domains.claims import FEWEST, judge, rivals, with_overlap
from genjax.domains.training import NETWORK, Settings, Study
from genjax.lm import finetune, ngram, recurrent, transfer
from genjax.report import page

_ARM = flags.DEFINE_multi_string(
    "arm",
    [],
    "A recipe to compare, 'name' or 'name:flag=value,flag=value': the flags that differ from the "
    "common ones. Repeat it; an arm may start --from one before it.",
)
_CORPUS = flags.DEFINE_string(
    "corpus",
    None,
    "Text: a folder with a subfolder a domain, each train.txt, valid.txt and test.txt; or "
    "tfds:<name>, one domain; several joined by ','. Without it: the grid.",
)
_HELD_OUT = flags.DEFINE_list("held_out", [], "--corpus: domains that count as unseen.")
_BPE = flags.DEFINE_integer(
    "bpe", 0, "--corpus: tokens of a byte-pair encoding; 0: bytes.", lower_bound=0
)
_STRIDE = flags.DEFINE_integer(
    "stride", 128, "--corpus: tokens scored a window when measuring.", lower_bound=1
)
_MEASURED = flags.DEFINE_integer(
    "measured_bytes", 0, "--corpus: bytes of each valid and test text; 0: all.", lower_bound=0
)
_LEAK_WINDOW = flags.DEFINE_integer(
    "leak_window", 256, "--corpus: bytes a repeated passage must have to count.", lower_bound=16
)
_TFDS_DIR = flags.DEFINE_string("tfds_dir", None, "Where tfds keeps prepared data sets.")
_GRID = flags.DEFINE_integer("grid", 4, "Structures, and lexicons.", lower_bound=2)
_STATES = flags.DEFINE_integer("states", 8, "Hidden states.", lower_bound=1)
_BASE = flags.DEFINE_integer("base", 16, "Base tokens.", lower_bound=1)
_VOCABULARY = flags.DEFINE_integer("vocabulary", 32, "Tokens of the grid.", lower_bound=2)
_SHARED = flags.DEFINE_integer("shared", 4, "Base tokens named alike everywhere.", lower_bound=0)
_GRID_SEED = flags.DEFINE_integer("grid_seed", 0, "Draws the grid.", lower_bound=0)
_CHAINS = flags.DEFINE_integer(
    "chains", 0, "Order-1 chains beside the grid, far domains to adapt to.", lower_bound=0
)
_POOL = flags.DEFINE_integer("pool", 2048, "Documents of a domain to train on.", lower_bound=1)
_DOCUMENTS = flags.DEFINE_integer("documents", 32, "The same to measure on.", lower_bound=2)
_CONTEXT = flags.DEFINE_integer("context", 128, "Tokens of a window.", lower_bound=8)
_SHOTS = flags.DEFINE_list("shots", ["0", "1", "2", "4", "8"], "Examples in context; empty: none.")
_EXAMPLE = flags.DEFINE_integer("example", 8, "Tokens of an example.", lower_bound=1)
_DYNAMIC = flags.DEFINE_list(
    "dynamic",
    [],
    "Rates of dynamic evaluation, of arms that start from scratch; the training domains' valid "
    "text chooses.",
)
_EVALUATIONS = flags.DEFINE_integer("evaluations", 5, "Along training.", lower_bound=1)
_WATCHED = flags.DEFINE_integer("watched", 8, "Windows a domain measured there.", lower_bound=1)
_SAMPLES = flags.DEFINE_integer("samples", 0, "Tokens generated a domain.", lower_bound=0)

# The recipe: what --arm may change.
flags.DEFINE_string(
    "from", "", "Where training starts: an arm before this one, or a folder <run>/models/<arm>."
)
flags.DEFINE_string(
    "domains",
    "seen",
    "What is trained on: names and groups joined by '+', '-' before those to leave out. Groups: "
    "seen (all but the held out), all, on the grid diagonals<n> (n pairs of every structure); "
    "chain0 and so on are in neither.",
)
flags.DEFINE_string(
    "mixture",
    "uniform",
    "Uniform, proportional, temperature:<T>, weights joined by '+', or doremi:<arm>: the mean "
    "weights of an arm with --dro.",
)
flags.DEFINE_string(
    "dro",
    "",
    "Group DRO (DoReMi's proxy): domains weigh by their excess over the loss of this arm.",
)
flags.DEFINE_integer("limit", 0, "Tokens of a domain that training sees; 0: all.", lower_bound=0)
flags.DEFINE_enum(
    "model", "transformer", ("transformer", *recurrent.LAYERS, "ngram"), "The architecture."
)
flags.DEFINE_enum("attention", "flash", list(attention.VARIANTS), "transformer: the variant.")
flags.DEFINE_integer(
    "window",
    32,
    "longformer: both sides together, so half of it before a token; truncated: positions kept.",
    lower_bound=1,
)
flags.DEFINE_integer("width", 64, "Of the residual stream.", lower_bound=2)
flags.DEFINE_integer("depth", 2, "Blocks.", lower_bound=1)
flags.DEFINE_integer("heads", 2, "transformer: heads.", lower_bound=1)
flags.DEFINE_enum("optimizer", "muon", ("muon", "adamw"), "Muon (Adam for vectors), or AdamW.")
flags.DEFINE_float("learning_rate", 0.02, "Its peak, after 5% of warm-up.", lower_bound=0.0)
flags.DEFINE_float("weight_decay", 0.0, "Decoupled.", lower_bound=0.0)
flags.DEFINE_enum("train", "all", finetune.TRAINED, "What trains.")
flags.DEFINE_integer("lora_rank", 8, "train=lora: the rank; alpha is twice it.", lower_bound=1)
flags.DEFINE_float(
    "replay", 0.0, "Share of --from's domains in a batch.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_float("ewc", 0.0, "Weight of the Fisher penalty.", lower_bound=0.0)
flags.DEFINE_float("anchor", 0.0, "Weight of the base's own distribution.", lower_bound=0.0)
flags.DEFINE_float(
    "average", 1.0, "Share of the new weights in the end, the rest --from's.", 0.0, 1.0
)
flags.DEFINE_integer("ngram_order", 4, "model=ngram: tokens with the predicted.", lower_bound=1)
flags.DEFINE_enum("ngram_smoothing", "kneser_ney", ngram.SMOOTHINGS, "model=ngram.")
METHOD = ("train", "lora_rank", "ewc", "anchor")
RECIPE = (
    "from", "domains", "mixture", "dro", "limit", *NETWORK, "optimizer", "learning_rate",
    "weight_decay", *METHOD, "replay", "average", "ngram_order", "ngram_smoothing", "steps",
)  # fmt: skip
runs.define_flags(steps=1000, batch_size=16)
FLAGS = flags.FLAGS


def main():
    begun = time.monotonic()
    clock = environment.CompileClock()
    parallel.keep_buffers()
    parallel.split_cpu(FLAGS.seeds, FLAGS.batch_size)
    arms = variants.parse(_ARM.value or ["model"], RECIPE)
    FLAGS.workdir = FLAGS.workdir or runs.default_workdir("domains")
    environment.enable_compile_cache(FLAGS.compile_cache)
    parallel.check_batch(FLAGS.parallel, FLAGS.batch_size)
    study = plan(arms)
    source, seeds = study.source, study.seeds
    run = runs.Run(FLAGS.workdir, resume=FLAGS.resume, needed_bytes=study.disk_needed())
    if page.finished(run, runs.say):
        return
    if FLAGS.tensorboard:
        run.open_tensorboard()
    timing = dict.fromkeys(("train_s", "evaluate_s"), 0.0)
    found = {}
    for arm in arms:
        cached = run.read_json(f"evaluation/{arm}.json")
        if cached is None:
            started = time.monotonic()
            params = study.train(run, arm)
            timing["train_s"] += time.monotonic() - started
            started = time.monotonic()
            cached, arrays = evaluate.measure(study, run, arm, params)
            run.write_arrays(f"arrays/{arm}.npz", arrays)
            run.write_json(f"evaluation/{arm}.json", cached)
            # As a continued run finds it, which has None where there is no number.
            cached = run.read_json(f"evaluation/{arm}.json")
            timing["evaluate_s"] += time.monotonic() - started
        found[arm] = cached
    for arm, row in evaluate.gaps(study, found).items():
        found[arm] |= row
    made = claims.family(judge(study, found, run.rows()))
    summary = {
        "experiment": "domains",
        "title": "Domain generalization of language models: architecture, data, finetuning",
        "data": data_name(),
        "flags": runs.flag_values(),
        "seeds": seeds,
        "arms": list(arms),
        "domains": source.names,
        "held_out": source.held_out,
        "unit": source.unit,
        "recipes": arms,
        "sizes": {arm: study.size(arm) for arm in arms},
        "trained_on": {arm: study.trained_on(arm) for arm in arms},
        "trained_before": {arm: study.old(arm) for arm in arms},
        "metrics": {
            f"{arm}/{name}": claims.summarize(values, unit(name, source))
            for arm, row in found.items()
            for name, values in row.items()
            if name in TABLE
        },
        "claims": made,
        "notes": notes(study, found),
        "timing": timing
        | {"compile_s": clock.seconds, "total_s": time.monotonic() - begun}
        | {"cache_hits": clock.hits, "cache_misses": clock.misses},
    } | environment.describe()
    run.write_json("summary.json", summary)
    page.conclude(run, summary, runs.say)


# --- What is asked for ---------------------------------------------------------------------------


def data_name() -> str:
    if _CORPUS.value:
        return f"text of {_CORPUS.value}"
    beside = f" and {_CHAINS.value} order-1 chains" if _CHAINS.value else ""
    return f"grid of {_GRID.value} x {_GRID.value} hidden Markov domains{beside}"


def read_source() -> data.Source:
    """The domains. Raises UsageError for what cannot be trained on."""
    if not _CORPUS.value:
        if _HELD_OUT.value:
            raise UsageError(
                f"--held_out={','.join(_HELD_OUT.value)}: needs --corpus=<folder>; the grid holds "
                "out its diagonal"
            )
        grid = hmm.grid(
            _GRID.value,
            states=_STATES.value,
            base=_BASE.value,
            vocabulary=_VOCABULARY.value,
            shared=_SHARED.value,
            seed=_GRID_SEED.value,
        )
        return data.from_grid(
            grid,
            length=_CONTEXT.value,
            pool=_POOL.value,
            documents=_DOCUMENTS.value,
            far=chains.draw(_CHAINS.value, _VOCABULARY.value, _GRID_SEED.value),
        )
    if _CHAINS.value:
        raise UsageError(f"--chains={_CHAINS.value}: are beside the grid; drop --corpus")
    corpus = text.read(_CORPUS.value, tfds_dir=_TFDS_DIR.value)
    for name in _HELD_OUT.value:
        if name not in corpus:
            raise UsageError(f"--held_out={name}: no such domain; choose from {', '.join(corpus)}")
    seen = [name for name in corpus if name not in _HELD_OUT.value]
    if not seen:
        raise UsageError(f"--held_out={','.join(_HELD_OUT.value)}: no domain is left to train on")
    leaks.refuse(corpus, _LEAK_WINDOW.value)
    tokens = text.byte_tokens()
    if _BPE.value:
        tokens = text.bpe_tokens(_BPE.value, [corpus[name].train for name in seen])
    return data.from_text(
        corpus,
        tokens,
        list(_HELD_OUT.value),
        length=_CONTEXT.value,
        stride=_STRIDE.value,
        most=_MEASURED.value,
    )


def shots() -> list[int]:
    try:
        found = [int(part) for part in _SHOTS.value]
    except ValueError as error:
        raise UsageError(f"--shots={','.join(_SHOTS.value)}: whole numbers") from error
    if any(a >= b for a, b in zip(found, found[1:], strict=False)) or any(k < 0 for k in found):
        raise UsageError(f"--shots={','.join(_SHOTS.value)}: from few to many, 0 or more")
    if len(found) == 1:
        raise UsageError(f"--shots={found[0]}: a curve takes two or more; none: --shots=")
    if found and (found[-1] + 1) * _EXAMPLE.value > _CONTEXT.value:
        raise UsageError(
            f"--shots={found[-1]} of --example={_EXAMPLE.value} tokens do not fit into "
            f"--context={_CONTEXT.value}: at most {_CONTEXT.value // _EXAMPLE.value - 1}"
        )
    return found


def rates() -> list[float]:
    try:
        found = [float(part) for part in _DYNAMIC.value]
    except ValueError as error:
        raise UsageError(f"--dynamic={','.join(_DYNAMIC.value)}: numbers") from error
    if any(not 0 <= rate < math.inf for rate in found):
        raise UsageError(f"--dynamic={','.join(_DYNAMIC.value)}: rates of 0 or more")
    return found


def plan(arms: dict) -> Study:
    """The study that the flags ask for. Raises UsageError where it contradicts itself."""
    source = read_source()
    settings = Settings(
        seeds=list(range(FLAGS.seed, FLAGS.seed + FLAGS.seeds)),
        batch_size=FLAGS.batch_size,
        parallel=FLAGS.parallel,
        steps_per_call=FLAGS.steps_per_call,
        precision=FLAGS.precision,
        log_every=FLAGS.log_every,
        checkpoint_every=FLAGS.checkpoint_every,
        evaluations=_EVALUATIONS.value,
        watched=_WATCHED.value,
        shots=shots(),
        example=_EXAMPLE.value,
        dynamic=rates(),
        samples=_SAMPLES.value,
    )
    return Study(source, arms, settings)


# --- What is reported ----------------------------------------------------------------------------

TABLE = (
    "seen", "valid", "excess_seen", "worst_seen", "unseen", "excess_unseen", "worst_unseen",
    "score", "ood_id_ratio", "overlap", "gap", "worst_gap", "specialist_gap",
    "new", "old", "gain", "forgetting", "drift", "few_shot_gain", "few_shot_area", "ece_seen",
    "ece_unseen", "dynamic_seen", "dynamic_unseen", "dynamic_rate", "sequence_final",
    "sequence_backward", "sequence_forward",
)  # fmt: skip


def unit(name: str, source) -> str:
    plain = ("score", "ood_id_ratio", "overlap", "ece_seen", "ece_unseen", "dynamic_rate")
    return "" if name in plain else source.unit


def notes(study, found) -> list[str]:
    """What a reader could take for a claim."""
    lines = [
        "Measured at the last step, whose number was fixed before. No test text chose anything, "
        "and no text of a domain that an arm had not trained on; arms that adapt are compared by "
        "the valid text of what they adapt to. What is called an oracle is no choice.",
        "Verdicts hold for the family: p values are adjusted by Holm's method over all claims that "
        "have one (D4 and D9 have an interval alone).",
    ]
    if study.source.lines:
        lines.append(
            "The lines are exact: known (the domain is given), family (any pair of the grid; of a "
            "chain: the prior of chains and the context), seen (the domains trained on). Excess is "
            "over `known`, on the same documents."
        )
    else:
        lines.append(
            f"Bits a byte over windows of {_CONTEXT.value} tokens, stride {_STRIDE.value}; every "
            "byte is scored once."
        )
    for arm, row in found.items():
        if None not in row.get("bootstrap_unseen", [None]) and not study.parent(arm):
            mean, low, high = row["bootstrap_unseen"]
            lines.append(
                f"{arm} on unseen domains, over documents (95% bootstrap, seeds averaged): "
                f"{mean:.3f} ({low:.3f} to {high:.3f}) {study.source.unit}"
            )
    for candidates, chosen, oracle in evaluate.selections(study, found):
        unseen = [np.asarray(found[arm]["unseen"], float) for arm in (chosen, oracle)]
        mean, low, high = claims.interval(unseen[0] - unseen[1])
        lines.append(
            f"Of {', '.join(candidates)} the training domains' valid text takes {chosen}, "
            f"{unseen[0].mean():.3f} on unseen domains; an oracle that reads those takes {oracle}: "
            f"{mean:.3f} ({low:.3f} to {high:.3f}) bits less. Each chose once, by means over seeds"
        )
    left_out = {arm: study.arms[arm] for arm, row in found.items() if {"gap", "overlap"} <= {*row}}
    for group in variants.alike(left_out, "domains"):
        if len(group) >= FEWEST:
            rho, low, high = with_overlap(found, group, "gap")
            lines.append(
                "Rank correlation of the gap with the overlap of 5-grams, over "
                f"{', '.join(group)}: {rho:.2f} ({low:.2f} to {high:.2f}, 95% Fisher z, as if the "
                "arms were independent)"
            )
    methods = rivals(study, found)
    if len(methods) > 1:
        start, names = study.parent(methods[0]), study.trained_on(methods[0])
        volumes = []
        for i in range(len(study.seeds)):
            worst = np.mean([found[start][f"loss/{name}"][i] for name in names])
            points = np.array([[found[a]["new"][i], found[a]["forgetting"][i]] for a in methods])
            volumes.append(transfer.hypervolume(points, np.array([worst, 1.0])))
        mean, low, high = claims.interval(volumes)
        lines.append(
            "Hypervolume of the front, against the loss before adaptation and one bit of "
            f"forgetting: {mean:.3f} ({low:.3f} to {high:.3f}) square bits"
        )
    for arm, row in found.items():
        weights = {k.removeprefix("weight/"): np.mean(v) for k, v in row.items() if "weight/" in k}
        if weights:
            shown = ", ".join(f"{name} {share:.3f}" for name, share in weights.items())
            lines.append(f"{arm}, mean weights under group DRO, seeds averaged: {shown}")
    sizes = {arm: study.size(arm) for arm in study.arms if study.arms[arm]["model"] != "ngram"}
    lines += [
        f"{arm}: {size['parameters']:,} parameters, {size['flops'] / 1e6:.2f} MFLOP a trained token"
        for arm, size in sizes.items()
        if not study.arms[arm]["from"]
    ]
    if FLAGS.seeds < 2:
        lines.append("One seed: no intervals, and every claim is inconclusive.")
    return lines


if __name__ == "__main__":
    runs.launch(main)
