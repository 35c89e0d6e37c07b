"""The arms of a configuration: its variants, each an instance of the arm's own dataclass."""

from collections.abc import Iterable, Mapping

from genjax.core.config import nearest, shown, written
from genjax.core.errors import UsageError

# Longest name of an arm, which becomes a file's.
LONGEST_NAME = 64


def arms(config, kind: type, default: str, reserved: tuple[str, ...] = ()) -> dict:
    """{name: arm}, of a configuration whose `variants` are {name: {option: value}}.

    An arm has the configuration's options but for those that its variant changes. kind: the
    dataclass of an arm. default: the one arm's name where there are no variants. reserved: rows and
    folders of a run that no arm made. Raises UsageError
    for a name that is taken or cannot be a file's, and for what is no option of an arm.
    """
    if not isinstance(config.variants, Mapping):
        raise UsageError(f"--arm={shown(config.variants)}: {{name: {{option: value}}}}")
    options = kind.options()
    common = {field.name: getattr(config, field.name) for field in options.values()}
    made = {}
    for name, changes in (config.variants or {default: {}}).items():
        where = f"--arm={shown(name)}"
        if not isinstance(name, str) or not is_file_name(name):
            raise UsageError(
                f"{where}: a name of at most {LONGEST_NAME} letters, digits, '_', '-', '+' or '.'"
            )
        if name in reserved:
            raise UsageError(f"{where}: the name {name} is taken")
        if not isinstance(changes, Mapping):
            raise UsageError(f"{where}: {{option: value}}, not {shown(changes)}")
        for key in changes:
            if key not in options:
                near = nearest(str(key), options)
                raise UsageError(f"{where}: {shown(key)} is no option of an arm{near}")
        own = {options[key].name: value for key, value in changes.items()}
        try:
            made[name] = kind(**common | own)
        except UsageError as error:
            raise UsageError(f"{where}: {error}" if config.variants else str(error)) from error
        if config.variants:
            _require_read(kind, [made[name]], changes, f"{where}: ")
    _require_read(kind, list(made.values()), options)
    return made


def _require_read(kind: type, asking: list, names: Iterable[str], where: str = "") -> None:
    """Raises UsageError for an option that is not at its default, and that nobody reads.

    kind: the dataclass whose `readers` count. asking: those who have the options `names`.
    """
    for name in filter(kind.readers.__contains__, names):
        field, reader = kind.options()[name], kind.readers[name]
        changed = [one for one in asking if getattr(one, field.name) != field.default]
        if changed and not any(map(reader.reads, changed)):
            value = shown(written(getattr(changed[0], field.name)))
            raise UsageError(f"{where}--{name}={value}: has no effect without {reader.words}")


def is_file_name(name: str) -> bool:
    """Whether an arm may be called so: its name is also a file's."""
    allowed = name.isascii() and all(c.isalnum() or c in "_-+." for c in name)
    return bool(name.strip(".")) and allowed and len(name) <= LONGEST_NAME
