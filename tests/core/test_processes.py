"""Several processes as one run: real ones, on loopback, with CPU devices."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import scripts

from genjax.core import processes
from genjax.core.errors import UsageError


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "off, auto or <host>:<port>,<processes>,<rank>"),
        ("on", "off, auto or <host>"),
        ("localhost,2,0", "off, auto or <host>"),
        (":1234,2,0", "off, auto or <host>"),
        ("localhost:1234,2", "off, auto or <host>"),
        ("localhost:1234,2,0,1", "off, auto or <host>"),
        ("localhost:1234,two,0", "off, auto or <host>"),
        ("localhost:1234,2,-1", "off, auto or <host>"),
        ("localhost:0,2,0", "a port from 1 to 65535"),
        ("localhost:99999,2,0", "a port from 1 to 65535"),
        ("localhost:1234,0,0", "from 1 to 65,536 processes"),
        ("localhost:1234,2,2", "ranks of 2 processes are 0 to 1"),
        ("localhost:1234,1,1", "ranks of 1 processes are 0 to 0"),
    ],
)
def test_an_address_that_is_none_is_refused_in_a_line(asked, said):
    with pytest.raises(UsageError, match="^--distributed=") as refused:
        processes.parse(asked)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_an_address_is_where_how_many_and_which():
    assert processes.parse("10.0.0.1:1234,64,63") == ("10.0.0.1:1234", 64, 63)
    assert processes.parse("[::1]:1,1,0") == ("[::1]:1", 1, 0)
    assert processes.parse("off") is processes.parse("auto") is None
    assert processes.numbers("10.0.0.1:1234,64,63") == (64, 63)
    assert processes.numbers("off") == (1, 0)


def test_where_no_cluster_is_a_line_says_so(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "JAX_", "KUBERNETES_")):
            monkeypatch.delenv(name)
    done = scripts.launch("vae", "--distributed=auto", f"--workdir={tmp_path / 'run'}")
    said = "--distributed=auto: JAX finds no TPU pod, SLURM, Open MPI or GKE here; name <host>:<por"
    scripts.assert_refused((done.returncode, done.stderr.strip(), tmp_path / "run"), [said])


def test_seeds_are_measured_by_one_process_each(monkeypatch):
    for count in (1, 2, 3, 7):
        taken = []
        for rank in range(count):
            monkeypatch.setattr(processes._ThisProcess, "count", count)
            monkeypatch.setattr(processes._ThisProcess, "rank", rank)
            taken += range(5)[processes.own_seeds(5)]
        assert taken == [*range(5)]


def several(*asked):
    """(exit codes of the processes of each arrangement, what they said)."""
    done = subprocess.run(
        [sys.executable, str(scripts.ROOT / "tests" / "several.py"), *map(str, asked)],
        capture_output=True,
        text=True,
        timeout=600,
        env=scripts.environment(),
    )
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_one_process_of_four_devices_and_two_of_two_train_alike(tmp_path):
    codes, said = several(tmp_path, "steps", 1, 2)
    assert codes == [[0], [0, 0]], said
    one, two = (dict(np.load(tmp_path / f"{count}.npz")) for count in (1, 2))
    repeated = {name: two.pop(name) for name in [*two] if name.startswith("repeated/")}
    assert len(one) > 20 and one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], rtol=1e-6, atol=1e-6, err_msg=name)
    # Devices that repeat what others do change nothing, nor does a copy in two or in four parts.
    assert {name.split("/")[1] for name in repeated} == {"vae", "gan", "domains"}
    for name, value in repeated.items():
        plain = name.removeprefix("repeated/").replace("domains/jit/1/2", "domains/jit/1/4")
        np.testing.assert_allclose(value, one[plain], rtol=1e-6, atol=1e-6, err_msg=name)

    codes, said = several(tmp_path, "parts", 2, 1, 2)
    assert codes == [[0, 0], [0], [0, 0]], said
    ends = dict(np.load(tmp_path / "parts.npz"))
    assert ends.pop("step") == 3 and len(ends) > 5
    for name, value in ends.items():
        wanted = one[f"domains/jit/1/4/{name}"]
        np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-6, err_msg=name)


def test_a_run_of_which_one_process_dies_or_is_told_to_stop_goes_on(tmp_path):
    codes, said = several(tmp_path, "runs")
    assert codes == [[0], [0, 0], [1, -9], [0, 0], [143, 143], [0], [-9, 1], [0, 0]], said
    died = "died; the same commands continue from the last checkpoint"
    assert said.count(f"process 0: process 1 {died}\n") == 1 and "Traceback" not in said
    # Beside JAX's own words.
    assert said.count(f"process 1: process 0 {died}\n") == 1 and said.count(died) == 2
    assert "cpu: 4 devices of 2 processes" in said
    # With a checkpoint every ten steps; and with one made at once, after the call.
    assert "goes on from step 10\n" in said and "goes on from step 25\n" in said
    assert "2 repeat it" in said
    # The sweep of attention is one process's, and says so; the other has ended.
    assert said.count("attention: of 2 processes process 0 alone measures, on its own devices") == 1
    assert "attention: cpu: 2 devices (" in said and (tmp_path / "swept" / "report.html").exists()
    for name in ("repeated", "killed", "asked"):
        left, right = (scripts.checkpoint(tmp_path / run, "line", 60) for run in ("alone", name))
        for part in left:
            np.testing.assert_allclose(left[part], right[part], rtol=1e-6, err_msg=part)
        rows = [scripts.rows(tmp_path / run) for run in ("alone", name)]
        assert [r["step"] for r in rows[0]] == [r["step"] for r in rows[1]] and len(rows[0]) == 24
        assert (tmp_path / name / "report.html").exists()
