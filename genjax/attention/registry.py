"""The variants by name; each file enters its own, with what others need to know about it."""

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, ParamSpec

from genjax.attention import blocks
from genjax.attention.catalogue import variant_names
from genjax.attention.variant import Cost as Cost
from genjax.attention.variant import Sharded, Shards, Variant
from genjax.core.config import nearest
from genjax.core.errors import UsageError

P = ParamSpec("P")


class Entry(NamedTuple):
    """What is known of a variant before it is built for a length.

    make: (length, head_dim, *, causal, **options) -> Variant.
    options: the names that it takes besides `causal`.
    causal: the values of `causal` that it can have.
    short: length -> options with which it sees, or remembers, a part of a short sequence only.
    sharded: (shards, its options by name, causal among them) -> how each of several devices
        computes it, with a part of the positions each; or why that is not done.
    """

    make: Callable[..., Variant]
    options: tuple[str, ...]
    causal: tuple[bool, ...]
    short: Callable[[int], Mapping[str, int]]
    sharded: Callable[[Shards, SimpleNamespace], Sharded] | str

    @property
    def can_be_causal(self) -> bool:
        return True in self.causal

    @property
    def must_be_causal(self) -> bool:
        return False not in self.causal


VARIANTS: dict[str, Entry] = {}


def register(
    *,
    causal: tuple[bool, ...] = (False, True),
    short: Callable[[int], Mapping[str, int]] = lambda length: {},
    sharded: Callable[[Shards, SimpleNamespace], Sharded] | str = "not built for several devices",
) -> Callable[[Callable[P, Variant]], Callable[P, Variant]]:
    """Enters a function (length, head_dim, *, causal=..., options) under its own name.

    causal, short, sharded: as in Entry. The function need not look at what `causal` it cannot have,
    nor set `Variant.causal`. Raises ValueError where the file has another name.
    """

    def enter(function: Callable[P, Variant]) -> Callable[P, Variant]:
        name = function.__name__
        if function.__module__.rpartition(".")[2] != name:
            raise ValueError(f"{function.__module__}: {name} has not the name of its file")
        parameters = inspect.signature(function).parameters
        default = parameters["causal"].default

        @functools.wraps(function)
        def make(*args: P.args, **options: P.kwargs) -> Variant:
            wanted = bool(options.get("causal", default))
            if wanted not in causal:
                raise UsageError(
                    f"--variants={name}: "
                    + (
                        "is not causal; leave it out or give --nocausal"
                        if wanted
                        else "is causal by definition; give --causal"
                    )
                )
            try:
                made = function(*args, **options)
            except blocks.TooMany as error:
                own = ", ".join(f"{key}={value}" for key, value in options.items())
                raise UsageError(f"--variants={name}: {error} ({own})") from error
            return made._replace(causal=wanted)

        options = tuple(key for key in parameters if key not in ("length", "head_dim", "causal"))
        VARIANTS[name] = Entry(make, options, causal, short, sharded)
        return make

    return enter


def discover() -> None:
    """Imports every variant, so that VARIANTS holds them all, in the order of `variant_names`."""
    order = variant_names()
    for name in order:
        importlib.import_module(f"genjax.attention.variants.{name}")
    for name in order:
        VARIANTS[name] = VARIANTS.pop(name)


def find(name: str) -> Entry:
    """The variant's entry. Raises UsageError for an unknown name."""
    if name not in VARIANTS:
        raise UsageError(f"--variants={name}: unknown{nearest(name, VARIANTS)}")
    return VARIANTS[name]


def options(name: str) -> tuple[str, ...]:
    """The options that a variant takes besides `causal`. Raises UsageError for an unknown name."""
    return find(name).options


def select(name: str, **offered: Any) -> dict[str, Any]:
    """Of options that are offered to every variant, those that `name` takes.

    Raises UsageError for an unknown name, or an option that no variant takes.
    """
    own = options(name)
    _refuse("attention", offered, {key for entry in VARIANTS.values() for key in entry.options})
    return {key: value for key, value in offered.items() if key in own}


def build(name: str, length: int, head_dim: int, *, causal: bool, **options: Any) -> Variant:
    """The variant `name` for sequences of `length` positions and heads of `head_dim` numbers.

    Raises UsageError for an unknown name or option, or what the variant cannot do.
    """
    entry = find(name)
    _refuse(name, options, entry.options)
    return entry.make(length, head_dim, causal=causal, **options)


def _refuse(who: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises UsageError for the first name that is not known, with the nearest that is."""
    known = sorted(known)
    for option in given:
        if option not in known:
            raise UsageError(f"{who}: {option}: unknown option{nearest(option, known)}")
