"""What the options of a recipe ask of each other."""

from typing import TYPE_CHECKING

from genjax import data
from genjax.core.config import closest, nearest, shown
from genjax.core.errors import UsageError
from genjax.data import points
from genjax.gan import mixtures
from genjax.gan.losses import ADVERSARIAL

if TYPE_CHECKING:
    from genjax.gan.config import Arm


def game_rules(arm: "Arm") -> tuple:
    """(whether it is broken, what to say) of what a game asks of its options."""
    lipschitz, batch = ADVERSARIAL[arm.loss].lipschitz, arm.minibatch != "none"
    return (
        (
            lipschitz and not (arm.gp or arm.spectral_norm),
            f"--loss={arm.loss} needs a Lipschitz critic, --gp=10 or --spectral_norm; "
            "without, its loss has no bound",
        ),
        (
            arm.gp and (arm.r1 or arm.r2),
            "--gp asks for slopes of norm 1, --r1 and --r2 for slopes of 0; choose one",
        ),
        (
            (arm.gp or arm.r1 or arm.r2) and (arm.d_norm or batch),
            "a gradient penalty needs a logit that depends on its own sample alone; drop "
            "--d_norm and --minibatch, or the penalty",
        ),
        (
            lipschitz and not arm.gp and (arm.d_fourier or arm.d_norm or batch),
            f"--loss={arm.loss}: --spectral_norm bounds the slopes of kernels alone; drop "
            "--d_fourier, --d_norm and --minibatch",
        ),
        (
            arm.n_critic > 1 and arm.updates == "simultaneous",
            f"--n_critic={arm.n_critic} needs --updates=alternating",
        ),
        (
            arm.reconstruction and (arm.convolutional or arm.generators > 1),
            "--reconstruction is built for one generator of points in the plane",
        ),
    )


def flow_rules(arm: "Arm") -> tuple:
    """The same of flow matching."""
    return (
        (
            arm.convolutional,
            f"--arch={arm.arch}: --method=flow has one dense net, --arch=mlp",
        ),
        (not arm.flow_steps, "--flow_steps=: one number of steps or several"),
    )


def refuse(*rules: tuple) -> None:
    """Raises UsageError with the first text whose rule is broken."""
    for broken, text in rules:
        if broken:
            raise UsageError(text)


def require_stacked(spec: str) -> None:
    """Raises UsageError where --data, which names no points, names no stacked images either."""
    source, colon, images = spec.partition(":")
    if source != "stacked":
        raise UsageError(f"--data={shown(spec)}: no such task{_near(spec)}")
    if colon:
        data.parse(images, "stacked:")


def _near(spec: str) -> str:
    """What --data was perhaps meant to be, or all choices."""
    sources = [source.partition(":")[0] for source in (*data.SOURCES, *points.SOURCES)]
    if meant := data.meant(spec, sources):
        stacked = "" if meant.startswith(("csv:", "npz:")) else "stacked:"
        return f"; did you mean {stacked}{meant}?"
    source, _, rest = spec.partition(":")
    if rest and (close := closest(source, ("stacked", *sources))):
        stacked = "" if close in ("csv", "npz", "stacked") else "stacked:"
        return f"; did you mean {stacked}{close}:{rest}?"
    images = ("stacked", *(f"stacked:{source}" for source in data.SOURCES[1:]))
    choices = f"choose {mixtures.EXAMPLES}, {', '.join((*points.SOURCES, *images))}"
    return nearest(spec, ("ring8", "grid25", "modes", "stacked"), choices, every=True)
