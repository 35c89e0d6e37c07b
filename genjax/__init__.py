"""Four textbook statements about generative models, each as an experiment that measures it.

A room a question: `genjax.vae`, `genjax.gan`, `genjax.scaling` (the cost of attention) and
`genjax.domains`, each with `Config` and `run(config, folder)`; `genjax.open(folder)` reads a run,
`genjax.load(folder)` an exported model.
Libraries: `genjax.attention`, `genjax.lm`, `genjax.data`. Importing this module imports none of
them; a room is imported when it is first named.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genjax import attention, data, domains, gan, lm, scaling, vae

__all__ = ["attention", "data", "domains", "gan", "lm", "load", "open", "scaling", "vae"]


def open(folder):  # noqa: A001, the verb that one expects
    """The run in a folder, finished or not: `.config`, `.metrics`, `.claims`, `.figures()` and
    `.model(arm, seed)`. Raises UsageError where there is none."""
    from genjax.run import Run

    return Run(folder)


def load(folder):
    """The model in a folder that `genjax export` wrote, as `open(run).model(...)` gave it.

    Raises UsageError where there is none.
    """
    from genjax.export import load

    return load(folder)


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f"genjax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
