"""Which domains there are, which an arm names, and how often it draws each; nothing is read."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from genjax.core.config import nearest, shown
from genjax.core.errors import UsageError
from genjax.domains import hmm

# Choices that a refusal names.
LISTED = 30


class Domains(NamedTuple):
    """Domains by name; the fields are those of data.Source."""

    names: list[str]
    held_out: list[str]
    far: list[str]
    groups: dict[str, list[str]]


class Named(Protocol):
    """What `select` asks: Domains, or a data.Source."""

    @property
    def names(self) -> list[str]: ...
    @property
    def held_out(self) -> list[str]: ...
    @property
    def far(self) -> list[str]: ...
    @property
    def groups(self) -> dict[str, list[str]]: ...


def of_grid(side: int, chains: int) -> Domains:
    """Those of a grid of side x side, and of the chains beside it."""
    far = [f"chain{i}" for i in range(chains)]
    groups = {f"diagonals{n}": hmm.diagonals(side, n) for n in range(1, side)}
    return Domains([*hmm.pairs(side), *far], hmm.diagonal(side), far, groups)


def of_texts(names: list[str], held_out: tuple[str, ...]) -> Domains:
    """Those of a corpus. Raises UsageError where --held_out names others, or all of them."""
    for name in held_out:
        if name not in names:
            raise UsageError(f"--held_out={shown(name)}: no such domain{nearest(name, names)}")
    if set(names) == set(held_out):
        raise UsageError(f"--held_out={shown(held_out)}: no domain is left to train on")
    return Domains(names, list(held_out), [], {})


def select(known: Named, spec: str) -> list[str]:
    """The domains that a spec names, in order.

    Names and groups joined by `+`, and `-` before those to leave out. Groups: `seen`, all that are
    not held out; `all`, those too; on the grid `diagonals<n>`, the pairs of n cyclic diagonals. The
    chains are in neither of the first two.

    Raises UsageError for a name that does not exist, or one named twice.
    """
    near = [name for name in known.names if name not in known.far]
    seen = [name for name in near if name not in known.held_out]
    groups = {name: [name] for name in known.names} | known.groups | {"seen": seen, "all": near}
    # A name may hold the signs itself: the longest that fits is meant.
    pattern = "|".join(re.escape(name) for name in sorted(groups, key=len, reverse=True))
    names, without = [], []
    for sign, part in re.findall(rf"(^|[+-])({pattern}|[^+-]*)(?=[+-]|$)", spec):
        (without if sign == "-" else names).extend(groups.get(part, [part]))
    there = set(known.names)
    for name in [*names, *without]:
        if name not in there:
            choices = ["seen", "all", *known.groups, *known.names]
            more = f" and {len(choices) - LISTED:,} more" if len(choices) > LISTED else ""
            near = nearest(name, choices, f"choices: {', '.join(choices[:LISTED])}{more}")
            raise UsageError(f"--domains={shown(spec)}: no domain {shown(name) or 'there'}{near}")
    if len(set(names)) < len(names):
        raise UsageError(f"--domains={shown(spec)}: a domain is named twice")
    found = [name for name in names if name not in without]
    if not found:
        raise UsageError(f"--domains={shown(spec)}: no domain is left")
    return found


def weights(
    names: list[str], sizes: list[int], rule: str, replay: float = 0.0, old: tuple[str, ...] = ()
) -> dict[str, float]:
    """How often each domain is drawn: {name: probability}.

    rule: `uniform`, `proportional` (to size), `temperature:<T>` (size^(1/T), Conneau &
        Lample 2019), or numbers joined by `+`, one a domain. (`doremi:<arm>` becomes numbers
        by genjax.domains.training.)
    replay: the share that the domains `old` take together, evenly; the rest is by the rule.
    Raises UsageError for weights that are negative, do not sum to one, or are too few.
    """
    where, (kind, _, number) = f"--mixture={shown(rule)}", rule.partition(":")
    if kind == "uniform":
        own = np.full(len(names), 1 / len(names))
    elif kind in ("proportional", "temperature"):
        try:
            power = 1 / float(number) if kind == "temperature" else 1.0
        except (ValueError, ZeroDivisionError):
            power = 0.0
        if not 0 < power < np.inf:
            raise UsageError(f"{where}: write temperature:<number above 0>")
        own = (np.asarray(sizes, float) / max(sizes)) ** power
        own /= own.sum()
    else:
        try:
            own = np.array([float(part) for part in rule.split("+")])
        except ValueError as error:
            kinds = ("uniform", "proportional", "temperature:<T>", "doremi:<arm>")
            choices = f"choose {', '.join(kinds)}, or numbers joined by '+'"
            near = nearest(rule, kinds, choices)
            raise UsageError(f"{where}: no such mixture{near}") from error
        if len(own) != len(names):
            raise UsageError(f"{where}: {len(own)} weights for {len(names)} domains")
        if (own < 0).any() or not np.isclose(own.sum(), 1):
            raise UsageError(f"{where}: weights of 0 or more that sum to 1, not {own.sum():g}")
    found = dict.fromkeys(names, 0.0)
    for name, share in zip(names, own, strict=True):
        found[name] += (1 - replay) * share
    for name in old if replay else ():
        found[name] = found.get(name, 0.0) + replay / len(old)
    return found


def parent(arms: Mapping[str, Any], name: str) -> str | None:
    """The arm of this run that an arm starts from."""
    found = arms[name].from_
    return found if found in arms else None


def trained_before(arms: Mapping[str, Any], trained_on: dict, name: str) -> list[str]:
    """What was trained on before, along the chain, and is not trained on now."""
    found, now = [], trained_on[name]
    earlier = parent(arms, name)
    while earlier is not None:
        found += [domain for domain in trained_on[earlier] if domain not in [*now, *found]]
        earlier = parent(arms, earlier)
    return found


def check(arms: Mapping[str, Any], on: dict[str, list[str]], name: str) -> None:
    """Raises UsageError where an arm's options contradict the domains of it and of those before."""
    arm = arms[name]
    for option in ("replay", "ewc"):
        if getattr(arm, option) and not trained_before(arms, on, name):
            raise UsageError(
                f"--{option}={getattr(arm, option)}: --from has no domains in this run besides "
                "those that train now"
            )
    if arm.dro and on[arm.dro] != on[name]:
        raise UsageError(f"--dro={arm.dro}: was trained on other domains")
    if arm.proxy is None:
        weights(on[name], [1] * len(on[name]), arm.mixture)
    elif on[arm.proxy] != on[name]:
        raise UsageError(f"--mixture={arm.mixture}: trains on other domains than {arm.proxy}")
