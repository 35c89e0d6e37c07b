"""Run folders: what was asked, the log, checkpoints, measures, the page; one process at a time."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import filelock
import numpy as np

from genjax.core import config as configs
from genjax.core import files
from genjax.core import rows as log
from genjax.core.config import Options
from genjax.core.errors import UsageError
from genjax.core.files import Manifest
from genjax.core.progress import Job, say
from genjax.core.writers import Writers

VERSION = 2
LOCK, PID = ".lock", ".pid"


class Folder:
    """A run folder: config.json, flags.txt, metrics.jsonl, checkpoints/, evaluation/, arrays/, ...

    experiment: the script's name; room: the module of genjax that made the run and reads it. Held
    by one process until `close`. A file that is not as it was written is named and set aside in
    damaged/, and with it the summary and its arm's evaluation/<arm>.json, so that they are computed
    again. Raises UsageError where the folder cannot be written, is in use, or holds another
    configuration.
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
        self.at_checkpoint: Callable = lambda: None
        self.spent: Callable = lambda work: None
        self.job = Job({})
        self.writers = Writers()
        # How training goes about it: the precision of its products, steps that are traced.
        self.products, self.profile = "highest", 0
        self._flag, self._training = f"--workdir={path}", None
        self._metrics = self.path / "metrics.jsonl"
        self._digest = configs.digest(config)
        asked = {"version": VERSION, "experiment": experiment, "room": room}
        asked["config"] = json.loads(json.dumps(configs.to_json(config)))  # Tuples become lists.
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            present = self._holds(asked, resume)  # Refused before anything is written.
            free = shutil.disk_usage(self.path).free
            if free < needed_bytes:
                raise UsageError(
                    f"{self._flag}: {free / 1e6:.0f} MB free, about {needed_bytes / 1e6:.0f} MB "
                    "needed"
                )
            self._lock = self._acquire()
            try:
                self._open(asked, present or self._holds(asked, resume), config)
            except BaseException:
                self.close()
                raise
        except (FileExistsError, NotADirectoryError) as error:
            file = next(p for p in (self.path, *self.path.parents) if p.exists())
            raise UsageError(
                f"{self._flag}: {configs.shown(file)} is a file; name a folder, new or a run's"
            ) from error
        except OSError as error:
            raise UsageError(f"{self._flag}: {error.strerror or error}") from error

    def close(self) -> None:
        """Lets another process have the folder."""
        self.job.close()
        self.writers.close()
        self._lock.release()

    def _acquire(self):
        lock = filelock.FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=1)  # By then one that began at the same time has said who it is.
        except filelock.Timeout as error:
            pid = (self.path / PID).read_bytes() if (self.path / PID).exists() else b""
            who = f"process {pid.decode()}" if pid.isdigit() else "another process"
            raise UsageError(f"{self._flag}: {who} is working in this folder") from error
        # Not in the lock's own file: some versions of filelock empty it before they have it.
        (self.path / PID).write_text(str(os.getpid()))
        return lock

    def _holds(self, asked: dict, resume: bool) -> bool:
        """Whether the folder holds the run that is asked for; UsageError where something else."""
        path = self.path / "config.json"
        # Looked at first: another process may be writing its first files right now.
        others = [p.name for p in self.path.iterdir() if p.name not in (LOCK, PID)]
        try:
            manifest = Manifest.read(self.path)
        except UsageError:
            manifest = None
        sums = manifest.files.get("config.json", []) if manifest else []
        same = files.digest(files.to_json(asked)) in sums
        if not same and not path.exists():
            begun = manifest is not None and None in sums  # Killed before config.json was there.
            if begun or all(name[0] == "." and name.endswith(".tmp") for name in others):
                return False
            raise UsageError(
                f"{self._flag}: the folder holds files, but no run of this version of genjax; name "
                "an empty or a new one"
            )
        if not same:
            content = files.read(self.path, "config.json") if manifest else path.read_bytes()
            self._require_same(parse_config(path, content or b""), asked)
        if not resume:
            raise UsageError(
                f"{self._flag}: the folder holds a run and --noresume was given; name a new folder"
            )
        return path.exists() or None not in sums

    def _require_same(self, present: dict, asked: dict):
        if present["experiment"] != asked["experiment"]:
            raise UsageError(f"{self._flag}: the folder holds a run of {present['experiment']}.py")
        asked, before = asked["config"], present["config"]
        changed = [key for key in asked | before if asked.get(key) != before.get(key)]
        if changed:
            pairs = [configs.typed(key, asked.get(key)) for key in changed]
            raise UsageError(
                f"{self._flag}: the folder holds a run of another configuration "
                f"({_difference(pairs)}); name a new folder, or repeat that run's flags"
            )

    # --- What is damaged -------------------------------------------------------------------------

    def _open(self, asked: dict, present: bool, config: Options):
        flags = ("\n".join(configs.lines(config)) + "\n").encode()
        same = {"config.json": files.to_json(asked), "flags.txt": flags}
        self._manifest = Manifest(self.path)
        if present:
            again = self._missing_manifest() | self._damaged_files(same) | self._damaged_rows()
            for name in sorted(again):
                self._forget(f"evaluation/{name}.json", "computed again with it")
            if again:
                self._forget("summary.json", "computed again with it")
        for name, content in same.items():
            self._manifest.put(name, content)
        self._manifest.save()
        self._metrics.touch()  # A run that trains nothing logs nothing, and is read all the same.

    def _missing_manifest(self) -> set[str]:
        """Reads the manifest. Without one nothing vouches for what was measured."""
        reason = "is missing"
        try:
            found = Manifest.read(self.path)
        except UsageError:
            found, reason = None, "is damaged"
        if found is not None:
            self._manifest = found
            return set()
        say(f"{self.path / files.MANIFEST}: {reason}; everything measured is computed again")
        for name in (files.MANIFEST, "evaluation", "data.json", "timing.json"):
            self._forget(name)
        return {"manifest"}

    def _damaged_files(self, same: dict[str, bytes]) -> set[str]:
        """Sets aside what is not as the manifest says; the arms whose measures that concerns."""
        again = set()
        for name, sums in list(self._manifest.files.items()):
            found = files.checksum(self.path / name)
            if found in sums:
                self._manifest.files[name] = [found]
                if found is None:
                    del self._manifest.files[name]
                continue
            state = "is missing" if found is None else "is damaged"
            cure = "computed again"
            if name == "timing.json":
                cure = "the time of earlier attempts is lost"
            elif name in same:
                cure = "written again"
            else:
                again.add(_owner(name))
            say(f"{self.path / name} {state}; {cure}")
            self._aside(name)
            if name in same or name == "timing.json":
                del self._manifest.files[name]
        return again

    def _damaged_rows(self) -> set[str]:
        """Drops damaged lines of the log; the finished arms of which rows are missing."""
        content = self._metrics.read_bytes() if self._metrics.is_file() else b""
        rows, damaged = log.decode(content)
        # Training makes the folder before its first row: other names were changed on the disk.
        arms = {*self._manifest.rows, *(p.name for p in (self.path / "checkpoints").glob("*"))}
        found = len(rows)
        rows = [row for row in rows if "seed" not in row or row["arm"] in arms]
        damaged += found - len(rows)
        again = {
            arm
            for arm, seal in self._manifest.rows.items()
            if log.digest(row for row in rows if row["arm"] == arm) != seal
        }
        if damaged:
            say(f"{self._metrics}: {damaged} damaged or doubled lines, left out")
        for arm in sorted(again):
            say(f"{self._metrics}: rows of {arm} are damaged or missing; computed again")
            del self._manifest.rows[arm]
        if damaged or again:
            self._aside("metrics.jsonl")
        whole = b"".join(map(log.encode, rows))
        if again or content != whole:  # A kill leaves a line cut short: dropped without a word.
            files.replace(self._metrics, whole)
        return again

    def _aside(self, name: str):
        source, target = self.path / name, self.path / "damaged" / name.replace("/", "-")
        if source.exists():
            target.parent.mkdir(exist_ok=True)
            remove(target)
            os.replace(source, target)

    def _forget(self, name: str, why: str = ""):
        if why and (self.path / name).exists():
            say(f"{self.path / name}: {why}")
        self._aside(name)
        self._manifest.files.pop(name, None)

    # --- Training --------------------------------------------------------------------------------

    def owner(self, name: str) -> str:
        """What a checkpoint of an arm of this run is marked with."""
        return f"{self._digest}/{name}"

    def distrust(self, arm: str, step: int, notes: dict) -> str:
        """Why training cannot go on from a checkpoint: rows or files up to it are not whole; ''
        where they are. notes: what `notes` returned when it was saved."""
        rows = self._training_rows(arm, step)
        if log.digest(rows) != notes["rows"]:
            return "rows of metrics.jsonl up to it are damaged or missing"
        for name, known in notes["files"].items():
            if files.checksum(self.path / name) != known:
                return f"{name} is damaged or missing"
        return ""

    def begin(self, arm: str, step: int, notes: dict, *, done: bool) -> None:
        """Training of an arm goes on after `step`: its later rows are forgotten. done: it was at
        its end already."""
        self.forget_after(arm, step)
        self._training = {"arm": arm, "rows": log.digest(self._training_rows(arm, step))}
        self._training["files"] = dict(notes.get("files", {}))
        if not done and self._manifest.rows.pop(arm, None):
            self._manifest.save()

    def notes(self) -> dict:
        """What vouches for the rows and files of the arm in training, for its checkpoint."""
        with self._metrics.open("rb") as file:
            os.fsync(file.fileno())
        training = self._training
        assert training is not None
        return {"rows": training["rows"], "files": dict(training["files"])}

    def end(self, *done: str) -> None:
        """Training of an arm is over, or was interrupted. done: the files and folders that it
        leaves; none where it is not at its end."""
        training, self._training = self._training, None
        if done:
            assert training is not None
            before = json.dumps([self._manifest.files, self._manifest.rows])
            for name, known in training["files"].items():
                self._manifest.files[name] = [known]
            for name in done:
                self._manifest.files[name] = [files.checksum(self.path / name)]
            self._manifest.rows[training["arm"]] = training["rows"]
            if json.dumps([self._manifest.files, self._manifest.rows]) != before:
                self._manifest.save()

    def enter(self, name: str) -> None:
        """Enters a file, or a folder such as a checkpoint, that something else wrote."""
        self._manifest.files[name] = [files.checksum(self.path / name)]
        self._manifest.save()

    def seal(self) -> None:
        """Enters the rows of all arms: from now on a row that is missing is noticed."""
        rows = self.rows()
        arms = dict.fromkeys(row["arm"] for row in rows)
        self._manifest.rows = {
            arm: log.digest(row for row in rows if row["arm"] == arm) for arm in arms
        }
        self._manifest.save()

    def _training_rows(self, arm: str, step: int) -> list[dict]:
        rows = (row for row in self.rows() if row["arm"] == arm)
        return [row for row in rows if "seed" not in row or row["step"] <= step]

    # --- Rows ------------------------------------------------------------------------------------

    def write(self, arm: str, rows: list[dict]) -> None:
        """Appends rows to metrics.jsonl, whole lines at once, and hands them to `writers`."""
        rows = [{"arm": arm} | row for row in rows]
        with self._metrics.open("ab", buffering=0) as file:
            file.write(b"".join(map(log.encode, rows)))
        if self._training and self._training["arm"] == arm:
            self._training["rows"] = log.digest(rows, self._training["rows"])
        self.writers.write(arm, rows)

    def rows(self) -> list[dict]:
        """The whole lines of metrics.jsonl."""
        return log.decode(self._metrics.read_bytes())[0]

    def forget_after(self, arm: str, step: int) -> None:
        """Drops an arm's rows of later steps: what a killed run left. No row is of step 0."""
        self.keep(lambda row: row["arm"] != arm or "seed" not in row or 0 < row["step"] <= step)

    def keep(self, wanted: Callable) -> list[dict]:
        """Drops the rows that are not wanted; returns what is left."""
        rows = self.rows()
        kept = [row for row in rows if wanted(row)]
        if len(kept) < len(rows):
            files.replace(self._metrics, b"".join(map(log.encode, kept)))
        return kept

    # --- Files -----------------------------------------------------------------------------------

    def write_json(self, name: str, content: dict) -> None:
        """Writes a JSON file whole; numbers that are not finite become null."""
        self._put(name, files.to_json(content))

    def read_json(self, name: str) -> dict | None:
        """A JSON file of this folder, or None where it is absent."""
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else None

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Writes an .npz file whole."""
        buffer = io.BytesIO()
        # The stubs take any keyword for `allow_pickle`.
        np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]
        self._put(name, buffer.getvalue())

    def write_timing(self, content: dict) -> None:
        """Writes timing.json, which no checkpoint vouches for."""
        self._manifest.put("timing.json", files.to_json(content))

    def _put(self, name: str, content: bytes):
        if self._training is None:
            self._manifest.put(name, content)
            return
        # The next checkpoint vouches for it; the manifest takes it when training has ended.
        files.replace(self.path / name, content)
        self._training["files"][name] = files.digest(content)


def _owner(name: str) -> str:
    """The arm, or what else, that a file belongs to: its name, or its folder's in arrays/ etc."""
    parts = PurePosixPath(name).parts
    last = parts[min(1, len(parts) - 1)]
    return PurePosixPath(last).stem if len(parts) == 2 and "." in last else last


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_config(path: Path) -> dict | None:
    """What config.json holds: {"version", "experiment", "room", "config"}; None without one."""
    content = files.read(path, "config.json")
    return None if content is None else parse_config(path / "config.json", content)


def parse_config(path: Path, content: bytes) -> dict:
    """The same from the file's content. Raises UsageError for what is none."""
    found = files.parse(content, path)
    whole = isinstance(found.get("config"), dict) and isinstance(found.get("experiment"), str)
    if found.get("version") != VERSION or not whole:
        raise UsageError(f"{path}: another version of genjax wrote it")
    return found


def _difference(changed: list[str]) -> str:
    shown = ", ".join(changed[:4])
    return shown + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")
