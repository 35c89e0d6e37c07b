"""The notebooks: what is committed of them, and that each runs from its first cell to its last."""

import json
import os
import re

import pytest
import scripts

BOOKS = sorted((scripts.ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in BOOKS]


def cells(path, kind):
    found = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def test_there_is_one_an_experiment():
    assert NAMES == ["attention", "domains", "gan", "vae"]


@pytest.mark.parametrize("path", BOOKS, ids=NAMES)
def test_no_output_is_committed_and_all_have_the_same_beginning(path):
    book = json.loads(path.read_text())
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    assert "widgets" not in book["metadata"]
    first, where = cells(path, "markdown")[:2]
    assert "](https://colab.research.google.com/)" in first  # The repository has no address yet.
    assert "Nothing was tried on Colab" in where
    installs = [cell for cell in cells(path, "code") if "%pip" in cell]
    assert installs == [cells(BOOKS[0], "code")[0]]
    assert all(f'"{runtime}": "jax' in installs[0] for runtime in ("cpu", "gpu", "tpu"))
    text = "\n".join(cells(path, "markdown"))
    assert "## Change one thing, and judge again" in text and "## Exercise" in text
    assert "?" in text[text.index("## Exercise") :]


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Runs the cells of a notebook in a process of its own, with settings that learn nothing."""
    nbclient = pytest.importorskip("nbclient", reason="needs pip install '.[notebook]'")
    pytest.importorskip("ipykernel")
    chosen = scripts.environment(compiling=scripts.LOWEST) | {
        "GENJAX_QUICK": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(scripts.ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    for key, value in chosen.items():
        monkeypatch.setenv(key, value)
    place = {"metadata": {"path": str(tmp_path)}}
    return lambda book: nbclient.NotebookClient(book, timeout=300, resources=place).execute()


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs(name, tmp_path, execute):
    """The one that is changed too."""
    nbformat = pytest.importorskip("nbformat")
    (path,) = (path for path in BOOKS if path.stem == name)
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    execute(book)
    shown = [output for cell in book.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in shown)
    runs = sorted((tmp_path / "runs" / "notebook").glob("*/summary.json"))
    assert len(runs) == 2
    texts = "".join(output.get("text", "") for output in shown)
    for claim in json.loads(runs[0].read_text())["claims"]:
        assert re.search(rf"^{claim['id']} +{claim['verdict']} ", texts, re.M)


STREAMED = """
import genjax
from absl import flags

config = genjax.vae.Config(
    input="stream", steps=4, seeds=1, batch_size=8, hidden=(8,), latent=2, classifier_steps=4,
    nll_samples=4, samplers=("normal",),
)
run = genjax.vae.run(config, "run")
print(run, flags.FLAGS.is_parsed())
"""


def test_a_run_streams_where_nobody_parses_flags(execute):
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(STREAMED)])
    execute(book)
    said = "".join(output["text"] for output in book.cells[0].outputs)
    assert "--input=stream: streamed by" in said
    assert "Run('run', vae, finished) False\n" in said
