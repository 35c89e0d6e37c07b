import gzip
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest
from image_files import fails, idx_bytes, real, rows, write_folder
from texts import ROOT

from genjax import data
from genjax.core.order import batch_index
from genjax.data import idx
from genjax.gan import stacked
from genjax.images.stored import store

# Splits and binarizations


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    loaded = data.load("digits")
    assert {key: len(part["label"]) for key, part in loaded.items()} == {
        "train": 1150,
        "valid": 147,
        "test": 500,
    }
    for part in loaded.values():
        assert part["image"].shape[1:] == (8, 8, 1) and part["image"].dtype == np.float32
        assert part["label"].dtype == np.int32
    raw = load_digits()
    expected = {"image": (raw.images / 16).astype(np.float32), "label": raw.target}
    assert rows(*loaded.values()) == rows(expected)


def test_splits_are_drawn_by_the_seed():
    first, again, other = (data.load("digits", seed=seed) for seed in (3, 3, 4))
    for part in ("train", "valid", "test"):
        np.testing.assert_array_equal(first[part]["image"], again[part]["image"])
        np.testing.assert_array_equal(first[part]["label"], again[part]["label"])
        assert not np.array_equal(first[part]["image"], other[part]["image"])
    assert rows(*first.values()) == rows(*other.values())


def test_valid_sets_the_size(folder):
    assert len(data.load("digits", valid=10)["valid"]["label"]) == 10
    assert len(data.load("digits", valid=10)["train"]["label"]) == 1287
    assert "choose 1 to 1296" in fails("--valid=1297: ", "digits", valid=1297)
    fails("--valid=0: ", f"idx:{folder}", valid=0)
    fails("--valid=40: choose 1 to 39", f"idx:{folder}", valid=40)
    assert len(data.load(f"idx:{folder}", valid=39)["train"]["label"]) == 1


@pytest.mark.parametrize("size, valid", [(2, 1), (19, 1), (20, 2), (51000, 5000)])
def test_default_valid_of_a_folder_is_a_tenth(tmp_path, size, valid):
    write_folder(tmp_path, np.ones((size, 1, 1), np.uint8), np.ones((3, 1, 1), np.uint8))
    loaded = data.load(f"idx:{tmp_path}")
    assert [len(part["label"]) for part in loaded.values()] == [size - valid, valid, 3]


def test_threshold_and_dynamic():
    grey = data.load("digits")
    threshold, dynamic = (data.load("digits", binarize=b) for b in ("threshold", "dynamic"))
    for part in grey:
        np.testing.assert_array_equal(dynamic[part]["image"], grey[part]["image"])
        expected = np.where(grey[part]["image"] > 0.5, np.float32(1), np.float32(0))
        np.testing.assert_array_equal(threshold[part]["image"], expected)
        assert threshold[part]["image"].dtype == np.float32


@pytest.mark.parametrize("source", ["digits", "idx"])
def test_fixed_is_one_bernoulli_draw_whatever_the_split(source, folder):
    spec = "digits" if source == "digits" else f"idx:{folder}"
    grey = [data.load(spec, seed=seed) for seed in (0, 1)]
    fixed = [data.load(spec, seed=seed, binarize="fixed") for seed in (0, 1)]
    assert rows(*fixed[0].values()) == rows(*fixed[1].values())

    image = np.concatenate([part["image"] for part in fixed[0].values()])
    mean = np.concatenate([part["image"] for part in grey[0].values()])
    assert image.dtype == np.float32 and set(np.unique(image)) == {0, 1}
    # Pixels drawn as Bernoulli(mean), at every level of grey: within five standard errors.
    for level in (mean == 0, (mean > 0) & (mean <= 0.5), (mean > 0.5) & (mean < 1), mean == 1):
        error = np.sqrt(np.sum(mean[level] * (1 - mean[level]), dtype=np.float64))
        assert abs(np.sum(image[level] - mean[level], dtype=np.float64)) <= 5 * error


def test_fixed_draws_of_train_and_test_are_independent(tmp_path):
    half = np.full((50, 8, 8), 128, np.uint8)
    write_folder(tmp_path, train=half, test=half)
    loaded = data.load(f"idx:{tmp_path}", valid=1, binarize="fixed")
    drawn = [{image.tobytes() for image in loaded[part]["image"]} for part in ("train", "test")]
    assert not drawn[0] & drawn[1]


def test_names(tmp_path, monkeypatch):
    assert data.name("digits", "dynamic") == "digits/dynamic"
    assert data.name("tfds:fashion_mnist", "none") == "tfds:fashion_mnist/none"
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path / "mnist")
    for folder in (tmp_path / "mnist", f"{tmp_path}/mnist/", "."):
        assert data.name(f"idx:{folder}", "fixed") == "idx:mnist/fixed"


def test_unknown_source_and_binarization():
    assert "did you mean digits?" in fails("--data=digit: ", "digit")
    assert "did you mean tfds:mnist?" in fails("--data=tdfs:mnist: ", "tdfs:mnist")
    choices = "digits, idx:<folder>, tfds:<name>, folder:<path>, npz:<file>, hf:<name>"
    assert fails("--data=words: ", "words").endswith(choices)
    for spec in ("idx:", "tfds:", "digits:8", ""):
        fails(f"--data={spec}: no such source", spec)
    fails(
        "--binarize=larochelle: .*none, threshold, dynamic, fixed", "digits", binarize="larochelle"
    )


# IDX


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (n, 7, 9), np.uint8) for n in (40, 12)]


@pytest.fixture
def folder(tmp_path, images):
    write_folder(tmp_path, *images)
    return tmp_path


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_round_trip(tmp_path, images, dot, zipped):
    write_folder(tmp_path, *images, dot=dot, zipped=zipped)
    for part, image in zip(idx.read(str(tmp_path)), images, strict=True):
        expected = (image / 255).astype(np.float32)[..., None]
        np.testing.assert_array_equal(part["image"], expected)
        np.testing.assert_array_equal(part["label"], np.arange(len(image)) % 10)
    loaded = data.load(f"idx:{tmp_path}", valid=5)
    train, test = idx.read(str(tmp_path))
    assert rows(loaded["train"], loaded["valid"]) == rows(train)
    np.testing.assert_array_equal(loaded["test"]["image"], test["image"])


def test_idx_missing(folder):
    fails(f"--data=idx:{folder}/x: there is no such folder", f"idx:{folder}/x")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    fails(f"--data=idx:{folder}: the folder has no file t10k-labels-idx1-ubyte", f"idx:{folder}")


def test_idx_of_another_length_than_its_header(folder):
    path = folder / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    line = fails("cut short", f"idx:{folder}")
    expected = f"{path.name} is cut short: {16 + 40 * 7 * 9} bytes expected, 1000 found"
    assert line == f"--data=idx:{folder}: {expected}"
    for size in (0, 3, 15):
        path.write_bytes(whole[:size])
        fails(f"cut short: 16 bytes expected, {size} found", f"idx:{folder}")
    path.write_bytes(whole + b"x")
    fails("too long: 2536 bytes expected, 2537 found", f"idx:{folder}")


def test_idx_magic_number(folder):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(idx_bytes(np.zeros(40, np.uint8)))
    fails(f"{path.name} .*magic number 2051 expected, 2049 found", f"idx:{folder}")


@pytest.mark.parametrize("damage", ["not gzip", "cut", "bits", "checksum"])
def test_idx_gzip_damaged(tmp_path, images, damage):
    write_folder(tmp_path, *images, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    damaged = {
        "not gzip": gzip.decompress(whole),
        "cut": whole[: len(whole) // 2],
        "bits": whole[:10] + b"\xff" * 20 + whole[30:],
        "checksum": whole[:-8] + bytes(4) + whole[-4:],
    }
    path.write_bytes(damaged[damage])
    fails(f"--data=idx:{tmp_path}: {path.name} is damaged or cannot be read: .", f"idx:{tmp_path}")


def test_idx_files_that_do_not_fit_each_other(folder, images):
    labels = folder / "train-labels-idx1-ubyte"
    whole = labels.read_bytes()
    labels.write_bytes(idx_bytes(np.zeros(39, np.uint8)))
    fails("train-images-idx3-ubyte holds 40 images, .*train-labels.* 39 labels", f"idx:{folder}")
    labels.write_bytes(whole)

    test_images = folder / "t10k-images-idx3-ubyte"
    test_images.write_bytes(idx_bytes(images[1].transpose(0, 2, 1)))
    fails("train images are 7x9 pixels, t10k images are 9x7", f"idx:{folder}")
    test_images.write_bytes(idx_bytes(images[1][:0]))
    fails("t10k-images-idx3-ubyte holds no pixels", f"idx:{folder}")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_real_files(name):
    folder = real(name)
    loaded = data.load(f"idx:{folder}")
    assert [part["image"].shape for part in loaded.values()] == [
        (n, 28, 28, 1) for n in (55000, 5000, 10000)
    ]
    # The means that are published for normalising: MNIST 0.1307, Fashion-MNIST 0.2860.
    image = np.concatenate([loaded["train"]["image"], loaded["valid"]["image"]])
    mean = {"mnist": 0.1307, "fashion_mnist": 0.2860}[name]
    assert np.mean(image, dtype=np.float64) == pytest.approx(mean, abs=5e-5)
    assert np.bincount(loaded["test"]["label"])[0] == {"mnist": 980, "fashion_mnist": 1000}[name]


# Order of training


def test_an_epoch_is_a_padded_permutation():
    steps = batch_index(seed=5, size=23, batch_size=8, start=0, steps=6)
    assert steps.shape == (6, 8) and steps.dtype == np.int32
    for epoch in (steps[:3], steps[3:]):
        np.testing.assert_array_equal(np.sort(epoch.ravel()), [-1, *range(23)])
        assert epoch[2, -1] == -1
    assert not np.array_equal(steps[:3], steps[3:])
    other = batch_index(seed=6, size=23, batch_size=8, start=0, steps=6)
    assert not np.array_equal(steps, other)


def test_batches_that_fit_need_no_padding():
    steps = batch_index(seed=0, size=24, batch_size=8, start=0, steps=3)
    np.testing.assert_array_equal(np.sort(steps.ravel()), range(24))
    one = batch_index(seed=0, size=3, batch_size=8, start=7, steps=1)
    np.testing.assert_array_equal(np.sort(one[0]), [-1] * 5 + [0, 1, 2])


def test_resuming_is_arithmetic():
    whole = batch_index(seed=1, size=23, batch_size=8, start=0, steps=10)
    whole_copy = whole.copy()
    whole[:] = -7  # a caller that writes into its index must not change a later call
    rest = batch_index(seed=1, size=23, batch_size=8, start=4, steps=6)
    np.testing.assert_array_equal(rest, whole_copy[4:])
    assert batch_index(seed=1, size=23, batch_size=8, start=4, steps=0).shape == (0, 8)


def test_batch_index_is_the_documented_draw():
    """A change of the draw would change every published run."""
    order = np.random.default_rng([2, 1]).permutation(np.arange(10, dtype=np.int32))
    steps = batch_index(seed=2, size=10, batch_size=5, start=2, steps=2)
    np.testing.assert_array_equal(steps.ravel(), order)


def test_importing_is_light():
    heavy = "{'jax', 'sklearn', 'tensorflow_datasets', 'requests'}"
    code = f"import sys, genjax.data; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# Stacks


def test_stacks_are_the_images_of_their_triple():
    images = np.random.default_rng(0).random((10, 4, 4, 1)).astype(np.float32)
    kept = store(images)
    arrays = {"triple": stacked.triples(10, 7, 2, np.random.default_rng(0)), "image": kept.rows}
    batch = jax.jit(partial(stacked.take, kept.read))(arrays, np.array([3, -1], np.int32))
    assert batch["real"].shape == (2, 2, 4, 4, 3)
    for member in range(2):
        for channel in range(3):
            expected = 2 * images[arrays["triple"][3, member, channel], ..., 0] - 1
            np.testing.assert_allclose(batch["real"][0, member, ..., channel], expected)
    np.testing.assert_array_equal(batch["weight"], [1, 0])
    assert stacked.mode_of(np.array([[1, 2, 3]]), 10) == 123
    weights = stacked.mode_weights(np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(weights[[0, 7]], [8 / 27, 1 / 27])
