"""When is O(n^2) visible, what do sparse, low-rank and linear attention save, what do they lose?

Sweeps the length for every variant, forward and backward, interleaved over rounds; fits the
exponents of time and memory; probes what each approximation loses against the exact result; and
ends in tables, log-log pictures and claims (genjax/claims/attention.py):

    python experiments/attention.py --flagfile=experiments/flags/attention_cpu.flags
"""

import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from genjax import attention, claims
from genjax.attention.flash import IMPLEMENTATIONS
from genjax.core import environment, parallel, runs
from genjax.core.errors import UsageError
from genjax.report import page
from genjax.scaling import cases, fitting, lookups, microbenchmark, probes, training
from genjax.scaling.claims import judge, judge_learnt

_VARIANTS = flags.DEFINE_list("variants", list(attention.VARIANTS), "Kinds of attention to sweep.")
_LENGTHS = flags.DEFINE_list(
    "lengths", ["512", "1024", "2048", "4096", "8192", "16384"], "Sequence lengths, ascending."
)
_HEADS = flags.DEFINE_integer("heads", 4, "Heads.", lower_bound=1)
_HEAD_DIM = flags.DEFINE_integer("head_dim", 64, "Size of a head.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 1, "Sequences at once.", lower_bound=1)
_CAUSAL = flags.DEFINE_bool(
    "causal", False, "Positions see those before them alone; the sparse_* variants always do."
)
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ("float32", "bfloat16", "float16"), "Type of q, k and v."
)
_IMPLEMENTATION = flags.DEFINE_enum(
    "implementation", "auto", IMPLEMENTATIONS, "Of flash; auto: cuDNN where it can run."
)
_WINDOW = flags.DEFINE_integer("window", 512, "longformer: both sides together.", lower_bound=2)
_KEEP = flags.DEFINE_integer("keep", 512, "truncated: positions kept.", lower_bound=1)
_DILATION = flags.DEFINE_integer("dilation", 1, "longformer: d.", lower_bound=1)
_GLOBAL = flags.DEFINE_list(
    "global_positions", [], "longformer: positions that see all and are seen by all."
)
_BLOCK = flags.DEFINE_integer("block", 64, "bigbird: b.", lower_bound=1)
_RANDOM = flags.DEFINE_integer("random_blocks", 3, "bigbird: drawn for a block.", lower_bound=0)
_STRIDE = flags.DEFINE_integer(
    "stride", 0, "sparse_*: l; 0: sqrt(n) if strided, 128 if fixed.", lower_bound=0
)
_SUMMARY = flags.DEFINE_integer("summary", 32, "sparse_fixed: c.", lower_bound=1)
_RANK = flags.DEFINE_integer("rank", 256, "linformer: rows k.", lower_bound=1)
_FEATURES = flags.DEFINE_integer("features", 256, "performer: random features m.", lower_bound=1)
_BUCKET = flags.DEFINE_integer("chunk", 64, "reformer: positions a chunk.", lower_bound=1)
_HASHES = flags.DEFINE_integer("hash_rounds", 4, "reformer: rounds.", lower_bound=1)
_WIDTHS = flags.DEFINE_list(
    "widths",
    ["64", "128", "256"],
    "Model widths for claim A6: a layer is timed, and its two halves.",
)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Timings of each point.", lower_bound=2)
_SECONDS = flags.DEFINE_float("seconds", 0.05, "Of calls a timing; at least one.", lower_bound=0.0)
_LONGEST = flags.DEFINE_float(
    "longest", 4.0, "Seconds a call may take; longer ones are predicted and skipped.", 1e-3
)
_MEMORY = flags.DEFINE_float(
    "memory", 0.0, "GB a call may take; 0: three quarters of what is free.", lower_bound=0.0
)
_CORES = flags.DEFINE_string(
    "cores", "", "CPU cores to run on, '0' or '0,1'; one core gives the cleanest exponents."
)
_PEAKS = flags.DEFINE_integer(
    "peaks", 2, "Largest lengths an arm whose peak memory a fresh process measures.", lower_bound=0
)
_PROBE = flags.DEFINE_integer("probe_length", 1024, "Length of the probes.", lower_bound=8)
_TASKS = flags.DEFINE_list(
    "tasks",
    [],
    f"Train transformers of every variant on these, of {', '.join(lookups.TASKS)}; empty: none.",
)
_TASK_LENGTHS = flags.DEFINE_list("task_lengths", ["32", "64", "128"], "Lengths of the tasks.")
_PAIRS = flags.DEFINE_integer("recall_pairs", 8, "recall: keys asked for.", lower_bound=1)
_SYMBOLS = flags.DEFINE_integer("symbols", 16, "Keys, and values, of the tasks.", lower_bound=2)
_WIDTH = flags.DEFINE_integer("width", 64, "Of the transformers.", lower_bound=4)
_DEPTH = flags.DEFINE_integer("depth", 2, "Of the transformers.", lower_bound=1)
_TASK_HEADS = flags.DEFINE_integer("task_heads", 2, "Of the transformers.", lower_bound=1)
_RATE = flags.DEFINE_float("learning_rate", 3e-3, "Adam's, warmed up, then a cosine.", 0.0)
_POINT = flags.DEFINE_string("point", None, "Internal: print one point's peak memory and exit.")
runs.define_flags(steps=1500, batch_size=32)
FLAGS = flags.FLAGS


def main():
    begun = time.monotonic()
    cores = microbenchmark.reserve(_CORES.value)
    if _TASKS.value and not _CORES.value:
        parallel.split_cpu(FLAGS.seeds, FLAGS.batch_size)
    parallel.keep_buffers()
    if _POINT.value:
        arm, mode, length = _POINT.value.split(":")
        environment.enable_compile_cache(FLAGS.compile_cache)
        print(microbenchmark.peak_growth(program(microbenchmark.Point(arm, mode, int(length)))))
        return
    lengths, widths = check_flags()
    clock = environment.CompileClock()
    FLAGS.workdir = FLAGS.workdir or runs.default_workdir("attention")
    environment.enable_compile_cache(FLAGS.compile_cache)
    run = runs.Run(FLAGS.workdir, resume=FLAGS.resume, needed_bytes=5e7)
    if page.finished(run, runs.say):
        return
    if FLAGS.tensorboard:
        run.open_tensorboard()
    for text in doubts():
        runs.say(text)
    measured = microbenchmark.Sweep(
        program,
        run.write,
        [row for row in run.keep(lambda row: True) if "mode" in row],
        memory=_MEMORY.value * 1e9 or 0.75 * parallel.memory_free(),
        longest=_LONGEST.value,
    )
    points = all_points(lengths, widths)
    measured.prepare(points, runs.say)
    if _PEAKS.value:
        measured.peaks_of(largest(measured), peak_command, runs.say)
    # From here on a core of its own: what was done before may use them all.
    microbenchmark.bind(_CORES.value)
    measured.rounds(_ROUNDS.value, _SECONDS.value, runs.say)
    lost = run.read_json("evaluation/probes.json")
    if lost is None:
        lost = probe()
        run.write_json("evaluation/probes.json", lost)
    learnt = train_all(run)
    summary = summarize(measured, lost, learnt, lengths, widths)
    summary |= {
        "experiment": "attention",
        "title": "The cost of self-attention, and what its approximations lose",
        "data": f"batch {_BATCH.value}, {_HEADS.value} heads of {_HEAD_DIM.value}, {_DTYPE.value}",
        "flags": runs.flag_values(),
        "seeds": seeds() if learnt else [],
        "intervals": f"95% intervals over {_ROUNDS.value} rounds of timings",
        "arms": list(_VARIANTS.value),
        "arrays": [],
        "cores": cores,
        "timing": {"compile_s": clock.seconds, "total_s": time.monotonic() - begun}
        | {"cache_hits": clock.hits, "cache_misses": clock.misses},
    } | environment.describe()
    run.write_json("summary.json", summary)
    page.conclude(run, summary, runs.say)


# --- What is asked for ---------------------------------------------------------------------------


def check_flags() -> tuple[list[int], list[int]]:
    """(lengths, widths). Raises UsageError where the sweep cannot be what the flags say."""
    lengths, widths = (_numbers(flag) for flag in (_LENGTHS, _WIDTHS))
    if len(lengths) < 2:
        raise UsageError(f"--lengths={lengths[0]}: an exponent takes two lengths or more")
    if any(b <= a for a, b in zip(lengths, lengths[1:], strict=False)):
        raise UsageError(f"--lengths={','.join(_LENGTHS.value)}: must ascend")
    if _HEAD_DIM.value % 2:
        raise UsageError(f"--head_dim={_HEAD_DIM.value}: even, for the layer's rotary positions")
    for width in widths:
        if width % _HEAD_DIM.value:
            raise UsageError(f"--widths={width}: --head_dim={_HEAD_DIM.value} does not divide it")
    if len(set(_VARIANTS.value)) != len(_VARIANTS.value) or not _VARIANTS.value:
        raise UsageError(f"--variants={','.join(_VARIANTS.value)}: name each once, at least one")
    for name in _VARIANTS.value:
        for length in lengths:
            build(name, length)
        try:
            build(name, _PROBE.value)
        except UsageError as error:
            raise UsageError(f"--probe_length={_PROBE.value}: {error}") from error
    check_tasks()
    return lengths, widths


def check_tasks():
    """Raises UsageError where the tasks, or the transformers for them, cannot be made."""
    for name in _TASKS.value:
        if name not in lookups.TASKS:
            raise UsageError(f"--tasks={name}: unknown; choose from {', '.join(lookups.TASKS)}")
        for length in _numbers(_TASK_LENGTHS):
            options = {key: value for key, value in task_options(name).items() if key != "name"}
            lookups.TASKS[name](1, length, np.random.default_rng(0), **options)
            for variant in _VARIANTS.value:
                try:
                    task_variant(variant, length)
                except UsageError as error:
                    raise UsageError(f"--task_lengths={length}: scaled to it, {error}") from error
    if _WIDTH.value % (2 * _TASK_HEADS.value):
        raise UsageError(
            f"--task_heads={_TASK_HEADS.value}: no even parts of a width of {_WIDTH.value}"
        )
    parallel.check_batch(FLAGS.parallel, FLAGS.batch_size)


def _numbers(flag, least: int = 1) -> list[int]:
    text = f"--{flag.name}={','.join(flag.value)}"
    try:
        numbers = [int(value) for value in flag.value]
    except ValueError as error:
        raise UsageError(f"{text}: whole numbers, separated by commas") from error
    if any(number < least for number in numbers) or not numbers:
        raise UsageError(f"{text}: whole numbers from {least} on, at least one")
    return numbers


def build(name: str, length: int) -> attention.Variant:
    """A variant as the flags want it."""
    options = attention.select(
        name,
        implementation=_IMPLEMENTATION.value,
        dtype=_DTYPE.value,
        window=_WINDOW.value,
        dilation=_DILATION.value,
        global_positions=tuple(_numbers(_GLOBAL, least=0)) if _GLOBAL.value else (),
        block=_BLOCK.value,
        random_blocks=_RANDOM.value,
        keep=_KEEP.value,
        summary=_SUMMARY.value,
        rank=_RANK.value,
        features=_FEATURES.value,
        chunk=_BUCKET.value,
        rounds=_HASHES.value,
        # 0: the variant's own.
        **({"stride": _STRIDE.value} if _STRIDE.value else {}),
    )
    return attention.build(name, length, _HEAD_DIM.value, causal=masked(name), **options)


def masked(name: str) -> bool:
    """Whether the sweep's positions see those before them alone."""
    return _CAUSAL.value or attention.find(name).must_be_causal


def doubts() -> list[str]:
    """What is likely not meant."""
    said = []
    if len(_LENGTHS.value) < 6 or int(_LENGTHS.value[-1]) < 32 * int(_LENGTHS.value[0]):
        said.append("--lengths: fewer than 6 over a range of 32x; exponents will be uncertain")
    if _DTYPE.value != "float32" and jax.default_backend() == "cpu":
        said.append(f"--dtype={_DTYPE.value}: a CPU emulates it, times say nothing about it")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 1.5:
        said.append(f"other work is running (load {load:.1f}): exponents will suffer")
    return said


# --- The programs --------------------------------------------------------------------------------


def all_points(lengths, widths) -> list[microbenchmark.Point]:
    """Calibration rows, the variants, and layers and their halves for A6."""
    machine = {"matmul": fitting.SQUARE, "copy": fitting.COPIED}
    points = [microbenchmark.Point(name, "forward", size) for name, size in machine.items()]
    for name in _VARIANTS.value:
        points += [
            microbenchmark.Point(name, mode, n) for mode in microbenchmark.MODES for n in lengths
        ]
    for width in widths:
        # Around where the count puts the crossing: 4 d, or 6 d with the projections.
        around = [n for n in (width * 2**i for i in range(5)) if n <= lengths[-1]]
        for part in ("attention", "feedforward", "layer"):
            points += [microbenchmark.Point(f"{part}@{width}", "forward", n) for n in around]
    return points


def program(point: microbenchmark.Point) -> microbenchmark.Program:
    """What a point runs."""
    if point.arm == "matmul":
        return cases.product(point.length)
    if point.arm == "copy":
        return cases.copy(point.length)
    if "@" in point.arm:
        part, width = point.arm.split("@")
        make = {
            "attention": cases.half_attention,
            "feedforward": cases.half_feed_forward,
            "layer": cases.layer,
        }[part]
        return make(int(width), point.length, _HEAD_DIM.value)
    shape = (_BATCH.value, point.length, _HEADS.value, _HEAD_DIM.value)
    return cases.of_variant(build(point.arm, point.length), point.mode, shape, _DTYPE.value)


def largest(measured) -> list[microbenchmark.Point]:
    """The largest measured lengths of every variant, forward and backward."""
    found = []
    for name in _VARIANTS.value:
        points = sorted(p for p in measured.facts if p[:2] == (name, "both"))
        found += points[-_PEAKS.value :]
    return found


def peak_command(point: microbenchmark.Point) -> list[str]:
    """The same script for one point, in a process of its own."""
    return microbenchmark.this_script(f"--point={':'.join(map(str, point))}", "--noresume")


# --- What it loses -------------------------------------------------------------------------------


def probe() -> dict:
    """{variant: {measure: value}}: errors and look-ups of each variant against exact attention."""
    found = {}
    for name in _VARIANTS.value:
        variant = build(name, _PROBE.value)
        found[name] = probes.all_of(variant, _PROBE.value, _HEAD_DIM.value, causal=masked(name))
        runs.say(f"probed {name}")
    return found


def task_options(name: str) -> dict:
    if name == "listops":
        return {"name": name}
    options = {"name": name, "symbols": _SYMBOLS.value}
    return options | ({"pairs": _PAIRS.value} if name == "recall" else {})


def task_variant(name: str, length: int) -> attention.Variant:
    """A variant scaled to a task's length, at most as large as the flags say."""
    return training.scaled(
        name,
        length,
        _WIDTH.value // _TASK_HEADS.value,
        window=_WINDOW.value,
        keep=_KEEP.value,
        rank=_RANK.value,
        features=_FEATURES.value,
        chunk=_BUCKET.value,
        rounds=_HASHES.value,
    )


def seeds() -> list[int]:
    return list(range(FLAGS.seed, FLAGS.seed + FLAGS.seeds))


def train_all(run) -> dict:
    """{task: {length: {variant: {measure: [seeds]}}}} of transformers trained on the tasks.

    With them the errors of every variant on q, k, v that an exact transformer uses.
    """
    learnt = {}
    log_every, save_every = runs.intervals(FLAGS.steps, FLAGS.log_every, FLAGS.checkpoint_every)
    for task in _TASKS.value:
        for length in _numbers(_TASK_LENGTHS):
            for name in _VARIANTS.value:
                if name == "full":
                    continue  # What flash computes.
                label = f"{name}-{task}-{length}"
                found = run.read_json(f"evaluation/{label}.json")
                if found is None:
                    found, params, model, fresh = training.train(
                        run,
                        label,
                        task_variant(name, length),
                        task_options(task),
                        length=length,
                        seeds=seeds(),
                        how=parallel.plan(convolutions=False, steps_per_call=FLAGS.steps_per_call),
                        width=_WIDTH.value,
                        depth=_DEPTH.value,
                        heads=_TASK_HEADS.value,
                        steps=FLAGS.steps,
                        batch_size=FLAGS.batch_size,
                        learning_rate=_RATE.value,
                        log_every=log_every,
                        save_every=save_every,
                        mode=FLAGS.parallel,
                        dtype=jnp.dtype(FLAGS.precision),
                    )
                    if name == "flash":
                        found["captured"] = captured_errors(model, params, fresh, length)
                    run.write_json(f"evaluation/{label}.json", found)
                accuracy = np.mean(found["accuracy"])
                runs.say(f"{label}: accuracy {accuracy:.3f}")
                learnt.setdefault(task, {}).setdefault(str(length), {})[name] = found
    return learnt


def captured_errors(model, params, fresh, length) -> dict:
    """{variant: [seeds]} relative errors of the output on a trained transformer's q, k and v."""
    found = {}
    for name in _VARIANTS.value:
        variant = task_variant(name, length)
        found[name] = []
        for i in range(FLAGS.seeds):
            one = jax.tree.map(lambda leaf, i=i: leaf[i], params)
            qkv = model.heads(one, fresh["tokens"][:16])
            found[name].append(probes.error(variant, *qkv, causal=variant.causal))
    return found


# --- Figures -------------------------------------------------------------------------------------


def summarize(measured, lost, learnt, lengths, widths) -> dict:
    """Metrics, claims, notes and the points of the pictures."""
    metrics, points, fits, warned = {}, {}, {}, []
    rate = fitting.rates(measured)
    for name in _VARIANTS.value:
        for mode in microbenchmark.MODES:
            curve = fitting.curve(measured, name, mode, rate, moved())
            if curve is None:
                continue
            points[f"{name}/{mode}"], fits[name, mode], row = curve
            spread = points[f"{name}/{mode}"]["disagreement"]
            if spread > 0.1:
                warned.append(f"{name} {mode}: rounds differ by {spread:.0%} (quartiles)")
            metrics |= {f"{name}/{path}": value for path, value in row.items()}
        metrics |= {
            f"{name}/{path}": fitting.figure(value) for path, value in lost.get(name, {}).items()
        }
    for task, lengths_ in learnt.items():
        for n, variants in lengths_.items():
            for name, row in variants.items():
                path = f"{name}/{task}_accuracy/{n}"
                metrics[path] = claims.summarize(row["accuracy"], "")
                metrics[f"{name}/{task}_seconds/{n}"] = claims.summarize(row["seconds"], "s")
                for other, errors in row.get("captured", {}).items():
                    metrics[f"{other}/captured_error/{task}_{n}"] = claims.summarize(errors, "")
    skipped = [f"{p.arm} {p.mode} at {p.length}: {why}" for p, why in measured.skipped.items()]
    crossings = fitting.layers(measured, widths)
    unmasked = [name for name in _VARIANTS.value if not attention.find(name).can_be_causal]
    return {
        "metrics": metrics,
        "points": points,
        "skipped": skipped,
        "crossings": crossings,
        "rates": rate,
        "learnt": learnt,
        "claims": judge(
            fits,
            points,
            lost,
            crossings,
            lengths=len(_LENGTHS.value),
            root_stride=not _STRIDE.value,
            lookups=_PROBE.value,
        )
        + judge_learnt(learnt, unmasked),
        "notes": notes(skipped, warned, points),
    }


def moved() -> float:
    """Bytes of a position of q, k, v and the result."""
    size = jnp.dtype(_DTYPE.value).itemsize
    return 4.0 * _BATCH.value * _HEADS.value * _HEAD_DIM.value * size


def notes(skipped, warned, points) -> list[str]:
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
    for key, found in points.items():
        lines += [f"{key}: {text}." for text in found["notes"]]
        pairs = zip(found["lengths"], found["temp_bytes"], found["rss_bytes"], strict=True)
        for length, temp, rss in pairs:
            if rss and rss > 2 * temp + 3e7:
                lines.append(
                    f"{key} at {length:.0f}: {temp / 1e6:.0f} MB said, {rss / 1e6:.0f} MB used"
                )
    return lines + [f"Skipped: {text}." for text in skipped] + [f"Unsteady: {w}." for w in warned]


if __name__ == "__main__":
    runs.launch(main)
