"""Image sets that stay in their files: the same splits, bit for bit, as those that are read."""

import subprocess
import sys

import numpy as np
import pytest
import texts
from image_files import fails, write_folder
from PIL import Image

from genjax import data
from genjax.core import machine
from genjax.data import rows

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 12, 12), np.uint8)


def idx(place):
    write_folder(place, PIXELS[:40], PIXELS[40:])
    return f"idx:{place}", {"valid": 10}


def npz(place):
    label = np.arange(60) % 4
    arrays = {"x_train": PIXELS[:40], "y_train": label[:40], "x_test": PIXELS[40:]}
    np.savez(place / "x.npz", y_test=label[40:], **arrays)
    return f"npz:{place}/x.npz", {"valid": 10, "binarize": "threshold"}


def lot(place):
    np.savez(place / "x.npz", images=np.stack([PIXELS] * 3, -1))
    return f"npz:{place}/x.npz", {}


def folder(place):
    for i, one in enumerate(PIXELS):
        path = place / f"class{i % 3}" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(one).save(path)
    return f"folder:{place}", {"colour": "grey", "image_size": 8}


def digits(place):
    return "digits", {"binarize": "dynamic"}


@pytest.mark.parametrize("make", [idx, npz, lot, folder, digits])
def test_what_stays_in_its_files_is_split_alike(make, tmp_path):
    spec, how = make(tmp_path)
    there, stays = (data.load(spec, input=where, **how) for where in ("device", "stream"))
    for name, part in there.items():
        found = stays[name]
        assert isinstance(found["image"], rows.Rows)
        assert found["image"].shape == part["image"].shape
        np.testing.assert_array_equal(found["image"].floats(), part["image"])
        np.testing.assert_array_equal(found["label"], part["label"])
        assert found["label"].dtype == part["label"].dtype


def test_size_alone_decides(tmp_path, monkeypatch, capsys):
    spec, how = idx(tmp_path)
    assert isinstance(data.load(spec, input="auto", **how)["train"]["image"], np.ndarray)
    monkeypatch.setattr(machine, "host_free", lambda: 2 * 10 * 60 * 144 - 1.0)
    assert isinstance(data.load(spec, input="auto", **how)["train"]["image"], rows.Rows)
    assert f"; --data={data.shown(spec)}, 60 images of 144 bytes: " in capsys.readouterr().err
    # What cannot be read row by row is read whole.
    np.savez_compressed(tmp_path / "x.npz", images=PIXELS)
    packed = data.load(f"npz:{tmp_path}/x.npz", input="auto")
    assert isinstance(packed["train"]["image"], np.ndarray)


def test_what_cannot_be_read_row_by_row_is_refused_in_a_line(tmp_path):
    how = {"input": "stream"}
    write_folder(tmp_path, PIXELS[:40], PIXELS[40:], zipped=True)
    fails(r"train-images-idx3-ubyte.gz cannot be read row by row; gunzip", f"idx:{tmp_path}", **how)
    np.savez_compressed(tmp_path / "x.npz", images=PIXELS)
    fails("images is compressed; np.savez writes it", f"npz:{tmp_path}/x.npz", **how)
    np.savez(tmp_path / "y.npz", images=PIXELS / 255)
    fails(r"images: bytes \(uint8\) in C order", f"npz:{tmp_path}/y.npz", **how)
    np.savez(tmp_path / "z.npz", images=np.asfortranarray(PIXELS))
    fails(r"images: bytes \(uint8\) in C order", f"npz:{tmp_path}/z.npz", **how)
    (tmp_path / "folder").mkdir()
    spec, _ = folder(tmp_path / "folder")
    fails("--input=stream needs --colour=grey or rgb", spec, **how)
    fails("--binarize=fixed: is one draw of the whole", "digits", binarize="fixed", **how)
    fails("--data=hf:x: --input=stream does not read the hub's", "hf:x", **how)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_mapped_file_of_another_length_is_refused(change, tmp_path):
    spec, _ = idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    content = file.read_bytes()
    file.write_bytes(content[:-1] if change < 0 else content + b"x")
    fails("cut short" if change < 0 else "too long", spec, input="stream")


def test_a_damaged_picture_is_named_when_it_is_read(tmp_path):
    spec, how = folder(tmp_path)
    stays = data.load(spec, input="stream", **how)
    (tmp_path / "class1" / "1.png").write_text("no picture")
    with pytest.raises(
        data.UsageError, match=r"^--data=folder:.*1.png cannot be read: no picture$"
    ):
        data.measured(stays)


LARGE = """
import resource, sys
from genjax import data
from genjax.core import order
from genjax.images import stored

data.MEASURED = 10**6
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + 200 * 2**20,) * 2)
parts = data.load(sys.argv[1], input=sys.argv[2])
assert data.measured(parts)["train"]["image"].nbytes <= 10**6
packed = stored.kept(parts["train"]["image"]).pack(order.batches([0], 1000, 16))(0, 2)
assert packed[..., -4:].any()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_a_set_larger_than_memory_is_not_loaded(tmp_path):
    """A gigabyte, of holes, where 200 MB may be had."""
    write_folder(tmp_path, *np.zeros((2, 40, 60, 60), np.uint8))
    count = 300_000
    for kind, shape in (("images-idx3", (count, 60, 60)), ("labels-idx1", (count,))):
        with (tmp_path / f"train-{kind}-ubyte").open("wb") as file:
            file.write(bytes([0, 0, 8, len(shape)]))
            file.write(np.array(shape, ">u4").tobytes())
            file.truncate(4 + 4 * len(shape) + int(np.prod(shape)))

    def code(where):
        command = [sys.executable, "-c", LARGE, f"idx:{tmp_path}", where]
        return subprocess.run(command, capture_output=True, text=True, cwd=texts.ROOT)

    streamed = code("stream")
    assert streamed.returncode == 0, streamed.stderr
    loaded = code("device").stderr
    assert "train-images-idx3-ubyte is damaged or cannot be read: Unable to allocate" in loaded
