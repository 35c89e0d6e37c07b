"""Speed as ratios measured in one run: `Config` says of what, `run(config, folder)` measures."""

from typing import TYPE_CHECKING

from genjax.benchmark.config import Config

if TYPE_CHECKING:
    from genjax.benchmark.experiment import run

__all__ = ["Config", "run"]


def __getattr__(name: str):
    # The configuration needs no jax; what runs it does.
    if name == "run":
        from genjax.benchmark.experiment import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
