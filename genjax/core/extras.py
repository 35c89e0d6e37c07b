"""Packages that only some flags need: the extras of pyproject.toml."""

import contextlib
import importlib.util
import logging

from genjax.core.errors import UsageError

# {extra: the modules that it brings}. tfds 4.9.10 does not declare importlib_resources, without
# which its import fails without an exception, and declares array_record for Linux alone.
MODULES = {
    "tfds": ("tensorflow_datasets", "importlib_resources", "array_record"),
    "text": ("tokenizers",),
    "stream": ("grain",),
    "tensorboard": ("tensorboardX",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "hf": ("datasets",),
    "hub": ("huggingface_hub",),
}


def require(extra: str, flag: str) -> None:
    """Raises UsageError, with the line to type, where a module of the extra is not installed."""
    for module in MODULES[extra]:
        found = importlib.util.find_spec(module)
        # A folder of that name, such as wandb/ of another run, is no package.
        if found is None or found.origin is None:
            raise UsageError(f"{flag} needs {module}: pip install 'genjax-experiments[{extra}]'")


@contextlib.contextmanager
def quiet(library: str):
    """Inside, what a library logs below an error is not said, such as that it tries again."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
