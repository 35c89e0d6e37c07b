"""Windows of text that worker processes draw: the same run, from files alone."""

import numpy as np
import pytest
import scripts

import genjax
from genjax.core import stream
from genjax.core.errors import UsageError
from genjax.data import text
from genjax.domains import data

LETTERS = np.random.default_rng(0)


def letters(count):
    return LETTERS.integers(97, 123, count).astype(np.uint8)


def test_windows_come_from_files_as_from_memory(tmp_path):
    """Of mapped text the file itself is read, from its own start; other tokens are written once."""
    corpus = {name: text.Domain(*map(letters, (400, 90, 100))) for name in ("a", "b")}
    (tmp_path / "train.txt").write_bytes(corpus["a"].train.tobytes())
    mapped = np.memmap(tmp_path / "train.txt", np.uint8, "r")
    corpus["a"] = corpus["a"]._replace(train=mapped)
    bytes_ = text.byte_tokens()
    wide = bytes_._replace(encode=lambda part: part if part is mapped else part.astype(np.int32))
    source = data.from_text(corpus, wide, [], length=20, stride=5)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    draw = data.from_files(source, ["a", "b"], scratch)
    assert [file.stat().st_size for file in scratch.iterdir()] == [4 * 400]
    how = {"seeds": [3, 4], "own": np.arange(16).reshape(2, 8) % 3 > 0}
    both = [
        data.batches([source] * 2, {"a": 0.3, "b": 0.7}, 8, draw=way, **how)(2, 3)
        for way in (None, draw)
    ]
    np.testing.assert_array_equal(*both)
    assert both[0].any() and not both[0][:, ~how["own"], :-1].any()


def run(corpus, folder, **changes):
    small = {"batch_size": 4, "context": 16, "stride": 16, "width": 8, "depth": 1, "heads": 1}
    less = {"shots": (), "dynamic": (), "evaluations": 2, "leak_window": 32, "log_every": 10}
    arms = {"a": {}, "g": {"model": "gru"}}
    asked = {"corpus": str(corpus), "variants": arms, "steps": 40, "seeds": 2}
    config = genjax.domains.Config(**asked | small | less | changes)
    return genjax.domains.run(config, folder)


def test_a_streamed_run_of_texts_ends_as_one_that_draws_itself(
    tmp_path, monkeypatch, capsys, no_page
):
    for name in ("one", "two"):
        for split, size in (("train", 3000), ("valid", 600), ("test", 900)):
            place = tmp_path / "corpus" / name / f"{split}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(letters(size).tobytes())
    monkeypatch.setattr(stream, "CALL", 1)
    made = [run(tmp_path / "corpus", tmp_path / way, input=way) for way in ("device", "stream")]
    assert "--input=stream: streamed by" in capsys.readouterr().err
    assert scripts.rows(tmp_path / "device") == scripts.rows(tmp_path / "stream")
    assert made[0].summary["metrics"] == made[1].summary["metrics"]


def test_what_is_drawn_is_not_streamed():
    with pytest.raises(UsageError, match="^--input=stream: the grid's documents are in no"):
        genjax.domains.Config(variants={"a": {}}, input="stream")
    with pytest.raises(UsageError, match="^--input=stream: points are in memory"):
        genjax.gan.Config(input="stream")
