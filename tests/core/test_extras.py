"""What a plain install lacks: that it is said, and that pyproject.toml brings it."""

import re
import subprocess
import sys
import tomllib

import pytest
from scripts import ROOT

import genjax
from genjax.core import extras
from genjax.core.errors import UsageError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OWN = PROJECT["name"]


# {module: the package that brings it, of another name}
PACKAGES = {"mlflow": "mlflow-skinny"}


def names(requirements):
    return {re.match(r"[\w-]+(\[[\w,]+\])?", line)[0] for line in requirements}


@pytest.mark.parametrize("extra", extras.MODULES)
def test_an_extra_brings_the_modules_that_are_asked_for(extra):
    brought = (PACKAGES.get(module, module) for module in extras.MODULES[extra])
    known = {name.lower().replace("_", "-") for name in brought}
    assert {name.replace("_", "-") for name in names(EXTRAS[extra])} == known
    assert not known & names(PROJECT["dependencies"])


@pytest.mark.parametrize("extra", extras.MODULES)
def test_what_is_missing_is_named_with_the_line_to_type(extra, monkeypatch):
    for module in extras.MODULES[extra]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError) as refused:
        extras.require(extra, "--flag=x")
    line = f"--flag=x needs {extras.MODULES[extra][0]}: pip install '{OWN}[{extra}]'"
    assert str(refused.value) == line


def test_a_run_that_lacks_one_is_refused_before_its_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UsageError, match="tensorboardX"):
        genjax.vae.run(genjax.vae.Config(), tmp_path / "run", writers=["tensorboard"])
    assert not any(tmp_path.iterdir())


def test_the_extra_all_has_every_other():
    assert EXTRAS["all"] == [f"{OWN}[{','.join(sorted(EXTRAS.keys() - {'all'}))}]"]


def test_requirements_name_what_the_commands_of_the_readme_need():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = {line for line in lines if line and not line.startswith(("#", "-e"))}
    assert "-e .[test]" in lines
    tests = f"{OWN}[stream,tfds,text,tensorboard]"
    assert tests in EXTRAS["test"]
    brought = names([*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["tfds"]])
    assert listed <= brought
    asked = "jax flax optax orbax-checkpoint tensorflow-datasets absl-py pytest"
    assert set(asked.split()) <= listed


def test_what_is_imported_is_declared_and_the_other_way_round():
    done = subprocess.run(
        [sys.executable, "-m", "deptry", "--no-ansi", "genjax", "genjax_cli", "experiments"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
