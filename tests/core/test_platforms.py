"""The platform that was asked for or a line, exact measures, traces of a few steps."""

import logging
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scripts
from run_folders import opened

import genjax
from genjax.core import arrangement, loop, parallel, platforms, training
from genjax.core.errors import UsageError


@pytest.mark.parametrize("name", ("gpu", "tpu"))
def test_the_cpu_in_place_of_an_accelerator_is_refused_before_anything_is_written(name, tmp_path):
    place = tmp_path / "run"
    with pytest.raises(UsageError, match=f"^--platform={name}: JAX computes on cpu: [^\n]+$"):
        genjax.vae.run(genjax.vae.Config(), place, platform=name)
    assert not place.exists()


REMEDY = r"pip install 'jax\[cuda12\]', or leave the flag out"


def test_what_jax_warns_of_is_the_reason(monkeypatch, capsys):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)

    def devices():
        for _ in range(2):
            logging.getLogger("jax._src.xla_bridge").warning("A GPU is here.\nFalling back to cpu.")
        return [SimpleNamespace(platform="cpu")]

    monkeypatch.setattr(jax, "devices", devices)
    line = "A GPU is here. Falling back to cpu."
    with (
        pytest.raises(UsageError, match=f"^--platform=gpu: JAX computes on cpu: {line}; {REMEDY}$"),
        platforms.chosen("gpu"),
    ):
        pass
    with platforms.chosen("auto"):
        jax.devices()
    # Once each time, by `say`, though absl was told to be silent.
    assert capsys.readouterr().err == 2 * f"JAX: {line}\n"


def test_an_unknown_platform_is_refused():
    said = "--platform=npu: choose from auto, cpu, gpu, tpu"
    with pytest.raises(UsageError, match=said), platforms.chosen("npu"):
        pass


def text_of(precision):
    with platforms.products(precision):
        return jax.jit(jnp.dot).lower(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))


def test_products_are_as_precise_as_asked_but_on_a_cpu(monkeypatch):
    assert "HIGH" not in text_of("highest").as_text()
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(platform="tpu")])
    assert "precision = [HIGHEST, HIGHEST]" in text_of("highest").as_text()
    assert "precision = [HIGH, HIGH]" in text_of("high").as_text()
    assert "precision = [DEFAULT, DEFAULT]" in text_of("default").as_text()


def run_in(folder, calls, *, size=5, steps=20):
    """Trains for some steps, with calls of `size`; notes the precision of each thing in `calls`."""

    def precision():
        return jax.config.values["jax_default_matmul_precision"]

    def run(state, index, count):
        calls.append(("step", precision()))
        return {"w": state["w"] + count}, {"loss": np.zeros((size, 1), np.float32)}

    def validate(state):
        calls.append(("measure", precision()))
        return {"valid_loss": state["w"]}

    def batches(first, count):
        return np.zeros((count, 1, 2), np.int32)

    plan = arrangement.Plan(1, 1, 0, size, False)
    compiled = parallel.Compiled(run, lambda state: state, plan)
    when = loop.Schedule([0], steps, log_every=size, validate_every=steps)
    state = {"w": np.zeros(1, np.float32)}
    return training.train(folder, "a", compiled, state, when, batches, validate=validate)


def test_measures_along_training_are_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(platforms, "products", jax.default_matmul_precision)
    calls, folder = [], opened(tmp_path / "run")
    folder.products = "default"
    run_in(folder, calls)
    folder.close()
    assert set(calls) == {("step", "default"), ("measure", "highest")}


@pytest.mark.parametrize(
    "asked, size, traced", [(7, 5, 10), (1, 5, 5), (100, 5, 15), (3, 20, 20), (0, 5, 0)]
)
def test_a_trace_of_so_many_steps_is_written(asked, size, traced, tmp_path, monkeypatch):
    said, events, folder = [], [], opened(tmp_path / "run")
    monkeypatch.setattr(platforms, "say", said.append)
    monkeypatch.setattr(jax.profiler, "start_trace", lambda path: events.append(("start", path)))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: events.append(("stop",)))
    folder.profile = asked
    run_in(folder, events, size=size)
    folder.close()
    events = [event for event in events if event[0] != "measure"]
    place = folder.path / "profile" / "a"
    if not asked:
        assert not said and ("stop",) not in events
        return
    begin, end = events.index(("start", place)), events.index(("stop",))
    assert begin == (0 if size == 20 else 1)  # Behind the call that compiles, if there are others.
    assert (end - begin - 1) * size == traced
    assert len(said) == 1 and said[0].startswith(f"--profile: {traced} steps;")
    assert str(place) in said[0]


def test_constraints_beside_an_accelerator_leave_jax_as_it_is():
    """Its plugin fits one version of jax, and no constraint reaches what is installed."""
    every, without = (
        [line for line in (scripts.ROOT / name).read_text().splitlines() if line[0] != "#"]
        for name in ("constraints.txt", "constraints-accelerator.txt")
    )
    own = ("jax==", "jaxlib==")
    assert [line for line in every if not line.startswith(own)] == without
    assert len(without) == len(every) - 2
