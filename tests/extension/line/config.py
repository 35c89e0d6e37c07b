"""What the experiment of lines is asked."""

from dataclasses import dataclass
from typing import ClassVar

from genjax.core import arms
from genjax.core.config import Options, option
from genjax.core.training_options import Training


@dataclass(frozen=True)
class Arm(Options):
    """One way to fit a line."""

    learning_rate: float = option(0.1, "Of plain gradient descent.", above=0)


@dataclass(frozen=True)
class Config(Training, Arm):
    """The whole experiment."""

    arm_kind: ClassVar[type] = Arm
    looks_again: ClassVar[bool] = True

    variants: dict = option({}, "An arm, 'name:option=value'. Repeat it.", flag="arm")
    slope: float = option(3.0, "Of the line.")

    def arms(self) -> dict[str, Arm]:
        """The fits to compare."""
        return arms.arms(self, Arm, "line")
