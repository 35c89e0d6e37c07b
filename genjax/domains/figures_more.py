"""Budgets and samples of the domains experiment, and what all its figures share."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from genjax import claims
from genjax.core import config as configs
from genjax.domains import forecast
from genjax.domains.config import Arm
from genjax.report import texts
from genjax.report.plots import colours, legend, seeds


def arms_of(run) -> dict[str, Arm]:
    """The arms of a run, from its summary."""
    recipes = run["summary"]["recipes"]
    return {name: configs.from_json(Arm, recipe) for name, recipe in recipes.items()}


def band(axes, x, values, **style):
    """Mean over seeds [seeds, x], and its 95% t interval."""
    fits = np.array([claims.interval(column) for column in values.T])
    colour = axes.plot(x, fits[:, 0], **style)[0].get_color()
    if np.isfinite(fits).all():
        axes.fill_between(x, fits[:, 1], fits[:, 2], color=colour, alpha=0.15, lw=0)


def ladder(run):
    """Excess by budget, of arms that differ in steps alone, and what was forecast of the last."""
    summary = run["summary"]
    groups = forecast.ladders(arms_of(run))
    if not groups:
        return None
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    shade = colours([group[0] for group in groups])
    flags = summary["flags"]
    row = flags["batch_size"] * flags["context"]
    budgets = sorted({arms_of(run)[arm].steps * row for group in groups for arm in group})
    for axes, kind in zip(figure.subplots(1, 2), forecast.MEASURES, strict=True):
        for i, group in enumerate(groups):
            steps = np.array([arms_of(run)[arm].steps for arm in group])
            x = steps * row
            values = np.stack([seeds(summary, f"{arm}/{kind}") for arm in group], 1)
            name = group[0].rpartition("_")[0] or group[0]
            band(axes, x, values, color=shade[group[0]], marker="o", ms=4, label=name)
            made = summary["metrics"][f"{group[2]}/forecast_{kind}"]
            ends = [[made["mean"] - made["low"]], [made["high"] - made["mean"]]]
            axes.errorbar(x[2] * (1.1 + 0.1 * i), made["mean"], ends, color=shade[group[0]],
                          fmt="D", ms=4, mfc="white", capsize=3)  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(budgets, [EngFormatter(sep="", places=0)(tokens) for tokens in budgets])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.25, 1.5, 2, 3, 4, 5, 6, 8)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_title(f"{kind.removeprefix('excess_')} domains")
        axes.set_xlabel("tokens")
        axes.set_ylabel(f"{summary['unit']} above `known`")
        axes.grid(alpha=0.25, lw=0.6, which="both")
    legend(figure, "upper center", ncols=len(groups))
    return (
        "Excess over the exact optimum by budget. Open marks: what the first two budgets forecast "
        "of the third, the slope going on at half to one and a half of itself.",
        figure,
    )


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
