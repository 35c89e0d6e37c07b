"""GANs and their modes: `Config` says what, `run(config, folder)` trains and measures."""

from typing import TYPE_CHECKING

from genjax.gan.config import Config

if TYPE_CHECKING:
    from genjax.gan.experiment import run

__all__ = ["Config", "run"]


def __getattr__(name: str):
    # The configuration needs no jax; what runs it does.
    if name == "run":
        from genjax.gan.experiment import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
