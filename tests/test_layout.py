"""Where things are: what may import what, and what a library must not do."""

import ast
import re
import subprocess
import sys

import pytest
from scripts import ROOT

CODE = [path for name in ("genjax", "genjax_cli") for path in (ROOT / name).rglob("*.py")]


def test_flax_is_imported_by_networks_alone():
    """Elsewhere a network is its `init` and `apply`."""
    for path in [*CODE, *(ROOT / "experiments").glob("*.py")]:
        if path.parent.name not in ("images", "lm") and "networks" not in path.stem:
            assert not re.search(r"^\s*(import|from) flax", path.read_text(), re.M), path


def test_imports_point_down():
    """pyproject.toml has the layers."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_library_has_no_flags_argv_print_or_exit():
    # Grain has flags of its own.
    wrong = re.compile(
        r"\bsys\.argv\b|\bFLAGS\b(?!\[.grain_)|(?<![\w.])print\(|\bsys\.exit\b|\bSystemExit\b"
    )
    for path in (ROOT / "genjax").rglob("*.py"):
        assert not wrong.search(path.read_text()), path


# Imports modules one after the other, and names the first behind which a module of `slow` is there.
IMPORTS = """
import importlib, sys
slow, *modules = sys.argv[1:]
for module in modules:
    importlib.import_module(module)
    found = set(slow.split(",")) & set(sys.modules)
    assert not found, (module, found)
"""


@pytest.mark.parametrize(
    ("slow", "modules"),
    [
        ("jax,absl", ["config", "claims", "figures"]),
        # A refused command line would wait for it.
        ("sklearn,scipy.stats", ["experiment"]),
    ],
    ids=["what is asked, judged and drawn", "what measures"],
)
def test_what_is_slow_is_imported_when_it_is_needed(slow, modules):
    rooms = ("vae", "gan", "scaling", "domains")
    names = [f"genjax.{room}.{module}" for module in modules for room in rooms]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, slow, *names], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


SCRIPTS = ("vae", "gan", "attention", "domains", "benchmark", "report", "verify")


def test_modules_and_scripts_are_short():
    for path in CODE:
        assert len(path.read_text().splitlines()) <= 400, path
    for path in (ROOT / "experiments").glob("*.py"):
        assert len(path.read_text().splitlines()) < 100, path


@pytest.mark.parametrize("name", SCRIPTS)
def test_without_what_is_to_be_installed_a_script_says_so_in_a_line(name):
    done = subprocess.run(
        [sys.executable, "-S", f"experiments/{name}.py", "--help"],  # -S: no installed packages.
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2 and not done.stdout
    said = rf"{name}\.py: no module \w+; pip install -r requirements\.txt\n"
    assert re.fullmatch(said, done.stderr), done.stderr


# "<path>:<function>": why it may be longer, or take more.
EXCEPTIONS = {
    "genjax/run.py:execute": "one keyword for each way to go about a run; none changes its numbers",
    "genjax/core/config.py:option": "one keyword for each thing that a field may say of itself",
    "genjax/data/__init__.py:load": "one keyword for each flag that says which data",
}


def test_functions_are_short_and_take_few_parameters():
    """At most 80 lines and 8 parameters besides `self`."""
    found = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                taken = node.args
                listed = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
                names = {parameter.arg for parameter in listed} - {"self", "cls"}
                lines = node.end_lineno - node.lineno + 1
                if lines > 80 or len(names) > 8:
                    found.add(f"{path.relative_to(ROOT).as_posix()}:{node.name}")
    assert found == set(EXCEPTIONS)
