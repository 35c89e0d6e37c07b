"""Publishing a run: results/<flagfile>.json, and the pages that quote results."""

import datetime
from collections.abc import Sequence
from pathlib import Path

from genjax.core import shipped
from genjax.core.errors import UsageError
from genjax.report import published

ROOT = Path(__file__).parent.parent


def publish(flagfile: str, folders: Sequence[str]):
    """Writes results/<flagfile>.json of a finished run, and the pages that quote results anew."""
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
    path = shipped.FLAGFILES / f"{flagfile}.flags"
    made = flags.parse(type(run.config), run.experiment.name, [f"--flagfile={path}"]).config
    if configs.digest(made) != configs.digest(run.config):
        raise UsageError(f"--publish={flagfile}: {run.folder} was made by other flags")
    room = type(run.config).__module__.split(".")[1]
    today = datetime.date.today().isoformat()
    found = published.publish(run.summary, flagfile, room, today)
    (shipped.RESULTS / f"{flagfile}.json").write_text(published.text(found))
    for page_ in pages():
        page_.write_text(published.fill(page_.read_text(), shipped.RESULTS))


def pages() -> list[Path]:
    """The pages that may quote results."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
