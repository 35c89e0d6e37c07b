"""What the experiment of GANs is asked: one dataclass for flags, help, rules and Python."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from genjax.core import arms
from genjax.core import config as configs
from genjax.core.config import FASTEST, STRONGEST, Options, Reader, default, option, when
from genjax.core.errors import UsageError
from genjax.core.training_options import Training
from genjax.gan import mixtures
from genjax.gan.losses import ADVERSARIAL
from genjax.gan.rules import flow_rules, game_rules, refuse, require_stacked

# The names of what modules with jax hold: networks.PAIRS, networks_dense.ACTIVATIONS and maxout,
# networks_blocks.MINIBATCH, flow.SOLVERS. tests/gan/test_config.py holds them equal.
ARCHITECTURES = ("mlp", "dcgan", "metz")
LAYERS = ("maxout", "relu", "leaky_relu", "silu")
MINIBATCH = ("none", "stddev", "discrimination")
SOLVERS = ("euler", "heun")
# The options of dense nets alone.
DENSE = tuple(f"{net}_{part}" for net in "gd" for part in ("width", "depth", "layer"))
DENSE += ("g_norm", "g_skip", "d_fourier")
# The ways to train a sampler, and the group of the options that belong to each alone.
METHODS = {"gan": "Game", "flow": "Flow matching"}
# Generator samples made, or judged, at once: of so many proposals a sample may be one.
PROPOSALS = 8192
# The options of a mixture alone, and of stacked images alone.
MIXED, STACKS = ("modes", "sigma", "imbalance"), ("split_seed", "classifier_steps", "image_size")
# Rows of the tables that no arm made, and the folder of the net that names modes.
ROWS = ("truth", "lost", "thin", "blurred", "noise", "classifier")


@dataclass(frozen=True)
class Arm(Options):
    """One recipe: the networks, and how they are trained."""

    readers: ClassVar = {
        "penalty_scale": Reader("--gp, --r1 or --r2", lambda arm: any((arm.gp, arm.r1, arm.r2))),
        "diversity": Reader("--generators=2 or more", lambda arm: arm.generators > 1),
        "d_fraction": when(arch=ARCHITECTURES[1:]),
    } | dict.fromkeys(DENSE, when(arch=("mlp",)))

    method: str = option(
        "gan",
        "A generator against a discriminator, or flow matching: one dense net with as many "
        "parameters as both have, trained by regression.",
        choices=tuple(METHODS),
    )
    loss: str = option(
        "ns",
        "Of both players; see losses.py.",
        group="Game",
        choices=tuple(sorted(ADVERSARIAL)),
    )
    r1: float = option(
        0.0, "Gamma of the gradient penalty on real samples.", group="Game", low=0, high=STRONGEST
    )
    r2: float = option(0.0, "The same on generated samples.", group="Game", low=0, high=STRONGEST)
    gp: float = option(0.0, "Weight of WGAN-GP's penalty.", group="Game", low=0, high=STRONGEST)
    penalty_scale: float = option(
        1.0,
        "Length in which penalties take gradients, in units of the data's spread.",
        group="Game",
        low=1e-6,
        high=1e6,
        rare=True,
    )
    pack: int = option(
        1,
        "Samples the discriminator judges together; --batch_size counts packs.",
        group="Game",
        low=1,
        high=1024,
    )
    unroll: int = option(0, "Discriminator steps looked ahead.", group="Game", low=0, high=100)
    n_critic: int = option(
        1, "Discriminator steps a generator step.", group="Game", low=1, high=10**4
    )
    updates: str = option(
        "simultaneous",
        "Both players from the same point, or the discriminator first.",
        group="Game",
        choices=("simultaneous", "alternating"),
    )
    ema: float = option(
        0.0, "Decay of the generator's, or the flow's, average.", group="Training", low=0, below=1
    )
    reconstruction: float = option(
        0.0, "VEEGAN: latent error's weight.", group="Game", low=0, high=STRONGEST
    )
    generators: int = option(1, "MGAN: generators in the mixture.", group="Game", low=1, high=1024)
    diversity: float = option(
        1.0, "MGAN: weight of the classifier.", group="Game", low=0, high=STRONGEST
    )
    resample: int = option(
        1,
        "Proposals of which a sample is one, chosen by a density ratio learned alongside; 1: none.",
        group="Game",
        low=1,
        high=PROPOSALS,
    )
    spectral_norm: bool = option(False, "Discriminator's kernels of norm about 1.", group="Game")
    minibatch: str = option(
        "none", "Batch features in the discriminator.", group="Game", choices=MINIBATCH
    )
    arch: str = option(
        "mlp",
        "dcgan, metz: convolutions of fixed widths and depths, batch norm in G, images only.",
        group="Network",
        choices=ARCHITECTURES,
    )
    latent: int = option(2, "Size of the latent, N(0, I).", group="Network", low=1, high=2**14)
    g_width: int = option(128, "Generator's hidden units.", group="Network", low=1, high=2**16)
    g_depth: int = option(2, "Generator's hidden layers.", group="Network", low=1, high=256)
    g_layer: str = option("relu", "Generator's layers.", group="Network", choices=LAYERS, rare=True)
    g_skip: bool = option(
        False, "A linear path from its latents to its samples.", group="Network", rare=True
    )
    g_norm: bool = option(False, "Batch norm in the generator.", group="Game", rare=True)
    d_width: int = option(128, "Discriminator's hidden units.", group="Network", low=1, high=2**16)
    d_depth: int = option(2, "Discriminator's hidden layers.", group="Network", low=1, high=256)
    d_layer: str = option(
        "leaky_relu", "Discriminator's layers.", group="Network", choices=LAYERS, rare=True
    )
    d_norm: bool = option(False, "Batch norm in the discriminator.", group="Game", rare=True)
    d_fraction: float = option(
        1.0, "Channels of a convolutional one.", group="Game", low=0.01, high=64, rare=True
    )
    d_fourier: float = option(
        0.0,
        "Finest wavelength of its input waves, in spreads; 0: none.",
        group="Game",
        low=0,
        high=1e6,
        rare=True,
    )
    init_std: float = option(
        0.0, "Of all kernels; 0: 1/sqrt(fan_in).", group="Network", low=0, high=1e3, rare=True
    )
    flow_steps: tuple[int, ...] = option(
        (64,),
        "Of the solver, from noise to a sample; with several, the first are watched along training "
        "and the others measured at its end, rows of their own.",
        group="Flow matching",
        low=1,
        high=10**5,
        distinct=True,
    )
    solver: str = option(
        "heun",
        "One or two passes of the net a step.",
        group="Flow matching",
        choices=SOLVERS,
    )
    learning_rate: float = option(
        1e-3, "Generator's, or the flow's, Adam.", group="Training", above=0, high=FASTEST
    )
    d_learning_rate: float = option(
        0.0, "Discriminator's and density ratio's; 0: the same.", group="Game", low=0, high=FASTEST
    )
    schedule: str = option(
        "constant",
        "Of the learning rates over --steps.",
        group="Training",
        choices=("constant", "cosine"),
    )
    beta1: float = option(0.5, "Adam's.", group="Training", low=0, below=1, rare=True)
    beta2: float = option(0.999, "Adam's.", group="Training", low=0, below=1, rare=True)

    @property
    def convolutional(self) -> bool:
        """Whether its networks make images by convolutions."""
        return self.arch != "mlp"

    def check(self) -> None:
        """Raises UsageError where switches contradict each other."""
        options = self.options()
        for method, group in METHODS.items():
            for name, field in options.items():
                value = getattr(self, name)
                if (
                    method != self.method
                    and field.metadata["group"] == group
                    and value != field.default
                ):
                    raise UsageError(
                        f"--{name}={configs.written(value)} belongs to --method={method}, not to "
                        f"--method={self.method}"
                    )
        refuse(*(flow_rules(self) if self.method == "flow" else game_rules(self)))


@dataclass(frozen=True)
class Config(Training, Arm):
    """The whole experiment: its arms, data and measures."""

    arm_kind: ClassVar[type] = Arm
    looks_again: ClassVar[bool] = True

    steps: int = default(Training, "steps", 10_000)
    batch_size: int = default(Training, "batch_size", 128)
    variants: dict = option(
        {},
        "A recipe to compare, 'name' or 'name:option=value,option=value': what differs from the "
        "common flags. Repeat it; without it the one arm is what the flags say.",
        flag="arm",
        also=("model", "models", "compare"),
    )
    data: str = option(
        "ring8",
        "ring<k>, grid<k> or modes (mixtures of Gaussians); csv:<file> of lines x,y,mode, or "
        "npz:<file> of points and modes (no mode where --modes and --sigma are given); stacked "
        "(three 8x8 digits in the channels of one image: 1000 modes), stacked:idx:<folder>, "
        "stacked:tfds:<name>, stacked:folder:<path> (png and jpg, a subfolder a class), "
        "stacked:npz:<file> or stacked:hf:<name>.",
        also=("dataset", "corpus", "points"),
    )
    image_size: int | None = option(
        None,
        "Pixels a side of --data=stacked:folder:... and hf:...; without it the pictures' own "
        "where all are squares of one size up to 64, else 28.",
        group="Data",
        low=8,
        high=1024,
        rare=True,
    )
    modes: str | None = option(
        None, "The means of --data=modes, or of points in a file: 'x,y;x,y;...'.", group="Data"
    )
    sigma: float | None = option(
        None, "Standard deviation of a mode.", group="Data", low=1e-6, high=1e6
    )
    imbalance: float = option(
        1.0,
        "Heaviest mode over lightest, geometric in between.",
        group="Data",
        low=1,
        high=1e6,
        rare=True,
    )
    points: int = option(
        100_000,
        "Training examples, drawn once; of a file at most so many.",
        group="Data",
        low=2,
        high=10**8,
    )
    data_seed: int = option(0, "Draws the training examples.", group="Data", low=0, rare=True)
    split_seed: int = option(0, "stacked: fixes train and test.", group="Data", low=0, rare=True)
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
    init_seed: int | None = option(
        None, "The same initial weights for all replicas.", group="Training", low=0, rare=True
    )
    noise_seed: int | None = option(
        None,
        "The same noise for all replicas: a latent follows from it, the step and the example.",
        group="Training",
        low=0,
        rare=True,
    )
    order_seed: int | None = option(
        None, "The same order of the examples for all replicas.", group="Training", low=0, rare=True
    )
    classifier_steps: int = option(
        1000,
        "stacked: training of the net that names modes.",
        group="Measures",
        low=1,
        rare=True,
    )
    eval_samples: int = option(2500, "Samples measured.", group="Measures", low=1, high=10**7)
    evaluations: int = option(50, "Along training.", group="Measures", low=1)
    window: float = option(
        0.25,
        "Share of the steps, the last, over whose evaluations an arm's figures are means; 0: the "
        "last step alone.",
        group="Measures",
        low=0,
        high=1,
    )
    early: float = option(
        0.2,
        "Share of the steps that claim G5 calls early; it takes the evaluations of its later half.",
        group="Measures",
        low=0.01,
        high=0.9,
        rare=True,
    )

    def check(self) -> None:
        """Raises UsageError where options contradict each other, or the data do not bear them."""
        super().check()
        if not self.is_plane:
            require_stacked(self.data)
        for name, arm in self.arms().items():
            where = f"--arm={name}: " if self.variants else ""
            refuse(
                (
                    arm.reconstruction and not self.is_plane,
                    f"{where}--reconstruction is built for one generator of points in the plane",
                ),
                (
                    arm.convolutional and self.is_plane,
                    f"{where}--arch={arm.arch} makes images; use --data=stacked",
                ),
                (
                    self.batch_size * arm.n_critic > self.points,
                    f"--points={self.points}: fewer than the {self.batch_size * arm.n_critic} "
                    f"packs that --batch_size x --n_critic of {name} take a step",
                ),
            )
        if self.is_points:
            if self.imbalance != 1:
                raise UsageError(f"--imbalance={self.imbalance}: points of a file have their own")
        elif self.is_plane:
            self.mixture()
        if self.is_plane:
            self._require_default(STACKS, "needs --data=stacked")
        else:
            self._require_default(MIXED, "needs a mixture, not --data=stacked")

    def _require_default(self, names: tuple[str, ...], why: str):
        for name in names:
            if (value := getattr(self, name)) != self.options()[name].default:
                raise UsageError(f"--{name}={value}: {why}")

    @property
    def in_memory(self) -> str:
        """Images may be streamed, points may not."""
        return "points are in memory; images are streamed" if self.is_plane else ""

    @property
    def is_plane(self) -> bool:
        """Whether the data are points in the plane, and no images."""
        return mixtures.is_mixture(self.data) or self.is_points

    @property
    def is_points(self) -> bool:
        """Whether the data are a file's points in the plane."""
        source, _, file = self.data.partition(":")
        return source in ("csv", "npz") and bool(file)

    def mixture(self) -> mixtures.Mixture:
        """The mixture that --data names; not of a file's points."""
        return mixtures.mixture(
            self.data, modes=self.modes, sigma=self.sigma, imbalance=self.imbalance
        )

    def arms(self) -> dict[str, Arm]:
        """The recipes to compare, by name.

        A common option that belongs to one method does not reach the arms of another.
        """
        asked = SimpleNamespace(**vars(self))
        if isinstance(asked.variants, Mapping) and all(
            isinstance(changes, Mapping) for changes in asked.variants.values()
        ):
            methods = {n: c.get("method", self.method) for n, c in asked.variants.items()}
            asked.variants = {
                name: _of_others(methods[name], methods.values()) | dict(changes)
                for name, changes in asked.variants.items()
            }
        return arms.arms(asked, Arm, self.method, ROWS)


def _of_others(method: str, methods) -> dict:
    """The defaults of the options that belong to the other methods that arms have."""
    groups = [METHODS.get(str(other)) for other in methods if other != method]
    options = Arm.options().items()
    return {name: f.default for name, f in options if f.metadata["group"] in groups}
