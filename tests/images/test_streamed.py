"""Images read from their files while training: the same bits, and no other rows."""

import json

import numpy as np
import pytest
import scripts

import genjax
from genjax import data
from genjax.core import order, parallel, stream
from genjax.core.folder import Folder
from genjax.data import rows
from genjax.images import stored

PIXELS = np.random.default_rng(0).integers(256, size=(60, 3, 5, 1), dtype=np.uint8)


@pytest.fixture
def mapped(tmp_path):
    """The pixels in a file, from its eighth byte on."""
    (tmp_path / "images").write_bytes(b"8 bytes." + PIXELS.tobytes())
    return rows.mapped(tmp_path / "images", 8, PIXELS.shape)


@pytest.mark.parametrize("threshold", [False, True])
def test_a_row_has_the_image_bit_for_bit_its_number_and_its_weight(mapped, threshold):
    images = np.divide(PIXELS, 255, dtype=np.float32)
    if threshold:
        mapped, images = mapped.threshold(), (images > 0.5).astype(np.float32)
    index = order.batches([3, 4], len(images), 16)
    kept, streamed = stored.store(images), stored.kept(mapped)
    packed = streamed.pack(index)(3, 2)  # The fourth step is the last of its epoch, uneven.
    assert packed.dtype == np.uint8 and packed.shape[-1] % 128 == 0
    assert (index(3, 1) == -1).any()
    for found, expected in zip(packed.reshape(4, 16, -1), index(3, 2).reshape(4, 16), strict=True):
        left, right = streamed.take({}, found), kept.take(kept.arrays, expected)
        assert left.keys() == right.keys() == {"image", "index", "weight"}
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


def test_no_row_is_read_that_training_does_not_ask_for(mapped):
    """Of a file, a process reads its own rows of its own steps."""
    asked = []

    def counting(numbers):
        assert len(numbers)
        asked.extend(numbers.tolist())
        return mapped.read(numbers)

    counted = rows.rows(counting, PIXELS.shape[1:], len(PIXELS))[10:50]
    index, own = order.batches([0, 1], 40, 8), np.zeros((2, 8), bool)
    own[1, 2:4] = True
    packed = stored.kept(counted).pack(index, own)(1, 3)
    assert asked == (10 + index(1, 3)[:, 1, 2:4]).ravel().tolist()
    assert not packed[:, ~own, :-4].any() and packed[:, own, :-4].any()
    asked.clear()  # A process without a device of the mesh.
    assert not stored.kept(counted).pack(index, own & False)(1, 3)[..., :-4].any()
    assert asked == []


def test_measures_see_a_part_of_what_is_large_spread_evenly(mapped, monkeypatch):
    asked = []

    def counting(numbers):
        asked.extend(numbers.tolist())
        return mapped.read(numbers)

    label = np.arange(60)
    counted = {"image": rows.rows(counting, PIXELS.shape[1:], 60), "label": label}
    monkeypatch.setattr(data, "MEASURED", 4 * 15 * 12)
    found = data.measured({"train": counted})["train"]
    assert asked == list(range(0, 60, 5)) == found["label"].tolist()
    floats = np.divide(PIXELS, 255, dtype=np.float32)
    there = data.measured({"train": {"image": floats, "label": label}})["train"]
    np.testing.assert_array_equal(there["image"], found["image"])


def test_calls_are_short_where_rows_are_large(mapped):
    kept = stored.kept(mapped)
    assert stored.needs(kept, parallel.Needs(), 2**17).most_steps == 2**27 // (2**17 * 128) == 8
    assert stored.needs(kept, parallel.Needs(), 2**24).most_steps == 2
    assert not stored.needs(stored.store(np.zeros((2, 1, 1, 1), np.float32)), parallel.Needs(), 9)[
        -1
    ]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(1)
    arrays = {
        # Of 6 x 6 pixels convolutions take 60 times as long.
        f"x_{part}": rng.integers(256, size=(n, 8, 8), dtype=np.uint8)
        for part, n in (("train", 90), ("test", 40))
    }
    arrays |= {f"y_{part}": np.arange(len(arrays[f"x_{part}"])) % 3 for part in ("train", "test")}
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, **arrays)
    return path


def vae(file, folder, **changes):
    config = genjax.vae.Config(
        data=f"npz:{file}", steps=60, seeds=2, batch_size=16, hidden=(8,), nll_samples=10,
        classifier_steps=10, samplers=("normal",), log_every=10, checkpoint_every=10, valid=30,
    ).replace(**changes)  # fmt: skip
    return genjax.vae.run(config, folder, compile_cache=str(file.parent / "cache"))


def gan(file, folder, **changes):
    config = genjax.gan.Config(
        data=f"stacked:npz:{file}", steps=6, seeds=1, batch_size=8, points=100, g_width=8,
        d_width=8, classifier_steps=10, evaluations=1, eval_samples=100, pack=2,
    ).replace(**changes)  # fmt: skip
    return genjax.gan.run(config, folder, compile_cache=str(file.parent / "cache"))


@pytest.fixture(scope="module")
def whole(file, tmp_path_factory):
    """The folder of the autoencoder's run from memory."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    vae(file, folder, input="device")
    return folder


@pytest.mark.parametrize("run", [vae, gan])
def test_a_streamed_run_ends_as_one_from_memory(run, file, whole, tmp_path, monkeypatch, no_page):
    monkeypatch.setattr(stream, "CALL", 1)  # Calls of two steps.
    monkeypatch.setattr(stream, "BLOCK", 2**14)
    monkeypatch.setattr("genjax.gan.data.PAIRS", 250)  # Real samples to compare with.
    device, streamed = tmp_path / "device", tmp_path / "stream"
    if run is vae:
        device = whole
    else:
        run(file, device, input="device")
    run(file, streamed, input="stream")
    assert scripts.rows(device) == scripts.rows(streamed) != []
    found = [json.loads((at / "summary.json").read_text()) for at in (device, streamed)]
    assert found[0]["metrics"] == found[1]["metrics"]
    # The choice is no part of what was asked.
    for name in ("config.json", "data.json"):
        assert (device / name).read_text() == (streamed / name).read_text()


def test_a_streamed_run_that_was_cut_short_goes_on_where_it_was(
    file, whole, tmp_path, monkeypatch, capsys, no_page
):
    """The step is all the state of the input: it goes on streamed, or from memory."""
    write = Folder.write

    def cut(self, arm, rows):
        write(self, arm, rows)
        if rows[-1]["step"] == 30:
            raise RuntimeError("cut short")

    for where in ("stream", "device"):
        monkeypatch.setattr(Folder, "write", cut)
        with pytest.raises(RuntimeError, match="cut short"):
            vae(file, tmp_path / where, input="stream")
        monkeypatch.setattr(Folder, "write", write)
        vae(file, tmp_path / where, input=where)
        left, right = (scripts.checkpoint(run, "vae", 60) for run in (whole, tmp_path / where))
        scripts.assert_identical(left, right)
        assert scripts.rows(whole) == scripts.rows(tmp_path / where)
    assert capsys.readouterr().err.count("vae: goes on from step 20") == 2
