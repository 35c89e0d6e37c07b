"""Image sets of the Hugging Face hub, from a stand-in for the `datasets` library: no network."""

import io
import sys
import types
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
from image_files import fails, rows
from PIL import Image as Pillow

from genjax import data

COUNT = 60


class Image:
    def __init__(self, decode=True):
        self.decode = decode


class ClassLabel:
    pass


class Value:
    pass


class Rows:
    """A split: columns by name, as `datasets.Dataset` gives them."""

    def __init__(self, columns, features):
        self.columns, self.features = columns, features

    def cast_column(self, name, feature):
        assert not feature.decode
        return Rows(self.columns, self.features | {name: feature})

    def __getitem__(self, name):
        return iter(self.columns[name])


def split(pixels, start=0, features=None, **more):
    files = []
    for one in pixels:
        buffer = io.BytesIO()
        Pillow.fromarray(one).save(buffer, "png")
        files.append({"bytes": buffer.getvalue(), "path": None})
    columns = {"label": [(start + i) % 3 for i in range(len(files))], "img": files} | more
    return Rows(columns, features or {"label": ClassLabel(), "img": Image()})


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (COUNT, 9, 9), np.uint8)


@pytest.fixture
def hub(monkeypatch):
    """{name: what `load_dataset` gives}; an exception is raised."""
    known = {}

    def load_dataset(name, config=None):
        found = known[name if config is None else f"{name}:{config}"]
        if isinstance(found, Exception):
            raise found
        return found

    made = types.ModuleType("datasets")
    made.__spec__ = ModuleSpec("datasets", None, origin="here")
    vars(made).update(load_dataset=load_dataset, load_from_disk=load_dataset, Image=Image)
    monkeypatch.setitem(sys.modules, "datasets", made)
    return known


def test_a_set_with_a_test_split(hub, pixels):
    hub["me/set:small"] = {"test": split(pixels[40:], 40), "train": split(pixels[:40])}
    parts = data.load("hf:me/set:small", valid=10)
    image = np.divide(pixels[..., None], 255, dtype=np.float32)
    label = np.arange(COUNT) % 3
    train = rows({"image": image[:40], "label": label[:40]})
    assert rows(parts["train"], parts["valid"]) == train
    assert rows(parts["test"]) == rows({"image": image[40:], "label": label[40:]})
    assert parts["test"]["label"].dtype == np.int32
    assert data.load("hf:me/set:small", image_size=8)["test"]["image"].shape == (20, 8, 8, 1)
    assert data.name("hf:me/set:small", "none") == "hf:me/set:small/none"


def test_a_set_without_one_is_split_by_content(hub, pixels, tmp_path, capsys):
    features = {"size": Value(), "img": Image()}
    path = tmp_path / "x.png"
    Pillow.fromarray(pixels[0]).save(path)
    lot = split(pixels, features=features)
    lot.columns["img"][0] = {"bytes": None, "path": str(path)}
    hub[str(tmp_path)] = lot
    parts = data.load(f"hf:{tmp_path}")
    assert [len(part["label"]) for part in parts.values()] == [42, 9, 9]
    assert "one class; split by content" in capsys.readouterr().err
    image = np.divide(pixels[..., None], 255, dtype=np.float32)
    assert rows(*parts.values()) == rows({"image": image, "label": np.zeros(COUNT)})


class ConnectTimeout(Exception):
    pass


def test_what_cannot_be_had_is_a_line(hub, pixels):
    hub["none"] = FileNotFoundError("Dataset 'none' doesn't exist on the Hub\nmore")
    fails("^--data=hf:none: cannot be read: Dataset 'none' doesn't exist on the Hub$", "hf:none")
    hub["far"] = RuntimeError("no")
    hub["far"].__cause__ = ConnectTimeout("timed out")
    line = fails("the network was not reachable", "hf:far")
    assert "save_to_disk('<folder>'), and give --data=hf:<folder>" in line
    hub["a"] = {"test": split(pixels)}
    fails("the split train is needed, it has test$", "hf:a")
    hub["b"] = {"train": split(pixels, features={"label": Value()})}
    fails(r"a column of pictures is needed, it has label \(Value\)$", "hf:b")
    hub["c"] = {"train": split(pixels, label=[-1] * COUNT)}
    fails("label: classes as whole numbers from 0 are needed", "hf:c")
    hub["d"] = {"train": split(pixels, img=[{"bytes": b"x", "path": None}] * COUNT)}
    fails(r"60 of 60 pictures cannot be read: train 0 \(no picture\)", "hf:d")


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    fails(r"needs datasets: pip install 'genjax-experiments\[hf\]'$", "hf:mnist")
