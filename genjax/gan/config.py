"""What the experiment of GANs is asked: one dataclass for flags, help, rules and Python."""

from dataclasses import dataclass
from typing import ClassVar

from genjax.core import arms
from genjax.core import config as configs
from genjax.core.config import Options, Training, default, option
from genjax.core.errors import UsageError
from genjax.gan import mixtures
from genjax.gan.losses import ADVERSARIAL

# The names of what modules with jax hold: networks.PAIRS, networks_dense.ACTIVATIONS and maxout,
# networks_blocks.MINIBATCH. tests/gan/test_config.py holds them equal.
ARCHITECTURES = ("mlp", "dcgan", "metz")
LAYERS = ("maxout", "relu", "leaky_relu", "silu")
MINIBATCH = ("none", "stddev", "discrimination")
# Generator samples made, or judged, at once: of so many proposals a sample may be one.
PROPOSALS = 8192
STACKED = "stacked"


@dataclass(frozen=True)
class Arm(Options):
    """One recipe: both networks, and how they are trained against each other."""

    loss: str = option(
        "ns",
        "Of both players; see losses.py.",
        group="Game",
        choices=tuple(sorted(ADVERSARIAL)),
    )
    r1: float = option(0.0, "Gamma of the gradient penalty on real samples.", group="Game", low=0)
    r2: float = option(0.0, "The same on generated samples.", group="Game", low=0)
    gp: float = option(0.0, "Weight of WGAN-GP's penalty.", group="Game", low=0)
    penalty_scale: float = option(
        1.0,
        "Length in which penalties take gradients, in units of the data's spread.",
        group="Game",
        low=1e-6,
        rare=True,
    )
    pack: int = option(
        1,
        "Samples the discriminator judges together; --batch_size counts packs.",
        group="Game",
        low=1,
        high=1024,
    )
    unroll: int = option(0, "Discriminator steps looked ahead.", group="Game", low=0, high=10**4)
    n_critic: int = option(
        1, "Discriminator steps a generator step.", group="Game", low=1, high=10**4
    )
    updates: str = option(
        "simultaneous",
        "Both players from the same point, or the discriminator first.",
        group="Game",
        choices=("simultaneous", "alternating"),
    )
    ema: float = option(0.0, "Decay of the generator's average.", group="Game", low=0, below=1)
    reconstruction: float = option(0.0, "VEEGAN: latent error's weight.", group="Game", low=0)
    generators: int = option(1, "MGAN: generators in the mixture.", group="Game", low=1, high=1024)
    diversity: float = option(1.0, "MGAN: weight of the classifier.", group="Game", low=0)
    resample: int = option(
        1,
        "Proposals of which a sample is one, chosen by a density ratio learned alongside; 1: none.",
        group="Game",
        low=1,
        high=PROPOSALS,
    )
    spectral_norm: bool = option(False, "Discriminator's kernels of norm about 1.", group="Network")
    minibatch: str = option(
        "none", "Batch features in the discriminator.", group="Network", choices=MINIBATCH
    )
    arch: str = option(
        "mlp",
        "dcgan, metz: convolutions of fixed widths and depths, batch norm in G, images only.",
        group="Network",
        choices=ARCHITECTURES,
    )
    latent: int = option(2, "Size of the latent, N(0, I).", group="Network", low=1, high=2**14)
    g_width: int = option(128, "Generator's hidden units.", group="Network", low=1, high=2**16)
    g_depth: int = option(2, "Generator's hidden layers.", group="Network", low=1, high=1000)
    g_layer: str = option("relu", "Generator's layers.", group="Network", choices=LAYERS, rare=True)
    g_skip: bool = option(
        False, "A linear path from its latents to its samples.", group="Network", rare=True
    )
    g_norm: bool = option(False, "Batch norm in the generator.", group="Network", rare=True)
    d_width: int = option(128, "Discriminator's hidden units.", group="Network", low=1, high=2**16)
    d_depth: int = option(2, "Discriminator's hidden layers.", group="Network", low=1, high=1000)
    d_layer: str = option(
        "leaky_relu", "Discriminator's layers.", group="Network", choices=LAYERS, rare=True
    )
    d_norm: bool = option(False, "Batch norm in the discriminator.", group="Network", rare=True)
    d_fraction: float = option(
        1.0, "Channels of a convolutional one.", group="Network", low=0.01, high=64, rare=True
    )
    d_fourier: float = option(
        0.0,
        "Finest wavelength of its input waves, in spreads; 0: none.",
        group="Network",
        low=0,
        rare=True,
    )
    init_std: float = option(
        0.0, "Of all kernels; 0: 1/sqrt(fan_in).", group="Network", low=0, rare=True
    )
    learning_rate: float = option(1e-3, "Generator's, Adam.", group="Training", above=0)
    d_learning_rate: float = option(
        0.0, "Discriminator's and density ratio's; 0: the same.", group="Training", low=0
    )
    schedule: str = option(
        "constant",
        "Of both players' rates over --steps.",
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
        lipschitz, batch = ADVERSARIAL[self.loss].lipschitz, self.minibatch != "none"
        _refuse(
            (
                lipschitz and not (self.gp or self.spectral_norm),
                f"--loss={self.loss} needs a Lipschitz critic, --gp=10 or --spectral_norm; "
                "without, its loss has no bound",
            ),
            (
                self.gp and (self.r1 or self.r2),
                "--gp asks for slopes of norm 1, --r1 and --r2 for slopes of 0; choose one",
            ),
            (
                (self.gp or self.r1 or self.r2) and (self.d_norm or batch),
                "a gradient penalty needs a logit that depends on its own sample alone; drop "
                "--d_norm and --minibatch, or the penalty",
            ),
            (
                lipschitz and not self.gp and (self.d_fourier or self.d_norm or batch),
                f"--loss={self.loss}: --spectral_norm bounds the slopes of kernels alone; drop "
                "--d_fourier, --d_norm and --minibatch",
            ),
            (
                self.n_critic > 1 and self.updates == "simultaneous",
                f"--n_critic={self.n_critic} needs --updates=alternating",
            ),
            (
                self.reconstruction and (self.convolutional or self.generators > 1),
                "--reconstruction is built for one generator of points in the plane",
            ),
            (
                self.g_skip and self.convolutional,
                f"--g_skip: not built for --arch={self.arch}",
            ),
            (
                self.d_fourier and self.convolutional,
                f"--d_fourier: not built for --arch={self.arch}",
            ),
            (
                self.d_fraction != 1 and not self.convolutional,
                f"--d_fraction={self.d_fraction}: of channels; --arch=mlp has --d_width",
            ),
        )


@dataclass(frozen=True)
class Config(Training, Arm):
    """The whole experiment: its arms, data and measures."""

    arm_kind: ClassVar[type] = Arm

    steps: int = default(Training, "steps", 10_000)
    batch_size: int = default(Training, "batch_size", 128)
    variants: dict = option(
        {},
        "A recipe to compare, 'name' or 'name:option=value,option=value': what differs from the "
        "common flags. Repeat it; without it the one arm is what the flags say.",
        flag="arm",
    )
    data: str = option(
        "ring8",
        "ring<k>, grid<k> or modes (mixtures of Gaussians); stacked (three 8x8 digits in the "
        "channels of one image: 1000 modes), stacked:idx:<folder> or stacked:tfds:<name>.",
    )
    modes: str | None = option(None, "The means of --data=modes: 'x,y;x,y;...'.", group="Data")
    sigma: float | None = option(None, "Standard deviation of a mode.", group="Data", low=1e-6)
    imbalance: float = option(
        1.0, "Heaviest mode over lightest, geometric in between.", group="Data", low=1, rare=True
    )
    points: int = option(100_000, "Training examples, drawn once.", group="Data", low=2, high=10**8)
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
    early: float = option(
        0.2,
        "Share of the steps that claim G5 calls early.",
        group="Measures",
        low=0.01,
        high=0.9,
        rare=True,
    )

    def check(self) -> None:
        """Raises UsageError where options contradict each other, or the data do not bear them."""
        super().check()
        source = self.data.partition(":")[0]
        if not self.is_plane and source != STACKED:
            raise UsageError(
                f"--data={configs.shown(self.data)}: no such task, choose {mixtures.EXAMPLES}, "
                "stacked, stacked:idx:<folder> or stacked:tfds:<name>"
            )
        for name, arm in self.arms().items():
            where = f"--arm={name}: " if self.variants else ""
            _refuse(
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
                    f"packs a step of {name} takes",
                ),
            )
        if self.is_plane:
            self.mixture()
        else:
            for name in ("modes", "sigma", "imbalance"):
                value = getattr(self, name)
                if value != self.options()[name].default:
                    raise UsageError(f"--{name}={value}: needs a mixture, not --data=stacked")

    @property
    def is_plane(self) -> bool:
        """Whether the data are a mixture of Gaussians in the plane, and no images."""
        return mixtures.is_mixture(self.data)

    def mixture(self) -> mixtures.Mixture:
        """The mixture that --data names."""
        return mixtures.mixture(
            self.data, modes=self.modes, sigma=self.sigma, imbalance=self.imbalance
        )

    def arms(self) -> dict[str, Arm]:
        """The recipes to compare, by name."""
        return arms.arms(self, Arm, "gan")


def _refuse(*rules: tuple) -> None:
    """Raises UsageError with the first text whose rule is broken."""
    for broken, text in rules:
        if broken:
            raise UsageError(text)
