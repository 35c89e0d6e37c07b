"""A trained model as a folder of its own: parameters as safetensors, a model card, and back.

export(run, folder, arm, seed)    README.md, model.json, model.safetensors
load(folder)                      what run.model(arm, seed) gives, bit for bit, without the run
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from genjax.core import config as configs
from genjax.core import extras, files
from genjax.core.errors import UsageError, one_line
from genjax.core.files import RECORD
from genjax.report import page
from genjax.report.tables import figure
from genjax.run import Run, experiment_of

VERSION = 1
PARAMS, CARD = "model.safetensors", "README.md"
LICENCE = "apache-2.0"


class Exported:
    """An exported model as one reads it, with the same names as a `Run`."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        content = files.read(self.folder, RECORD)
        if content is None:
            raise UsageError(f"{folder}: no exported model, {RECORD} is missing")
        self.record = files.parse(content, self.folder / RECORD)
        if self.record.get("version") != VERSION:
            raise UsageError(f"{self.folder / RECORD}: another version of genjax wrote it")
        self.experiment = experiment_of(self.folder, self.record)
        self.config = configs.from_json(self.experiment.config, self.record["config"])

    def facts(self) -> dict:
        """What data.json of the run holds."""
        return self.record["facts"]

    def trained(self, arm: str | None = None, seed: int | None = None):
        """(self, the arm, the seed). Raises UsageError where another one is asked for."""
        own = self.record["arm"], self.record["seed"]
        for name, asked, there in zip(("arm", "seed"), (arm, seed), own, strict=True):
            if asked not in (None, there):
                raise UsageError(f"{self.folder}: a model of {name} {there}, not {asked}")
        return self, *own

    def model(self, arm: str | None = None, seed: int | None = None):
        """The functions and parameters.

        Raises UsageError where they are not as they were written, or of another arm or seed.
        """
        _, arm, _ = self.trained(arm, seed)
        import jax
        import jax.numpy as jnp
        from safetensors.numpy import load

        path = self.folder / PARAMS
        if files.checksum(path) != self.record["sha256"]:
            state = "is damaged" if path.exists() else "is missing"
            raise UsageError(f"{path}: {state}; export it anew")
        leaves = load(path.read_bytes()) | {name: {} for name in self.record["empty"]}
        params = jax.tree.map(jnp.asarray, nested(leaves))
        return self.experiment.load(self, arm, self.record["step"], params)


def load(folder: str | Path):
    """The model that `export` wrote: the functions that `run.model(arm, seed)` gave.

    Raises UsageError where there is none, or it is damaged.
    """
    return Exported(folder).model()


def export(
    run: Run,
    folder: str | Path,
    arm: str | None = None,
    seed: int | None = None,
    *,
    licence: str = LICENCE,
) -> Path:
    """Writes a trained model of a run into a folder, and returns it.

    arm, seed: by default the first. licence: of the parameters, as the card says it. Raises
    UsageError where the run has no such model, or the folder holds something else.
    """
    import numpy as np
    from safetensors.numpy import save

    folder = Path(folder)
    if folder.is_file():
        raise UsageError(f"{folder}: is a file; name a folder, empty or new")
    if folder.exists() and not (folder / RECORD).exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: holds something else; name an empty folder, or a new one")
    part, arm, seed = run.trained(arm, seed)
    model = part.model(arm, seed)
    leaves = flat(model.params)
    # What holds nothing, such as the statistics of a net without any, has no place among arrays.
    empty = [name for name, leaf in leaves.items() if isinstance(leaf, Mapping)]
    params = {name: np.asarray(leaf) for name, leaf in leaves.items() if name not in empty}
    content = save(params)
    record = {
        "version": VERSION,
        "experiment": run.experiment.name,
        "room": type(run.config).__module__.split(".")[1],
        "arm": arm,
        "seed": seed,
        "step": model.step,
        "sha256": files.digest(content),
        "empty": empty,
        "config": configs.to_json(part.config),
        "facts": page.read_json(part.folder, "data.json") or {},
    }
    try:
        files.replace(folder / PARAMS, content)
        for name in run.experiment.beside:
            if (part.folder / name).exists():
                shutil.copyfile(part.folder / name, folder / name)
        text = card(run, record, sum(leaf.size for leaf in params.values()), licence)
        files.replace(folder / CARD, text.encode())
        files.replace(folder / RECORD, files.to_json(record))  # Last: it says that all is there.
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {one_line(error)}") from error
    return folder


def flat(tree: Mapping, before: str = "") -> dict:
    """What nested mappings hold by its path, names between slashes: leaves, and empty mappings."""
    found = {}
    for name, value in tree.items():
        inside = isinstance(value, Mapping) and value
        found |= flat(value, f"{before}{name}/") if inside else {f"{before}{name}": value}
    return found


def nested(leaves: Mapping) -> dict:
    """The inverse of `flat`."""
    tree = {}
    for path, leaf in leaves.items():
        *above, name = path.split("/")
        place = tree
        for one in above:
            place = place.setdefault(one, {})
        place[name] = leaf
    return tree


def hub(name: str):
    """huggingface_hub. Raises UsageError where it is not installed."""
    extras.require("hub", f"--push={name}")
    import huggingface_hub

    return huggingface_hub


def push(folder: Path, name: str) -> str:
    """Uploads an exported model to huggingface.co as `name`, owner/model; returns its address.

    Raises UsageError where huggingface_hub is not installed, or the upload is refused.
    """
    api = hub(name).HfApi()
    try:
        address = api.create_repo(name, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[CARD, RECORD, PARAMS, *Exported(folder).experiment.beside],
            commit_message="genjax export",
        )
    # Its errors, and those of the network below it, have no common type but this.
    except Exception as error:
        raise UsageError(f"--push={name}: {one_line(error)}") from error
    return str(address)


# --- The card ------------------------------------------------------------------------------------


def card(run: Run, record: dict, parameters: int, licence: str) -> str:
    """The model card: what it is, figures of the run, how it was made, how to use it."""
    summary = run.summary or {}
    arm, seed = record["arm"], record["seed"]
    made = summary.get("versions", {})
    blocks = [
        f"---\nlicense: {licence}\nlibrary_name: genjax\ntags:\n- jax\n- genjax\n"
        f"- {record['experiment']}\n---",
        f"# {arm}, seed {seed}: {run.experiment.title}",
        f"A model of {parameters:,} parameters after {record['step']:,} steps, exported from a run "
        f"of the experiment `{record['experiment']}` of genjax. Data: "
        f"{summary.get('data', 'see the configuration')}.",
        "## Use",
        '```python\nimport genjax\n\nmodel = genjax.load("<this folder>")\n```',
        "`genjax sample <this folder>` draws from it, where it can be drawn from.",
        "## Figures",
        _figures(summary, arm),
        "## Configuration",
        f"Of the whole run; this model is its arm `{arm}`.",
        f"```json\n{json.dumps(record['config'], indent=1)}\n```",
        "## Made with",
        f"genjax at commit {summary['commit']}, " + ", ".join(f"{k} {v}" for k, v in made.items())
        if summary
        else "The run is not finished.",
        "## Licence",
        f"Parameters: {licence}. That of the data holds beside it.",
    ]
    return "\n\n".join(blocks) + "\n"


def _figures(summary: dict, arm: str) -> str:
    found = {
        path.partition("/")[2]: value
        for path, value in summary.get("metrics", {}).items()
        if path.partition("/")[0] == arm
    }
    if not found:
        return "None were measured."
    seeds = len(summary["seeds"])
    rows = [f"| {name} | {figure(value)} | {value['unit']} |" for name, value in found.items()]
    head = f"Mean and 95% interval over the run's {seeds} seeds, of which this is one."
    return "\n".join([head, "", "| measure | value | unit |", "| --- | --- | --- |", *rows])
