"""Compiled programs in files: several may make one at once."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp

from genjax.scaling.compiling import Store


def test_programs_that_are_made_at_once_leave_one_whole_file(tmp_path):
    lowered = jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((3,), jnp.float32))
    stores = [Store(tmp_path / "programs") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda store: store.keep(lowered, lambda _: {"flops": 3}), stores))
    assert {file for file, _ in kept} == {str(f) for f in (tmp_path / "programs").iterdir()}
    assert Store(tmp_path / "programs").keep(lowered) == (kept[0][0], {"flops": 3})
