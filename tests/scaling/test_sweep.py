"""The sweep's points, the program of each, and what a run folder is asked for."""

import subprocess
from types import SimpleNamespace

import pytest

from genjax.core.errors import RunError
from genjax.scaling import sweep
from genjax.scaling.config import Config
from genjax.scaling.timings import Point, Timings

CONFIG = Config(
    variants=("full", "linear"), lengths=(64, 128, 1000), widths=(16, 64), head_dim=16, heads=3,
    batch=2,
)  # fmt: skip


def test_points_are_the_machine_the_variants_and_layers_around_their_crossing():
    machine = [Point("matmul", "forward", 1024), Point("copy", "forward", 2**24)]
    swept = [
        Point(name, mode, n)
        for name in ("full", "linear")
        for mode in ("forward", "both")
        for n in (64, 128, 1000)
    ]
    # Widths times 1, 2, 4, 8 and 16, no longer than the longest.
    layers = [
        Point(f"{part}@{width}", "forward", n)
        for width, lengths in ((16, (16, 32, 64, 128, 256)), (64, (64, 128, 256, 512)))
        for part in ("attention", "feedforward", "layer")
        for n in lengths
    ]
    assert sweep.points(CONFIG) == machine + swept + layers


def test_a_points_program_has_its_flops():
    """By hand: a product 2 n^3; attention 4 n^2 d; a feed-forward part of 4 d units 16 n d^2; a
    layer both and 8 n d^2 for its projections."""
    n, d = 64, 32
    wanted = {
        Point("matmul", "forward", n): 2 * n**3,
        Point("copy", "forward", n): 1,
        Point(f"attention@{d}", "forward", n): 4 * n**2 * d,
        Point(f"feedforward@{d}", "forward", n): 16 * n * d**2,
        Point(f"layer@{d}", "forward", n): 4 * n**2 * d + 24 * n * d**2,
        # Two sequences of three heads of 16; backward takes twice as many again.
        Point("full", "forward", n): 2 * 3 * 4 * n**2 * 16,
        Point("full", "both", n): 3 * 2 * 3 * 4 * n**2 * 16,
    }
    for point, flops in wanted.items():
        assert sweep.program(CONFIG, point).flops == flops, point


@pytest.mark.parametrize(
    ("asked", "shared"), [({}, False), ({"tasks": ("copy",)}, True), ({"cores": "0"}, False),
                          ({"tasks": ("copy",), "cores": "0"}, False)],
)  # fmt: skip
def test_devices_share_seeds_where_transformers_are_trained_on_all_cores(
    monkeypatch, asked, shared
):
    called = []
    for name in ("tune_cpu", "keep_buffers"):
        monkeypatch.setattr(sweep.parallel, name, lambda name=name: called.append(name))
    monkeypatch.setattr(sweep.parallel, "split_cpu", lambda *given: called.append(given))
    monkeypatch.setattr(sweep.microbenchmark, "reserve", lambda cores: f"cores: {cores}")
    config = Config(**asked, seeds=3, batch_size=8)
    assert sweep.settle(config) == f"cores: {config.cores}"
    assert called == ["tune_cpu", *([(3, 8)] if shared else []), "keep_buffers"]


ROWS = [
    {"arm": "full", "mode": mode, "length": n, "flops": 1.0}
    for mode in ("both", "forward")
    for n in (128, 1000, 64)
]


class Prepared:
    """Stands for the microbenchmark's sweep: notes what it is given."""

    def __init__(self, program, write, known, **limits):
        self.program, self.write, self.known, self.limits = program, write, known, limits
        self.measured = None

    def prepare(self, points, say):
        self.points = points

    def peaks_of(self, points, fresh, say):
        self.measured = points


@pytest.mark.parametrize(
    ("asked", "memory", "largest"),
    [
        ({}, 6e9, (128, 1000)),
        ({"memory": 2.5, "peaks": 1}, 2.5e9, (1000,)),
        ({"peaks": 0}, 6e9, None),
    ],
)
def test_a_sweep_goes_on_from_its_rows_within_the_memory(monkeypatch, asked, memory, largest):
    monkeypatch.setattr(sweep.microbenchmark, "Sweep", Prepared)
    monkeypatch.setattr(sweep.parallel, "memory_free", lambda: 8e9)
    kept = lambda wanted: [row for row in ROWS if wanted(row)]  # noqa: E731
    folder = SimpleNamespace(write=None, keep=kept)
    made = sweep.prepared(CONFIG.replace(longest=3.0, **asked), folder)
    assert made.limits == {"memory": memory, "longest": 3.0}
    assert made.points == sweep.points(CONFIG)
    assert set(made.known.facts) == set(Timings(ROWS).facts) and len(ROWS) == 6
    assert made.program(Point("matmul", "forward", 4)).flops == 128
    wanted = largest and [Point("full", "both", n) for n in largest]
    assert made.measured == wanted


@pytest.mark.parametrize(
    ("code", "out", "err", "found"),
    [
        (0, "a warning\n4096\n", "", 4096),
        (0, "1\n", "some warning", 1),
        (3, "1\n", "Traceback\nValueError: no", "ValueError: no"),
        (3, "", "", "exit code 3"),
    ],
)
def test_a_fresh_process_ends_with_its_peak_or_says_why_not(monkeypatch, code, out, err, found):
    def run(command, **given):
        return subprocess.CompletedProcess(command, code, out, err)

    monkeypatch.setattr(sweep.subprocess, "run", run)
    point = Point("full", "both", 64)
    if code:
        with pytest.raises(RunError) as failed:
            sweep.fresh_peak(CONFIG, point)
        assert str(failed.value) == found
    else:
        assert sweep.fresh_peak(CONFIG, point) == found
