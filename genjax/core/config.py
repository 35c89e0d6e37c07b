"""Configurations as data: a frozen dataclass is its flags, its help, its bounds and its JSON.

No jax and no flags in here: a notebook makes a configuration as a script does, and both are refused
with the same line. A field is made by `option`; its type is its annotation: int, float, bool, str,
one of them or None, or a tuple of them. A field of type dict holds the arms (`arms`).
"""

import dataclasses
import difflib
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from genjax.core.errors import UsageError

# Weights of losses, and learning rates, up to here; float32 holds their squares.
STRONGEST, FASTEST = 1e9, 1e6
# Longest text of an option, and most entries of a list.
LONGEST, MOST = 1000, 1000
# The largest whole number that NumPy and JAX take for a seed or a size.
LARGEST = 2**31 - 1
# The word before "value" in a refusal, by type.
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def option(
    default,
    help: str,
    *,
    group: str = "Common",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple = (),
    rare: bool = False,
    place: bool = False,
    distinct: bool = False,
    flag: str | None = None,
    also: tuple[str, ...] = (),
) -> Any:
    """A field of a configuration.

    low, high: bounds that are allowed; above, below: those that are not. choices: of a value, or of
    a tuple's entries. distinct: of a tuple, no entry twice. rare: listed by --helpfull alone.
    place: names where something lies, and may differ between a run and its continuation. flag: the
    name on the command line, where it is not the field's. also: what it is called elsewhere, which
    is answered with its name.
    """
    if choices and default not in (None, *choices) and not isinstance(default, tuple):
        raise ValueError(f"the default {default!r} is none of {choices}")
    meta = {key: value for key, value in locals().items() if key != "default"}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=meta)
    return dataclasses.field(default=default, metadata=meta)


def flag_name(field: dataclasses.Field) -> str:
    """What a field is called on the command line, and among an arm's changes."""
    return field.metadata["flag"] or field.name


def describe(kind) -> tuple[type, bool, bool]:
    """(type of a value or entry, whether a tuple, whether None is allowed) of an annotation.

    The type of a configuration's arms is dict.
    """
    optional = isinstance(kind, types.UnionType)
    if optional:
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
    several = typing.get_origin(kind) is tuple
    if several:
        kind = typing.get_args(kind)[0]
    return kind, several, optional


class Reader(NamedTuple):
    """Who reads an option, in words, such as '--model=vamp', and as a question to an arm."""

    words: str
    reads: Callable[[Any], bool]


def when(**values: tuple[str, ...]) -> Reader:
    """The arms in which each of these options has one of its values."""

    def reads(arm) -> bool:
        return all(getattr(arm, name) in of for name, of in values.items())

    return Reader(" and ".join(f"--{name}={', '.join(of)}" for name, of in values.items()), reads)


@dataclasses.dataclass(frozen=True)
class Options:
    """What every configuration, and every arm of one, does with its fields.

    readers: who reads an option that not all do, by its flag. curves: whether a run of it trains
    what can be watched, handed on and traced. Raises UsageError at construction: for a value of the
    wrong type, not finite or out of bounds, and for what `check` refuses.
    """

    readers: ClassVar[Mapping[str, Reader]] = {}
    curves: ClassVar[bool] = True

    def __post_init__(self):
        kinds = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _checked(field, kinds[field.name], getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Rules across fields; raises UsageError."""

    def require(self) -> None:
        """Raises UsageError where a folder that a run reads is not there, or has other names."""

    @classmethod
    def options(cls) -> dict[str, dataclasses.Field]:
        """The fields by the names of their flags."""
        return {flag_name(field): field for field in dataclasses.fields(cls)}

    @classmethod
    def parse(cls, name: str, text: str):
        """The value of an option from a text, such as a flag's."""
        field = cls.options()[name]
        kind, several, _ = describe(typing.get_type_hints(cls)[field.name])
        if several:
            parts = text.split(",") if text else []
            return tuple(_parsed(name, text, kind, part) for part in parts)
        return _parsed(name, text, kind, text)

    def values(self) -> dict[str, Any]:
        """The options by the names of their flags."""
        return {name: getattr(self, field.name) for name, field in self.options().items()}

    def replace(self, **changes):
        """The same with some options changed; names are those of the flags, or the fields'."""
        options = self.options() | {field.name: field for field in dataclasses.fields(self)}
        for name in changes:
            if name not in options:
                raise UsageError(f"{name}: no such option{nearest(name, options)}")
        return dataclasses.replace(
            self, **{options[name].name: value for name, value in changes.items()}
        )


def nearest(name: str, choices, otherwise: str = "", *, every: bool = False) -> str:
    """'; did you mean ...?', or all choices, or `otherwise`, where nothing is near.

    every: all choices in any case.
    """
    listed = otherwise or "choices: " + (", ".join(choices) or "none")
    if close := closest(name, choices):
        return f"; did you mean {close}?" + (f" {listed}" if every else "")
    return f"; {listed}"


def closest(name: str, choices) -> str:
    """The choice that a name is near to; '' for none.

    Capitals and small letters are one; swapped letters come first, and a word of the name last, as
    in flash_attention.
    """
    small, name = {choice.lower(): choice for choice in choices}, name.lower()
    close = [one for one in small if sorted(one) == sorted(name)]
    close += difflib.get_close_matches(name, list(small), n=1)
    close += [one for one in small if one in re.split(r"[\W_]+", name)]
    return small[close[0]] if close else ""


def nearest_flag(name: str, flags, kinds: tuple[type[Options], ...]) -> str:
    """What `nearest` says of a name that is none of `flags`; first what is called so elsewhere."""
    for kind in kinds:
        for flag, field in kind.options().items():
            if name in field.metadata["also"]:
                return f"; did you mean {flag}?"
    return nearest(name, flags, "see --helpfull")


def _parsed(name: str, whole: str, kind: type, text: str):
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise UsageError(f"--{name}={shown(whole)}: true or false")
        return text.lower() in ("true", "1")
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError as error:
        raise UsageError(f"--{name}={shown(whole)}: {KINDS[kind]}") from error


def shown(value) -> str:
    """A value as a refusal names it: as typed, on one line, not too long."""
    try:
        whole = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    except ValueError:  # Python writes no more than 4,300 digits.
        whole = f"({type(value).__name__})"
    text = "".join(c if c.isprintable() else "?" for c in whole)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _checked(field: dataclasses.Field, annotation, value):
    kind, several, optional = describe(annotation)
    where, meta = f"--{flag_name(field)}={shown(value)}", field.metadata
    if kind is dict:
        return value  # The arms, which `arms` reads and refuses.
    if value is None and optional:
        return None
    if value == "" and optional:
        raise UsageError(f"{where}: no {KINDS[kind][2:]}; give one, or leave the flag out")
    if not several:
        return _checked_one(where, meta, kind, value)
    if isinstance(value, str) or not isinstance(value, tuple | list):
        raise UsageError(f"{where}: a list of {KINDS[kind][2:]}s")
    if len(value) > MOST:
        raise UsageError(f"{where}: {len(value):,} entries; at most {MOST:,}")
    entries = tuple(_checked_one(where, meta, kind, entry) for entry in value)
    if meta["distinct"] and len(set(entries)) < len(entries):
        raise UsageError(f"{where}: a value is named twice")
    return entries


def _checked_one(where: str, meta, kind: Any, value: Any):
    value = _plain(kind, value)
    if type(value) is not kind:
        raise UsageError(f"{where}: {KINDS[kind]}, not {type(value).__name__}")
    if kind is str and not meta["choices"]:
        if len(value) > LONGEST:
            raise UsageError(f"{where}: {len(value)} characters; at most {LONGEST}")
        if not value.isprintable():
            raise UsageError(f"{where}: characters that cannot be printed")
    if kind is float and not math.isfinite(value):
        raise UsageError(f"{where}: a finite number")
    if kind in (int, float):
        _require_bounds(where, meta, kind, value)
    if meta["choices"] and value not in meta["choices"]:
        raise UsageError(f"{where}: no {value!r}{nearest(value, meta['choices'], every=True)}")
    return value


def _plain(kind: Any, value: Any) -> Any:
    """A value of NumPy's as Python's, and a whole number as a float where that is asked for."""
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        value = value.item()
    if kind is float and type(value) is int:
        return float(value) if abs(value) <= 10**300 else math.inf
    return value


def _require_bounds(where: str, meta, kind: type, value):
    low, high, above, below = (meta[name] for name in ("low", "high", "above", "below"))
    if kind is int:
        high = LARGEST if high is None else high
    wrong = (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )
    if wrong:
        raise UsageError(f"{where}: {KINDS[kind]} {bounds(low, high, above, below)}")


def bounds(low=None, high=None, above=None, below=None) -> str:
    """A range in words; '' without bounds."""
    if high == LARGEST:
        high = None if low is not None else high
    first = "" if low is None else f"from {low:,}"
    first = first if above is None else f"above {above:,}"
    last = "" if high is None else f"to {high:,}" if first else f"up to {high:,}"
    last = last if below is None else f"below {below:,}"
    return " ".join(part for part in (first, last) if part) or "that is allowed"


def default(base: type[Options], name: str, value) -> Any:
    """A field of `base` with another default."""
    (field,) = (field for field in dataclasses.fields(base) if field.name == name)
    return dataclasses.field(default=value, metadata=field.metadata)


# --- Arms ----------------------------------------------------------------------------------------


def variant_of(text: str, kind: type) -> tuple[str, dict]:
    """(name, {option: value}) of an `--arm` text, 'name' or 'name:option=value,option=value'."""
    name, _, changes = text.partition(":")
    found, known = {}, kind.options()
    for change in filter(None, changes.split(",")):
        key, equals, value = change.partition("=")
        if key not in known or not equals:
            raise UsageError(
                f"--arm={shown(text)}: '{shown(change)}' is no option=value of an arm"
                f"{'; such as ' + key + '=...' if key in known else nearest(key, known)}"
            )
        if key in found:
            raise UsageError(f"--arm={shown(text)}: {key} is named twice")
        try:
            found[key] = kind.parse(key, value)
        except UsageError as error:
            raise UsageError(f"--arm={shown(name)}: {error}") from error
    return name, found


def variant_text(name: str, changes: Mapping) -> str:
    """The inverse of `variant_of`."""
    inside = ",".join(f"{key}={written(value)}" for key, value in changes.items())
    return f"{name}:{inside}" if inside else name


def written(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(map(written, value))
    return repr(value) if isinstance(value, float) else str(value)


def typed(name: str, value) -> str:
    """An option of config.json as one types it; 'no --<name>' where it is not given."""
    if value is None or value == {}:
        return f"no --{name}"
    if isinstance(value, Mapping):
        return " ".join(f"--{name}={shown(variant_text(*variant))}" for variant in value.items())
    return f"--{name}={shown(value)}"


# --- As text and JSON ----------------------------------------------------------------------------


def lines(config: Options) -> list[str]:
    """The lines of a flagfile that gives this configuration: arms in their order, then the rest by
    name; without places."""
    arms, made = [], []
    for name, field in config.options().items():
        value = getattr(config, field.name)
        if field.metadata["place"] or value is None:
            continue
        if isinstance(value, Mapping):
            arms += [f"--{name}={variant_text(*variant)}" for variant in value.items()]
        elif isinstance(value, bool):
            made.append(f"--{name}" if value else f"--no{name}")
        else:
            made.append(f"--{name}={written(value)}")
    return arms + sorted(made)


def to_json(config: Options) -> dict:
    """{option: value} as config.json holds it; without places."""
    return {
        name: value
        for name, value in config.values().items()
        if not config.options()[name].metadata["place"]
    }


def from_json(cls: type, values: dict):
    """The configuration that `to_json` wrote. Raises UsageError for what is none."""
    options = cls.options()
    if not isinstance(values, Mapping):
        raise UsageError(f"config.json: {shown(values)} is no configuration")
    unknown = sorted(set(values) - set(options))
    if unknown:
        near = nearest(unknown[0], options)
        raise UsageError(f"config.json: {shown(unknown[0])} is no option{near}")
    made = {
        options[name].name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }
    return cls(**made)


def digest(config: Options) -> str:
    """Eight hexadecimal digits that differ where configurations do."""
    text = json.dumps(to_json(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
