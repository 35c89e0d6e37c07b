"""Run folders of arms that need no network."""

from genjax.core import folder
from genjax.core.training_options import Training

CONFIG = Training(seeds=2, steps=40, log_every=10, checkpoint_every=10)


def opened(path, config=CONFIG, **how):
    return folder.Folder(path, config, experiment="vae", room="vae", **how)


def there(path):
    """The files of a run that hold results."""
    names = (p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return {n for n in names if not n.startswith((".", "damaged/"))}


class Killed(Exception):
    """In the place of a signal that cannot be caught."""
