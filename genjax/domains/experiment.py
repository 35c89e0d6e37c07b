"""How far does a language model carry to a domain it never saw, and what moves the gap?

Trains language models on some domains and measures them on all. Arms may start from each other, so
that a study is a graph of runs; all seeds of an arm are one program.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import jax

from genjax import claims
from genjax.core import arrangement, machine, processes, stream
from genjax.core import config as configs
from genjax.data import leaks, text
from genjax.domains import ahead, chains, data, evaluate, forecast, hmm, load, networks, training
from genjax.domains.about import ABOUT
from genjax.domains.arms import (
    Facts,
    Figures,
    compared,
    facts_of,
    gaps,
    stopped,
)
from genjax.domains.claims import judge
from genjax.domains.config import Config
from genjax.domains.figures import FIGURES
from genjax.domains.job import Job, Once
from genjax.domains.names import trained_before
from genjax.domains.notes import notes
from genjax.lm.objectives import LOGITS
from genjax.report import blocks, page
from genjax.run import Experiment, Run, execute


def run(config: Config, folder: str | Path, **how) -> Run:
    """Trains and measures what `config` asks for in a folder, or continues there.

    how: `resume`, `writers`, `live`, `compile_cache`, `platform` and `profile` of
    `genjax.run.execute`, which says what is raised.
    """
    return execute(EXPERIMENT, config, folder, **how)


# --- What is trained -----------------------------------------------------------------------------


def prepare(config: Config) -> Job:
    """Reads the domains and builds the networks. Raises UsageError where they do not fit."""
    machine.keep_buffers()
    machine.split_cpu(config.seeds, config.batch_size)
    machine.check_batch(config.parallel, config.batch_size)
    arrangement.check_copies(max(1, config.fsdp), jax.device_count(), config.batch_size)
    arms = config.arms()
    config.require()
    for arm in arms.values():
        if arm.model == "transformer":
            networks.variant(arm, config.context, config.precision)
    sources = read_sources(config)
    source = next(sources)
    trained_on = config.trained_on(source)
    before = {name: trained_before(arms, trained_on, name) for name in arms}
    job = Job(config, [source], arms, trained_on, before, Once())
    for name in arms:
        job.mixture(name)
        if arms[name].model != "ngram":
            job.network(name)
    machine.require_memory(memory_needed(job), config, job.arms.values())
    return job._replace(sources=[source, *sources], draw=streamed(job))


def streamed(job: Job):
    """How windows of text are drawn in worker processes; None where this one draws them.

    Texts that are mapped need no memory, but where it does not hold them a draw waits for the disk.
    """
    source, names = job.source, sorted({name for on in job.trained_on.values() for name in on})
    if source.tokens is None:
        return None
    size = sum(source.tokens(name).nbytes for name in names)
    what = f"--corpus={configs.shown(job.config.corpus)}, {len(names)} training texts"
    if not stream.chosen(job.config.input, what, size, 0.0):
        return None
    return data.from_files(source, names, processes.scratch())


def read_sources(config: Config) -> Iterator[data.Source]:
    """The domains of each seed, made when asked for: thousands of grids take seconds.

    Raises UsageError for what cannot be trained on.
    """
    if config.corpus:
        yield from [read_text(config)] * config.seeds
        return
    machine.require_memory(memory_of_grid(config), config)
    yield from (grid_of(config, seed) for seed in config.all_seeds)


def grid_of(config: Config, seed: int) -> data.Source:
    """A seed's own grid, chains and documents."""
    grid = hmm.grid(
        config.grid,
        states=config.states,
        base=config.base,
        vocabulary=config.vocabulary,
        shared=config.shared,
        seed=seed,
    )
    return data.from_grid(
        grid,
        length=config.context,
        pool=config.pool,
        documents=config.documents,
        far=chains.draw(config.chains, config.vocabulary, seed),
        seed=seed,
    )


def read_text(config: Config) -> data.Source:
    """The domains of --corpus. Raises UsageError for what cannot be trained on."""
    assert config.corpus is not None
    corpus = text.read(config.corpus, tfds_dir=config.tfds_dir)
    seen = [name for name in corpus if name not in config.held_out]
    leaks.refuse(corpus, config.leak_window)
    tokens = text.byte_tokens()
    if config.bpe:
        tokens = text.bpe_tokens(config.bpe, [corpus[name].train for name in seen])
    return data.from_text(
        corpus,
        tokens,
        list(config.held_out),
        length=config.context,
        stride=config.stride,
        most=config.measured_bytes,
    )


def memory_of_grid(config: Config) -> dict[str, float]:
    """{flags: bytes, at least} of the grids, their chains and the exact lines of their documents.

    The exact lines are of one domain and seed at a time.
    """
    domains, tokens = config.grid**2, config.documents * config.context
    belief = config.states + (config.chains and config.vocabulary**2)
    grids = 8.0 * 2 * config.seeds
    return {
        "--states, --grid or --seeds": grids * config.grid * config.states**2,
        "--vocabulary, --states, --grid or --seeds": grids
        * config.grid
        * config.states
        * config.vocabulary,
        "--chains, --vocabulary or --seeds": grids * config.chains * config.vocabulary**2,
        "--documents, --context, --grid or --seeds": grids * (domains + config.chains) * tokens,
        "--documents, --states or --vocabulary": 8.0 * config.documents * belief,
        # A token of every document at once, drawn from its cumulative probabilities.
        "--pool, --vocabulary or --states": 9.0
        * config.pool
        * max(config.vocabulary, config.states),
    }


def memory_needed(job: Job) -> dict[str, float]:
    """{flags: bytes, at least} of the texts that are trained on, and of the largest network."""
    config, source = job.config, job.source
    used = {domain for names in job.trained_on.values() for domain in names}
    pools = 4.0 * len(used) * config.pool * config.context * config.seeds
    pools = 0.0 if config.corpus else pools
    row = 4.0 * config.batch_size * config.context
    at_once = machine.at_once(config.seeds)
    logits = min(at_once * row * source.vocabulary, at_once * LOGITS)
    nets = [arm for arm in job.arms.values() if arm.model != "ngram"]
    return {
        "--pool, --context, --grid or --seeds": pools,
        # Weights, two moments and gradients.
        "--width, --depth, --vocabulary, --bpe or --seeds": 16.0
        * config.seeds
        * max(job.size(name)["parameters"] for name in job.arms),
        # Logits, and what each block keeps.
        "--batch_size, --context, --width, --depth, --vocabulary or --seeds": max(
            (logits + at_once * row * arm.width * arm.depth / config.microbatches for arm in nets),
            default=0,
        ),
        "--steps_per_call, --batch_size, --context or --seeds": row
        * config.seeds
        * config.steps_per_call,
    }


def disk_needed(job: Job) -> float:
    """Bytes for two checkpoints of params and moments, and the final model, and 50 MB."""
    total = sum(job.size(name)["parameters"] for name in job.arms)
    return 5e7 + 4.0 * 9 * job.config.seeds * total


def work(job: Job, folder, clock) -> None:
    """Trains and measures what the folder does not hold yet."""
    if job.source.bpe:
        folder.write_json("tokens.json", json.loads(job.source.bpe))
    if folder.read_json("data.json") is None:
        known = facts(job)._asdict() | {"checksum": job.checksum}
        folder.write_json("data.json", known)
    left = [name for name in job.arms if folder.read_json(f"evaluation/{name}.json") is None]
    with ahead.steps(job, [n for n in left if job.arms[n].model != "ngram"], folder.products):
        if folder.read_json("evaluation/baselines.json") is None:
            with clock.part("evaluate"):
                folder.write_json("evaluation/baselines.json", evaluate.baselines(job))
        for name in left:
            with clock.part("train"):
                params = training.train(job, folder, name)
            with clock.part("evaluate"):
                found, arrays = evaluate.measure(job, folder, name, params)
                folder.write_arrays(f"arrays/{name}.npz", arrays)
                folder.write_json(f"evaluation/{name}.json", found)


def facts(job: Job) -> Facts:
    """What claims, notes and a loaded model need of the domains and the networks."""
    source, overlaps = job.source, {}
    for name, pairs in compared(job.arms, job.trained_on).items():
        if source.overlap and len(pairs["gap"]) == 1:
            ((domain, _),) = pairs["gap"]
            overlaps[name] = float(source.overlap(domain, tuple(sorted(job.trained_on[name]))))
    return Facts(
        names=source.names,
        held_out=source.held_out,
        far=source.far,
        unit=source.unit,
        exact=source.lines is not None,
        vocabulary=source.vocabulary,
        length=source.length,
        tokens="bpe" if source.bpe else "numbers" if source.lines else "bytes",
        trained_on=job.trained_on,
        trained_before=job.trained_before,
        sizes={name: job.size(name) for name in job.arms},
        overlaps=overlaps,
    )


# --- What is reported ----------------------------------------------------------------------------

TABLE = (
    "seen", "valid", "excess_seen", "worst_seen", "unseen", "excess_unseen", "worst_unseen",
    "score", "stopped_unseen", "stopped_score", "stopped_new", "stopped_old", "stopped_at",
    "ood_id_ratio", "overlap", "gap", "worst_gap", "specialist_gap", "training_margin",
    "unigram_unseen",
    "new", "old", "gain", "forgetting", "drift", "few_shot_gain", "few_shot_strange",
    "few_shot_area", "ece_seen", "ece_unseen", "dynamic_seen", "dynamic_unseen", "dynamic_rate",
    "sequence_final", "sequence_backward", "sequence_forward",
)  # fmt: skip
# Measures that are no bits.
PLAIN = (
    "score",
    "stopped_score",
    "ood_id_ratio",
    "overlap",
    "ece_seen",
    "ece_unseen",
    "dynamic_rate",
)


def summarize(files: dict, config: Config) -> dict:
    """The room's parts of summary.json, from a run's files."""
    arms = config.arms()
    content = page.read_json(files["folder"], "data.json")
    assert content is not None  # Written before the first arm trains.
    known = facts_of(content)
    measured = evaluations(files, arms)
    found = {name: dict(measured[name]) for name in arms}
    baselines = measured["baselines"]
    figures = Figures(found, files["rows"], known, baselines)
    for name, row in gaps(arms, figures).items():
        found[name] |= row
    for name in arms:
        found[name] |= stopped(files["rows"], name, config.all_seeds)
        if "stopped_unseen" in found[name] and "family/unseen" in baselines:
            score = evaluate.scored(found[name]["stopped_unseen"], baselines)
            found[name]["stopped_score"] = score.tolist()
    return {
        "data": data_name(config),
        "seeds": config.all_seeds,
        "arms": list(arms),
        "domains": known.names,
        "held_out": known.held_out,
        "unit": known.unit,
        "recipes": {name: configs.to_json(arm) for name, arm in arms.items()},
        "sizes": known.sizes,
        "trained_on": known.trained_on,
        "trained_before": known.trained_before,
        "metrics": {
            f"{name}/{measure}": claims.summarize(values, unit(measure, known.unit))
            for name, row in found.items()
            for measure, values in row.items()
            if measure in TABLE
        }
        | {
            path: claims.summarize(values, unit(path.partition("/")[2], known.unit))
            for path, values in baselines.items()
        }
        | {
            path: {"mean": mean, "low": low, "high": high, "per_seed": [], "unit": known.unit}
            for path, (mean, low, high) in forecast.made(arms, found).items()
        },
        "claims": judge(figures, config),
        "notes": notes(figures, config),
    }


def evaluations(files: dict, arms: dict) -> dict[str, dict]:
    """The measures of every arm and of the baselines, of all blocks of seeds.

    What no network made leaves no row along training, by which blocks know what to join.
    """
    found, parts = dict(files["evaluation"]), blocks.paths(files["folder"])
    counted = [name for name, arm in arms.items() if arm.model == "ngram"]
    for name in ("baselines", *counted) if parts else ():
        every = [page.read_json(path, f"evaluation/{name}.json") or {} for path in parts]
        found[name] = {key: [v for one in every for v in one[key]] for key in every[0]}
    return found


def unit(measure: str, bits: str) -> str:
    """Of a measure; bits: of a loss."""
    if measure == "stopped_at":
        return "steps"
    return "" if measure in PLAIN else bits


def data_name(config: Config) -> str:
    """The domains, in words."""
    if config.corpus:
        return f"text of {config.corpus}"
    beside = f" and {config.chains} order-1 chains" if config.chains else ""
    return f"grids of {config.grid} x {config.grid} hidden Markov domains, one a seed{beside}"


EXPERIMENT = Experiment(
    name="domains",
    title="Domain generalization of language models: architecture, data, finetuning",
    config=Config,
    prepare=prepare,
    disk_needed=disk_needed,
    work=work,
    summarize=summarize,
    figures=FIGURES,
    load=load.model,
    about=ABOUT,
    trained=load.trained,
    beside=("tokens.json",),
    texts=load.texts,
)
