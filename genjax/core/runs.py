"""Run folders: shared flags, the files of a run, progress, and how a run ends."""

import contextlib
import errno
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from absl import app, flags, logging
from tqdm import tqdm

from genjax.core import loop, order, parallel
from genjax.core.checkpoints import Checkpoints
from genjax.core.errors import RunError, UsageError, one_line

# What `define_flags` defines counts as the calling script's own.
flags.disclaim_key_flags()

# These may differ between a run and its continuation.
FREE_FLAGS = ("workdir", "resume", "compile_cache", "tensorboard", "tfds_dir", "tfds_manual_dir")


def define_run_flags() -> None:
    """Defines the flags of a run folder; they are listed under the calling script."""
    flags.DEFINE_string(
        "workdir", None, "Folder of the run. Default: runs/<experiment>/<name of the flagfile>."
    )
    flags.DEFINE_bool(
        "resume",
        True,
        "Continue the run that --workdir holds, if its flags are the same. --noresume refuses a "
        "folder that holds a run.",
    )
    flags.DEFINE_string(
        "compile_cache",
        "",
        "Folder of compiled programs, kept between runs. Default: genjax in the user's cache "
        "directory. 'off': none.",
    )


def define_flags(steps: int, batch_size: int) -> None:
    """Defines those, and the flags that all training shares."""
    define_run_flags()
    flags.DEFINE_integer("seeds", 3, "Independent replicas, one compiled program.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "The first seed; the others follow.", lower_bound=0)
    flags.DEFINE_integer("steps", steps, "Training steps.", lower_bound=1)
    flags.DEFINE_integer("batch_size", batch_size, "Examples a step.", lower_bound=1)
    flags.DEFINE_integer(
        "steps_per_call",
        0,
        "Steps inside one compiled call. 0: 100 on CPU, 1 there with convolutions, else 1000.",
        lower_bound=0,
    )
    flags.DEFINE_enum(
        "parallel",
        "jit",
        parallel.MODES,
        "How devices share the work: shardings under jit, or pmap.",
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        ("float32", "bfloat16"),
        "Type of the networks' products; parameters, densities and sums stay float32.",
    )
    flags.DEFINE_integer(
        "log_every",
        0,
        "Steps a line of metrics.jsonl. 0: a fiftieth of --steps, or each evaluation.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "checkpoint_every",
        0,
        "Steps between checkpoints, rounded up to a multiple of --log_every. 0: a tenth of all.",
        lower_bound=0,
    )
    flags.DEFINE_bool("tensorboard", False, "Write TensorBoard files too (needs tensorboardX).")


def looks(steps: int, evaluations: int, log_every: int) -> tuple[int, int]:
    """(log_every, steps between evaluations), the second a multiple; log_every 0: the same."""
    every = max(1, steps // evaluations)
    log_every = log_every or every
    return log_every, -(-every // log_every) * log_every


def intervals(steps: int, log_every: int, checkpoint_every: int) -> tuple[int, int]:
    """(log_every, checkpoint_every) with the defaults filled in, the second a multiple."""
    log_every = log_every or max(1, steps // 50)
    checkpoint_every = checkpoint_every or max(1, steps // 10)
    return log_every, -(-checkpoint_every // log_every) * log_every


def launch(main) -> None:
    """Runs main() under absl: exit code 0 done, 2 bad input (one line), 1 a failed run."""

    def parse(argv):
        try:
            rest = flags.FLAGS(argv)
        except (flags.Error, UnicodeDecodeError) as error:
            _die(2, str(error).split("\n")[0])
        if len(rest) > 1:
            _die(2, f"unexpected argument {rest[1]!r}: flags are written --name=value")
        return rest

    def guarded(argv):
        del argv
        logging.set_verbosity(logging.FATAL)  # What matters is raised, and said in one line.
        parallel.tune_cpu()
        try:
            main()
        except UsageError as error:
            _die(2, str(error))
        except RunError as error:
            _die(1, str(error))
        except KeyboardInterrupt:
            _die(1, "interrupted; the same command continues from the last checkpoint")
        except Exception as error:
            if not _storage_failed(error):
                raise
            _die(2, f"--workdir={flags.FLAGS.workdir}: cannot be written: {one_line(error)}")

    app.run(guarded, flags_parser=parse)


def _die(code: int, message: str):
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    raise SystemExit(code)


def _storage_failed(error: BaseException) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
    if isinstance(error, OSError):
        return error.errno in codes
    # Orbax and tensorstore report the system's error as text.
    return any(os.strerror(code) in str(error) for code in codes)


def _script_flags() -> list[flags.Flag]:
    key_flags = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return [f for f in key_flags if f.name not in FREE_FLAGS]


def flag_values() -> dict:
    """The script's own flags by name, without those that name places."""
    return {f.name: f.value for f in _script_flags()}


def flag_lines() -> list[str]:
    """The same as lines of a flagfile."""
    # A flag that may be repeated serialises to a line each.
    return sorted(line for f in _script_flags() for line in f.serialize().splitlines())


def default_workdir(experiment: str) -> str:
    """runs/<experiment>/<name of the last flagfile>, or .../default."""
    names = [
        arg.split("=", 1)[1] for arg in sys.argv[1:] if arg.lstrip("-").startswith("flagfile=")
    ]
    return str(Path("runs") / experiment / (Path(names[-1]).stem if names else "default"))


class Run:
    """A run folder: flags.txt, metrics.jsonl, checkpoints/, summary.json, plots/, report.html.

    Raises UsageError where the folder cannot be written, or holds another configuration.
    """

    def __init__(self, folder: str, *, resume: bool, needed_bytes: int = 0):
        self.folder = Path(folder)
        flag = f"--workdir={folder}"
        lines = flag_lines()
        path = self.folder / "flags.txt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            present = path.read_text().splitlines() if path.exists() else None
            if present is None and any(self.folder.iterdir()):
                raise UsageError(
                    f"{flag}: the folder holds files, but no run; name an empty or a new one"
                )
            free = shutil.disk_usage(self.folder).free
            if free < needed_bytes:
                raise UsageError(
                    f"{flag}: {free / 1e6:.0f} MB free, about {needed_bytes / 1e6:.0f} MB needed"
                )
            if present is None:
                write_atomically(path, "\n".join(lines) + "\n")
        except OSError as error:
            raise UsageError(f"{flag}: {error.strerror or error}") from error
        if present is not None and not resume:
            raise UsageError(
                f"{flag}: the folder holds a run and --noresume was given; name a new folder"
            )
        if present is not None and present != lines:
            changed = sorted(set(lines) ^ set(present))
            raise UsageError(
                f"{flag}: the folder holds a run of another configuration "
                f"({_difference(changed)}); name a new folder, or repeat that run's flags"
            )
        self._metrics = self.folder / "metrics.jsonl"
        self._metrics.touch()  # A run that trains nothing logs nothing, and is read all the same.
        self._tensorboard = None

    def open_tensorboard(self):
        """Also writes TensorBoard event files, in tensorboard/."""
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise UsageError("--tensorboard: needs `pip install tensorboardX`") from error
        self._tensorboard = SummaryWriter(str(self.folder / "tensorboard"))

    def write(self, arm: str, rows: list[dict]) -> None:
        """Appends rows to metrics.jsonl, whole lines at once."""
        text = "".join(json.dumps({"arm": arm} | row) + "\n" for row in rows)
        with self._metrics.open("a") as file:
            file.write(text)
        if self._tensorboard:
            for row in rows:
                if "seed" not in row:
                    continue  # A timing: no curve over steps.
                for name, value in row.items():
                    if name not in ("seed", "step"):
                        tag = f"{arm}/seed{row['seed']}/{name}"
                        self._tensorboard.add_scalar(tag, value, row["step"])

    def rows(self) -> list[dict]:
        """The whole lines of metrics.jsonl."""
        rows = []
        if self._metrics.exists():
            for line in self._metrics.read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    rows.append(json.loads(line))
        return rows

    def forget_after(self, arm: str, step: int) -> None:
        """Drops an arm's rows of later steps, and a line cut short: what a killed run left."""
        self.keep(lambda row: row["arm"] != arm or row["step"] <= step)

    def keep(self, wanted: Callable) -> list[dict]:
        """Drops the rows that are not wanted, and a line cut short; returns what is left."""
        kept = [row for row in self.rows() if wanted(row)]
        if self._metrics.exists():
            write_atomically(self._metrics, "".join(json.dumps(row) + "\n" for row in kept))
        return kept

    def write_json(self, name: str, content: dict) -> None:
        """Writes a JSON file atomically; numbers that are not finite become null."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(_finite(content), indent=1) + "\n")

    def read_json(self, name: str) -> dict | None:
        """A JSON file of this folder, or None where it is absent."""
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else None

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Writes an .npz file atomically."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp.npz")
        np.savez_compressed(temporary, **arrays)
        os.replace(temporary, path)


def _difference(changed: list[str]) -> str:
    shown = ", ".join(changed[:4])
    return shown + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def write_atomically(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def train(
    run: Run,
    name: str,
    step: Callable,
    init: Callable,
    arrays: dict[str, np.ndarray],
    *,
    seeds: list[int],
    steps: int,
    batch_size: int,
    log_every: int,
    save_every: int,
    how: parallel.Plan,
    mode: str = "jit",
    validate: Callable | None = None,
    validate_every: int = 0,
    status: Callable[[], str] = str,
    take: Callable = parallel.take,
    batches: Callable | None = None,
    compiled: parallel.Compiled | None = None,
    state=None,
):
    """Trains all seeds of one thing in a run folder, or continues it; the state on the host.

    init: key -> state of one seed. validate: state -> {metric: [seeds]}, every `validate_every`
    steps (0: with each checkpoint). status: what the line of progress adds. take: how a batch is
    read. batches: (first, count) -> index [count, seeds, batch, ...]; by default every epoch a
    permutation of the arrays' rows, each seed's own. compiled: a step compiled before, which takes
    the place of `step`, `arrays` and `take`; state: a host state to begin with, in place of `init`.
    The state's leaves are [seeds, ...].
    """
    compiled = compiled or parallel.compile_step(
        step, arrays, seeds, batch_size, mode=mode, how=how, take=take
    )
    if state is None:
        keys = jax.vmap(jax.random.key)(np.asarray(seeds))
        state = jax.device_get(jax.jit(jax.vmap(init))(keys))
    if batches is None:
        batches = order.batches(seeds, len(next(iter(arrays.values()))), batch_size)
    checkpoints = Checkpoints(run.folder / "checkpoints" / name)
    start, found = checkpoints.restore(state, say)
    run.forget_after(name, start)
    progress = Progress(name, steps, start, status=status)
    try:
        state = loop.fit(
            compiled,
            compiled.place(found if start else state),
            steps=steps,
            seeds=seeds,
            batches=batches,
            start=start,
            log_every=log_every,
            write=lambda rows: run.write(name, rows),
            progress=progress,
            save_every=save_every,
            save=checkpoints.save,
            validate_every=validate_every or save_every,
            validate=validate,
        )
    finally:
        progress.close()
        checkpoints.close()
    return jax.device_get(state)


class Progress:
    """A bar on a terminal; elsewhere a line every few seconds: steps, rate, time left, loss."""

    def __init__(
        self,
        label: str,
        steps: int,
        start: int = 0,
        every: float = 5.0,
        status: Callable[[], str] = str,
    ):
        self.label, self.steps, self.start, self.every = label, steps, start, every
        self.status = status
        self.begun = self.last = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            self.bar = tqdm(total=steps, initial=start, desc=label, unit="step", leave=True)

    def __call__(self, step: int, metrics: dict[str, np.ndarray]) -> None:
        loss = float(np.mean(metrics["loss"]))
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss={loss:.4g}{self._more()}", refresh=False)
            self.bar.update(step - self.bar.n)
            return
        now = time.monotonic()
        if now - self.last >= self.every or step == self.steps:
            self.last = now
            rate = (step - self.start) / max(now - self.begun, 1e-9)
            left = (self.steps - step) / max(rate, 1e-9)
            say(
                f"{self.label}: step {step}/{self.steps}, {rate:.0f}/s, {left:.0f} s left, "
                f"loss {loss:.4g}{self._more()}"
            )

    def _more(self):
        text = self.status()
        return f", {text}" if text else ""

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()


def say(text: str) -> None:
    """A line for the person who waits, on stderr, out of the way of a progress bar."""
    tqdm.write(text, file=sys.stderr)
