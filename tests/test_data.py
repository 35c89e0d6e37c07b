import gzip
import io
import os
import struct
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds
from PIL import Image

from genjax import data
from genjax.data import idx
from genjax.errors import UsageError

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "datasets"


def fails(pattern, spec, **options):
    """The one line that `load` gives for bad input."""
    with pytest.raises(UsageError, match=pattern) as caught:
        data.load(spec, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(*examples):
    """The examples in an order of their own: image bytes, then label."""
    pairs = [
        (image.tobytes(), int(label))
        for part in examples
        for image, label in zip(part["image"], part["label"], strict=True)
    ]
    return sorted(pairs)


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
    assert "did you mean --data=digits?" in fails("--data=digit: ", "digit")
    assert "did you mean --data=tfds:<name>?" in fails("--data=tdfs:mnist: ", "tdfs:mnist")
    assert fails("--data=mnist: ", "mnist").endswith("digits, idx:<folder>, tfds:<name>")
    for spec in ("idx:", "tfds:", "digits:8", ""):
        fails(f"--data={spec}: no such source", spec)
    fails(
        "--binarize=larochelle: .*none, threshold, dynamic, fixed", "digits", binarize="larochelle"
    )


# IDX


def idx_bytes(array):
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape)
    return header + array.tobytes()


def write_folder(folder, train, test, dot="-", zipped=False):
    """Writes four IDX files, label i % 10 for image i."""
    for part, image in (("train", train), ("t10k", test)):
        label = np.arange(len(image), dtype=np.uint8) % 10
        for kind, axes, array in (("images", 3, image), ("labels", 1, label)):
            name = f"{part}-{kind}{dot}idx{axes}-ubyte"
            content = idx_bytes(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


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


def real(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"../shared/datasets/{name} not present")
    return REAL / name


# Order of training


def test_an_epoch_is_a_padded_permutation():
    steps = data.batch_index(seed=5, size=23, batch_size=8, start=0, steps=6)
    assert steps.shape == (6, 8) and steps.dtype == np.int32
    for epoch in (steps[:3], steps[3:]):
        np.testing.assert_array_equal(np.sort(epoch.ravel()), [-1, *range(23)])
        assert epoch[2, -1] == -1
    assert not np.array_equal(steps[:3], steps[3:])
    other = data.batch_index(seed=6, size=23, batch_size=8, start=0, steps=6)
    assert not np.array_equal(steps, other)


def test_batches_that_fit_need_no_padding():
    steps = data.batch_index(seed=0, size=24, batch_size=8, start=0, steps=3)
    np.testing.assert_array_equal(np.sort(steps.ravel()), range(24))
    one = data.batch_index(seed=0, size=3, batch_size=8, start=7, steps=1)
    np.testing.assert_array_equal(np.sort(one[0]), [-1] * 5 + [0, 1, 2])


def test_resuming_is_arithmetic():
    whole = data.batch_index(seed=1, size=23, batch_size=8, start=0, steps=10)
    whole_copy = whole.copy()
    whole[:] = -7  # a caller that writes into its index must not change a later call
    rest = data.batch_index(seed=1, size=23, batch_size=8, start=4, steps=6)
    np.testing.assert_array_equal(rest, whole_copy[4:])
    assert data.batch_index(seed=1, size=23, batch_size=8, start=4, steps=0).shape == (0, 8)


def test_batch_index_is_the_documented_draw():
    """A change of the draw would change every published run."""
    order = np.random.default_rng([2, 1]).permutation(np.arange(10, dtype=np.int32))
    steps = data.batch_index(seed=2, size=10, batch_size=5, start=2, steps=2)
    np.testing.assert_array_equal(steps.ravel(), order)


# TensorFlow Datasets


class GenjaxTiny(tfds.core.GeneratorBasedBuilder):
    """Stores files of PNG, which tfds prepares without TensorFlow."""

    VERSION = tfds.core.Version("1.0.0")
    SHAPE, SPLITS, FEATURES = (4, 5, 1), {"train": 2100, "test": 7}, ("image", "label")
    LABEL, DTYPE = tfds.features.ClassLabel(num_classes=10), np.uint8

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=self.SHAPE, dtype=self.DTYPE),
            "label": self.LABEL,
        }
        features = {key: features[key] for key in self.FEATURES}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(n) for split, n in self.SPLITS.items()}

    def _generate_examples(self, n):
        for i in range(n):
            example = {"image": self.image(i), "label": i % 10}
            yield i, {key: example[key] for key in self.FEATURES}

    def image(self, i):
        png = io.BytesIO()
        Image.fromarray(tiny_image(i)).save(png, "png")
        png.seek(0)
        return png


def tiny_image(i):
    return np.array([i // 256, i % 256] * 10, np.uint8).reshape(4, 5)


class GenjaxArrays(GenjaxTiny):
    """Gives arrays, which tfds encodes with TensorFlow."""

    def image(self, i):
        return tiny_image(i)[..., None]


class GenjaxNoLabel(GenjaxTiny):
    FEATURES = ("image",)


class GenjaxTwoBytes(GenjaxTiny):
    DTYPE = np.uint16


class GenjaxTextLabel(GenjaxTiny):
    LABEL = tfds.features.Text()


class GenjaxTwoLabels(GenjaxTiny):
    LABEL = tfds.features.Tensor(shape=(2,), dtype=np.int64)


class GenjaxNoTest(GenjaxTiny):
    SPLITS = {"train": 3, "other": 2}


class GenjaxAnySize(GenjaxTiny):
    SHAPE = (None, None, 1)


@pytest.fixture
def no_tensorflow(monkeypatch):
    """As if TensorFlow were not installed."""

    find_spec = PathFinder.find_spec

    def find_other(name, *rest):
        return None if name == "tensorflow" else find_spec(name, *rest)

    # A None in sys.modules would not do: tfds takes it for a TensorFlow that is imported.
    assert "tensorflow" not in sys.modules
    monkeypatch.setattr(PathFinder, "find_spec", find_other)


def test_tfds_prepares_once_and_reads(tmp_path, no_tensorflow, monkeypatch):
    def load():
        return data.load("tfds:genjax_tiny", valid=100, tfds_dir=str(tmp_path))

    first = load()
    monkeypatch.delattr(GenjaxTiny, "_split_generators")
    again = load()
    for part, size in (("train", 2000), ("valid", 100), ("test", 7)):
        assert first[part]["image"].shape == (size, 4, 5, 1)
        assert first[part]["image"].dtype == np.float32
        assert first[part]["label"].dtype == np.int32
        np.testing.assert_array_equal(first[part]["image"], again[part]["image"])
    i = np.arange(2100)
    image = np.stack([tiny_image(j) for j in i]) / np.float32(255)
    assert rows(first["train"], first["valid"]) == rows({"image": image, "label": i % 10})


def test_tfds_preparation_needs_tensorflow(tmp_path, no_tensorflow):
    line = fails("--data=tfds:genjax_arrays ", "tfds:genjax_arrays", tfds_dir=str(tmp_path))
    assert "the preparation, and nothing else, needs tensorflow: pip install tensorflow" in line


@pytest.mark.parametrize(
    "module, package",
    [
        ("tensorflow_datasets", "tensorflow-datasets"),
        ("importlib_resources", "importlib_resources"),
        ("PIL", "pillow"),
    ],
)
def test_tfds_missing_package(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    fails(f"^--data=tfds:mnist needs .* {package}: pip install {package}$", "tfds:mnist")


def test_tfds_names(tmp_path):
    options = {"tfds_dir": str(tmp_path)}
    line = fails("--data=tfds:fashon_mnist: ", "tfds:fashon_mnist", **options)
    assert "did you mean fashion_mnist" in line
    fails("--data=tfds:qqqqqq: .*list_builders", "tfds:qqqqqq", **options)
    fails("--data=tfds:mnist:9.9.9: .*only: 3.0.1", "tfds:mnist:9.9.9", **options)
    fails("--data=tfds:a b: ", "tfds:a b", **options)


def test_tfds_data_sets_that_do_not_fit(tmp_path):
    options = {"tfds_dir": str(tmp_path)}
    fails("features image and label .* it has image$", "tfds:genjax_no_label", **options)
    fails("of one size .*None, None, 1", "tfds:genjax_any_size", **options)
    fails("images of bytes .*uint16", "tfds:genjax_two_bytes", **options)
    fails("one whole number as label .*Text", "tfds:genjax_text_label", **options)
    fails("one whole number as label .*Tensor", "tfds:genjax_two_labels", **options)
    fails("splits train and test .* it has train, other$", "tfds:genjax_no_test", **options)
    assert not any(tmp_path.glob("genjax_any_size/1.0.0")), "prepared before it was refused"


def test_tfds_stored_as_tfrecord(tmp_path):
    options = {"tfds_dir": str(tmp_path)}
    data.load("tfds:genjax_tiny", **options)
    (info,) = tmp_path.glob("genjax_tiny/1.0.0/dataset_info.json")
    info.chmod(0o644)
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    fails("as tfrecord, .* another --tfds_dir", "tfds:genjax_tiny", **options)


def test_tfds_without_network(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests.Session, "get", refuse)
    line = fails("--data=tfds:mnist: ", "tfds:mnist", tfds_dir=str(tmp_path))
    assert "network was not reachable for the download (Name or service not known)" in line
    for offer in ("--tfds_manual_dir", "--tfds_dir", "--data=digits", "--data=idx:"):
        assert offer in line


def test_tfds_manual_folder(tmp_path):
    fails("--tfds_manual_dir=/no/such: ", "tfds:mnist", tfds_manual_dir="/no/such")
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"another file")
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-labels-idx1"):
        (tmp_path / f"{part}-ubyte.gz").write_bytes(b"another file")
    options = {"tfds_dir": str(tmp_path / "to"), "tfds_manual_dir": str(tmp_path)}
    fails("cannot be prepared: .*checksum", "tfds:fashion_mnist", **options)


READ_WITHOUT_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "tensorflow" else find(name, *rest)

import numpy as np
from genjax.data import tfds

train, test = tfds.read("fashion_mnist", sys.argv[1], None)
assert "tensorflow" not in sys.modules and "jax" not in sys.modules
np.savez(sys.argv[2], *train.values(), *test.values())
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Fashion-MNIST, prepared by the real path in a process that has TensorFlow."""
    manual = real("fashion_mnist")
    python = os.environ.get("GENJAX_TF_PYTHON", sys.executable)
    probe = [python, "-c", "import importlib.util as u; u.find_spec('tensorflow') or exit(1)"]
    if subprocess.run(probe).returncode:
        pytest.skip("TensorFlow not installed, and GENJAX_TF_PYTHON names no Python that has it")
    folder = tmp_path_factory.mktemp("tfds")
    prepare = (
        "import sys; from genjax import data; "
        "data.load('tfds:fashion_mnist', tfds_dir=sys.argv[1], tfds_manual_dir=sys.argv[2])"
    )
    subprocess.run([python, "-c", prepare, folder, manual], cwd=ROOT, check=True)
    return folder


def test_tfds_fashion_mnist_equals_its_idx_files(prepared, tmp_path):
    file = tmp_path / "read.npz"
    read = [sys.executable, "-c", READ_WITHOUT_TENSORFLOW, prepared, file]
    subprocess.run(read, cwd=ROOT, check=True)
    with np.load(file) as arrays:
        train_image, train_label, test_image, test_label = (arrays[key] for key in arrays.files)
    train, test = idx.read(str(real("fashion_mnist")))
    assert rows({"image": train_image, "label": train_label}) == rows(train)
    assert rows({"image": test_image, "label": test_label}) == rows(test)
    assert not np.array_equal(train_label, train["label"]), "tfds shuffles when it prepares"


def test_importing_is_light():
    heavy = "{'jax', 'sklearn', 'tensorflow_datasets', 'requests'}"
    code = f"import sys, genjax.data; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
