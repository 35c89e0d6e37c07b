"""Points of a sweep compiled into files: `python -m genjax.scaling.compiling`, a process.

Asked {"config", "points", "folder", "taken"}; answers {"points": [row]}, in which `file` is the
program and `inputs` are the programs of its arguments. A folder that holds them already is not
written to. Processes that share `taken` share the work: each takes the next point that is free.
"""

import functools
import hashlib
import io
import json
import os
import pickle
import tempfile
from pathlib import Path

from jax.experimental import serialize_executable

from genjax.core import config as configs
from genjax.core import environment, machine, platforms
from genjax.scaling import children, sweep
from genjax.scaling.config import Config
from genjax.scaling.microbenchmark import Inputs, facts_of, lower, told
from genjax.scaling.timings import Point

# Of the files: another one finds none of the old.
FORMAT = 2


class Store:
    """Compiled programs in a folder, by what they compute and for which machine and versions.

    taken: an empty folder, in which processes side by side say who compiles what.
    """

    def __init__(self, folder: str | Path, taken: str | Path):
        self.folder, self.taken = Path(folder), Path(taken)
        self.folder.mkdir(parents=True, exist_ok=True)
        described = environment.describe()
        flags = [os.environ.get(name) for name in ("XLA_FLAGS", "NPROC")]
        about = [described["device"], described["versions"], flags, FORMAT]
        self._machine = json.dumps(about).encode()
        self._inputs: dict[str, str] = {}

    def path(self, lowered) -> Path:
        """The file of a lowered program."""
        code = io.BytesIO()
        lowered.compiler_ir().operation.write_bytecode(code)
        return self.folder / f"{hashlib.sha256(self._machine + code.getvalue()).hexdigest()}.bin"

    def keep(self, lowered, facts=None, devices: int = 1, options=None) -> tuple[str, dict]:
        """(file, facts of what was compiled) of a lowered program; compiles what is not there.

        options: of the compiler.
        """
        path = self.path(lowered)
        if path.exists():
            return str(path), pickle.loads(path.read_bytes())[1]
        compiled = lowered.compile(compiler_options=options)
        known = facts(compiled) if facts else {}
        content = pickle.dumps((serialize_executable.serialize(compiled), known, devices))
        # Processes beside this one may make the same program: each writes a file of its own first.
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".tmp", delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)
        return str(path), known

    def keep_inputs(self, inputs: Inputs) -> str:
        """The file of the program that makes arguments of a seed, which no process times.

        Where another process has taken it, the file is there when that one ends.
        """
        if inputs.name not in self._inputs:
            lowered = inputs.lower()
            path = self.path(lowered)
            if self.take(path.name):
                self.keep(lowered, devices=inputs.devices, options=machine.for_one_run())
            self._inputs[inputs.name] = str(path)
        return self._inputs[inputs.name]

    def take(self, name: str) -> bool:
        """Whether this process is the first to ask for what is called so."""
        try:
            (self.taken / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def rows(asked: dict) -> dict:
    """What compiling says of those of the points that no other process was the first to take."""
    config = configs.from_json(Config, asked["config"])
    sweep.settle(config)
    store, made = Store(asked["folder"], asked["taken"]), []
    for point in (Point(*point) for point in asked["points"]):
        if not store.take(str(point)):
            continue
        program = sweep.program(config, point)
        tell = functools.partial(facts_of, program)
        with platforms.products(config.matmul_precision):
            lowered = lower(program)
        file, facts = store.keep(lowered, tell, program.devices)
        # The file may be another variant's that computes the same.
        facts |= told(program)
        inputs = [store.keep_inputs(part) for part in program.inputs]
        made.append({"point": point, "file": file, "inputs": inputs, "facts": facts})
    return {"points": made}


if __name__ == "__main__":
    children.answer(rows)
