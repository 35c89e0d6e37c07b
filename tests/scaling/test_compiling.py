"""Compiled programs in files: several may make one at once."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp

from genjax.core import config as configs
from genjax.scaling import compiling
from genjax.scaling.compiling import Store
from genjax.scaling.config import Config
from genjax.scaling.microbenchmark import Inputs
from genjax.scaling.timings import Point


def store(folder):
    (folder / "taken").mkdir(exist_ok=True)
    return Store(folder / "programs", folder / "taken")


def test_programs_that_are_made_at_once_leave_one_whole_file(tmp_path):
    lowered = jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((3,), jnp.float32))
    stores = [store(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda store: store.keep(lowered, lambda _: {"flops": 3}), stores))
    assert {file for file, _ in kept} == {str(f) for f in (tmp_path / "programs").iterdir()}
    assert store(tmp_path).keep(lowered) == (kept[0][0], {"flops": 3})


def test_processes_side_by_side_compile_each_input_once(tmp_path, monkeypatch):
    compiled, keep = [], Store.keep
    monkeypatch.setattr(
        Store, "keep", lambda self, *a, **k: compiled.append(self) or keep(self, *a, **k)
    )
    made = [Inputs(f"x {n}", lambda seed, n=n: (jnp.full(n, seed),)) for n in (2, 3)]
    stores = [store(tmp_path) for _ in range(2)]
    # The second asks in another order, and for all again.
    files = [
        [stores[i].keep_inputs(made[k]) for k in order]
        for i, order in enumerate(((0, 1, 0), (1, 0, 1)))
    ]
    assert files[0] == [files[1][1], files[1][0], files[1][1]]
    assert compiled == [stores[0]] * 2
    assert {*files[0]} == {str(f) for f in (tmp_path / "programs").iterdir()}


def test_a_point_is_that_process_which_takes_it_first(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling.sweep, "settle", lambda config: None)
    places = {"folder": str(tmp_path / "programs"), "taken": str(tmp_path)}
    asked = {"config": configs.to_json(Config()), **places}
    points = [Point("copy", "forward", size) for size in (64, 128)]
    (first,) = compiling.rows(asked | {"points": points[1:]})["points"]
    (second,) = compiling.rows(asked | {"points": points})["points"]
    assert [first["point"], second["point"]] == points[::-1]
    assert first["file"] != second["file"]


def test_variants_that_compile_to_the_same_say_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling.sweep, "settle", lambda config: None)
    places = {"folder": str(tmp_path / "programs"), "taken": str(tmp_path)}
    # No longer than what `truncated` keeps.
    points = [Point(name, "forward", 64) for name in ("flash", "truncated")]
    asked = {"config": configs.to_json(Config()), "points": points, **places}
    flash, truncated = compiling.rows(asked)["points"]
    assert flash["file"] == truncated["file"]
    assert flash["facts"]["note"] == "computed in tiles"
    assert truncated["facts"]["note"] == "the last 64 positions: full attention"
