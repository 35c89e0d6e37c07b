"""Orbax checkpoints that notice damage."""

import os
import shutil
import zlib
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from genjax.core.errors import RunError, one_line


class Checkpoints:
    """Orbax checkpoints of a state, each with a checksum of its arrays.

    Saving is asynchronous and takes a host copy first, since the step donates its buffers.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep)
        self._manager = ocp.CheckpointManager(
            self.folder, options=options, item_names=("state", "checksum")
        )

    def save(self, step: int, state) -> None:
        """Saves a state under its step. Raises RunError where a parameter is not finite."""
        state = jax.tree.map(np.array, jax.device_get(state))
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if not np.isfinite(leaf).all():
                name = jax.tree_util.keystr(path)
                raise RunError(f"{name} is not finite at step {step}; the last checkpoint is kept")
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), checksum=ocp.args.JsonSave(_checksum(state))
        )
        self._manager.save(step, args=items)

    def restore(self, like, say=print, *, set_aside: bool = True):
        """(step, state) of the last whole checkpoint, or (0, None).

        like: a state of the same structure. A checkpoint that cannot be read, or whose arrays do
        not have the checksum that was saved with them, is named through `say`, set aside in
        damaged/ (a checkpoint of another run stays: set_aside=False), and the one before it taken.
        """
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                target = jax.tree.map(np.asarray, like)
                found = self._manager.restore(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(target), checksum=ocp.args.JsonRestore()
                    ),
                )
                if found["checksum"] == _checksum(found["state"]):
                    return step, found["state"]
                reason = "its checksum differs"
            # Orbax, tensorstore and zstd each raise their own types for a damaged file.
            except Exception as error:
                reason = one_line(error)
            source = self.folder / str(step)
            if not set_aside:
                say(f"checkpoint {source} cannot be read ({reason})")
                continue
            aside = self.folder.parent / "damaged" / f"{self.folder.name}-{step}"
            aside.parent.mkdir(exist_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(source, aside)
            self._manager.reload()
            say(f"checkpoint {source} is damaged ({reason}); falling back to the one before it")
        return 0, None

    def close(self) -> None:
        """Waits for what is still being written."""
        self._manager.wait_until_finished()
        self._manager.close()


def _checksum(state) -> dict[str, int]:
    """CRC-32 of each array's bytes, by path."""
    return {
        jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf).tobytes())
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def last_params(folder: Path) -> tuple[int, dict | None]:
    """(step, params) of the last whole checkpoint of a training state; (0, None) without one."""
    steps = sorted((int(p.name) for p in folder.glob("*") if p.name.isdigit()), reverse=True)
    for step in steps:
        found = ocp.StandardCheckpointer().restore((folder / str(step) / "state").absolute())
        return step, found["params"]
    return 0, None
