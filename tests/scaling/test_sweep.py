"""The sweep's points, the program of each, and what a run folder is asked for."""

import contextlib
import os
from types import SimpleNamespace

import pytest

from genjax.core.errors import UsageError
from genjax.scaling import microbenchmark, sweep
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
    short = [p for p in swept if p.mode == "forward" or p.length == 64]
    assert [p for p in sweep.points(CONFIG.replace(both_to=100)) if p in swept] == short
    known = [
        Point(name, "forward", n)
        for name in (
            "products",
            "tiles",
            "rows",
            "roots",
            "full.scores",
            "full.softmax",
            "full.values",
        )
        for n in (64, 128, 1000)
    ]
    # Widths times 1, 2, 4, 8 and 16, no longer than the longest.
    layers = [
        Point(f"{part}@{width}", "forward", n)
        for width, lengths in ((16, (16, 32, 64, 128, 256)), (64, (64, 128, 256, 512)))
        for part in ("attention", "feedforward")
        for n in lengths
    ]
    assert sweep.points(CONFIG) == machine + swept + known + layers
    assert not [p for p in sweep.points(FEW) if p.arm.startswith("full.")]


def test_a_points_program_has_its_flops():
    """By hand: a product 2 n^3; attention 4 n^2 d; a feed-forward part of 4 d units 16 n d^2."""
    n, d = 64, 32
    wanted = {
        Point("matmul", "forward", n): 2 * n**3,
        Point("copy", "forward", n): 1,
        Point(f"attention@{d}", "forward", n): 4 * n**2 * d,
        Point(f"feedforward@{d}", "forward", n): 16 * n * d**2,
        # Two sequences of three heads of 16; backward takes twice as many again.
        Point("full", "forward", n): 2 * 3 * 4 * n**2 * 16,
        Point("full", "both", n): 3 * 2 * 3 * 4 * n**2 * 16,
        Point("full.scores", "forward", n): 2 * 3 * 2 * n**2 * 16,
        Point("full.softmax", "forward", n): 0,
        Point("full.values", "forward", n): 2 * 3 * 2 * n**2 * 16,
        Point("products", "forward", n): 2 * 3 * 4 * n**2 * 16,
        Point("rows", "forward", n): 2 * 3 * 2 * n * 16 * 256,
        Point("tiles", "forward", n): 2 * 3 * 4 * n**2 * 16,
        # 8 sqrt(64) keys.
        Point("roots", "forward", n): 2 * 3 * 4 * n * 16 * 64,
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
    monkeypatch.setattr(sweep.machine, "tune_cpu", lambda: called.append("tune_cpu"))
    monkeypatch.setattr(sweep.machine, "split_cpu", lambda *given: called.append(given))
    monkeypatch.setattr(sweep.microbenchmark, "reserve", lambda cores: f"cores: {cores}")
    config = Config(**asked, seeds=3, batch_size=8)
    assert sweep.settle(config) == f"cores: {config.cores}"
    assert called == ["tune_cpu", *([(3, 8)] if shared else [])]


class Kept:
    """Stands for a run folder."""

    def __init__(self, rows=(), files=()):
        self.rows, self.files = list(rows), dict(files)

    def keep(self, wanted):
        return [row for row in self.rows if wanted(row)]

    def write(self, arm, rows):
        self.rows += [{"arm": arm} | row for row in rows]

    def read_json(self, name):
        return self.files.get(name)

    def write_json(self, name, content):
        self.files[name] = content


FEW = CONFIG.replace(variants=("linear",), lengths=(64, 128), widths=(16,), processes=3)


@pytest.fixture
def asked(monkeypatch):
    """What the children are asked; the first that times finds the longest too long."""
    calls = []

    def ask(name, questions):
        calls.append((name, questions))
        if name == "compiling":
            return [
                {"points": [
                    {"point": p, "file": str(p), "inputs": [],
                     "facts": {"temp_bytes": p.length * 10**6, "argument_bytes": 0,
                               "result_bytes": 0, "flops": 1.0}}
                    for p in question["points"][i :: len(questions)]
                ]}
                for i, question in enumerate(questions)
            ]  # fmt: skip
        late = {"linear both 128": "about 9 s a call"}
        return [
            {
                "seed": question["seed"],
                "points": {},
                "skipped": late if question["first"] else {},
                "quality": {},
            }
            for question in questions
        ]

    monkeypatch.setattr(sweep.children, "ask", ask)
    return calls


def clock():
    return SimpleNamespace(part=lambda name: contextlib.nullcontext())


def test_processes_measure_what_fits_and_what_the_first_did_not_skip(asked):
    folder = Kept()
    sweep.measure(FEW.replace(memory=0.26), folder, clock())
    # The first alone, the others side by side.
    sides = [(name, len(questions)) for name, questions in asked]
    assert sides[1:] == [("replicate", 1), ("replicate", 2)] and sides[0][0] == "compiling"
    # Who compiles what is theirs to say, in a place of their own.
    assert all(question["points"] == sweep.points(FEW) for question in asked[0][1])
    assert len({question["taken"] for question in asked[0][1]}) == 1
    told = Timings(folder.rows, {})
    large = {p for p in sweep.points(FEW) if p.length > 200}
    assert set(told.skipped) == large and {*told.facts} == {*sweep.points(FEW)} - large
    assert told.skipped[Point("matmul", "forward", 1024)].startswith("1 GB by the compiled program")
    first, *others = (
        [str(row["point"]) for row in question["points"]]
        for _, questions in asked[1:]
        for question in questions
    )
    assert "linear both 128" in first and len(first) == len(told.facts)
    assert others == [[name for name in first if name != "linear both 128"]] * 2
    seeds = [question["seed"] for _, questions in asked[1:] for question in questions]
    assert seeds == [0, 1, 2]


def test_a_sweep_of_which_no_variant_fits_says_so_and_writes_nothing(asked):
    folder = Kept()
    with pytest.raises(UsageError, match=r"^--memory=0.001: no variant fits, .* forward 64 takes"):
        sweep.measure(FEW.replace(memory=0.001), folder, clock())
    assert not folder.rows and [name for name, _ in asked] == ["compiling"]


def test_processes_of_half_of_the_memory_each_are_asked_together(asked):
    """The largest product says 1.024 GB."""
    sweep.measure(FEW.replace(memory=2.1), Kept(), clock())
    sweep.measure(FEW.replace(memory=2.0), Kept(), clock())
    sides = [len(questions) for name, questions in asked if name == "replicate"]
    assert sides == [1, 2, 1, 1, 1]


def test_a_sweep_goes_on_where_it_was(asked):
    folder = Kept()
    sweep.measure(FEW, folder, clock())
    rows, calls = list(folder.rows), len(asked)
    sweep.measure(FEW, folder, clock())
    assert len(asked) == calls and folder.rows == rows
    del folder.files["evaluation/process-1.json"]
    sweep.measure(FEW, folder, clock())
    assert [name for name, _ in asked[calls:]] == ["compiling", "replicate"]
    assert asked[-1][1][0]["seed"] == 1 and folder.rows == rows


def test_what_a_pattern_reaches_is_entered_for_a_variant_that_has_one(monkeypatch):
    row = {"length": 128, "needles": 1.0}

    def ask(name, questions):
        return [
            {
                "seed": question["seed"],
                "quality": {name: row | {"hits": "ff" * 16} for name in ("longformer", "linear")},
            }
            for question in questions
        ]

    monkeypatch.setattr(sweep.children, "ask", ask)
    config = FEW.replace(variants=("longformer", "linear"), window=32)
    one, other = (found["quality"] for found in sweep._asked(config, Kept(), [], [0, 1]))
    assert one["linear"] == row and 0.15 < one["longformer"]["reached"] < 0.35
    # Who finds everything finds what is out of reach, too.
    assert one["longformer"]["missed"] == 0 and one["longformer"]["beyond"] == 1
    # Each looks other places up.
    assert 0 < abs(one["longformer"]["reached"] - other["longformer"]["reached"]) < 0.2


COUNT = "--xla_force_host_platform_device_count"


@pytest.mark.parametrize(
    ("given", "then"),
    [("", f"{COUNT}=8"), ("--a", f"--a {COUNT}=8"), (f"{COUNT}=2", f"{COUNT}=2")],
)
def test_a_cpu_passes_for_the_devices_of_a_mesh(monkeypatch, given, then):
    monkeypatch.setenv("XLA_FLAGS", given)
    microbenchmark.make_devices(8)
    assert os.environ["XLA_FLAGS"] == then
