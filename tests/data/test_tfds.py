"""Image sets of TensorFlow Datasets: prepared once, read without TensorFlow."""

import io
import logging
import os
import subprocess
import sys
import time
from importlib.machinery import PathFinder

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds
from image_files import fails, real, rows
from PIL import Image
from texts import ROOT

from genjax import data
from genjax.core import order, stream
from genjax.data import idx
from genjax.images import stored


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


def test_tfds_stays_in_its_records(tmp_path, no_tensorflow):
    """And is read in worker processes, which know nothing of who defined it."""
    whole, stays = (
        data.load("tfds:genjax_tiny", tfds_dir=str(tmp_path), valid=100, input=where)
        for where in ("device", "stream")
    )
    for name, part in whole.items():
        np.testing.assert_array_equal(stays[name]["image"].floats(), part["image"])
        np.testing.assert_array_equal(stays[name]["label"], part["label"])
    images, index = stays["train"]["image"], order.batches([0], 2000, 16)
    batches = stored.kept(images).pack(index)
    with stream.ahead(batches, 4, 2**20) as read:
        np.testing.assert_array_equal(read(1, 2), batches(1, 2))


def test_tfds_preparation_needs_tensorflow(tmp_path, no_tensorflow):
    line = fails("--data=tfds:genjax_arrays ", "tfds:genjax_arrays", tfds_dir=str(tmp_path))
    assert "the preparation, and nothing else, needs tensorflow: pip install tensorflow" in line


@pytest.mark.parametrize("module", ["tensorflow_datasets", "importlib_resources"])
def test_tfds_missing_package(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    line = rf"^--data=tfds:mnist needs {module}: pip install 'genjax-experiments\[tfds\]'$"
    fails(line, "tfds:mnist")


def test_tfds_names(tmp_path):
    options = {"tfds_dir": str(tmp_path)}
    line = fails("--data=tfds:fashon_mnist: ", "tfds:fashon_mnist", **options)
    assert "did you mean fashion_mnist" in line
    fails("--data=tfds:qqqqqq: .*list_builders", "tfds:qqqqqq", **options)
    fails("--data=tfds:mnist:9.9.9: .*only: 3.0.1", "tfds:mnist:9.9.9", **options)
    fails("--data=tfds:a b: ", "tfds:a b", **options)
    # One that tfds leaves out of its list without TensorFlow.
    line = fails("--data=tfds:wiki40b is not prepared in ", "tfds:wiki40b", **options)
    assert line.endswith("its preparation needs a package that is missing, such as tensorflow")


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


def test_tfds_without_network(tmp_path, monkeypatch, caplog):
    began, ended = [], []

    def refuse(*args, **kwargs):
        began.append(None)
        time.sleep(0.2 * (len(began) % 4))  # mnist is four files, each in a thread of its own.
        logging.getLogger("urllib3.connectionpool").warning("Retrying")
        ended.append(None)
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests.Session, "get", refuse)
    place = tmp_path / "made" / "here"
    line = fails("--data=tfds:mnist: ", "tfds:mnist", tfds_dir=str(place))
    assert len(began) == len(ended) > 0  # None goes on behind the refusal.
    assert not any(tmp_path.iterdir())
    (place / "downloads" / "mnist").mkdir(parents=True)
    (place / "downloads" / "mnist" / "whole.gz").touch()
    before = {*tmp_path.rglob("*")}
    assert line == fails("--data=tfds:mnist: ", "tfds:mnist", tfds_dir=str(place))
    assert {*tmp_path.rglob("*")} == before
    assert "network was not reachable for the download (Name or service not known)" in line
    for offer in ("--tfds_manual_dir", "--tfds_dir", "--data=digits", "--data=idx:"):
        assert offer in line
    assert "Retrying" not in caplog.messages  # One line alone is said.


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
