"""Where things are: what may import what, and what a library must not do."""

import re
import subprocess
import sys

import pytest
from scripts import ROOT


def test_flax_is_imported_by_networks_alone():
    """Elsewhere a network is its `init` and `apply`."""
    for path in [*(ROOT / "genjax").rglob("*.py"), *(ROOT / "experiments").glob("*.py")]:
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
    wrong = re.compile(r"\bsys\.argv\b|\bFLAGS\b|(?<![\w.])print\(|\bsys\.exit\b|\bSystemExit\b")
    for path in (ROOT / "genjax").rglob("*.py"):
        assert not wrong.search(path.read_text()), path


@pytest.mark.parametrize("room", ["vae", "gan", "scaling", "domains"])
@pytest.mark.parametrize("module", ["config", "claims", "figures"])
def test_what_is_asked_judged_and_drawn_needs_no_jax(room, module):
    code = f"import sys, genjax.{room}.{module}; assert not {{'jax', 'absl'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_modules_and_scripts_are_short():
    for path in (ROOT / "genjax").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
    for name in ("vae", "gan", "attention", "domains", "benchmark", "report"):
        path = ROOT / "experiments" / f"{name}.py"
        assert len(path.read_text().splitlines()) < 100, path
