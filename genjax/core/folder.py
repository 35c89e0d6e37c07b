"""Run folders: what was asked, the log, checkpoints, measures, the page."""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genjax.core import config as configs
from genjax.core.config import Options
from genjax.core.errors import UsageError

VERSION = 2


class Folder:
    """A run folder: config.json, flags.txt, metrics.jsonl, checkpoints/, evaluation/, arrays/, ...

    experiment: the script's name; room: the module of genjax that made the run and reads it.
    Raises UsageError where the folder cannot be written, or holds another configuration.
    """

    def __init__(
        self,
        path: str | Path,
        config: Options,
        *,
        experiment: str,
        room: str,
        resume: bool = True,
        needed_bytes: float = 0,
    ):
        self.path = Path(path)
        flag = f"--workdir={path}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            present = read_config(self.path)
            if present is None and any(self.path.iterdir()):
                raise UsageError(
                    f"{flag}: the folder holds files, but no run of this version of genjax; name "
                    "an empty or a new one"
                )
            free = shutil.disk_usage(self.path).free
            if free < needed_bytes:
                raise UsageError(
                    f"{flag}: {free / 1e6:.0f} MB free, about {needed_bytes / 1e6:.0f} MB needed"
                )
            if present is None:
                lines = configs.lines(config)
                write_atomically(self.path / "flags.txt", "\n".join(lines) + "\n")
                asked = {"version": VERSION, "experiment": experiment, "room": room}
                self.write_json("config.json", asked | {"config": configs.to_json(config)})
        except OSError as error:
            raise UsageError(f"{flag}: {error.strerror or error}") from error
        if present is not None and not resume:
            raise UsageError(
                f"{flag}: the folder holds a run and --noresume was given; name a new folder"
            )
        if present is not None:
            self._require_same(flag, present, config, experiment)
        self._metrics = self.path / "metrics.jsonl"
        self._metrics.touch()  # A run that trains nothing logs nothing, and is read all the same.
        self._tensorboard = None

    def _require_same(self, flag, present, config, experiment):
        if present["experiment"] != experiment:
            raise UsageError(f"{flag}: the folder holds a run of {present['experiment']}.py")
        # Compared as JSON, in which a tuple is a list.
        asked = json.loads(json.dumps(configs.to_json(config)))
        before = present["config"]
        changed = [key for key in asked | before if asked.get(key) != before.get(key)]
        if changed:
            pairs = [f"--{key}={configs.shown(asked.get(key))}" for key in changed]
            raise UsageError(
                f"{flag}: the folder holds a run of another configuration "
                f"({_difference(pairs)}); name a new folder, or repeat that run's flags"
            )

    def open_tensorboard(self):
        """Also writes TensorBoard event files, in tensorboard/."""
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise UsageError("--tensorboard: needs `pip install tensorboardX`") from error
        self._tensorboard = SummaryWriter(str(self.path / "tensorboard"))

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
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(_finite(content), indent=1) + "\n")

    def read_json(self, name: str) -> dict | None:
        """A JSON file of this folder, or None where it is absent."""
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else None

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Writes an .npz file atomically."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp.npz")
        np.savez_compressed(temporary, **arrays)
        os.replace(temporary, path)


def read_config(path: Path) -> dict | None:
    """What config.json holds: {"version", "experiment", "room", "config"}; None without one."""
    try:
        found = json.loads((path / "config.json").read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{path / 'config.json'}: is damaged: {error}") from error
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise UsageError(f"{path / 'config.json'}: another version of genjax wrote it")
    return found


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
