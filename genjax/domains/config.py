"""What the experiment of domains is asked: one dataclass for flags, help, rules and Python."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from genjax.attention import catalogue
from genjax.core import arms
from genjax.core import config as configs
from genjax.core.config import FASTEST, STRONGEST, Options, default, option, shown, when, written
from genjax.core.errors import UsageError
from genjax.core.training_options import Training
from genjax.data import text
from genjax.domains import hmm, names
from genjax.lm.ngram import SMOOTHINGS
from genjax.lm.spread import Spread

MODELS = ("transformer", "lstm", "gru", "ssm", "ngram")
TRAINED = ("all", "lora", "biases", "last")
# Rows of the tables that no arm made: floors, and what is computed.
ROWS = ("unigram", "cache", "cache_bigram", "memory", "family", "known", "baselines")
# What makes a network; a base and what starts from it agree in these.
NETWORK = ("model", "attention", "window", "width", "depth", "heads")


@dataclass(frozen=True)
class Arm(Options):
    """One language model: where it starts, what it is trained on, its network and its method."""

    readers: ClassVar = {
        "attention": when(model=("transformer",)),
        "heads": when(model=("transformer",)),
        "window": when(model=("transformer",), attention=("longformer", "truncated")),
        "lora_rank": when(train=("lora",)),
        "ngram_order": when(model=("ngram",)),
        "ngram_smoothing": when(model=("ngram",)),
    } | dict.fromkeys(
        ("width", "depth", "optimizer", "learning_rate", "weight_decay"), when(model=MODELS[:-1])
    )

    from_: str = option(
        "",
        "Where training starts: an arm before this one, or a folder <run>/models/<arm>.",
        flag="from",
    )
    domains: str = option(
        "seen",
        "What is trained on: names and groups joined by '+', '-' before those to leave out. "
        "Groups: seen (all but the held out), all, on the grid diagonals<n> (n pairs of every "
        "structure); chain0 and so on are in neither.",
    )
    mixture: str = option(
        "uniform",
        "How often each domain is drawn: uniform, proportional, temperature:<T>, weights joined by "
        "'+', or doremi:<arm>: the mean weights of an arm with --dro.",
        group="Training",
    )
    dro: str = option(
        "",
        "Group DRO (DoReMi's proxy): domains weigh by their excess over the loss of this arm.",
        group="Training",
        rare=True,
    )
    limit: int = option(
        0, "Tokens of a domain that training sees; 0: all.", group="Training", low=0
    )
    model: str = option("transformer", "The architecture.", choices=MODELS)
    attention: str = option(
        "flash",
        "transformer: the variant of genjax.attention; one that can be causal.",
        group="Network",
        choices=catalogue.variant_names(),
    )
    window: int = option(
        32,
        "longformer: both sides together, so half of it before a token; truncated: positions kept.",
        group="Network",
        low=1,
        rare=True,
    )
    width: int = option(64, "Of the residual stream.", group="Network", low=2, high=2**16)
    depth: int = option(2, "Blocks.", group="Network", low=1, high=128)
    heads: int = option(2, "transformer: heads.", group="Network", low=1, high=1024)
    optimizer: str = option(
        "muon",
        "Muon (Adam for vectors), or AdamW.",
        group="Training",
        choices=("muon", "adamw"),
    )
    learning_rate: float = option(
        0.02, "Its peak, after 5% of warm-up.", group="Training", above=0, high=FASTEST
    )
    weight_decay: float = option(
        0.0, "Decoupled from the gradient.", group="Training", low=0, high=FASTEST, rare=True
    )
    train: str = option("all", "What trains.", group="Finetuning", choices=TRAINED)
    lora_rank: int = option(
        8, "train=lora: the rank; alpha is twice it.", group="Finetuning", low=1, high=2**16
    )
    ewc: float = option(
        0.0, "Weight of the Fisher penalty.", group="Finetuning", low=0, high=STRONGEST, rare=True
    )
    anchor: float = option(
        0.0,
        "Weight of the base's own distribution, in the loss.",
        group="Finetuning",
        low=0,
        high=STRONGEST,
        rare=True,
    )
    replay: float = option(
        0.0, "Share of --from's domains in a batch.", group="Finetuning", low=0, high=1
    )
    average: float = option(
        1.0,
        "Share of the new weights in the end, the rest --from's.",
        group="Finetuning",
        low=0,
        high=1,
        rare=True,
    )
    ngram_order: int = option(
        4, "model=ngram: tokens with the predicted.", group="Network", low=1, high=64, rare=True
    )
    ngram_smoothing: str = option(
        "kneser_ney", "model=ngram.", group="Network", choices=SMOOTHINGS, rare=True
    )
    steps: int = default(Training, "steps", 1000)

    def check(self) -> None:
        """Raises UsageError where options contradict each other."""
        scratch = {"replay": 0, "ewc": 0, "anchor": 0, "average": 1, "train": "all"}
        for key, value in scratch.items():
            if getattr(self, key) != value and not self.from_:
                raise UsageError(f"--{key}={getattr(self, key)} needs --from=<arm>")
        if self.model == "transformer" and self.width % (2 * self.heads):
            raise UsageError(
                f"--heads={self.heads}: does not cut --width={self.width} into even parts"
            )
        if self.model == "ngram":
            if self.from_:
                raise UsageError("an n-gram is counted, not finetuned; drop --from")
            if self.mixture != "uniform":
                raise UsageError(f"--mixture={self.mixture}: an n-gram counts every domain alike")
            if self.dro:
                raise UsageError(f"--dro={self.dro}: an n-gram is counted; drop --dro")
        if self.dro and (self.from_ or self.mixture != "uniform"):
            raise UsageError(
                f"--dro={self.dro}: starts from scratch and draws domains evenly; drop --from and "
                "--mixture"
            )

    @property
    def network(self) -> tuple:
        """What makes the network, in the order of NETWORK."""
        return tuple(getattr(self, name) for name in NETWORK)

    @property
    def proxy(self) -> str | None:
        """The arm whose weights the mixture takes."""
        kind, _, arm = self.mixture.partition(":")
        return arm if kind == "doremi" else None


@dataclass(frozen=True)
class Config(Training, Spread, Arm):
    """The whole experiment: its arms, data and measures."""

    arm_kind: ClassVar[type] = Arm
    looks_again: ClassVar[bool] = True

    batch_size: int = default(Training, "batch_size", 16)
    variants: dict = option(
        {},
        "An arm to compare, 'name' or 'name:option=value,option=value': what differs from the "
        "common flags. Repeat it; an arm may start --from one before it.",
        flag="arm",
    )
    corpus: str | None = option(
        None,
        "Text: a folder with a subfolder a domain, each train.txt, valid.txt and test.txt; or a "
        "folder of .txt files and subfolders of them, each a domain, which is split by document; "
        "or tfds:<name>, one domain; several joined by ','. Without it: the grid.",
        also=("data", "dataset", "text"),
    )
    held_out: tuple[str, ...] = option(
        (), "--corpus: domains that count as unseen.", group="Text", distinct=True
    )
    bpe: int = option(
        0,
        "--corpus: tokens of a byte-pair encoding; 0: bytes.",
        group="Text",
        low=0,
        high=2**20,
    )
    stride: int = option(
        128, "--corpus: tokens scored a window when measuring.", group="Text", low=1
    )
    measured_bytes: int = option(
        0, "--corpus: bytes of each valid and test text; 0: all.", group="Text", low=0
    )
    leak_window: int = option(
        256,
        "--corpus: bytes a repeated passage must have to count.",
        group="Text",
        low=16,
        rare=True,
    )
    tfds_dir: str | None = option(
        None, "Where tfds keeps prepared data sets.", group="Text", place=True, rare=True
    )
    grid: int = option(
        4,
        "Structures, and lexicons; each seed draws a grid of its own.",
        group="Grid",
        low=2,
        high=64,
    )
    states: int = option(8, "Hidden states.", group="Grid", low=1, high=4096, rare=True)
    base: int = option(16, "Base tokens.", group="Grid", low=1, high=2**16, rare=True)
    vocabulary: int = option(32, "Tokens of the grid.", group="Grid", low=2, high=2**16, rare=True)
    shared: int = option(
        4, "Base tokens named alike everywhere.", group="Grid", low=0, high=2**16, rare=True
    )
    chains: int = option(
        0, "Order-1 chains beside the grid, far domains to adapt to.", group="Grid", low=0, high=999
    )
    pool: int = option(2048, "Documents of a domain to train on.", group="Grid", low=1, high=10**8)
    documents: int = option(32, "The same to measure on.", group="Grid", low=2, high=10**6)
    context: int = option(128, "Tokens of a window.", group="Network", low=8, high=2**20)
    shots: tuple[int, ...] = option(
        (0, 1, 2, 4, 8), "Examples in context; empty: none.", group="Measures", low=0
    )
    example: int = option(8, "Tokens of an example.", group="Measures", low=1)
    dynamic: tuple[float, ...] = option(
        (),
        "Rates of dynamic evaluation, of arms that start from scratch; the training domains' valid "
        "text chooses.",
        group="Measures",
        low=0,
        high=FASTEST,
        rare=True,
    )
    evaluations: int = option(5, "Along training.", group="Measures", low=1, high=10**6)
    watched: int = option(
        8, "Windows a domain measured there.", group="Measures", low=1, high=10**6, rare=True
    )
    samples: int = option(0, "Tokens generated a domain.", group="Measures", low=0, high=2**20)

    def check(self) -> None:
        """Raises UsageError where options contradict each other."""
        super().check()
        self._check_source()
        rows = self.microbatches * max(1, self.fsdp)
        if self.batch_size % rows:
            raise UsageError(
                f"--batch_size={self.batch_size}: a multiple of --microbatches x fsdp = {rows}"
            )
        if self.fsdp > 1 and self.parallel == "pmap":
            raise UsageError(f"--mesh={self.mesh}: needs --parallel=jit")
        if self.corpus and self.stride > self.context:
            raise UsageError(f"--stride={self.stride}: choose 1 to {self.context}, the context")
        self._check_shots()
        arms = self.arms()
        for name in arms:
            before = list(arms)[: list(arms).index(name)]
            with self._about(name):
                _check_start(arms, name, before)
                _check_weights(arms, name, before)
                self._check_spread(arms[name])
        if not self.corpus:
            sizes = {key: getattr(self, key) for key in ("states", "base", "vocabulary", "shared")}
            hmm.require_sizes(self.grid, **sizes)
            self.trained_on(names.of_grid(self.grid, self.chains))

    def require(self) -> None:
        """Raises UsageError for arms that start from no folder, and for domains not in --corpus."""
        arms = self.arms()
        for name, arm in arms.items():
            if arm.from_ and arm.from_ not in arms and not os.path.isdir(arm.from_):
                with self._about(name):
                    raise _no_start(arm.from_, list(arms)[: list(arms).index(name)])
        if self.corpus:
            self.trained_on(names.of_texts(text.names(self.corpus), self.held_out))

    def trained_on(self, known: names.Named) -> dict[str, list[str]]:
        """{arm: the domains that it names}. Raises UsageError where they do not fit it."""
        arms, found = self.arms(), {}
        for name, arm in arms.items():
            with self._about(name):
                found[name] = names.select(known, arm.domains)
                names.check(arms, found, name)
        return found

    @contextlib.contextmanager
    def _about(self, arm: str) -> Iterator[None]:
        """Inside, what is refused is said of the arm, if there are several."""
        try:
            yield
        except UsageError as error:
            raise UsageError(f"--arm={arm}: {error}" if self.variants else str(error)) from error

    @property
    def in_memory(self) -> str:
        """Texts may be streamed, what is drawn may not."""
        return "" if self.corpus else "the grid's documents are in no file; texts (--corpus) are"

    def _check_source(self):
        # Options of the grid beside --corpus stay: of a flagfile that is now to train on texts.
        if self.corpus:
            return
        for name, field in self.options().items():
            value, meta = getattr(self, field.name), field.metadata
            if meta["group"] == "Text" and not meta["place"] and value != field.default:
                where = f"--{name}={shown(written(value))}"
                raise UsageError(f"{where}: is of text; needs --corpus=<folder>")

    def _check_spread(self, arm: Arm):
        if arm.dro and self.microbatches > 1:
            raise UsageError(
                f"--microbatches={self.microbatches}: --dro={arm.dro} weighs by the whole batch"
            )
        asked = f"--mesh={self.mesh}" if self.fsdp > 1 else f"--remat={self.remat}"
        if asked != "--remat=none" and arm.model not in ("transformer", "ngram"):
            raise UsageError(f"{asked}: of transformers; --model={arm.model} is none")
        for key, plain in {"ewc": 0, "anchor": 0, "dro": ""}.items():
            value = getattr(arm, key)
            if self.fsdp > 1 and value != plain:
                raise UsageError(f"{asked}: --{key}={value} needs whole parameters")
        if self.fsdp > 1 and arm.train == "lora":
            raise UsageError(f"{asked}: --train=lora needs whole parameters; all, biases or last")

    def _check_shots(self):
        shown = f"--shots={','.join(map(str, self.shots))}"
        if any(a >= b for a, b in zip(self.shots, self.shots[1:], strict=False)):
            raise UsageError(f"{shown}: from few to many")
        if len(self.shots) == 1:
            raise UsageError(f"{shown}: a curve takes two or more; none: --shots=")
        if self.shots and (self.shots[-1] + 1) * self.example > self.context:
            raise UsageError(
                f"--shots={self.shots[-1]} of --example={self.example} tokens do not fit into "
                f"--context={self.context}: at most {self.context // self.example - 1}"
            )

    def arms(self) -> dict[str, Arm]:
        """The models to train, in order; an arm may start from one before it."""
        return arms.arms(self, Arm, "model", ROWS)


def _check_start(arms: dict[str, Arm], name: str, before: list[str]):
    """Raises UsageError where an arm cannot start from what it names."""
    arm, parent = arms[name], arms[name].from_
    if parent not in arms:
        return  # Scratch, or a folder of another run.
    if parent not in before:
        raise _no_start(parent, before)
    if arms[parent].model == "ngram":
        raise UsageError("an n-gram is counted, not finetuned; drop --from")
    for key, own, other in zip(NETWORK, arm.network, arms[parent].network, strict=True):
        if own != other:
            raise UsageError(
                f"--{key}={own}, but --from={parent} has {other}; repeat the shape that it starts "
                "from"
            )


def _no_start(parent: str, before: list[str]) -> UsageError:
    near = configs.nearest(parent, before) if before else ""
    return UsageError(
        f"--from={shown(parent)}: neither an arm before it nor a folder <run>/models/<arm>{near}"
    )


def _check_weights(arms: dict[str, Arm], name: str, before: list[str]):
    """The same, for DoReMi's two further arms: the proxy, and what takes its mixture."""
    arm, reference = arms[name], arms[name].dro
    if reference:
        if reference not in before:
            raise UsageError(
                f"--dro={reference}: no arm before it ({', '.join(before) or 'there is none'})"
            )
        for key, own, other in zip(NETWORK, arm.network, arms[reference].network, strict=True):
            if own != other:
                raise UsageError(
                    f"--{key}={own}, but --dro={reference} has {other}; both have one shape"
                )
    if arm.proxy is not None and (arm.proxy not in before or not arms[arm.proxy].dro):
        raise UsageError(f"--mixture={arm.mixture}: no arm before it with --dro")
