"""Publishing a run: results/<flagfile>.json, and the pages that quote results."""

import datetime
import shutil
from collections.abc import Sequence
from pathlib import Path

from genjax.core import shipped
from genjax.core.errors import UsageError
from genjax.report import published

ROOT = Path(__file__).parent.parent
# {flagfile: {figure of its run: the picture in docs/}}.
PICTURES = {
    "vae_digits": {"samples": "samples"},
    "vae_fashion": {"samples": "samples_fashion"},
    "vae_fashion_conv": {"samples": "samples_fashion_conv"},
    "gan_ring": {"samples": "gan_samples", "curves": "gan_curves", "landscape": "gan_landscape"},
    "gan_flow": {"samples": "gan_flow"},
    "attention_cpu": {
        "time": "attention_time",
        "tradeoff": "attention_tradeoff",
        "parts": "attention_parts",
    },
    "attention_mqar": {"states": "attention_states"},
    "domains_grid": {
        "diversity": "domains_diversity",
        "front": "domains_front",
        "curves": "domains_curves",
    },
    "domains_ladder": {"ladder": "domains_ladder"},
}


def publish(flagfile: str, folders: Sequence[str]):
    """Writes results/<flagfile>.json of a finished run, its pictures in docs/, and the pages that
    quote results anew."""
    if shipped.INSTALLED:
        raise UsageError(f"--publish={flagfile}: for a checkout, where the pages are")
    from genjax.core import config as configs
    from genjax.core import flags
    from genjax.run import Run

    if len(folders) > 1:
        raise UsageError(f"--publish={flagfile}: one run, not {len(folders)}")
    run = Run(folders[0])
    if run.summary is None:
        raise UsageError(f"{run.folder}: no finished run, summary.json is missing")
    if run.summary["commit"].endswith("-dirty"):
        raise UsageError(
            f"--publish={flagfile}: {run.folder} is of {run.summary['commit']}, code that nobody "
            "can look up; commit it and run again"
        )
    path = shipped.FLAGFILES / f"{flagfile}.flags"
    made = flags.parse(type(run.config), run.experiment.name, [f"--flagfile={path}"]).config
    if configs.digest(made) != configs.digest(run.config):
        raise UsageError(f"--publish={flagfile}: {run.folder} was made by other flags")
    room = type(run.config).__module__.split(".")[1]
    today = datetime.date.today().isoformat()
    copy_pictures(run.folder, flagfile)
    found = published.publish(run.summary, flagfile, room, today)
    (shipped.RESULTS / f"{flagfile}.json").write_text(published.text(found))
    for page_ in pages():
        page_.write_text(published.fill(page_.read_text(), shipped.RESULTS))


def copy_pictures(folder: Path, flagfile: str, docs: Path = ROOT / "docs") -> None:
    """The pictures of a run that pages show. Raises UsageError where the run has not drawn one."""
    for figure, name in PICTURES.get(flagfile, {}).items():
        drawn = folder / "plots" / f"{figure}.png"
        if not drawn.exists():
            raise UsageError(f"{drawn}: is missing; `genjax report {folder}` draws it")
        shutil.copyfile(drawn, docs / f"{name}.png")


def pages() -> list[Path]:
    """The pages that may quote results."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
