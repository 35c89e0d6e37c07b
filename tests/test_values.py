"""Every option of every script with values that nobody can mean: one line, or a meaning."""

import pytest
import values

from genjax.core import config as configs
from genjax.core import flags
from genjax.core.errors import UsageError

ALL = {room: values.cases(room) for room in values.ROOMS}


def refused(make, *arguments, **options) -> str:
    """The line of a refusal; '' where there is none. Any other exception fails the test."""
    try:
        make(*arguments, **options)
    except UsageError as error:
        line = str(error)
        assert line.isprintable() and len(line) < 700, line
        return line
    return ""


@pytest.mark.parametrize("room", values.ROOMS)
def test_as_flags(room, tmp_path, monkeypatch):
    """What is meant is never refused; what is no number, yes or no, choice or name, at once."""
    monkeypatch.chdir(tmp_path)
    kind = values.config_of(room)
    for case in ALL[room]:
        line = refused(flags.parse, kind, room, case.args)
        assert not (line and case.meant), f"{case}: {line}"
        assert not line or case.option in line or "help" in case.option, f"{case}: {line}"
        field, type_, _ = values.options(room).get(case.option, (None, None, None))
        plain = type_ in (int, float, bool) or (field and field.metadata["choices"])
        assert line or case.meant or not plain, f"{case}: accepted"


@pytest.mark.parametrize("room", values.ROOMS)
def test_in_python_and_in_config_json(room):
    """The same; and a value of another type."""
    kind, everything = values.config_of(room), values.options(room)
    for case in ALL[room]:
        field, type_, several = everything.get(case.option, (None, None, None))
        if case.option not in kind.options() or type_ is dict:
            continue
        value = values.in_python(case.option, type_, several, case.label)
        lines = [refused(kind, **{field.name: value})]
        if case.label != "type":
            lines.append(refused(configs.from_json, kind, {case.option: value}))
        if case.option in getattr(kind, "arm_kind", configs.Options).options():
            lines.append(refused(kind, variants={"a": {case.option: value}}))
        for line in lines:
            assert not line or case.option in line, f"{case}: {line}"
            assert bool(line) == bool(lines[0]), f"{case}: {lines}"
        numbers = type_ in (int, float) or field.metadata["choices"]
        assert lines[0] or case.meant or not numbers, f"{case}: accepted"


def test_every_number_has_bounds_on_both_sides():
    """Of whole numbers the type has the upper one."""
    for room in values.ROOMS:
        for name, (field, kind, _) in values.options(room).items():
            meta = field.metadata
            low = meta["low"] is not None or meta["above"] is not None
            high = meta["high"] is not None or meta["below"] is not None
            assert kind not in (int, float) or (low and (high or kind is int)), f"{room}: {name}"


def test_readers_are_of_options_of_an_arm():
    """A misspelt one would be looked at by nobody."""
    for room in values.ROOMS:
        kind = values.config_of(room)
        assert kind.readers.keys() <= getattr(kind, "arm_kind", kind).options().keys(), room


@pytest.mark.parametrize("room", values.ROOMS)
def test_what_data_or_networks_refuse(room, tmp_path):
    """As whole processes: what a configuration alone cannot know to be wrong."""
    kind = values.config_of(room)
    values.write_corpus(tmp_path)
    wrong = [case for case in ALL[room] if case.meant is False]
    late = [case for case in wrong if not refused(flags.parse, kind, room, case.args)]
    script = values.SCRIPTS.get(room, room)
    for case, outcome in zip(
        late, values.outcomes(script, room, [c.args for c in late], tmp_path), strict=True
    ):
        assert not values.wrong(case, outcome), f"{case}: {values.wrong(case, outcome)}"


def test_a_report_of_no_run(tmp_path):
    cases = values.of_report()
    found = values.outcomes("report", "", [case.args for case in cases], tmp_path)
    for case, outcome in zip(cases, found, strict=True):
        assert not values.wrong(case, outcome), f"{case}: {values.wrong(case, outcome)}"
