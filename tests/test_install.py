"""What pip would do to a jax that came with its plugin: dry runs, nothing is installed."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec

import pytest
import scripts
from packaging.requirements import Requirement

UNREACHED = ("Could not find a version", "No matching distribution", "Connection", "Max retries")


def would_install(folder, installed, *words):
    """{package: its metadata} that pip would install where `installed`, {package: version}, is too.

    Skips where pip, or an index of packages, is not there.
    """
    if find_spec("pip") is None:
        pytest.skip("no pip: what it would install is not asked")
    for name, number in installed.items():
        place = folder / f"{name.replace('-', '_')}-{number}.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    report = folder / "report.json"
    asked = [sys.executable, "-m", "pip", "install", "--dry-run", "--report", report]
    few = {"PIP_RETRIES": "0", "PIP_TIMEOUT": "5", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [*asked, *words, "-r", "requirements.txt"], capture_output=True, text=True,
        cwd=scripts.ROOT, env=os.environ | few | {"PYTHONPATH": str(folder)}, check=False,
    )  # fmt: skip
    if done.returncode and any(said in done.stderr for said in UNREACHED):
        pytest.skip("no index of packages: what pip would install is not known")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(report.read_text())["install"]
    return {row["metadata"]["name"]: row["metadata"] for row in rows}


def test_the_requirements_keep_a_jax_that_has_a_plugin(tmp_path):
    jax = version("jax")
    plugins = {"jax-cuda12-plugin": jax, "jax-cuda12-pjrt": jax, "libtpu": "0.0.42.1"}
    found = would_install(tmp_path, plugins)
    assert not {"jax", "jaxlib", *plugins} & {*found}
    assert "genjax-experiments" in found


def test_a_jax_that_is_too_old_comes_with_the_plugin_that_the_line_names(tmp_path):
    old = {"jax": "0.7.2", "jaxlib": "0.7.2", "libtpu": "0.0.21"}
    found = would_install(tmp_path, old, "jax[tpu]")
    assert {*old} <= {*found}
    wanted = map(Requirement, found["jax"]["requires_dist"])
    (fitting,) = (one for one in wanted if one.name == "libtpu" and "tpu" in str(one.marker))
    assert fitting.specifier.contains(found["libtpu"]["version"])
    assert found["jaxlib"]["version"] == found["jax"]["version"]
