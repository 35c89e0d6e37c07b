"""What JAX finds a GPU or a TPU by, looked for without importing it, which takes seconds."""

import importlib.metadata
import importlib.util
import os
import pkgutil

from genjax.core.errors import UsageError

INSTALL = {"gpu": "jax[cuda12]", "tpu": "jax[tpu]"}
# Variables by which JAX takes a plugin that no package has.
NAMED = "PJRT_NAMES_AND_LIBRARY_PATHS"
LIBRARY = "TPU_LIBRARY_PATH"


def require(platform: str) -> None:
    """Raises UsageError for a GPU or a TPU that JAX cannot find, whatever the machine has.

    Where a plugin is there, JAX alone can tell (core.platforms).
    """
    if platform not in INSTALL:
        return
    asked = os.environ.get("JAX_PLATFORMS", "")
    if asked == "cpu":
        raise UsageError(f"--platform={platform}: JAX_PLATFORMS={asked} is set")
    if not (asked or os.environ.get(NAMED) or _any_plugin() or _libtpu(platform)):
        raise UsageError(
            f"--platform={platform}: JAX has no plugin for it here: {remedy(platform)}"
        )


def remedy(platform: str) -> str:
    """What to do where JAX does not find a platform."""
    return f"pip install '{INSTALL[platform]}', or leave the flag out"


def _any_plugin() -> bool:
    """Whether any is installed; its name does not say for what."""
    if importlib.metadata.entry_points(group="jax_plugins"):
        return True
    found = importlib.util.find_spec("jax_plugins")
    places = (found and found.submodule_search_locations) or ()
    return any(pkgutil.iter_modules(list(places)))


def _libtpu(platform: str) -> bool:
    if platform != "tpu":
        return False
    return bool(os.environ.get(LIBRARY) or importlib.util.find_spec("libtpu"))
