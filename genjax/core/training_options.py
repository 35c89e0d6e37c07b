"""The options that all training shares."""

import dataclasses
import typing

from genjax.core.config import LARGEST, Options, option
from genjax.core.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Training(Options):
    """The options that all training shares.

    looks_again: whether the room's claims have intervals that hold at every look.
    """

    looks_again: typing.ClassVar[bool] = False

    seeds: int = option(
        3,
        "Independent replicas, one compiled program. auto: blocks of 5, --max_seeds=40 at most.",
        group="Training",
        low=1,
        high=4096,
    )
    seed: int = option(0, "The first seed; the others follow.", group="Training", low=0)
    max_seeds: int = option(
        0,
        "Adds blocks of --seeds until every claim is decided, up to so many; 0: --seeds alone. "
        "Intervals hold at every look.",
        group="Training",
        low=0,
        high=4096,
    )
    steps: int = option(
        1000, "Training steps.", group="Training", low=1, also=("epochs", "iterations")
    )
    batch_size: int = option(128, "Examples a step.", group="Training", low=1, high=2**24)
    steps_per_call: int = option(
        0,
        "Steps inside one compiled call. 0: 100 on CPU, 1 there with convolutions, else 1000.",
        group="Training",
        low=0,
        high=10**6,
        rare=True,
    )
    parallel: str = option(
        "jit",
        "How devices share the work: shardings under jit, or pmap.",
        group="Training",
        choices=("jit", "pmap"),
        rare=True,
    )
    precision: str = option(
        "float32",
        "Type of the networks' products; parameters, densities and sums stay float32.",
        group="Training",
        choices=("float32", "bfloat16"),
    )
    matmul_precision: str = option(
        "highest",
        "Float32 products in training. highest: float32, as on a CPU; on a TPU (GPU) high is three "
        "passes of bfloat16 (TF32), default one. Measures are always highest.",
        group="Training",
        choices=("default", "high", "highest"),
        rare=True,
    )
    log_every: int = option(
        0,
        "Steps a line of metrics.jsonl. 0: a fiftieth of --steps, or each evaluation.",
        group="Training",
        low=0,
        rare=True,
    )
    input: str = option(
        "auto",
        "Where training reads its examples. device: from memory; stream: from their files, by "
        "worker processes ahead of it; auto: from memory where they fit. The same numbers.",
        group="Training",
        choices=("auto", "device", "stream"),
        place=True,
        rare=True,
    )
    checkpoint_every: int = option(
        0,
        "Steps between checkpoints, rounded up to a multiple of --log_every. 0: a tenth of all.",
        group="Training",
        low=0,
        rare=True,
    )

    def check(self) -> None:
        """Raises UsageError where the numbers contradict each other."""
        if self.max_seeds and not self.looks_again:
            raise UsageError(
                f"--max_seeds={self.max_seeds}: the claims of this experiment hold for a number of "
                "seeds that was fixed before; give --seeds alone"
            )
        if self.max_seeds and (self.seeds < 2 or self.max_seeds % self.seeds):
            raise UsageError(
                f"--max_seeds={self.max_seeds}: a multiple of --seeds={self.seeds}, two or more"
            )
        if self.input == "stream" and self.in_memory:
            raise UsageError(f"--input=stream: {self.in_memory}")
        if self.log_every > self.steps:
            raise UsageError(f"--log_every={self.log_every}: more than --steps={self.steps}")
        name = "max_seeds" if self.max_seeds else "seeds"
        if self.seed + getattr(self, name) - 1 > LARGEST:
            raise UsageError(
                f"--seed={self.seed}: the last of --{name}={getattr(self, name)} is above {LARGEST}"
            )

    @property
    def in_memory(self) -> str:
        """Why there is nothing to stream; '' where there is."""
        return "what this experiment trains on is in no file"

    @property
    def all_seeds(self) -> list[int]:
        """The seeds of the replicas."""
        return list(range(self.seed, self.seed + self.seeds))
