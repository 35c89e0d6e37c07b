"""What the benchmark is asked: one dataclass for flags, help, rules and Python."""

from dataclasses import dataclass

from genjax.core.config import Options, option
from genjax.core.errors import UsageError


@dataclass(frozen=True)
class Config(Options):
    """The part that is measured, and for how long."""

    curves = False

    only: str = option("vae", "The part to measure.", choices=("vae", "gan", "attention", "lm"))
    rounds: int = option(7, "Rounds over all rows.", low=2, high=10**6)
    seconds: float = option(1.5, "Per row and round.", low=0.1, high=86_400)
    lengths: tuple[int, ...] | None = option(
        None,
        "attention: n, by default 1024,2048,4096,8192; lm: 256,512,1024.",
        low=1,
        high=2**22,
        distinct=True,
    )
    cores: int = option(0, "attention: the CPU core all rows run on.", low=0)
    quick: bool = option(
        False,
        "Two short rounds, to see that all rows run; their figures are no measurement.",
        flag="check",
    )
    json: str | None = option(None, "Write the figures to this file too.", place=True)

    def check(self) -> None:
        """Raises UsageError where there is no length, or nothing that has one."""
        if self.lengths is None:
            return
        if not self.lengths:
            raise UsageError("--lengths=: at least one")
        if self.only not in ("attention", "lm"):
            shown = ",".join(map(str, self.lengths))
            raise UsageError(f"--lengths={shown}: has no effect with --only={self.only}")
