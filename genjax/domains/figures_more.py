"""Budgets and samples of the domains experiment, and what all its figures share."""

import numpy as np
from matplotlib.ticker import EngFormatter

from genjax import claims
from genjax.claims import intervals
from genjax.core import config as configs
from genjax.domains import forecast
from genjax.domains.config import Arm
from genjax.report import texts
from genjax.report.charts import Axis, Chart, Panel, Series, by_seed
from genjax.report.plots import seeds


def arms_of(run) -> dict[str, Arm]:
    """The arms of a run, from its summary."""
    recipes = run["summary"]["recipes"]
    return {name: configs.from_json(Arm, recipe) for name, recipe in recipes.items()}


def averaged(name: str, x, values: np.ndarray, seeds) -> Series:
    """Mean over seeds of values [seeds, x], with its 95% t interval where there is one."""
    fits = np.array([claims.interval(column) for column in values.T])
    low, high = fits[:, 1:].T if np.isfinite(fits).all() else ((), ())
    return Series(name, x, fits[:, 0], low, high, by_seed(x, values, seeds))


def ladder(run):
    """Excess by budget, of arms that differ in steps alone, and what was forecast of the last."""
    summary, arms = run["summary"], arms_of(run)
    groups = forecast.ladders(arms)
    if not groups:
        return None
    row = summary["flags"]["batch_size"] * summary["flags"]["context"]
    budgets = sorted({arms[arm].steps * row for group in groups for arm in group})
    short = EngFormatter(sep="", places=0)
    tokens = Axis("training text", "tokens", log=True, ticks={n: short(n) for n in budgets})
    panels = []
    for kind in forecast.MEASURES:
        series = []
        for i, group in enumerate(groups):
            x = np.array([arms[arm].steps for arm in group]) * row
            values = np.stack([seeds(summary, f"{arm}/{kind}") for arm in group], 1)
            name = short_name(group)
            series.append(averaged(name, x, values, summary["seeds"]))
            made = summary["metrics"][f"{group[2]}/forecast_{kind}"]
            # Beside the others' forecasts, not over them.
            place = [x[2] * (1.1 + 0.1 * i)]
            # None, where it is not finite.
            y, low, high = (np.array([made[end]], float) for end in ("mean", "low", "high"))
            series.append(
                Series(name, place, y, low, high, points=True, open=True, note="forecast")
            )
        loss = Axis("loss above known", summary["unit"], log=True)
        panels.append(Panel(tokens, loss, series, f"{kind.removeprefix('excess_')} domains"))
    text = (
        "Excess over the exact optimum by budget: mean over seeds with its 95% interval. Open "
        "marks: what the first two budgets forecast of the third, the slope going on at half to "
        "one and a half of itself."
    )
    behind = [order(summary, groups[0], other, row) for other in groups[1:]]
    if behind:
        ends = [budgets[0], budgets[-1]]
        behind.append(Series("level", ends, [0.0, 0.0], guide=True))
        lost = Axis("loss, the other less the first", summary["unit"])
        panels.append(Panel(tokens, lost, behind, "order on unseen domains"))
        text += (
            " Order: the loss on unseen domains, at the step that valid text chooses, of another "
            f"net less that of {short_name(groups[0])}, paired over seeds: median with its 95% "
            "interval; above 0 the first carries further."
        )
    return text, Chart(panels, columns=len(panels), size=(4.8, 4.2))


def short_name(group: list[str]) -> str:
    """What the arms of a ladder are called, without their budgets."""
    return group[0].rpartition("_")[0] or group[0]


def order(summary: dict, first: list[str], other: list[str], row: int) -> Series:
    """How far a ladder is behind the first at each budget; row: tokens of a step."""
    steps = [summary["recipes"][arm]["steps"] for arm in other]
    lost = [
        seeds(summary, f"{b}/stopped_unseen") - seeds(summary, f"{a}/stopped_unseen")
        for a, b in zip(first, other, strict=True)
    ]
    fits = np.array([intervals.of_median(values) for values in lost])
    low, high = fits[:, 1:].T if np.isfinite(fits).all() else ((), ())
    x = np.array(steps) * row
    values = np.stack(lost, 1)
    name = f"{short_name(other)} - {short_name(first)}"
    return Series(name, x, fits[:, 0], low, high, by_seed(x, values, summary["seeds"]))


def samples(run):
    arms = [arm for arm in run["summary"]["arms"] if "generated" in run["arrays"][arm]]
    if not arms:
        return None
    given = run["arrays"][arms[0]]["prompts"]
    passages = [
        texts.passage(
            name,
            str(given[i]),
            {arm: str(run["arrays"][arm]["generated"][i]) for arm in arms},
        )
        for i, name in enumerate(run["summary"]["domains"])
    ]
    text = "The end of a test text of each domain, and how the first seed of each arm goes on."
    return text, texts.Texts(passages)
