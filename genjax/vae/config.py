"""What the experiment of autoencoders is asked: one dataclass for flags, help, rules and Python."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from genjax import data
from genjax.core import arms
from genjax.core import config as configs
from genjax.core.config import FASTEST, default, option, when
from genjax.core.errors import UsageError
from genjax.core.training_options import Training
from genjax.vae.models import MODELS, ModelOptions

MODEL_NAMES = tuple(MODELS)
SAMPLERS = ("normal", "gaussian", "gmm", "posterior", "vamp", "flow")
# A flow is trained on the codes of each seed: some seconds more.
QUICK = SAMPLERS[:-1]
# Rows of the tables that no arm made.
ROWS = ("pca", "mean", "untrained", "pixels", "random", "floor", "noise", "classifier", "baselines")
BINARIZATIONS = ("none", "threshold", "dynamic", "fixed")


@dataclass(frozen=True)
class Arm(ModelOptions):
    """One model: its network and what it is trained on."""

    readers: ClassVar = ModelOptions.readers | {"channels": when(arch=("conv",))}

    model: str = option("vae", "The model to train, where --compare is empty.", choices=MODEL_NAMES)
    arch: str = option("mlp", "Layers at the pixels.", group="Network", choices=("mlp", "conv"))
    hidden: tuple[int, ...] = option(
        (128, 128), "Widths of the hidden dense layers.", group="Network", low=1, high=2**16
    )
    channels: int = option(
        32, "Of the first convolution.", group="Network", low=1, high=4096, rare=True
    )
    activation: str = option(
        "relu",
        "Of all hidden layers.",
        group="Network",
        choices=("relu", "tanh", "gelu", "elu"),
        rare=True,
    )
    latent: int = option(8, "Latents of the lowest layer.", group="Network", low=1, high=2**14)
    likelihood: str = option(
        "gaussian",
        "Of the pixels given the latents.",
        group="Objective",
        choices=("bernoulli", "gaussian"),
    )
    learning_rate: float = option(
        1e-3, "Adam's.", group="Training", above=0, high=FASTEST, also=("lr",)
    )
    schedule: str = option(
        "cosine",
        "Of the learning rate over --steps.",
        group="Training",
        choices=("constant", "cosine", "burda"),
        rare=True,
    )
    adam_eps: float = option(
        1e-8, "Adam's epsilon.", group="Training", above=0, high=1e6, rare=True
    )
    reduction: str = option(
        "mean",
        "Of the gradient over the batch.",
        group="Training",
        choices=("mean", "sum"),
        rare=True,
    )

    @property
    def deterministic(self) -> bool:
        """Whether a code is a point, not a distribution."""
        return MODELS[self.model].deterministic


@dataclass(frozen=True)
class Config(Training, Arm):
    """The whole experiment: its arms, data and measures."""

    arm_kind: ClassVar[type] = Arm
    looks_again: ClassVar[bool] = True

    steps: int = default(Training, "steps", 2000)
    compare: tuple[str, ...] = option(
        (),
        "Two or more models, trained alike, for the table and the claims.",
        choices=MODEL_NAMES,
        distinct=True,
    )
    variants: dict = option(
        {},
        "An arm to compare, 'name' or 'name:option=value,option=value': what differs from the "
        "common flags. Repeat it.",
        flag="arm",
    )
    decoder_std: tuple[str, ...] = option(
        ("learned",),
        "Standard deviation of the Gaussian decoder in grey levels (0..1): a number, 'learned', or "
        "several, which trains each model with each.",
        group="Objective",
        distinct=True,
    )
    data: str = option(
        "digits",
        "digits (embedded, 8x8), idx:<folder of MNIST-style files>, tfds:<name>, folder:<path> of "
        "png and jpg files (subfolders are classes), or npz:<file> of x_train, y_train, x_test and "
        "y_test, or of images and labels, or hf:<name> (needs the package datasets).",
        also=("dataset", "corpus", "images"),
    )
    image_size: int | None = option(
        None,
        "Pixels a side of --data=folder:... and hf:...; without it the pictures' own "
        "where all are squares of one size up to 64, else 28.",
        group="Data",
        low=8,
        high=1024,
    )
    colour: str | None = option(
        None,
        "Of --data=folder:... and hf:...; without it grey where all pictures are.",
        group="Data",
        choices=("grey", "rgb"),
    )
    binarize: str = option(
        "none",
        "Grey levels, a threshold at 1/2, binary images drawn anew at every use, or drawn once: "
        "four data sets whose likelihoods must not be compared.",
        group="Data",
        choices=BINARIZATIONS,
    )
    split_seed: int = option(0, "Fixes train, valid and test.", group="Data", low=0, rare=True)
    valid: int | None = option(None, "Images held out of train.", group="Data", low=1, rare=True)
    tfds_dir: str | None = option(
        None, "Where tfds keeps prepared data sets.", group="Data", place=True, rare=True
    )
    tfds_manual_dir: str | None = option(
        None,
        "Folder with the archives of a tfds data set, in place of a download.",
        group="Data",
        place=True,
        rare=True,
    )
    samplers: tuple[str, ...] = option(
        QUICK,
        "Where latents come from: N(0, I); fitted to codes a Gaussian, a mixture of ten, or a flow "
        "(a second stage of training); codes of training images; the learned mixture of vamp.",
        group="Measures",
        choices=SAMPLERS,
        distinct=True,
    )
    classifier_steps: int = option(
        1000,
        "Training of the net whose features kFID compares.",
        group="Measures",
        low=1,
        rare=True,
    )
    nll_samples: int = option(
        5000,
        "Importance samples of the test likelihood.",
        group="Measures",
        low=1,
        high=10**7,
        rare=True,
    )

    def check(self) -> None:
        """Raises UsageError where options contradict each other."""
        super().check()
        data.parse(self.data)
        if len(self.compare) == 1:
            raise UsageError(
                f"--compare={self.compare[0]}: claims need two models; use --model for one"
            )
        if self.compare and self.model != Config.model:
            raise UsageError(
                f"--model={self.model}: --compare={','.join(self.compare)} names what is trained; "
                "drop one"
            )
        if self.compare and self.variants:
            raise UsageError(
                f"--compare={','.join(self.compare)}: name its models as --arm=name:model=..., or "
                "drop --arm"
            )
        scales = ",".join(self.decoder_std)
        if not self.decoder_std:
            raise UsageError("--decoder_std=: a number from 1e-06 to 1000, or 'learned'")
        for std in self.decoder_std:
            if std != "learned" and not _is_scale(std):
                raise UsageError(
                    f"--decoder_std={configs.shown(std)}: a number from 1e-06 to 1000, or 'learned'"
                )
        arms = self.arms()
        if self.binarize != "none" and any(a.likelihood == "gaussian" for a in arms.values()):
            raise UsageError(
                f"--binarize={self.binarize}: --likelihood=gaussian is a density of grey levels; "
                "binary pixels need --likelihood=bernoulli"
            )
        if self.decoder_std != ("learned",) and any(
            arm.likelihood == "bernoulli" for arm in arms.values()
        ):
            raise UsageError(f"--decoder_std={scales}: needs --likelihood=gaussian")

    @property
    def in_memory(self) -> str:
        """Images may be streamed."""
        return ""

    def arms(self) -> dict[str, Arm]:
        """The models to train, `name` or `name@std` where several decoder scales are swept."""
        asked = self
        if self.compare:
            asked = dataclasses.replace(
                self, compare=(), variants={name: {"model": name} for name in self.compare}
            )
        made = arms.arms(asked, Arm, self.model, ROWS)
        if len(self.decoder_std) == 1:
            return made
        return {f"{name}@{std}": arm for name, arm in made.items() for std in self.decoder_std}

    def decoder_scale(self, name: str) -> float | None:
        """The fixed standard deviation of an arm's decoder in grey levels; None: learned."""
        _, _, std = name.partition("@")
        std = std or self.decoder_std[0]
        return None if std == "learned" else float(std)


def _is_scale(text: str) -> bool:
    try:
        return 1e-6 <= float(text) <= 1e3
    except ValueError:
        return False
