"""When is O(n^2) visible, what do sparse, low-rank and linear attention save, what do they lose?

Sweeps the length for every variant, forward and backward, interleaved over rounds; fits the
exponents of time and memory; probes what each approximation loses against the exact result; and
trains transformers of every variant to look things up.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax import claims
from genjax.core import parallel
from genjax.core.folder import Folder
from genjax.core.progress import say
from genjax.run import Experiment, Run, execute
from genjax.scaling import fitting, load, microbenchmark, probes, sweep, training, variants
from genjax.scaling.claims import Figures, judge
from genjax.scaling.config import DTYPES, Config
from genjax.scaling.figures import FIGURES
from genjax.scaling.timings import MODES, Timings

# Quartiles of the rounds further apart than this share of the median are noted.
UNSTEADY = 0.1


class Job(NamedTuple):
    """What is measured, and the cores that compute it, in words."""

    config: Config
    cores: str


def run(config: Config, folder: str | Path, **how) -> Run:
    """Times, probes and trains what `config` asks for in a folder, or continues there.

    how: `resume`, `tensorboard` and `compile_cache` of `genjax.run.execute`, which says what is
    raised.
    """
    return execute(EXPERIMENT, config, folder, **how)


def prepare(config: Config) -> Job:
    """Readies threads and memory. Raises UsageError where a variant cannot be what is asked."""
    cores = sweep.settle(config)
    variants.check(config)
    parallel.check_batch(config.parallel, config.batch_size)
    parallel.require_memory(memory_needed(config))
    return Job(config, cores)


def memory_needed(config: Config) -> dict[str, float]:
    """{flags: bytes, at least} of what no guard of the sweep sees: probes, and transformers."""
    found = {"--probe_length": 4 * 4.0 * config.probe_length**2}
    if config.tasks:
        length = max(config.task_lengths)
        rows = 4.0 * config.seeds * config.batch_size
        net = 12.0 * config.depth * config.width**2 + 2.0 * config.symbols * config.width
        found |= {
            "--task_lengths": 3 * 4.0 * training.TRAINED * length,
            # Weights, two moments and gradients.
            "--width, --depth, --symbols or --seeds": 16.0 * config.seeds * net,
            # What each block keeps, and logits.
            "--batch_size, --task_lengths, --width, --depth, --symbols or --seeds": rows
            * length
            * (config.width * config.depth + 2 * config.symbols),
            "--steps_per_call, --batch_size or --seeds": rows * config.steps_per_call,
        }
    return found


def disk_needed(job: Job) -> float:
    """Bytes: rows, and checkpoints of small transformers."""
    return 5e7


def work(job: Job, folder: Folder, clock) -> None:
    """Measures and trains what the folder does not hold yet."""
    config = job.config
    for text in doubts(config):
        say(text)
    setting = {"cores": job.cores, "unmasked": variants.unmasked(config)}
    folder.write_json("evaluation/setting.json", setting)
    with clock.part("prepare"):
        measured = sweep.prepared(config, folder)
    # From here on a core of its own: what was done before may use them all.
    with microbenchmark.bound(config.cores):
        with clock.part("rounds"):
            measured.rounds(config.rounds, config.seconds, say)
        with clock.part("probe"):
            if folder.read_json("evaluation/probes.json") is None:
                folder.write_json("evaluation/probes.json", probe(config))
        with clock.part("train"):
            for label in config.arms():
                learn(config, folder, label)


def doubts(config: Config) -> list[str]:
    """What is likely not meant."""
    said = []
    if len(config.lengths) < 6 or config.lengths[-1] < 32 * config.lengths[0]:
        said.append("--lengths: fewer than 6 over a range of 32x; exponents will be uncertain")
    if config.dtype != "float32" and jax.default_backend() == "cpu":
        said.append(f"--dtype={config.dtype}: a CPU emulates it, times say nothing about it")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 1.5:
        said.append(f"other work is running (load {load:.1f}): exponents will suffer")
    return said


def probe(config: Config) -> dict:
    """{variant: {measure: value}}: errors and look-ups of each variant against exact attention."""
    found = {}
    for name in config.variants:
        variant = variants.build(config, name, config.probe_length)
        found[name] = probes.all_of(
            variant, config.probe_length, config.head_dim, causal=variant.causal
        )
        say(f"probed {name}")
    return found


def learn(config: Config, folder: Folder, label: str) -> None:
    """Trains and measures one transformer; evaluation/<label>.json holds {measure: [seeds]}.

    With the exact one the errors of every variant on the q, k, v that it uses.
    """
    file = f"evaluation/{label}.json"
    found = folder.read_json(file)
    if found is None:
        trained = training.train(config, folder, label)
        found = dict[str, Any](training.measure(config, trained))
        if config.arms()[label].variant == "flash":
            found["captured"] = training.captured_errors(config, trained)
        folder.write_json(file, found)
    say(f"{label}: accuracy {np.mean(found['accuracy']):.3f}")


# --- What is reported ----------------------------------------------------------------------------


def summarize(files: dict, config: Config) -> dict:
    """The room's parts of summary.json, from a run's files."""
    evaluation = files["evaluation"]
    timings, lost = Timings(files["rows"]), evaluation["probes"]
    rate, learnt = fitting.rates(timings), by_task(evaluation, config)
    points, time, memory, metrics = {}, {}, {}, {}
    for name in config.variants:
        for mode in MODES:
            curve = fitting.curve(timings, name, mode, rate, moved(config))
            if curve:
                key = f"{name}/{mode}"
                points[key], fit, row = curve
                time[key], memory[key] = fit[:3], row[f"memory_exponent/{mode}"]["mean"]
                metrics |= {f"{name}/{path}": value for path, value in row.items()}
        metrics |= {f"{name}/{path}": fitting.figure(value) for path, value in lost[name].items()}
    crossings = fitting.layers(timings, config.widths)
    setting = evaluation["setting"]
    skipped = [f"{p.arm} {p.mode} at {p.length}: {why}" for p, why in timings.skipped.items()]
    return {
        "data": f"batch {config.batch}, {config.heads} heads of {config.head_dim}, {config.dtype}",
        "seeds": config.all_seeds if learnt else [],
        "intervals": f"95% intervals over {config.rounds} rounds of timings",
        "arms": list(config.variants),
        "arrays": [],
        "cores": setting["cores"],
        "metrics": metrics | learnt_metrics(learnt),
        "points": points,
        "skipped": skipped,
        "crossings": crossings,
        "rates": rate,
        "learnt": learnt,
        "claims": judge(
            Figures(time, memory, crossings, lost, learnt, setting["unmasked"]), config
        ),
        "notes": notes(skipped, points),
    }


def moved(config: Config) -> float:
    """Bytes of a position of q, k, v and the result."""
    return 4.0 * config.batch * config.heads * config.head_dim * DTYPES[config.dtype]


def by_task(evaluation: dict, config: Config) -> dict:
    """{task: {length: {variant: {measure: [seeds]}}}} of what the transformers reached."""
    learnt = {}
    for label, learner in config.arms().items():
        lengths = learnt.setdefault(learner.task, {})
        lengths.setdefault(str(learner.length), {})[learner.variant] = evaluation[label]
    return learnt


def learnt_metrics(learnt: dict) -> dict:
    """{"variant/measure": figure} of `by_task`."""
    metrics = {}
    for task, lengths in learnt.items():
        for n, found in lengths.items():
            for name, row in found.items():
                path = f"{name}/{task}_accuracy/{n}"
                metrics[path] = claims.summarize(row["accuracy"], "")
                metrics[f"{name}/{task}_seconds/{n}"] = claims.summarize(row["seconds"], "s")
                for other, errors in row.get("captured", {}).items():
                    metrics[f"{other}/captured_error/{task}_{n}"] = claims.summarize(errors, "")
    return metrics


def notes(skipped: list[str], points: dict) -> list[str]:
    """What a reader could take for a claim."""
    lines = [
        "time_exponent is that of the fastest call over rounds, which other work disturbs least; "
        "claims are judged by it. median_exponent is that of the median, which is drawn. Their "
        "intervals hold the bootstrap over rounds and the range that leaving out a length spans; "
        f"the top {fitting.TOP} lengths.",
        "FLOPs are counted from shapes, products alone. XLA's own count (xla_flops) sees the body "
        "of a loop once.",
        "of_matmul is the share of the rate that a product of 1024 x 1024 reached in this run, "
        "of_copy the bytes of q, k, v and the result as a share of its rate of copying.",
        "temp_bytes is what the compiled program says it allocates; library calls inside it can "
        "hide scratch, which rss_bytes, the growth of a fresh process's peak, would show.",
        "sparse_* are causal by definition; linformer's projections and the random features and "
        "rotations are arguments, not gradients.",
    ]
    unsteady = []
    for key, found in points.items():
        lines += [f"{key}: {text}." for text in found["notes"]]
        pairs = zip(found["lengths"], found["temp_bytes"], found["rss_bytes"], strict=True)
        for length, temp, rss in pairs:
            if rss and rss > 2 * temp + 3e7:
                lines.append(
                    f"{key} at {length:.0f}: {temp / 1e6:.0f} MB said, {rss / 1e6:.0f} MB used"
                )
        spread = found["disagreement"]
        if spread > UNSTEADY:
            unsteady.append(f"{key.replace('/', ' ')}: rounds differ by {spread:.0%} (quartiles)")
    return [*lines, *(f"Skipped: {t}." for t in skipped), *(f"Unsteady: {t}." for t in unsteady)]


EXPERIMENT = Experiment(
    name="attention",
    title="The cost of self-attention, and what its approximations lose",
    config=Config,
    prepare=prepare,
    disk_needed=disk_needed,
    work=work,
    summarize=summarize,
    figures=FIGURES,
    load=load.model,
)
