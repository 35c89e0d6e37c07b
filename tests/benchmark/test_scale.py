"""What is estimated from a compiled step, by hand, and the page that says it."""

import json

import jax
import numpy as np
import pytest
import scripts

from genjax.benchmark import described, scale, scale_page
from genjax.domains.config import Config as LmConfig

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
