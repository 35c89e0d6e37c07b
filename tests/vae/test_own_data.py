"""Autoencoders of one's own pictures: a run from a folder, and what one class leaves out."""

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

import genjax
from genjax.core.errors import UsageError

TINY = {
    "steps": 10, "seeds": 1, "hidden": (8,), "latent": 3, "classifier_steps": 10, "batch_size": 16,
    "nll_samples": 10, "samplers": ("normal",), "compare": ("ae", "vae"),
}  # fmt: skip


def write(folder, classes):
    rng = np.random.default_rng(0)
    for i in range(60):
        path = folder / (f"kind{i % classes}" if classes > 1 else "") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return genjax.vae.Config(data=f"folder:{folder}", **TINY)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    return genjax.vae.run(write(place / "pics", 1), place / "run", compile_cache="off")


def test_one_class_leaves_out_what_needs_several(flat):
    metrics, ids = flat.summary["metrics"], [claim["id"] for claim in flat.claims]
    assert ids == ["V1", "V3", "V3b", "V4", "V5a"] and flat.judge() == flat.claims
    for word in ("probe", "knn", "total_variation", "entropy"):
        assert not any(word in path for path in metrics)
    assert np.isfinite(metrics["vae/normal/kfid"]["mean"])
    assert any("of one class" in note for note in flat.summary["notes"])
    assert flat.summary["data"] == "folder:pics/none" and "latent_scatter" in flat.figures()
    assert flat.model("vae").encode(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 3)


def test_several_classes_leave_out_nothing(tmp_path, no_page):
    run = genjax.vae.run(write(tmp_path / "pics", 3), tmp_path / "run", compile_cache="off")
    assert "V5b" in [claim["id"] for claim in run.claims]
    assert 0 <= run.summary["metrics"]["vae/probe/all"]["mean"] <= 1
    assert not any("of one class" in note for note in run.summary["notes"])
    # Colours are named after subfolders, not after numbers that only the reader of files knows.
    _, figure = run.figures("latent_scatter")["latent_scatter"]
    words = {one.get_text() for one in figure.findobj(Text)}
    assert {"kind0", "kind1", "kind2"} <= words and "class 0" not in words


def test_a_run_on_pictures_that_changed_is_refused(flat, no_page):
    place = flat.folder.parent / "pics" / "7.png"
    content, page = place.read_bytes(), (flat.folder / "summary.json").read_bytes()
    Image.new("RGB", (8, 8)).save(place)
    with pytest.raises(UsageError, match=r"^--workdir=.*: the run in it began with other data"):
        genjax.vae.run(flat.config, flat.folder, compile_cache="off")
    assert (flat.folder / "summary.json").read_bytes() == page
    place.write_bytes(content)
    genjax.vae.run(flat.config, flat.folder, compile_cache="off")
