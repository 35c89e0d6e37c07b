"""Options, arms and flags: what is accepted and refused, and that text and back is the same."""

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from genjax.core import arms, config, flags
from genjax.core.config import Options, default, option
from genjax.core.errors import UsageError
from genjax.core.training_options import Training


@dataclass(frozen=True)
class Arm(Options):
    rate: float = option(0.5, "A rate.", above=0, high=1)
    kind: str = option("plain", "A kind.", choices=("plain", "fancy"))
    from_: str = option("", "Where from.", flag="from")
    fast: bool = option(False, "Whether fast.")


@dataclass(frozen=True)
class Config(Training, Arm):
    arm_kind: ClassVar[type] = Arm

    steps: int = default(Training, "steps", 20)
    widths: tuple[int, ...] = option((8, 8), "Widths.", low=1, high=64)
    names: tuple[str, ...] = option((), "Names.", choices=("a", "b"), distinct=True)
    valid: int | None = option(None, "Held out.", low=1, rare=True)
    folder: str | None = option(None, "A place.", place=True)
    text: str = option("digits", "Data.", also=("corpus",))
    variants: dict = option({}, "Arms.", flag="arm")

    def arms(self):
        return arms.arms(self, Arm, "one", ("truth",))

    def check(self):
        super().check()
        self.arms()


def asked(*arguments):
    return flags.parse(Config, "toy", list(arguments))


def test_flags_become_typed_values():
    found = asked(
        "--rate=1", "--widths=3,4", "--names=b,a", "--valid=7", "--fast", "--from=x", "--seeds", "2"
    ).config
    assert found == Config(
        rate=1.0, widths=(3, 4), names=("b", "a"), valid=7, fast=True, from_="x", seeds=2
    )
    assert isinstance(found.rate, float) and found.steps == 20
    assert asked("--fast", "--nofast").config == Config()
    assert asked("--names=").config.names == ()


def test_python_and_the_command_line_make_the_same_arms():
    texts = ["--arm=slow:rate=0.1,from=x", "--arm=quick:fast=true,kind=fancy", "--arm=as-it-is"]
    found = asked(*texts).config
    made = Config(
        variants={
            "slow": {"rate": 0.1, "from": "x"},
            "quick": {"fast": True, "kind": "fancy"},
            "as-it-is": {},
        }
    )
    assert found == made
    assert made.arms() == {
        "slow": Arm(rate=0.1, from_="x"),
        "quick": Arm(fast=True, kind="fancy"),
        "as-it-is": Arm(),
    }
    assert config.lines(made)[:3] == texts
    assert Config(rate=0.2).arms() == {"one": Arm(rate=0.2)}


CHANGED = Config(
    rate=1e-5, widths=(1,), names=("a",), valid=3, folder="/here", from_="arm", fast=True,
    variants={"b": {"rate": 0.125}, "a": {}}, parallel="pmap",
)  # fmt: skip


@pytest.mark.parametrize("made", [Config(), CHANGED])
def test_lines_and_json_give_the_same_configuration_without_places(made):
    same = dataclasses.replace(made, folder=None)
    assert flags.parse(Config, "toy", config.lines(made)).config == same
    assert config.from_json(Config, json.loads(json.dumps(config.to_json(made)))) == same
    assert config.digest(made) == config.digest(same)
    assert config.digest(made) != config.digest(made.replace(seed=9))


def test_places_are_named_by_flagfile_and_by_what_differs(tmp_path):
    file = tmp_path / "small.flags"
    file.write_text("# Small.\n--steps=3\n--widths=2\n")

    def place(*arguments):
        return asked(*arguments).place.workdir

    assert place() == "runs/toy/default"
    assert place(f"--flagfile={file}") == place(f"--flagfile={file}", "--steps=3")
    assert place(f"--flagfile={file}") == "runs/toy/small"
    other = place(f"--flagfile={file}", "--steps=4")
    assert other.startswith("runs/toy/small-") and other != place(f"--flagfile={file}", "--steps=5")
    assert place("--rate=0.1").startswith("runs/toy/default-")
    assert place("--folder=x") == "runs/toy/default"  # No part of what is computed.
    assert place("--workdir=a/b", "--rate=0.1") == "a/b"


# Of every type, what makes no sense of it: as flags.
BAD = {
    "int": ("--seeds", ["nan", "inf", "-1", "0", "", "1e3", "10" * 10, "x" * 300, "true", "0x1"]),
    "float": ("--rate", ["nan", "inf", "-inf", "-1", "0", "", "1e400", "10" * 10, "x" * 300]),
    "choice": ("--kind", ["", "fancyy", "Fancy", "x" * 300, "0", "nan"]),
    "bool": ("--fast", ["2", "x", "nan", "x" * 300]),
    "tuple": ("--widths", ["1,x", "1,,2", "0", "1,-1", "65", "nan", "x" * 300, "1.5"]),
    "names": ("--names", ["a,a", "c", "a,", "x" * 300]),
    "optional": ("--valid", ["0", "-1", "None", "nan", "10" * 10]),
    "text": ("--text", ["x" * 5000, "a\x00b", "a\nb"]),
    "arm": ("--arm", ["", ":", "a b", "x" * 300, "../x", "..", "truth", "a:rate", "a:rate=x",
                      "a:rate=2", "a:rat=1", "a:seeds=1", "a:rate=nan", "ä", "a:kind=none"]),
    "log": ("--log_every", ["21", "-1"]),
    "workdir": ("--workdir", [""]),
}  # fmt: skip
CASES = [(flag, value) for flag, values in BAD.values() for value in values]


@pytest.mark.parametrize(("flag", "value"), CASES)
def test_what_makes_no_sense_gets_one_line_that_names_the_flag(flag, value):
    with pytest.raises(UsageError) as caught:
        asked(f"{flag}={value}")
    line = str(caught.value)
    assert flag.lstrip("-") in line and len(line) < 400 and line.isprintable()


def test_python_is_refused_alike():
    with pytest.raises(UsageError, match="--seeds=0: a whole number from 1 to 4,096"):
        Config(seeds=0)
    for wrong in ({"seeds": "3"}, {"seeds": True}, {"seeds": 2.0}, {"rate": "x"}, {"widths": 3},
                  {"widths": "12"}, {"fast": 1}, {"kind": None}, {"text": b"x"}, {"variants": 3},
                  {"variants": {1: {}}}, {"variants": {"a": 3}}, {"variants": {"a": {"rate": "x"}}},
                  {"rate": float("nan")}, {"seed": 2**31 - 1}):  # fmt: skip
        with pytest.raises(UsageError):
            Config(**wrong)
    assert Config(seeds=np.int64(2), rate=np.float32(0.5), widths=[1, 2]).widths == (1, 2)
    with pytest.raises(UsageError, match="rat: no such option; did you mean rate"):
        Config().replace(rat=1)
    arms = {"a": {"rate": 0.5}}
    assert Config().replace(variants=arms) == Config().replace(arm=arms) == Config(variants=arms)


def test_misspelt_flags_name_the_nearest_and_words_are_no_flags():
    with pytest.raises(UsageError, match="--seedz=3: no such flag; did you mean seed"):
        asked("--seedz=3")
    with pytest.raises(UsageError, match="--corpus=x: no such flag; did you mean text"):
        asked("--corpus=x")
    with pytest.raises(UsageError, match="'seeds=3'"):
        asked("seeds=3")
    with pytest.raises(UsageError, match="no_such_file"):
        asked("--flagfile=no_such_file")


def test_a_line_of_a_flagfile_that_is_no_flag_is_named_with_its_place(tmp_path):
    (tmp_path / "inner").write_text("# a comment\n\n--seedz=3\n")
    (tmp_path / "outer").write_text(f"--steps=9\n--flagfile={tmp_path}/inner\n")
    with pytest.raises(UsageError, match="inner, line 3: --seedz=3: no such flag; did you mean"):
        asked(f"--flagfile={tmp_path}/outer")
    (tmp_path / "inner").write_text("--seeds=3\nsteps=5\n--seed=1\n")
    with pytest.raises(UsageError, match="inner, line 2: unexpected argument 'steps=5'"):
        asked(f"--flagfile={tmp_path}/outer")
    # The same word behind the flagfile is not the file's.
    (tmp_path / "inner").write_text("--seeds=3\n")
    with pytest.raises(UsageError, match="^unexpected argument 'steps=5'"):
        asked(f"--flagfile={tmp_path}/outer", "steps=5")


def test_help_lists_common_options_first_and_rare_ones_on_request():
    assert asked("--help").help == "help" and asked("--helpfull").help == "helpfull"
    short = flags.help_text(Config, "toy.py", "About.", full=False)
    whole = flags.help_text(Config, "toy.py", "About.", full=True)
    assert "--valid" not in short and "--valid" in whole
    assert short.index("--rate") < short.index("--steps") < short.index("--workdir")
    assert "number above 0 to 1; default 0.5" in short and "--[no]fast" in short
    assert all(len(line) <= 100 for line in whole.splitlines())
    assert all(f"--{name}\n" in whole.replace("--[no]", "--") for name in Config.options())


def test_a_value_of_json_that_is_no_option_is_named():
    with pytest.raises(UsageError, match="config.json: width.*did you mean widths"):
        config.from_json(Config, {"width": [1]})
