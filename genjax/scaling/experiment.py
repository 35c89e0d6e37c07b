"""When is O(n^2) visible, what do sparse, low-rank and linear attention save, what do they lose?

Sweeps the length for every variant, forward and backward, in fresh processes, each of which also
asks the programs that it timed what they lose against the exact result; and trains transformers of
every variant to look things up.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax import claims
from genjax.attention.catalogue import OTHER_MODELS
from genjax.core import machine
from genjax.core.folder import Folder
from genjax.core.progress import say
from genjax.run import Experiment, Run, execute
from genjax.scaling import (
    fitting,
    listops,
    load,
    microbenchmark,
    sweep,
    training,
    variants,
)
from genjax.scaling.about import ABOUT
from genjax.scaling.claims import judge, judge_learnt
from genjax.scaling.config import DTYPES, Config
from genjax.scaling.figures import FIGURES
from genjax.scaling.timings import CONTROLS, MODES, PARTS, Timings

# A measured peak this many bytes above twice what the compiled program says is noted.
HIDDEN = 3e7


class Job(NamedTuple):
    """What is measured, and the cores that compute it, in words."""

    config: Config
    cores: str


def run(config: Config, folder: str | Path, **how) -> Run:
    """Times, probes and trains what `config` asks for in a folder, or continues there.

    how: `resume`, `writers`, `live`, `compile_cache`, `platform` and `profile` of
    `genjax.run.execute`, which says what is raised.
    """
    return execute(EXPERIMENT, config, folder, **how)


def prepare(config: Config) -> Job:
    """Readies threads and memory. Raises UsageError where a variant cannot be what is asked."""
    cores = sweep.settle(config)
    variants.check(config)
    machine.check_batch(config.parallel, config.batch_size)
    machine.require_memory(memory_needed(config), config)
    return Job(config, cores)


def memory_needed(config: Config) -> dict[str, float]:
    """{flags: bytes, at least} of what no guard of the sweep sees: the transformers.

    Of one task at a time, that of the largest vocabulary.
    """
    if not config.tasks:
        return {}
    length, task = max(config.task_lengths), max(config.tasks, key=config.vocabulary)
    words = config.vocabulary(task)
    named = {"mqar": ", --mqar_tokens", "listops": ""}.get(task, ", --symbols")
    # Of mqar's positions the logits of those that ask are formed.
    asked = config.recall_pairs if task == "mqar" else length
    net = 12.0 * config.depth * config.width**2 + words * config.width
    rows = 4.0 * config.batch_size
    found = {
        # What each block keeps, and logits, in training; and logits of all positions in measuring.
        f"--batch_size, --task_lengths, --width, --depth{named} or --seeds": rows
        * machine.at_once(config.seeds)
        * (length * config.width * config.depth + asked * words),
        f"--task_lengths{named}": 4.0 * training.MEASURED / training.PARTS * length * words,
    }
    most = max(found, key=found.__getitem__)  # One after the other.
    return {
        most: found[most],
        "--task_lengths": 3 * 4.0 * training.TRAINED * length,
        # Weights, two moments and gradients.
        f"--width, --depth{named} or --seeds": 16.0 * config.seeds * net,
        "--steps_per_call, --batch_size or --seeds": rows * config.seeds * config.steps_per_call,
    }


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
    sweep.measure(config, folder, clock)
    with microbenchmark.bound(config.cores), clock.part("train"):
        machine.keep_buffers()
        for label in config.arms():
            learn(config, folder, label)


def doubts(config: Config) -> list[str]:
    """What is likely not meant."""
    said = []
    if len(config.lengths) < fitting.TOP:
        said.append(f"--lengths: claims about growth take {fitting.TOP} or more")
    if config.dtype != "float32" and jax.default_backend() == "cpu":
        said.append(f"--dtype={config.dtype}: a CPU emulates it, times say nothing about it")
    if config.mesh and jax.default_backend() == "cpu":
        said.append(f"--mesh={config.mesh}: devices share a CPU's cores, times are not theirs")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 1.5:
        said.append(f"other work is running (load {load:.1f}): exponents will suffer")
    return said


def learn(config: Config, folder: Folder, label: str) -> None:
    """Trains and measures one transformer; evaluation/<label>.json holds {measure: [seeds]}.

    With the exact one the errors of every variant on the q, k, v that it uses.
    """
    file = f"evaluation/{label}.json"
    found = folder.read_json(file)
    if found is None:
        accuracies = training.tried(config, folder, label)
        if accuracies:
            config = config.replace(learning_rate=config.rates[int(np.argmax(accuracies))])
        trained = training.train(config, folder, label)
        found = dict[str, Any](training.measure(config, trained))
        if accuracies:
            found["rate"], found["tried"] = config.learning_rate, accuracies
        if config.arms()[label].variant == "flash":
            found["captured"] = training.captured_errors(config, trained)
        folder.write_json(file, found)
    say(f"{label}: accuracy {np.mean(found['accuracy']):.3f}")


# --- What is reported ----------------------------------------------------------------------------


def summarize(files: dict, config: Config) -> dict:
    """The room's parts of summary.json, from a run's files."""
    evaluation = files["evaluation"]
    timings = Timings(files["rows"], evaluation)
    rate, learnt = fitting.rates(timings), by_task(evaluation, config)
    points, metrics = {}, {}
    length = reference(timings, config)
    for name in (*config.variants, *CONTROLS, *PARTS):
        for mode in MODES:
            curve = fitting.curve(timings, name, mode, rate, moved(config))
            if curve:
                points[f"{name}/{mode}"], row = curve
                row |= fitting.at_length(timings, name, mode, length)
                metrics |= {f"{name}/{path}": value for path, value in row.items()}
        for measure in ("error", "needles", "reached", "missed", "beyond"):
            values = timings.quality(name, measure)
            if values:
                metrics[f"{name}/{measure}"] = claims.summarize(values, "")
    for width in config.widths:
        values = fitting.overtakes(timings, width)
        if values:
            metrics[f"layer@{width}/overtakes"] = claims.summarize(values, "widths")
    skipped = [f"{p.arm} {p.mode} at {p.length}: {why}" for p, why in timings.skipped.items()]
    setting, processes = evaluation["setting"], len(timings.processes)
    return {
        "data": f"batch {config.batch}, {config.heads} heads of {config.head_dim}, {config.dtype}"
        + (f", positions over {config.shards} devices" if config.mesh else ""),
        "seeds": config.all_seeds if learnt else list(range(config.seed, config.seed + processes)),
        "intervals": f"95% intervals over {processes} fresh processes",
        "arms": list(config.variants),
        "arrays": [],
        "cores": setting["cores"],
        "reference": length,
        "metrics": metrics | learnt_metrics(learnt, config),
        "points": points,
        "skipped": skipped,
        "rates": rate,
        "learnt": learnt,
        "claims": [*judge(timings, config), *judge_learnt(learnt, config)],
        "notes": notes(skipped, points, length, config),
    }


def reference(timings: Timings, config: Config) -> int:
    """The longest length that every variant reached forward, at which all are compared."""
    reached = [{*timings.table(name, "forward")[0].tolist()} for name in config.variants]
    return int(max(set.intersection(*reached), default=0))


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


def learnt_metrics(learnt: dict, config: Config) -> dict:
    """{"variant/measure": figure} of `by_task`."""
    metrics = {}
    for task, lengths in learnt.items():
        for n, found in lengths.items():
            for name, row in found.items():
                path = f"{name}/{task}_accuracy/{n}"
                metrics[path] = claims.summarize(row["accuracy"], "")
                metrics[f"{name}/{task}_seconds/{n}"] = claims.summarize(row["seconds"], "s")
                size = variants.state(config, name, int(n))
                metrics[f"{name}/{task}_state/{n}"] = fitting.figure(size, "numbers a layer")
                if "rate" in row:
                    metrics[f"{name}/{task}_rate/{n}"] = fitting.figure(row["rate"])
                if "accuracy_hard" in row:
                    path = f"{name}/{task}_accuracy_hard/{n}"
                    metrics[path] = claims.summarize(row["accuracy_hard"], "")
            # What no transformer differs in.
            row = next(iter(found.values()))
            for shortcut in ("chance", *listops.SHORTCUTS):
                if shortcut in row:
                    path = f"{shortcut}/{task}_accuracy/{n}"
                    metrics[path] = fitting.figure(row[shortcut][0])
                for other, errors in row.get("captured", {}).items():
                    metrics[f"{other}/captured_error/{task}_{n}"] = claims.summarize(errors, "")
    return metrics


def notes(skipped: list[str], points: dict, length: int, config: Config) -> list[str]:
    """What a reader could take for a claim."""
    lines = [
        f"time_exponent is the mean of the local exponents between the {fitting.TOP} longest "
        "lengths that a variant reached, time_exponent_trend by how much the upper one is larger; "
        "times are those of a process's fastest call, which other work disturbs least.",
        f"milliseconds, predicted and peak are those at {length} positions, as are error, needles "
        "and reached: the share of the needles that a fixed pattern holds.",
        "predicted is the temporary memory and the result by the compiled program, before anything "
        "runs; peak is by how much a process's first call raised its resident memory.",
        "FLOPs are counted from shapes, products alone. XLA's own count (xla_flops) sees the body "
        "of a loop once.",
        "of_matmul is the share of the rate that a product of 1024 x 1024 reached in this run, "
        "of_copy the bytes of q, k, v and the result as a share of its rate of copying.",
        f"{', '.join(OTHER_MODELS)}: models of their own, no approximations of softmax attention; "
        "their error on the same q, k and v says how far they are from it, not how good they are.",
        "sparse_* are causal by definition; linformer's projections and the random features and "
        "rotations are arguments, not gradients, and are untrained in the sweep.",
    ]
    if config.mesh:
        lines.append(
            f"--mesh={config.mesh}: the variants share positions over {config.shards} devices, and "
            "bytes are of one of them, or of a CPU whose cores pass for them; of_matmul, of_copy, "
            "controls and layers are of one device."
        )
    for key, found in points.items():
        lines += [f"{key}: {text}." for text in found["notes"]]
        # Without peaks where the system tells none.
        pairs = zip(found["lengths"], found["predicted_bytes"], found["peak_bytes"], strict=False)
        for n, predicted, peak in pairs:
            if peak and peak > 2 * predicted + HIDDEN:
                lines.append(
                    f"{key} at {n:.0f}: {predicted / 1e6:.0f} MB said, {peak / 1e6:.0f} MB used"
                )
    return [*lines, *(f"Skipped: {text}." for text in skipped)]


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
    about=ABOUT,
)
