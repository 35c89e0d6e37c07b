"""Four virtual CPU devices, and shapes checked at run time in the pure functions."""

import os

import scripts

os.environ |= scripts.environment(devices=4, compiling=scripts.LOWEST)  # Before jax starts.

import pytest
from jaxtyping import install_import_hook

install_import_hook(
    [
        "genjax.vae.densities",
        "genjax.vae.latents",
        "genjax.vae.likelihood",
        "genjax.vae.samplers",
        "genjax.gan.modes",
        "genjax.images.distances",
        "genjax.lm.transfer",
        "genjax.scaling.exponents",
    ],
    "beartype.beartype",
)


def pytest_collection_modifyitems(items):
    """Whole scripts first: a long file that comes last has one process to itself."""
    items.sort(key=lambda item: not item.path.stem.endswith("_experiment"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One compile cache for all processes of a file: they run the same few programs.

    PROGRAMS: a folder that keeps them from one run of the tests to the next.
    """
    return f"--compile_cache={os.environ.get('PROGRAMS') or tmp_path_factory.mktemp('cache')}"


@pytest.fixture
def every_row(monkeypatch):
    """Devices share the smallest batches, which are not worth it."""
    from genjax.core import arrangement

    monkeypatch.setattr(arrangement, "CPU_ROWS", 1)


@pytest.fixture
def end(monkeypatch, capfd, tmp_path):
    """(exit code, what it said, its --workdir) of a script's command line that ends by itself.

    In this process: imports and jax's start cost a process seconds, and a refusal none. `folder`
    stands in the place of `{folder}`.
    """
    monkeypatch.setattr("genjax_cli.signals.install", lambda called: None)
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])  # A run adds to them.
    place = tmp_path / "run"

    def run(name, *arguments, folder=tmp_path):
        from genjax_cli import launch

        given = [f"--workdir={place}", "--compile_cache=off", *arguments]
        given = [argument.replace("{folder}", str(folder)) for argument in given]
        with pytest.raises(SystemExit) as ended:
            launch.launch(name, given, f"genjax {name}")
        return ended.value.code, "".join(capfd.readouterr()).strip(), place

    return run


@pytest.fixture
def no_page(monkeypatch):
    """A run draws and writes no page, which takes a second: of its files others are compared."""
    monkeypatch.setattr("genjax.report.page.write", lambda folder, *_: folder)


@pytest.fixture(scope="session")
def source():
    """Nine domains of the grid, documents of 16 tokens."""
    from genjax.domains import data, hmm

    grid = hmm.grid(3, states=8, base=16, vocabulary=32, shared=4)
    return data.from_grid(grid, length=16, pool=20, documents=6)
