"""The cost of self-attention: `Config` says what, `run(config, folder)` measures it."""

from typing import TYPE_CHECKING

from genjax.scaling.config import Config

if TYPE_CHECKING:
    from genjax.scaling.experiment import run

__all__ = ["Config", "run"]


def __getattr__(name: str):
    # The configuration needs no jax; what runs it does.
    if name == "run":
        from genjax.scaling.experiment import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
