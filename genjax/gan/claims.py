"""The claims of the GAN experiment, each with what must fail it and what must pass it.

Thresholds, margins and controls were chosen on seeds 100 and after, those of flows (G8) argued and
not tried, and sealed in ledger.json before their first run on the reported seeds; G3 was sealed
anew after one, for a control that it lacked. The ledger says what the first versions were.
"""

from pathlib import Path

from genjax import data
from genjax.claims import sealed
from genjax.claims.sealed import Looks
from genjax.gan import claims_flow, claims_game
from genjax.gan.config import Arm, Config
from genjax.gan.judged import Figures

LEDGER = Path(__file__).with_name("ledger.json")
JUDGED = claims_game.JUDGED + claims_flow.JUDGED
CLAIMS = tuple(judged.claim for judged in JUDGED)


def judge(found: dict, config: Config) -> list[dict]:
    """The claims that the arms can bear.

    found: {"row/measure": [seeds]}, of rows without training [draws].
    """
    names = roles(config)
    figures = Figures(found, names, config.seeds)
    early = f"{config.early / 2:.0%} to {config.early:.0%} of them"
    words = {"data": data_name(config), "steps": f"{config.steps:,}", "early": early}
    made = [
        sealed.judge(
            judged.claim,
            judged.values(figures),
            negative=sealed.controls(judged.claim.negative, judged.negative(figures)),
            positive=sealed.controls(judged.claim.positive, judged.positive(figures)),
            looks=Looks(sequential=config.max_seeds > 0),
            names=words | {role: name for role, name in names.items() if name},
        )
        for judged in JUDGED
        if config.steps >= judged.least_steps
        and all(figures.has(role, measures) for role, measures in judged.needs.items())
    ]
    return sealed.family(made)


def data_name(config: Config) -> str:
    """What the data are, in words."""
    if not config.is_plane:
        rest = config.data.partition(":")[2]
        return f"stacked {data.name(rest or 'digits', 'none').removesuffix('/none')}"
    if config.is_points:
        return f"the points of {Path(config.data.partition(':')[2]).name}"
    form = {"ring": "a ring of ", "grid": "a grid of "}.get(config.data[:4], "")
    text = f"{form}{len(config.mixture().means)} Gaussians"
    if config.imbalance != 1:
        text += f", the heaviest {config.imbalance:g} times the lightest"
    return text


def roles(config: Config) -> dict[str, str | None]:
    """The arms that claims speak of, each None where there is none.

    v: the first with the loss ns and no remedy; p: the last that differs from it by packing alone;
    s: the last RpGAN with R1 and R2; w: p, or else s; f: the first flow whose net is as large as
    v's pair, or where there is no v, as its own flags say.
    """
    arms = config.arms()
    v = next((name for name, arm in arms.items() if is_vanilla(arm)), None)
    p = next((name for name in reversed(arms) if v and is_packing(arms[name], arms[v])), None)
    s = next((name for name in reversed(arms) if is_rpgan_r1r2(arms[name])), None)
    f = next(
        (n for n, arm in arms.items() if arm.method == "flow" and (not v or equal(arm, arms[v]))),
        None,
    )
    return {"v": v, "p": p, "s": s, "w": p or s, "f": f}


def equal(flow: Arm, vanilla: Arm) -> bool:
    """Whether a flow has as many parameters as a GAN's pair: their networks are flagged alike."""
    options = Arm.options().items()
    return all(
        getattr(flow, name) == getattr(vanilla, name)
        for name, field in options
        if field.metadata["group"] == "Network"
    )


def is_packing(arm: Arm, vanilla: Arm) -> bool:
    """PacGAN whose recipe is the vanilla one's in all else."""
    return arm.pack > 1 and arm.replace(pack=1) == vanilla


def is_rpgan_r1r2(arm: Arm) -> bool:
    """R3GAN's loss and both its penalties."""
    return arm.loss == "rpgan" and arm.r1 > 0 and arm.r2 > 0


def is_vanilla(arm: Arm) -> bool:
    """The non-saturating GAN without any remedy."""
    off = (
        "r1", "r2", "gp", "unroll", "ema", "reconstruction", "spectral_norm", "d_fourier", "g_skip",
    )  # fmt: skip
    return (
        arm.method == "gan"
        and arm.loss == "ns"
        and arm.pack == arm.n_critic == arm.generators == arm.resample == 1
        and arm.minibatch == "none"
        and not any(getattr(arm, name) for name in off)
    )
