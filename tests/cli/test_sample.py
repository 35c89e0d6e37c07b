"""`genjax sample`: what is drawn, where it lies, and what is refused."""

import json
import types

import numpy as np
import pytest
from PIL import Image

from genjax.core.errors import UsageError
from genjax_cli import sample
from genjax_cli.sample import Config

# 5 pictures of 4 x 4, each of one shade of red.
PICTURES = np.zeros((5, 4, 4, 3), np.float32)
PICTURES[..., 0] = np.arange(5)[:, None, None] / 4
POINTS = np.float32([[0.1, 1 / 3], [-2, 1e-9], [3, 4]])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder whose models draw what is asked of this fixture."""
    made = types.SimpleNamespace(folder=tmp_path / "run", seen=[], values=PICTURES, text=False)
    made.folder.mkdir()

    class Run:
        def __init__(self, folder):
            self.config = types.SimpleNamespace(arms=lambda: {"a": 0, "b": 0})
            drawn = lambda model, key, *given: (made.seen.append((model, given)), made.values)[1]  # noqa: E731
            self.experiment = types.SimpleNamespace(
                samples=None if made.text else drawn, texts=drawn if made.text else None
            )

        def trained(self, arm, seed):
            return self, arm or "a", seed or 0

        def model(self, arm, seed):
            return types.SimpleNamespace(arm=arm, seed=seed, step=9)

    monkeypatch.setattr("genjax.run.Run", Run)
    return made


def test_pictures_are_a_grid_in_the_runs_folder(run):
    said = sample.sample(run.folder, Config())
    path = run.folder / "samples" / "a_seed0.png"
    assert said == f"{path}: 5 pictures of a, seed 0, step 9; of the arms a, b"
    found = np.asarray(Image.open(path))
    # Two rows of three cells of 32 pixels, two white ones between.
    assert found.shape == (66, 100, 3)
    for i in range(5):
        row, column = divmod(i, 3)
        cell = found[34 * row : 34 * row + 32, 34 * column : 34 * column + 32]
        assert (cell == [round(255 * i / 4), 0, 0]).all()
    assert (found[34:, 68:] == 255).all() and (found[32:34] == 255).all()
    ((model, given),) = run.seen
    assert (model.arm, model.seed, given) == ("a", 0, (None,))


def test_grey_pictures_and_large_ones_keep_their_pixels():
    grey = np.full((1, 40, 50, 1), 0.5, np.float32)
    assert sample.grid(grey).shape == (40, 50) and (sample.grid(grey) == 128).all()


@pytest.mark.parametrize("values", [PICTURES, POINTS])
def test_arrays_are_kept_whole(run, tmp_path, values):
    run.values = values
    out = tmp_path / "new" / "made.npz"
    said = sample.sample(run.folder, Config(out=str(out), arm="b", seed=1, n=5))
    kind = "points" if values is POINTS else "pictures"
    assert said == f"{out}: {len(values)} {kind} of b, seed 1, step 9"
    with np.load(out) as arrays:
        np.testing.assert_array_equal(arrays["points" if values is POINTS else "images"], values)
    assert run.seen[0][1] == (5,)


def test_points_as_text_are_the_same_numbers(run, tmp_path):
    run.values, out = POINTS, tmp_path / "p.csv"
    sample.sample(run.folder, Config(out=str(out)))
    assert out.read_text().startswith("x0,x1\n")
    found = np.loadtxt(out, delimiter=",", skiprows=1, dtype=np.float32)
    np.testing.assert_array_equal(found, POINTS)


def test_texts_go_to_the_terminal_or_a_file(run, tmp_path, capsys):
    run.text, run.values = True, ["It was", "ä\nb"]
    config = Config(prompt="It", tokens=4, n=2)
    assert sample.sample(run.folder, config) == "It was\n---\nä\nb"
    assert capsys.readouterr().err == "2 texts of a, seed 0, step 9\n"
    assert run.seen[0][1] == (2, "It", 4)
    out = tmp_path / "t.json"
    sample.sample(run.folder, config.replace(out=str(out)))
    assert json.loads(out.read_text()) == run.values


def test_nothing_is_replaced_unless_it_is_asked_for(run):
    sample.sample(run.folder, Config())
    with pytest.raises(UsageError, match="a_seed0.png: is there already; --force replaces it"):
        sample.sample(run.folder, Config())
    sample.sample(run.folder, Config(force=True))


def test_a_file_of_another_kind_is_refused_before_anything_is_drawn(run, tmp_path):
    for out, choices in (("a.jpg", ".png, .npz, .csv"), ("a", ".png"), ("a.txt", ".png")):
        with pytest.raises(UsageError, match=f"--out=.*{out}: ends in one of {choices}"):
            sample.sample(run.folder, Config(out=str(tmp_path / out)))
    with pytest.raises(UsageError, match="--prompt and --tokens: of language models alone"):
        sample.sample(run.folder, Config(prompt="It"))
    assert not run.seen
    with pytest.raises(UsageError, match="p.csv: ends in one of .png, .npz"):  # Of pictures.
        sample.sample(run.folder, Config(out=str(tmp_path / "p.csv")))
    assert not list(tmp_path.glob("*.*"))


def test_a_folder_that_cannot_be_written_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="^--out=.* is a file; name a folder$"):
        sample.sample(run.folder, Config(out=str(tmp_path / "file" / "a.png")))


def test_models_that_answer_draw_nothing(run, monkeypatch):
    class Answers:
        def __init__(self, folder):
            self.experiment = types.SimpleNamespace(samples=None, texts=None)

        def trained(self, arm, seed):
            return self, "flash", 3

    monkeypatch.setattr("genjax.run.Run", Answers)
    with pytest.raises(UsageError, match=r"nothing to draw; .*\.model\('flash', 3\)"):
        sample.sample(run.folder, Config())
