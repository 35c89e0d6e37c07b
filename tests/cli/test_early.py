"""What a run would refuse behind seconds of imports, refused before them."""

import os
import subprocess
import sys

import pytest
from scripts import ROOT

from genjax.core import plugins, writable
from genjax.core.errors import UsageError
from genjax.data import tfds_names
from genjax_cli import launch

# {what is wrong: its command line, what the answer holds}
LATE = {
    "no files there": ("vae --workdir=/proc/x", "--workdir=/proc/x: no file can be made in /proc"),
    "a benchmark": ("benchmark --workdir=/proc/a/b", "--workdir=/proc/a/b: no file can be made"),
    "below a file": ("gan --workdir=file/x", "--workdir=file/x: file is a file; name a folder"),
    "a link to nothing": ("gan --workdir=link/x", "link is a file; name a folder"),
    "a long name": (f"domains --workdir={'a' * 300}", "aaa...: File name too long; name another"),
    "a cache": ("vae --compile_cache=/proc/x", "/proc (No such file or directory); name another"),
    "images of tfds": ("vae --data=tfds:mnits", "tfds knows no such data set; did you mean mnist?"),
    "stacked": ("gan --data=stacked:tfds:emnits:1.0.0", "no such data set; did you mean emnist?"),
    "texts of tfds": ("domains --corpus=tfds:wiki41k", "did you mean wiki40b?"),
    "near nothing": ("domains --corpus=tfds:qqqqqq", "no such data set; see tfds.list_builders()"),
    "no GPU": ("vae --platform=gpu", "for it here: pip install 'jax[cuda12]', or leave the flag"),
    "no TPU": ("attention --platform=tpu", "for it here: pip install 'jax[tpu]', or leave the"),
}
if not os.path.isdir("/proc/self"):
    LATE = {name: one for name, one in LATE.items() if "/proc" not in one[0]}
bare = pytest.mark.skipif(plugins._any_plugin() or plugins._libtpu("tpu"), reason="has a plugin")

SLOW = {"jax", "sklearn", "matplotlib", "tensorflow_datasets"}
LINES = f"""
import sys
from genjax_cli import main
for line in sys.stdin.read().splitlines():
    sys.argv[1:] = line.split()
    try:
        main.main()
    except SystemExit as end:
        assert end.code == 2, line
    found = {SLOW} & set(sys.modules)
    assert not found, (line, found)
"""


def environment():
    unset = ("JAX_PLATFORMS", plugins.NAMED, plugins.LIBRARY)
    return {name: value for name, value in os.environ.items() if name not in unset}


@bare
def test_it_imports_nothing_slow_and_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    done = subprocess.run(
        [sys.executable, "-c", LINES],
        input="\n".join(line for line, _ in LATE.values()),
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    said = done.stderr.splitlines()
    assert done.returncode == 0 and len(said) == len(LATE), done.stderr
    for (line, answer), one in zip(LATE.values(), said, strict=True):
        assert one.startswith(f"genjax {line.split()[0]}: --") and answer in one
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@bare
@pytest.mark.parametrize("name", [name for name in launch.EXPERIMENTS if name != "benchmark"])
def test_a_script_says_the_same_before_the_imports(name, tmp_path):
    script = ROOT / f"experiments/{name}.py"
    command = [sys.executable, "-X", "importtime", script, "--platform=gpu"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    lines = done.stderr.splitlines()
    imported = {
        line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")
    }
    (said,) = [line for line in lines if not line.startswith("import time:")]
    assert done.returncode == 2 and done.stdout == "" and not any(tmp_path.iterdir())
    assert said.startswith(f"{name}.py: --platform=gpu: JAX has no plugin for it here")
    assert "genjax.core.plugins" in imported and not SLOW & imported


def test_a_folder_that_can_be_written_is_left_as_it_is(tmp_path, monkeypatch):
    before = tmp_path.stat().st_mtime_ns
    writable.require("--workdir=x", tmp_path)
    writable.require("--workdir=x", tmp_path / "a" / "b")
    monkeypatch.chdir(tmp_path)
    writable.require("--workdir=x", "a/b")
    assert not any(tmp_path.iterdir())
    if sys.platform == "linux":
        assert tmp_path.stat().st_mtime_ns == before
    monkeypatch.setattr("os.access", lambda *_: False)  # Permissions do not bind root.
    with pytest.raises(UsageError, match=r"made in \. \(Permission denied\); name another folder$"):
        writable.require("--workdir=x", "a/b")


def test_another_process_may_keep_the_folder(monkeypatch, tmp_path):
    """Of several, the first alone writes, perhaps on another machine."""
    seen = []
    monkeypatch.setattr(launch, "_run", lambda _, asked: seen.append(asked.place.workdir))
    monkeypatch.setattr("genjax_cli.signals.install", lambda called: None)
    launch.launch("vae", ["--workdir=/proc/x", "--distributed=a:1,2,1"], "genjax vae")
    assert seen == ["/proc/x"]


@pytest.mark.parametrize(
    "platform, there",
    [
        ("gpu", {"PJRT_NAMES_AND_LIBRARY_PATHS": "mine:/lib"}),
        ("tpu", {"TPU_LIBRARY_PATH": "/lib"}),
        ("gpu", {"JAX_PLATFORMS": "cuda,cpu"}),
        ("gpu", "jax_plugins/xla_cuda12/__init__.py"),
        ("gpu", "own-1.0.dist-info/entry_points.txt"),
        ("tpu", "libtpu/__init__.py"),
        ("cpu", {}),
        ("auto", {}),
    ],
)
def test_where_a_plugin_is_there_jax_is_asked(platform, there, monkeypatch, tmp_path):
    for name in ("JAX_PLATFORMS", plugins.NAMED, plugins.LIBRARY):
        monkeypatch.delenv(name, raising=False)
    if isinstance(there, str):
        (tmp_path / there).parent.mkdir(parents=True)
        (tmp_path / there).write_text("[jax_plugins]\nown = own\n" if "dist" in there else "")
        monkeypatch.syspath_prepend(tmp_path)
    else:
        for name, value in there.items():
            monkeypatch.setenv(name, value)
    plugins.require(platform)


def test_what_the_environment_forbids_is_the_reason(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with pytest.raises(UsageError, match="^--platform=gpu: JAX_PLATFORMS=cpu is set$"):
        plugins.require("gpu")


def test_names_of_tfds_are_all_that_it_lists():
    code = (
        "from genjax.data import tfds_names; import tensorflow_datasets as tfds\n"
        "known = tfds.list_builders(with_community_datasets=False)\n"
        "assert len(known) > 100 and not set(known) - set(tfds_names.names())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    "name",
    ["Mnist", "MNIST", "mnist:3.0.1", "glue/cola", "huggingface:x", "x/y=1", "i_naturalist2018"],
)
def test_a_name_that_may_be_right_is_left_to_tfds(name, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, tfds_names.PACKAGE, raising=False)
    tfds_names.require("--data=x", name, str(tmp_path))


def test_what_is_prepared_needs_no_name(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, tfds_names.PACKAGE, raising=False)
    with pytest.raises(UsageError, match="no such data set"):
        tfds_names.require("--data=x", "my_own/small", str(tmp_path))
    (tmp_path / "my_own").mkdir()
    tfds_names.require("--data=x", "my_own/small", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    tfds_names.require("--data=x", "my_own/small", None)
