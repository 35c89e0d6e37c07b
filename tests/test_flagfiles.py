"""Every flagfile parses, and its header holds the command that runs it."""

import subprocess
import sys

import pytest
import scripts

FLAGFILES = sorted(scripts.FLAGS.glob("*.flags"))

PARSE = """
import importlib.util, sys
from absl import flags
from absl.testing import flagsaver
script, *files = sys.argv[1:]
spec = importlib.util.spec_from_file_location("script", script)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
flags.FLAGS([script])
for name in files:
    with flagsaver.flagsaver():
        flags.FLAGS([script, f"--flagfile={name}"])
        if "vae" in script:
            module.parse_arms()
        elif "gan" in script:
            module.parse_arms("stacked" in flags.FLAGS.data)
        elif "domains" in script:
            arms = module.variants.parse(flags.FLAGS.arm, module.RECIPE)
            if "domains_text" not in name:  # Those name domains of a folder.
                module.plan(arms)
        else:
            module.check_flags()
    print(name)
"""


@pytest.mark.parametrize("name", ["vae", "gan", "attention", "domains"])
def test_flagfiles_parse(name):
    script = scripts.path(name)
    starts = {"vae": ("vae_", "iwae_")}.get(name, (f"{name}_",))
    files = [f for f in FLAGFILES if f.name.startswith(starts)]
    for file in files:
        command = f"python experiments/{name}.py --flagfile=experiments/flags/{file.name}"
        assert command in file.read_text(), f"no command in the header of {file.name}"
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(script), *map(str, files)],
        capture_output=True,
        text=True,
        env=scripts.environment(),
        cwd=scripts.ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(map(str, files))
