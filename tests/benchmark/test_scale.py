"""What is estimated from a compiled step, by hand, and the page that says it."""

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import scripts

from genjax.benchmark import chips, described, scale, scale_page
from genjax.core import files, hlo
from genjax.core.errors import UsageError
from genjax.domains.config import Config as LmConfig
from genjax.gan.config import Config as GanConfig
from genjax.scaling.config import Config as AttentionConfig
from genjax.vae.config import Config as VaeConfig

ROW = {
    "program": "vae_batch", "chip": "v5e", "chips": 8, "slices": 1, "compiler": "libtpu 1",
    "plan": "", "used": 8, "flops": 197e9, "cycles": 0, "arguments": 3e6, "temporaries": 4e6,
    "constants": 0, "calls_home": [],
    "collectives": [
        {"kind": "all-reduce", "types": ["f32"], "bytes": 8e6, "devices": 8, "times": 2},
        {"kind": "all-gather", "types": ["bf16"], "bytes": 4e6, "devices": 4, "times": 1},
    ],
}  # fmt: skip


def test_a_step_is_products_and_links_at_peak():
    found = scale.estimate(ROW)
    assert found.products == pytest.approx(1e-3)
    sent = 2 * 2 * 8e6 * 7 / 8 + 4e6 * 3 / 4
    assert found.links == pytest.approx(sent / 100e9)
    assert found.step == pytest.approx(found.products + found.links)
    slower = scale.estimate(ROW | {"cycles": 3e6})  # At 1.5 GHz: two milliseconds.
    assert slower.cycles == pytest.approx(2e-3, rel=0.01)
    assert slower.step == pytest.approx(slower.cycles + found.links)


@pytest.mark.parametrize("name, chips", [("vae", 8), ("vae_batch", 64), ("vae_seeds", 256)])
def test_from_the_least_batch_on_no_chip_is_idle(name, chips):
    from genjax.core import arrangement

    case, least = scale.CASES[name], scale.least_batch(name, chips)
    plan = arrangement.plan("tpu", chips, case.seeds, least, arrangement.Needs(rows=case.rows))
    assert plan.idle == 0
    less = arrangement.plan("tpu", chips, case.seeds, least // 2)
    assert less.idle > 0


def test_efficiency_is_against_one_chip():
    alone = ROW | {"chips": 1, "used": 1, "collectives": [], "flops": 8 * ROW["flops"]}
    (line,) = (one for one in scale_page.text([alone, ROW]).splitlines() if one.startswith("| 8 "))
    share = 1e-3 / scale.estimate(ROW).step
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[3] == "2 all-reduce f32, 16.0 MB; 1 all-gather bf16, 4.0 MB"
    assert cells[7] == f"{share:.0%}"
    assert np.isclose(share, 1 / 1.31, atol=0.01)


def test_the_page_is_that_of_its_file():
    lines = (scripts.ROOT / "results" / "scale.jsonl").read_text().splitlines()
    rows = list(map(json.loads, lines))
    assert {row["program"] for row in rows} <= {*scale.CASES}
    assert (scripts.ROOT / "docs" / "scale.md").read_text() == scale_page.text(rows)


def test_rows_that_are_entered_at_once_are_all_there(tmp_path, monkeypatch):
    replace = files.replace

    def slowly(path, content):
        time.sleep(0.02)
        replace(path, content)

    monkeypatch.setattr(files, "replace", slowly)
    file, page = tmp_path / "rows.jsonl", tmp_path / "page.md"
    file.write_text(json.dumps(ROW) + "\n")
    rows = [ROW | {"program": name} for name in chips.PROGRAMS if name != ROW["program"]]
    with ThreadPoolExecutor(len(rows)) as pool:
        list(pool.map(lambda row: scale_page.enter([row], file, page), rows))
    found = list(map(json.loads, file.read_text().splitlines()))
    assert found == sorted([ROW, *rows], key=scale_page.place)
    assert page.read_text() == scale_page.text(found)


def test_what_a_chip_cannot_hold_is_a_row_of_its_own(monkeypatch):
    said = "Ran out of memory on HBM, the total memory required for HLO temporaries (33.97G) exceed"

    def compile():
        raise jax.errors.JaxRuntimeError(f"{code}: {said}s available HBM (15.75G).")

    plan = SimpleNamespace(devices=1, idle=0)
    step = SimpleNamespace(
        program=SimpleNamespace(arrangement=SimpleNamespace(plan=plan)), compile=compile
    )
    case = scale.CASES["lm_1b"]._replace(make=lambda devices: step)
    monkeypatch.setitem(scale.CASES, "lm_1b", case)
    monkeypatch.setattr(scale, "devices", lambda chip, chips, slices: [])
    monkeypatch.setattr(scale, "_compiler", lambda chip: "XLA")
    code = "RESOURCE_EXHAUSTED"
    row = scale.measure("lm_1b", "v5e", 1)
    assert row["needs"] == 33.97 * 2**30
    more = ROW | {"program": "lm_1b", "chips": 8}
    text = scale_page.text([row, more])
    assert "| 1 v5e | 1 | 36,475, does not fit |  |  |  |  |  | 1 |\n" in text
    assert re.search(r"\| 8 v5e \| 8 \|.*\|  \| 8 \|\n", text)  # No efficiency.
    code = "INTERNAL"
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        scale.measure("lm_1b", "v5e", 1)


def test_words_name_what_is_compiled():
    assert tuple(scale.CASES) == chips.PROGRAMS
    found = chips.places(["vae:v5e:64", "lm:h100:1", "vae_batch:v5e:8:2"])
    assert found == [("vae", "v5e", 64, 1), ("lm", "h100", 1, 1), ("vae_batch", "v5e", 8, 2)]
    for word, said in (
        ("vea:v5e:64", "no program 'vea'; did you mean vae?"),
        ("vae", "chips are v5e:1, v5e:8"),
        ("vae:v5e:65", "chips are v5e:1"),
        ("vae:v5e:1\n", "chips are v5e:1"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)) as refused:
            chips.places(["vae:v5e:64", word])
        assert "\n" not in str(refused.value)


def test_a_wrong_word_is_refused_before_the_imports():
    code = (
        "import runpy, sys\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n    assert not {'jax', 'numpy'} & {*sys.modules}\n"
    )
    script = scripts.path("scale")
    line = f"import sys; sys.argv = [{str(script)!r}, 'vae:v6e:1']\n"
    line += f"sys.path.insert(0, {str(script.parent)!r})\n"
    done = subprocess.run([sys.executable, "-c", line + code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("scale.py: vae:v6e:1: <program>:<chip>:<chips>[:<slices>]; chips")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(find_spec("libtpu") is not None, reason="has the compiler")
def test_without_a_compiler_a_line_says_so():
    done = scripts.launch("scale", "vae:v5e:1")
    assert done.returncode == 2
    assert done.stderr == "scale.py: vae:v5e:1:1: no libtpu, the compiler of v5e; see --help\n"


def test_devices_that_share_parameters_work_too(monkeypatch):
    """Parameters over two of four devices, and the batch over all."""
    config = LmConfig(
        width=16, depth=1, heads=1, context=16, seeds=1, batch_size=16, mesh="fsdp:2", shots=()
    )
    case = scale.CASES["lm_small"]
    tiny = case._replace(make=lambda devices: described.lm(config, 32, devices))
    monkeypatch.setitem(scale.CASES, "tiny", tiny)
    monkeypatch.setattr(scale, "devices", lambda chip, chips, slices: jax.devices()[:chips])
    monkeypatch.setattr(scale, "_compiler", lambda chip: "XLA")
    found = scale.measure("tiny", "v5e", 4)
    assert found["used"] == 4 and found["plan"].startswith("seeds over 1, the batch of each over 4")
    assert {one["devices"] for one in found["collectives"]} <= {2, 4}


LONG = 131_072
STEPS = {
    "vae": lambda devices: described.vae(VaeConfig(model="vae", batch_size=8), "vae", devices),
    "gan": lambda devices: described.gan(GanConfig(batch_size=8), "gan", devices),
    "attention": lambda devices: described.attention(
        AttentionConfig(seeds=1, batch_size=1, depth=1), LONG, devices
    ),
    "domains": lambda devices: described.lm(
        LmConfig(width=64, depth=1, heads=1, context=LONG, seeds=1, batch_size=1, shots=()),
        64,
        devices,
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_no_step_holds_a_megabyte_of_constants(name):
    """Of 131,072 positions, where there are any."""
    text = STEPS[name](jax.devices()[:1]).compile().as_text()
    assert hlo.Program(text).constants() < 1e6
