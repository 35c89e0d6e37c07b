"""Every flagfile parses by its path and by its name; its header says what, how and how long."""

import importlib
import json
import re
from pathlib import Path

import pytest
import scripts

from genjax.core import config, flags, shipped

FLAGFILES = sorted(scripts.FLAGS.glob("*.flags"))


@pytest.mark.parametrize("name", ["vae", "gan", "attention", "domains"])
def test_flagfiles_parse(name, tmp_path, monkeypatch):
    starts = {"vae": ("vae_", "iwae_")}.get(name, (f"{name}_",))
    files = [f for f in FLAGFILES if f.name.startswith(starts)]
    for file in files:
        command = f"python experiments/{name}.py --flagfile=experiments/flags/{file.name}"
        assert command in file.read_text(), f"no command in the header of {file.name}"
    kind = importlib.import_module(f"genjax.{scripts.ROOMS.get(name, name)}.config").Config
    monkeypatch.chdir(scripts.ROOT)
    for file in files:
        header = shipped.read(file)
        assert header.experiment == name and header.purpose[-1] in ".?"
        # Some flagfiles are of a folder that one names beside them.
        more = [header.needs.replace("<folder>", "texts")] if "corpus" in header.needs else []
        asked = flags.parse(kind, name, [f"--flagfile={file}", *more])
        assert asked == flags.parse(kind, name, [f"--flagfile={file.stem}", *more])
        place = Path(asked.place.workdir)
        assert place.parent == Path("runs") / name
        assert place.name.startswith(f"{file.stem}-") if more else place.name == file.stem
        again = config.from_json(kind, json.loads(json.dumps(config.to_json(asked.config))))
        assert again == asked.config
        # What a run writes down, flags.txt, asks for the same again.
        (tmp_path / "flags.txt").write_text("\n".join(config.lines(asked.config)))
        same = flags.parse(kind, name, [f"--flagfile={tmp_path / 'flags.txt'}"])
        assert same.config == asked.config


@pytest.mark.parametrize("name", ["vae", "gan", "attention", "domains"])
def test_what_is_soaked_parses(name):
    kind = importlib.import_module(f"genjax.{scripts.ROOMS.get(name, name)}.config").Config
    file = scripts.ROOT / "tests" / "soak_flags" / f"{name}.flags"
    asked = flags.parse(kind, name, [f"--flagfile={file}"])
    assert asked.config.checkpoint_every < asked.config.steps


def test_every_flagfile_that_a_page_names_is_there():
    root, named = scripts.FLAGS.parents[1], set()
    for page in (root / "README.md", *(root / "docs").glob("*.md")):
        text = page.read_text()
        named |= {*re.findall(r"--flagfile=(\w+)(?![\w/])", text)}
        named |= {*re.findall(r"(\w+)\.flags\b", text)}
    assert len(named) > 15 and named <= {file.stem for file in FLAGFILES}
