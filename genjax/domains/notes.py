"""What a reader could take for a claim: the notes of a run's page."""

import numpy as np

from genjax import claims
from genjax.domains.arms import Figures, alike, selections
from genjax.domains.config import Config
from genjax.domains.names import parent
from genjax.domains.roles import FEWEST, with_overlap


def notes(figures: Figures, config: Config) -> list[str]:
    """What a reader could take for a claim."""
    arms, found, known = config.arms(), figures.found, figures.facts
    lines = [
        "Measured at the last step, whose number was fixed before; `stopped_...` at the step where "
        "the valid text of what an arm trains on was lowest, each seed its own, of the evaluations "
        "along training. No test text chose anything, and no text of a domain that an arm had not "
        "trained on; arms that adapt are compared by the valid text of what they adapt to. What is "
        "called an oracle is no choice.",
        "Floors are counted on the training text of all domains that are not held out, and on the "
        "document so far: unigram, cache (a unigram of both), cache_bigram (a bigram of the "
        "document over that). Their weights are chosen on those domains' valid text.",
    ]
    if known.exact:
        lines.append(
            "Score: 0 is the best floor on the same documents, 1 is `family`. A seed is a grid, "
            "documents and weights of its own. The lines are exact: known (the domain is given), "
            "family (any pair of the grid; of a chain: the prior of chains and the context), seen "
            "or memory (the domains trained on). Excess is over `known`, on the same documents."
        )
    else:
        lines.append(
            f"Bits a byte over windows of {config.context} tokens, stride {config.stride}; every "
            "byte is scored once. Which domains, networks or shapes carry further is judged on "
            "grids alone: nobody knows the optimum of texts, and a seed redraws no domain."
        )
    for name, row in found.items():
        if None not in row.get("bootstrap_unseen", [None]) and not parent(arms, name):
            mean, low, high = row["bootstrap_unseen"][:3]  # Of blocks of seeds the first.
            lines.append(
                f"{name} on unseen domains, over documents (95% bootstrap, seeds averaged): "
                f"{mean:.3f} ({low:.3f} to {high:.3f}) {known.unit}"
            )
    lines += notes_on_choices(figures, config)
    for name, row in found.items():
        weights = {k.removeprefix("weight/"): np.mean(v) for k, v in row.items() if "weight/" in k}
        if weights:
            shown = ", ".join(f"{domain} {share:.3f}" for domain, share in weights.items())
            lines.append(f"{name}, mean weights under group DRO, seeds averaged: {shown}")
    lines += [
        f"{name}: {size['parameters']:,} parameters, {size['flops'] / 1e6:.2f} MFLOP a trained "
        "token"
        for name, size in known.sizes.items()
        if arms[name].model != "ngram" and not arms[name].from_
    ]
    return lines


def notes_on_choices(figures: Figures, config: Config) -> list[str]:
    """What valid text chooses, and how the gap goes with distance."""
    arms, found = config.arms(), figures.found
    lines = []
    for candidates, chosen, oracle in selections(arms, figures):
        unseen = [np.asarray(found[name]["unseen"], float) for name in (chosen, oracle)]
        mean, low, high = claims.interval(unseen[0] - unseen[1])
        lines.append(
            f"Of {', '.join(candidates)} the training domains' valid text takes {chosen}, "
            f"{unseen[0].mean():.3f} on unseen domains; an oracle that reads those takes {oracle}: "
            f"{mean:.3f} ({low:.3f} to {high:.3f}) bits less. Each chose once, by means over seeds"
        )
    left_out = {name: arms[name] for name, row in found.items() if {"gap", "overlap"} <= {*row}}
    for group in alike(left_out, "domains"):
        if len(group) >= FEWEST:
            rho, low, high = with_overlap(found, group, "gap")
            lines.append(
                "Rank correlation of the gap with the overlap of 5-grams, over "
                f"{', '.join(group)}: {rho:.2f} ({low:.2f} to {high:.2f}, 95% Fisher z, as if the "
                "arms were independent)"
            )
    return lines
