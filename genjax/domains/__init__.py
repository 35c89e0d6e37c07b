"""Language models on domains they never saw: `Config` says what, `run(config, folder)` does it."""

from typing import TYPE_CHECKING

from genjax.domains.config import Config

if TYPE_CHECKING:
    from genjax.domains.experiment import run

__all__ = ["Config", "run"]


def __getattr__(name: str):
    # The configuration needs no jax; what runs it does.
    if name == "run":
        from genjax.domains.experiment import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
