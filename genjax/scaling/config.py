"""What the attention experiment is asked: one dataclass for flags, help, rules and Python."""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from genjax.attention import catalogue
from genjax.core import config as configs
from genjax.core.config import FASTEST, Options, default, option
from genjax.core.errors import UsageError
from genjax.core.training_options import Training
from genjax.scaling import lookups

VARIANTS = catalogue.variant_names()
# Bytes of a number of each type.
DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Positions, of a sweep and of a task whose 20,000 sequences are in memory.
LONGEST, LONGEST_TASK = 2**22, 2**13


class Learner(NamedTuple):
    """A transformer that is trained: its kind of attention, its task, and the task's length."""

    variant: str
    task: str
    length: int


@dataclass(frozen=True)
class Sweep(Options):
    """What is timed: variants at lengths, and how each is made."""

    variants: tuple[str, ...] = option(
        VARIANTS, "Kinds of attention to sweep.", choices=VARIANTS, distinct=True
    )
    lengths: tuple[int, ...] = option(
        (512, 1024, 2048, 4096, 8192, 16384),
        "Sequence lengths, ascending.",
        low=1,
        high=LONGEST,
    )
    both_to: int = option(
        LONGEST,
        "Longest of --lengths at which forward + backward is timed too.",
        low=1,
        high=LONGEST,
        rare=True,
    )
    heads: int = option(4, "Heads.", low=1, high=4096)
    head_dim: int = option(64, "Size of a head.", low=1, high=4096)
    batch: int = option(1, "Sequences at once.", low=1, high=2**16)
    causal: bool = option(
        False, "Positions see those before them alone; the sparse_* variants always do."
    )
    dtype: str = option("float32", "Type of q, k and v.", choices=tuple(DTYPES))
    cores: str = option(
        "", "CPU cores to run on, '0' or '0,1'; one core gives the cleanest exponents."
    )
    mesh: str = option(
        "", "Devices that share the positions of each sequence, 'sequence:8'; empty: one has all."
    )
    implementation: str = option(
        "auto",
        "Of flash; auto: splash on a TPU, cudnn on a GPU where they fit, tiles elsewhere.",
        group="Variants",
        choices=catalogue.IMPLEMENTATIONS,
        rare=True,
    )
    window: int = option(
        512, "longformer: both sides together.", group="Variants", low=2, high=LONGEST
    )
    keep: int = option(512, "truncated: positions kept.", group="Variants", low=1, high=LONGEST)
    dilation: int = option(1, "longformer: d.", group="Variants", low=1, high=LONGEST, rare=True)
    global_positions: tuple[int, ...] = option(
        (),
        "longformer: positions that see all and are seen by all.",
        group="Variants",
        low=0,
        high=LONGEST,
        rare=True,
    )
    block: int = option(64, "bigbird: b.", group="Variants", low=1, high=LONGEST)
    random_blocks: int = option(
        3, "bigbird: drawn for a block.", group="Variants", low=0, high=LONGEST, rare=True
    )
    stride: int = option(
        0,
        "sparse_*: l; 0: sqrt(n) if strided, 128 if fixed.",
        group="Variants",
        low=0,
        high=LONGEST,
    )
    summary: int = option(32, "sparse_fixed: c.", group="Variants", low=1, high=LONGEST, rare=True)
    rank: int = option(256, "linformer: rows k.", group="Variants", low=1, high=LONGEST)
    features: int = option(
        256, "performer: random features m.", group="Variants", low=1, high=2**16
    )
    chunk: int = option(64, "reformer: positions a chunk.", group="Variants", low=1, high=LONGEST)
    hash_rounds: int = option(4, "reformer: rounds.", group="Variants", low=1, high=1024, rare=True)
    widths: tuple[int, ...] = option(
        (64, 128, 256),
        "Model widths for claim A6: the two halves of a layer are timed.",
        group="Measures",
        low=1,
        high=2**16,
        distinct=True,
    )
    processes: int = option(
        10,
        "Fresh processes that time every point; claims hold over them.",
        group="Measures",
        low=1,
        high=1000,
    )
    rounds: int = option(
        2,
        "Timings of each point a process, until two agree; at most.",
        group="Measures",
        low=1,
        high=10**4,
    )
    seconds: float = option(
        0.05, "Of calls a timing; at least one.", group="Measures", low=0, high=3600
    )
    longest: float = option(
        4.0,
        "Seconds a call may take; longer ones are predicted from the first and skipped.",
        group="Measures",
        low=1e-3,
        high=86_400,
    )
    memory: float = option(
        0.0,
        "GB a call may take by its compiled program; 0: three quarters of what is free.",
        group="Measures",
        low=0,
        high=10**6,
    )


@dataclass(frozen=True)
class Config(Training, Sweep):
    """The whole experiment: the sweep, and transformers trained to look things up."""

    steps: int = default(Training, "steps", 1500)
    batch_size: int = default(Training, "batch_size", 32)
    tasks: tuple[str, ...] = option(
        (),
        "Train transformers of every variant on these; empty: none.",
        group="Tasks",
        choices=tuple(lookups.TASKS),
        distinct=True,
    )
    task_lengths: tuple[int, ...] = option(
        (32, 64, 128), "Of the sequences.", group="Tasks", low=4, high=LONGEST_TASK, distinct=True
    )
    recall_pairs: int = option(8, "recall, mqar: keys asked for.", group="Tasks", low=1, high=2**12)
    mqar_tokens: int = option(
        8192, "mqar: tokens, half of them keys.", group="Tasks", low=16, high=2**20, rare=True
    )
    symbols: int = option(16, "Keys, and values, of the tasks.", group="Tasks", low=2, high=2**12)
    width: int = option(64, "Of the transformers.", group="Tasks", low=4, high=2**14)
    depth: int = option(2, "Of the transformers.", group="Tasks", low=1, high=256)
    task_heads: int = option(2, "Of the transformers.", group="Tasks", low=1, high=4096)
    learning_rate: float = option(
        3e-3, "Adam's, warmed up, then a cosine.", group="Tasks", above=0, high=FASTEST
    )
    weight_decay: float = option(
        0.0, "AdamW's, 0.1 in Zoology.", group="Tasks", low=0, high=FASTEST, rare=True
    )
    rates: tuple[float, ...] = option(
        (),
        "Learning rates that each transformer tries with seed 100; the best trains --seeds. Empty: "
        "--learning_rate.",
        group="Tasks",
        above=0,
        high=FASTEST,
        distinct=True,
    )

    def check(self) -> None:
        """Raises UsageError where options contradict each other."""
        super().check()
        for name in ("variants", "lengths", "widths"):
            if not getattr(self, name):
                raise UsageError(f"--{name}=: at least one")
        if len(self.lengths) < 2:
            raise UsageError(
                f"--lengths={configs.shown(self.lengths)}: an exponent takes two lengths or more"
            )
        if any(b <= a for a, b in zip(self.lengths, self.lengths[1:], strict=False)):
            raise UsageError(f"--lengths={configs.shown(self.lengths)}: must ascend")
        for width in self.widths:
            if width % self.head_dim:
                raise UsageError(f"--widths={width}: --head_dim={self.head_dim} does not divide it")
        cores = self.cores.split(",") if self.cores else []
        if not all(core.isdecimal() for core in cores) or len(set(cores)) < len(cores):
            raise UsageError(
                f"--cores={configs.shown(self.cores)}: numbers of cores, each once, such as '0,1'"
            )
        if self.mesh:
            self._check_mesh()
        self._check_tasks()

    def _check_mesh(self) -> None:
        flag = f"--mesh={configs.shown(self.mesh)}"
        if not re.fullmatch(r"sequence:[1-9]\d{0,4}", self.mesh) or self.shards < 2:
            raise UsageError(f"{flag}: sequence:<devices>, two or more, as in sequence:8")
        if self.tasks:
            given = configs.shown(self.tasks)
            raise UsageError(f"{flag}: of the sweep alone; leave --tasks={given} out")

    @property
    def shards(self) -> int:
        """Devices that share the positions; 0 without --mesh."""
        return int(self.mesh.partition(":")[2] or 0)

    def _check_tasks(self) -> None:
        if self.tasks and not self.task_lengths:
            raise UsageError("--task_lengths=: at least one")
        for task in self.tasks:
            for length in self.task_lengths:
                options = self.task_options(task)
                lookups.TASKS[task](1, length, np.random.default_rng(0), **options)
        if self.width % (2 * self.task_heads):
            raise UsageError(
                f"--task_heads={self.task_heads}: no even parts of a width of {self.width}"
            )

    def task_options(self, task: str) -> dict[str, int]:
        """What a task's generator is given beside count, length and random numbers."""
        if task == "listops":
            return {}
        if task == "mqar":
            return {"pairs": self.recall_pairs, "tokens": self.mqar_tokens}
        options = {"symbols": self.symbols}
        return options | ({"pairs": self.recall_pairs} if task == "recall" else {})

    def vocabulary(self, task: str) -> int:
        """Tokens of a task."""
        return lookups.vocabulary(task, self.symbols, self.mqar_tokens)

    def arms(self) -> dict[str, Learner]:
        """The transformers to train, `<variant>-<task>-<length>`; {} without tasks.

        None of `full`: flash computes the same.
        """
        learners = [
            Learner(variant, task, length)
            for task in self.tasks
            for length in self.task_lengths
            for variant in self.variants
            if variant != "full"
        ]
        return {"-".join(map(str, learner)): learner for learner in learners}
