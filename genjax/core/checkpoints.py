"""Orbax checkpoints that notice damage."""

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from genjax.core import files, processes
from genjax.core.errors import NotFinite, UsageError, one_line
from genjax.core.folder import remove

# In a folder of checkpoints, {step: checksum of the files of its arrays}: of what is damaged Orbax
# raises in one thread, and prints tracebacks from others.
SUMS = "sums.json"


class _Kept(np.ndarray):
    """An array that nobody changes: Orbax need not copy it once more before it goes on."""

    def __deepcopy__(self, memo):
        return self


class Checkpoints:
    """Orbax checkpoints of a state, each with a record: checksums of its arrays, whose it is.

    Saving is asynchronous and takes a host copy first, since the step donates its buffers.
    owner: marks what is saved; what another owner saved is damage. '': nobody's, and anybody's is
    read.
    """

    def __init__(self, folder: Path, keep: int = 2, owner: str = ""):
        self.folder, self.owner = folder.absolute(), owner
        self.notes: dict = {}
        self._saving = 0
        self._manager = None
        if processes.rank():
            return  # Process 0 keeps the run folder: it saves for all, and tells what it reads.
        self.folder.mkdir(parents=True, exist_ok=True)  # One process of several may not ask Orbax.
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=False,
            lightweight_initialize=True,  # Metadata may be damaged, too.
            async_options=ocp.AsyncOptions(post_finalization_callback=self._enter),
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=0, active_processes={0}, barrier_sync_key_prefix="genjax"
            )
            if processes.count() > 1
            else ocp.options.MultiprocessingOptions(),
        )
        self._manager = ocp.CheckpointManager(
            self.folder, options=options, item_names=("state", "record")
        )

    def save(self, step: int, state, notes: dict | None = None) -> None:
        """Saves a state under its step, with notes that JSON can hold. Raises NotFinite where a
        parameter is not finite."""
        state = jax.device_get(state)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if not np.isfinite(leaf).all():
                name = jax.tree_util.keystr(path)
                raise NotFinite(f"{name} is not finite at step {step}; the last checkpoint is kept")
        if self._manager is None:
            return
        state = jax.tree.map(lambda leaf: np.array(leaf).view(_Kept), state)
        record = {"owner": self.owner, "step": step, "arrays": _checksums(state)}
        record["notes"] = notes or {}
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            record=ocp.args.JsonSave(record | {"crc32": files.crc32(record)}),
        )
        self._manager.wait_until_finished()
        self._saving = step
        self._manager.save(step, args=items)

    def _enter(self) -> None:
        """Enters the checksum of a checkpoint that is written, and gets its name next."""
        there = [path.name for path in _steps(self.folder)]
        sums = {name: value for name, value in _sums(self.folder).items() if name in there}
        sums.pop(str(self._saving), None)  # Of one that was set aside.
        written = [path / "state" for path in self.folder.glob(f"{self._saving}.*")]
        found = files.checksum(written[0]) if len(written) == 1 else None
        if found:
            sums[str(self._saving)] = found
        files.replace(self.folder / SUMS, json.dumps(sums).encode())

    def restore(
        self,
        like,
        say=print,
        *,
        set_aside: bool = True,
        distrust: Callable[[int, dict], str] = lambda step, notes: "",
    ):
        """(step, state) of the last whole checkpoint, or (0, None); its notes are then in `notes`.

        like: a state of the same structure. distrust: (step, notes) -> why it is of no use, or ''.
        A checkpoint that cannot be read, or is not what its record says, is named through `say`,
        set aside in the run's damaged/ (a checkpoint of another run stays: set_aside=False), and
        the one before it taken.
        """
        found = 0, None, {}
        if self._manager:
            found = self._restore(self._manager, like, say, set_aside, distrust)
        step, state, self.notes = processes.told(found)
        return step, state

    def _restore(self, manager, like, say, set_aside, distrust):
        target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        for source in _steps(self.folder):
            step = int(source.name)
            try:
                _require_whole(source)
                state, notes = self._read(manager, step, target)
                reason = distrust(step, notes)
                if not reason:
                    return step, state, notes
            # Orbax, tensorstore and zstd each raise their own types for a damaged file.
            except Exception as error:
                reason = one_line(error)
            if not set_aside:
                say(f"checkpoint {source} cannot be read ({reason})")
                continue
            aside = self.folder.parent.parent / "damaged"
            aside = aside / f"{self.folder.parent.name}-{self.folder.name}-{step}"
            aside.parent.mkdir(exist_ok=True)
            remove(aside)
            os.replace(source, aside)
            manager.reload()
            say(f"checkpoint {source} is damaged ({reason}); falling back to the one before it")
        return 0, None, {}

    def _read(self, manager, step: int, target):
        found = manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(target), record=ocp.args.JsonRestore()
            ),
        )
        record = _checked(found["record"], step)
        if self.owner not in ("", record["owner"]):
            raise ValueError("another arm, or another run, saved it")
        if record["arrays"] != _checksums(found["state"]):
            raise ValueError("its checksum differs")
        return found["state"], record["notes"]

    def close(self) -> None:
        """Waits for what is still being written."""
        if self._manager is None:
            return
        self._manager.wait_until_finished()
        self._manager.close()


def _steps(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the last first."""
    found = [p for p in folder.glob("*") if p.name.isdecimal() and str(int(p.name)) == p.name]
    return sorted(found, key=lambda p: -int(p.name))


def _sums(folder: Path) -> dict[str, str]:
    try:
        return files.parse((folder / SUMS).read_bytes(), folder / SUMS)
    except (OSError, UsageError):
        return {}  # Killed before it was there, or damaged: the record tells more slowly.


def _require_whole(source: Path):
    known = _sums(source.parent).get(source.name)
    if known not in (None, files.checksum(source / "state")):
        raise ValueError("its files are not as they were written")


def _checked(record: dict, step: int) -> dict:
    record = dict(record)
    if record.pop("crc32", None) != files.crc32(record):
        raise ValueError("the checksum of its record differs")
    if record["step"] != step:
        raise ValueError(f"it was saved at step {record['step']}")
    return record


def _checksums(state) -> dict[str, int]:
    """CRC-32 of each array's bytes, by path. A path is the same where Orbax restores mappings in
    the place of named tuples."""
    return {
        "/".join(str(getattr(k, "name", getattr(k, "key", getattr(k, "idx", k)))) for k in path): (
            zlib.crc32(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def one_seed(every, index: int):
    """The parameters of one seed, of those of all seeds [seeds, ...]."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[index]), every)


def trained(run, arm: str, seed: int) -> tuple[int, dict]:
    """(step, params) of one seed of an arm of a `Run`, at its last checkpoint.

    Raises UsageError where there is none, or it is damaged.
    """
    step, every = last_params(run.folder / "checkpoints" / arm)
    if every is None:
        raise UsageError(f"{run.folder}: no checkpoint of arm {arm} yet")
    return step, one_seed(every, run.config.all_seeds.index(seed))


def last_params(folder: Path) -> tuple[int, dict | None]:
    """(step, params) of the last checkpoint of a training state; (0, None) without one.

    Raises UsageError where that checkpoint is damaged. Nothing is locked, moved or written.
    """
    for source in _steps(folder):
        try:
            _require_whole(source)
            record = json.loads((source / "record" / "metadata").read_bytes())
            known = _checked(record, int(source.name))["arrays"]
            params = ocp.StandardCheckpointer().restore((source / "state").absolute())["params"]
            found = _checksums({"params": params})
            if any(known.get(name) != value for name, value in found.items()):
                raise ValueError("its checksum differs")
        except Exception as error:
            if not source.exists():
                continue  # The run goes on, and has dropped it meanwhile.
            raise UsageError(
                f"{source}: is damaged ({one_line(error)}); the command that made the run mends it"
            ) from error
        return int(source.name), params
    return 0, None
