"""From a command line to a configuration: absl's flagfiles and misspellings, our types and help.

Every option of the configuration is a flag of absl's that takes a text (or yes and no); its type,
bounds and choices are the configuration's own, so that Python and the command line are refused
alike. Nothing is printed here, and no global flag is made.
"""

import dataclasses
import difflib
import os
import textwrap
import typing
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from genjax.core import config as configs
from genjax.core import shipped
from genjax.core.config import Options, option, shown
from genjax.core.errors import UsageError, no_file
from genjax.core.writers import KINDS

GROUP = "Run"
# Where --live serves the page if it names no port.
LIVE_PORT = 8008
# What absl does not know: a flag that may stand with a value or without, and a short one.
ALONE = dict.fromkeys(("--live", "-live"), f"--live={LIVE_PORT}") | {"-h": "--help"}
# Characters of a flag's name, and of all flagfiles of a command line together.
LONGEST_NAME, LONGEST_FILES = 100, 2**20
Made = typing.TypeVar("Made", bound=Options)


@dataclasses.dataclass(frozen=True)
class Place(Options):
    """Where a run lies and how it is kept; no part of what it computes."""

    workdir: str | None = option(
        None,
        "Folder of the run. Default: runs/<experiment>/<name of the flagfile>, with a short hash "
        "where other flags differ from it.",
        group=GROUP,
        place=True,
        also=("out", "output", "output_dir"),
    )
    resume: bool = option(
        True,
        "Continue the run that --workdir holds, if its flags are the same. --noresume refuses a "
        "folder that holds a run.",
        group=GROUP,
        place=True,
    )
    compile_cache: str = option(
        "",
        "Folder of compiled programs, kept between runs. Default: genjax in the user's cache "
        "directory. 'off': none.",
        group=GROUP,
        place=True,
        rare=True,
    )
    distributed: str = option(
        "off",
        "Several processes as one run: <host>:<port>,<processes>,<rank> of this one, the same "
        "command otherwise; auto: as the cluster says (TPU pods, SLURM, Open MPI, GKE).",
        group=GROUP,
        place=True,
        rare=True,
    )
    platform: str = option(
        "auto",
        "Computes there, or ends; auto: on the best that JAX finds.",
        group=GROUP,
        choices=("auto", "cpu", "gpu", "tpu"),
        place=True,
        also=("cpu", "gpu", "tpu", "device"),
    )


@dataclasses.dataclass(frozen=True)
class Watched(Place):
    """The same of a run that has curves."""

    live: int | None = option(
        None,
        "Draw the page while it trains, and serve it on this port of 127.0.0.1. --live alone: "
        f"{LIVE_PORT}; 0: one that is free.",
        group=GROUP,
        low=0,
        high=2**16 - 1,
        place=True,
    )
    profile: int = option(
        0,
        "Writes a trace of so many training steps of each arm into profile/, for xprof or "
        "TensorBoard. 0: none.",
        group=GROUP,
        low=0,
        high=10**6,
        place=True,
        rare=True,
    )
    writers: tuple[str, ...] = option(
        (),
        "Hand the curves to these programs too (extras of the same names): tensorboard/ of the "
        "folder, Weights & Biases, MLflow.",
        group=GROUP,
        choices=tuple(KINDS),
        distinct=True,
        place=True,
    )
    tensorboard: bool = option(
        False, "The same as --writers=tensorboard.", group=GROUP, place=True, rare=True
    )

    @property
    def all_writers(self) -> tuple[str, ...]:
        """Those of both flags."""
        return tuple(dict.fromkeys((*self.writers, *["tensorboard"] * self.tensorboard)))


def place_of(kind: type[Options]) -> type[Place]:
    """What says where a run of such a configuration lies, and how it is kept."""
    return Watched if kind.curves else Place


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a command line asks for: help ('', 'help' or 'helpfull'), or a run. words: its
    arguments that are no flags."""

    help: str
    config: Any = None
    place: Any = None
    words: tuple[str, ...] = ()


def read(kind: type[Options], arguments: list[str], *, words: bool = False) -> Asked:
    """The options of type `kind` of a command line, where no run folder is asked for.

    words: whether it may hold others than flags, such as folders. Raises UsageError as `parse`.
    """
    given, rest = _given((kind,), arguments, words=words)
    return _helped(given) or Asked("", _made(kind, given), words=tuple(rest))


def _helped(given: dict) -> Asked | None:
    """What help is asked for; takes its flags out of what was given."""
    asked = [name for name in ("helpfull", "help") if given.pop(name, False)]
    return Asked(asked[0]) if asked else None


def parse(kind: type[Options], experiment: str, arguments: list[str]) -> Asked:
    """The configuration of type `kind`, and its place, of a command line without its first word.

    Raises UsageError with one line for what cannot be read or is no flag, and what `kind` refuses.
    """
    arguments = _joined(arguments)
    _require_own(experiment, arguments)
    given, _ = _given((kind, place_of(kind)), arguments)
    if helped := _helped(given):
        return helped
    if "max_seeds" in kind.options() and not given.get("seeds", "1").lstrip("+-").isdigit():
        if given["seeds"] != "auto":
            raise UsageError(f"--seeds={shown(given['seeds'])}: a whole number, or auto")
        given = {"max_seeds": "40"} | given | {"seeds": "5"}
    config = _made(kind, given)
    place = _made(place_of(kind), given)
    if place.workdir == "":
        raise UsageError("--workdir=: name a folder, or leave the flag out")
    if place.workdir is None:
        place = place.replace(workdir=_folder(kind, experiment, arguments, config))
    return Asked("", config, place)


def _given(
    asked: tuple[type[Options], ...], arguments: list[str], *, words: bool = False
) -> tuple[dict, list[str]]:
    """({flag: text, bool, or for arms texts}, arguments that are no flags)."""
    values = absl_flags.FlagValues()
    values.set_gnu_getopt(True)  # Flags may stand behind other words.
    for options in asked:
        kinds = typing.get_type_hints(options)
        for name, field in options.options().items():
            define = {
                bool: absl_flags.DEFINE_boolean,
                dict: absl_flags.DEFINE_multi_string,
            }.get(configs.describe(kinds[field.name])[0], absl_flags.DEFINE_string)
            define(name, None, "", flag_values=values)
    for name in ("help", "helpfull"):
        absl_flags.DEFINE_boolean(name, None, "", flag_values=values)
    expanded, places = _expanded(arguments)
    expanded = [ALONE.get(one, one) for one in expanded]
    try:
        _, *rest = values(["", *expanded])
    except absl_flags.UnrecognizedFlagError as error:
        text, near = error.flagvalue, configs.nearest_flag(error.flagname, values, asked)
        raise UsageError(f"{places.get(text, '')}{shown(text)}: no such flag{near}") from error
    except absl_flags.IllegalFlagValueError as error:  # Of yes and no: all others are texts.
        where = str(error).removeprefix("flag ").partition(": (")[0]
        raise UsageError(f"{shown(where)}: true or false") from error
    except (absl_flags.Error, UnicodeDecodeError, OSError, ValueError) as error:
        raise UsageError(shown_line(str(error))) from error
    if rest and not words:
        raise UsageError(
            f"{places.get(rest[0], '')}unexpected argument {shown(rest[0])!r}: flags are written "
            f"--name=value{_as_flag(rest[0], asked)}"
        )
    return {name: values[name].value for name in values if values[name].present}, rest


def _as_flag(word: str, asked: tuple[type[Options], ...]) -> str:
    """What is meant by a word that stands alone: the value of a flag, or a flagfile's name."""
    for kind in asked:
        for name, field in kind.options().items():
            if word in field.metadata["choices"] and not field.metadata["rare"]:
                return f"; did you mean --{name}={word}?"
    if len(asked) == 1:  # Of a tool, which has no flagfiles.
        return f", such as --{next(iter(asked[0].options()))}={shown(word)}"
    near = difflib.get_close_matches(word[:LONGEST_NAME], _published(), n=1)
    return f"; did you mean --flagfile={near[0]}?" if near else ""


def flagfile(asked: str) -> str:
    """The path of a flagfile that is named by it, or by the bare name of one that comes with the
    code. Raises UsageError where there is none."""
    path = os.path.expanduser(asked)
    if os.path.isfile(path):
        return path
    published = _published()
    if asked in published:
        return str(published[asked])
    near = configs.nearest(
        Path(asked).stem[:LONGEST_NAME], published, "`genjax list` names those that there are"
    )
    raise UsageError(f"--flagfile={shown(asked)}: {no_file(path)}{near}")


def _published() -> dict[str, Path]:
    return {path.stem: path for path in shipped.FLAGFILES.glob("*.flags")}


def _expanded(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """(the arguments, with those of flagfiles in the place of --flagfile; {line of a flagfile:
    where it first stands, '<file>, line 3: '}).

    Raises UsageError for what absl would compare with every flag to no end, and for flagfiles that
    are no files, are long or name themselves.
    """
    left = LONGEST_FILES
    places = dict.fromkeys(arguments, "")

    def read(lines: list[str], above: tuple[str, ...]) -> list[str]:
        nonlocal left
        found, rest = [], enumerate(lines, 1)
        for number, line in rest:
            if above:
                line = line.strip()
                if not line or line.startswith(("#", "//")):
                    continue
                where = f"--flagfile={shown_line(above[-1])}, line {number}: "
                places.setdefault(line, where)
            name, equals, path = line.strip().partition("=")
            if name.startswith("-") and not name[1:2].isdigit() and len(name) > LONGEST_NAME:
                raise UsageError(f"{shown(name)}: no such flag")
            if name not in ("--flagfile", "-flagfile"):
                found.append(line)
                continue
            path = flagfile(path.strip() if equals else next(rest, (0, ""))[1])
            where = f"--flagfile={shown(path)}"
            if path in above:
                raise UsageError(f"{where}: names itself")
            try:
                left -= os.path.getsize(path)
                text = Path(path).read_text() if left >= 0 else ""
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"{where}: no text that can be read") from error
            if left < 0:
                raise UsageError(f"{where}: more than {LONGEST_FILES:,} characters of flags")
            found += read(text.split("\n"), (*above, path))
        return found

    return read(arguments, ()), places


def shown_line(text: str) -> str:
    """The first line of a text, at most 300 characters that can be printed."""
    line = text.strip().split("\n")[0]
    return "".join(c if c.isprintable() else "?" for c in line)[:300]


def _made(options: type[Made], given: dict) -> Made:
    fields, values = options.options(), {}
    for name in fields.keys() & given.keys():
        value = given[name]
        if isinstance(value, list):
            value = _variants(options, value)
        elif not isinstance(value, bool):
            value = options.parse(name, value)
        values[fields[name].name] = value
    return options(**values)


def _variants(options, texts: list[str]) -> dict:
    found = {}
    for text in texts:
        name, changes = configs.variant_of(text, options.arm_kind)
        if name in found:
            raise UsageError(f"--arm={shown(text)}: the name {name} is taken")
        found[name] = changes
    return found


def _joined(arguments: list[str]) -> list[str]:
    """Arguments with `--flagfile name` as `--flagfile=name`."""
    rest, bare = iter(arguments), ("--flagfile", "-flagfile")
    return [f"--flagfile={next(rest, '')}" if one in bare else one for one in rest]


def _flagfiles(arguments: list[str]) -> list[str]:
    return [a for a in arguments if a.lstrip("-").startswith("flagfile=")]


def _require_own(experiment: str, arguments: list[str]) -> None:
    """Raises UsageError for a flagfile that comes with the code and is another experiment's."""
    for argument in _flagfiles(arguments):
        asked = argument.partition("=")[2].strip()
        path = Path(flagfile(asked))
        other = shipped.read(path).experiment if path in _published().values() else experiment
        if other != experiment:
            line = f"genjax {other} --flagfile={path.stem}"
            raise UsageError(f"--flagfile={shown(asked)}: a run of another experiment: {line}")


def _folder(kind, experiment: str, arguments: list[str], config: Options) -> str:
    """runs/<experiment>/<name of the last flagfile, or default>[-<hash>]."""
    files = _flagfiles(arguments)
    name = Path(files[-1].split("=", 1)[1]).stem if files else "default"
    try:
        plain = configs.lines(_made(kind, _given((kind, place_of(kind)), files[-1:])[0]))
    except UsageError:
        plain = None  # The file asks for flags beside it.
    if plain != configs.lines(config):
        name = f"{name}-{configs.digest(config)}"
    return str(Path("runs") / experiment / name)


# --- Help ----------------------------------------------------------------------------------------


def help_text(
    kind: type[Options], command: str, about: str, *, full: bool, place: bool = True
) -> str:
    """The help of a command: what it is about, then the options in groups, common ones first.

    command: how it is called. full: the rare options too. place: those of a run folder too.
    """
    blocks = [
        about.strip(),
        "Flags are written --name=value; --flagfile=<file or name> reads them.",
    ]
    groups: dict[str, list[str]] = {}
    hidden = 0
    for options in (place_of(kind), kind) if place else (kind,):
        for name, field in options.options().items():
            if field.metadata["rare"] and not full:
                hidden += 1
                continue
            groups.setdefault(field.metadata["group"], []).append(_entry(options, name, field))
    order = sorted(groups, key=lambda name: (name == GROUP, name != "Common"))
    blocks += [f"{name}:\n" + "\n".join(groups[name]) for name in order]
    if hidden:
        blocks.append(f"{hidden} rare flags more: {command} --helpfull")
    return "\n\n".join(blocks)


def _entry(options, name: str, field) -> str:
    meta, value = field.metadata, field.default
    facts = []
    kind, several, _ = configs.describe(typing.get_type_hints(options)[field.name])
    if kind is not dict:
        if meta["choices"]:
            text = ", ".join(map(str, meta["choices"]))
            facts.append(f"of {text}" if several else text)
        else:
            facts.append(_range(kind, several, meta))
        if value not in (None, "", ()):
            facts.append(f"default {configs.written(value)}")
    text = meta["help"] + (f" ({'; '.join(filter(None, facts))})" if any(facts) else "")
    dashes = f"--[no]{name}" if isinstance(value, bool) else f"--{name}"
    body = textwrap.fill(text, 92, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  {dashes}\n{body}"


def _range(kind, several, meta) -> str:
    if kind not in (int, float):
        return ""
    words = configs.bounds(*(meta[key] for key in ("low", "high", "above", "below")))
    words = "" if words == "that is allowed" else f" {words}"
    plain = configs.KINDS[kind].removeprefix("a ")
    return f"{plain}s{words}" if several else f"{plain}{words}"
