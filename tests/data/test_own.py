"""Pictures of one's own: folders of files, and .npz files."""

import io
import os
import resource
import struct
import zipfile
import zlib

import numpy as np
import pytest
from image_files import fails, rows
from PIL import Image, PngImagePlugin

from genjax import data
from genjax.data import folder, npz

COUNT = 60


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (COUNT, 12, 12), np.uint8)


def write(place, pixels, classes=3, **how):
    for i, one in enumerate(pixels):
        path = place / (f"class{i % classes}" if classes else "") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(path, **how)
    return f"folder:{place}"


# Folders


def test_folder_is_its_files(tmp_path, pixels):
    spec = write(tmp_path, pixels)
    (tmp_path / "class0" / "notes.txt").write_text("no picture")
    (tmp_path / "class0" / ".hidden.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    parts = data.load(spec)
    assert {name: len(part["label"]) for name, part in parts.items()} == {
        "train": 42, "valid": 9, "test": 9,
    }  # fmt: skip
    image = np.divide(pixels[..., None], 255, dtype=np.float32)
    assert rows(*parts.values()) == rows({"image": image, "label": np.arange(COUNT) % 3})
    assert parts["train"]["label"].dtype == np.int32


def test_a_folder_says_its_classes(tmp_path, pixels, capsys):
    parts = data.load(write(tmp_path, pixels, classes=0))
    assert not any(part["label"].any() for part in parts.values())
    said = capsys.readouterr().err
    size = "12 x 12 pixels (others: --image_size)"
    assert f"60 pictures, {size}, grey, one class; split by content: 42 train, 9" in said
    data.load(write(tmp_path / "three", pixels))
    said = capsys.readouterr().err
    assert "grey, 3 classes (0 class0, 1 class1, 2 class2); split by content: 42 train" in said
    data.load(write(tmp_path / "many", pixels, classes=12))
    assert ", 9 class7 and 2 more); split" in capsys.readouterr().err  # Sorted as text.


def test_folder_is_split_by_content_alone(tmp_path, pixels):
    first = data.load(write(tmp_path / "a", np.concatenate([pixels, pixels[:20]])))
    other = data.load(write(tmp_path / "b", pixels[::-1], classes=0))
    for part in first:
        found, again = ({x.tobytes() for x in load[part]["image"]} for load in (first, other))
        assert len(found & again) > 0.6 * len(again)
    sides = [{x.tobytes() for x in part["image"]} for part in first.values()]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    assert len(data.load(f"folder:{tmp_path}/b", valid=20)["valid"]["label"]) == 20
    fails("--valid=43: choose 1 to 42, of the 60 of --data=", f"folder:{tmp_path}/b", valid=43)
    seed = data.load(f"folder:{tmp_path}/b", seed=1)
    assert rows(seed["test"]) != rows(other["test"])


def test_size_is_the_pictures_own_or_28(tmp_path):
    for name, shapes, size in (
        ("own", [(64, 64)], 64), ("large", [(65, 65)], 28), ("oblong", [(12, 13)], 28),
        ("two", [(12, 12), (13, 13)], 28),
    ):  # fmt: skip
        pixels = [
            np.random.default_rng(i).integers(0, 256, shapes[i % len(shapes)], np.uint8)
            for i in range(30)
        ]
        image = data.load(write(tmp_path / name, pixels))["train"]["image"]
        assert image.shape[1:] == (size, size, 1)
    assert data.load(f"folder:{tmp_path}/own", image_size=8)["test"]["image"].shape[1:3] == (8, 8)


def one(tmp_path, image, name="x.png", **how):
    """What a picture becomes: float [s, s, c]."""
    from genjax.data import pictures

    image.save(tmp_path / name, **how)
    colour, size = how.get("colour"), how.get("size")
    return pictures.read("--data=x", [(name, tmp_path / name)], size, colour)[0][0]


def test_colours(tmp_path, pixels):
    grey = Image.fromarray(pixels[0])
    want = np.divide(pixels[0], 255, dtype=np.float32)
    for image in (grey, grey.convert("RGB"), grey.convert("RGBA"), grey.convert("P")):
        np.testing.assert_array_equal(one(tmp_path, image)[..., 0], want)
    red = Image.new("RGB", (12, 12), (255, 0, 0))
    assert one(tmp_path, red).shape == (12, 12, 3)
    np.testing.assert_allclose(one(tmp_path, red)[0, 0], [1, 0, 0])
    # ITU-R 601 luma; and grey made colour.
    write(tmp_path / "red", [np.full((12, 12, 3), [255, i, 0], np.uint8) for i in range(30)])
    loaded = data.load(f"folder:{tmp_path}/red", colour="grey")["train"]["image"]
    assert loaded.shape[3] == 1 and 0.29 < loaded.min() < 0.31
    write(tmp_path / "grey", pixels)
    assert data.load(f"folder:{tmp_path}/grey", colour="rgb")["test"]["image"].shape[3] == 3


def test_sixteen_bits_transparency_and_rotation(tmp_path):
    levels = np.linspace(0, 65535, 144).astype(np.uint16).reshape(12, 12)
    found = one(tmp_path, Image.fromarray(levels))[..., 0]
    np.testing.assert_allclose(found, levels / 65535, atol=0.5 / 255 + 1e-6)
    clear = Image.new("RGBA", (12, 12), (0, 0, 0, 0))
    assert (one(tmp_path, clear) == 1).all()
    turned, exif = np.zeros((12, 12), np.uint8), Image.Exif()
    turned[:, :6] = 255  # White on the left; orientation 6 turns it to the top.
    exif[0x0112] = 6
    found = one(tmp_path, Image.fromarray(turned), "x.jpg", exif=exif, quality=95)[..., 0]
    assert found[:5].min() > 0.9 and found[7:].max() < 0.1


def test_the_middle_square_is_kept(tmp_path):
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 255
    assert one(tmp_path, Image.fromarray(wide)).shape[:2] == (28, 28)
    assert one(tmp_path, Image.fromarray(wide)).min() > 0.9


def test_unreadable_files_are_named_in_a_line(tmp_path, pixels):
    spec = write(tmp_path, pixels)
    whole = (tmp_path / "class1" / "1.png").read_bytes()
    (tmp_path / "class1" / "1.png").write_bytes(whole[:60])
    (tmp_path / "class0" / "0.png").write_bytes(b"")
    line = fails(r"2 of 60 pictures cannot be read: class0/0.png \(no picture\), class1/1", spec)
    assert line.startswith(f"--data={spec[:50]}") and "mend them or take them out" in line
    for i in range(2, 9):
        (tmp_path / f"class{i % 3}" / f"{i}.png").write_bytes(b"x")
    fails("9 of 60 .* and 6 more; mend", spec)


def test_folders_that_are_no_data(tmp_path, pixels):
    fails("there is no such folder$", f"folder:{tmp_path}/none")
    fails(r"no picture \(.png, .jpg, .jpeg\) in it or in its subfolders$", f"folder:{tmp_path}")
    spec = write(tmp_path / "few", pixels[:29])
    fails("29 different pictures; 30 or more are needed", spec)
    write(tmp_path / "mixed", pixels)
    (tmp_path / "mixed" / "class0" / "0.png").rename(tmp_path / "mixed" / "0.png")
    fails("holds 1 pictures beside the subfolder class0", f"folder:{tmp_path}/mixed")
    write(tmp_path / "parts" / "train", pixels)
    fails(f"give --data=folder:{tmp_path}/parts/train", f"folder:{tmp_path}/parts")
    fails("--image_size=16: is for pictures of --data=folder", "digits", image_size=16)
    fails("--colour=rgb: is for pictures of --data=folder", "digits", colour="rgb")


def test_what_is_no_file_is_no_picture(tmp_path, pixels):
    write(tmp_path, pixels)
    os.mkfifo(tmp_path / "class0" / "pipe.png")
    (tmp_path / "class0" / "loop").symlink_to(tmp_path)
    (tmp_path / "class1" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert sum(len(p["label"]) for p in data.load(f"folder:{tmp_path}").values()) == COUNT


def png_of(width, height, content=b""):
    """A PNG file whose header claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(kind, body):
        sum_ = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", sum_)

    packed = zlib.compress(content)
    end = chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end


def test_pictures_that_claim_too_much_get_no_memory(tmp_path, pixels):
    spec = write(tmp_path, pixels)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Above Pillow's limit of pixels; above its warning; and below both, but not in 100 bytes.
    for size, why in (
        (100_000, "exceeds limit"),
        (12_000, "exceeds limit"),
        (9_000, "bytes cannot"),
    ):
        (tmp_path / "class0" / "0.png").write_bytes(png_of(size, size, bytes(1000)))
        fails(f"1 of 60 pictures cannot be read: class0/0.png .*{why}", spec)
    # Its file could hold that many.
    (tmp_path / "class0" / "0.png").write_bytes(png_of(12_000, 12_000, os.urandom(20_000)))
    fails("exceeds limit|decompression bomb", spec)
    text = PngImagePlugin.PngInfo()
    text.add_text("x", "y" * 2**25, zip=True)
    Image.fromarray(pixels[0]).save(tmp_path / "class0" / "0.png", pnginfo=text)
    fails("1 of 60 pictures cannot be read: class0/0.png", spec)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # Kilobytes; 9,000 x 9,000 bytes alone are 81,000, 12,000^2 144,000.


def test_pictures_beyond_memory_are_refused(tmp_path, pixels, monkeypatch):
    from genjax.core import machine

    monkeypatch.setattr(machine, "memory_free", lambda: 1e6)
    spec = write(tmp_path, pixels)
    fails("--image_size=1024: the 60 pictures of .* need 0.9 GB, 0.0 GB", spec, image_size=1024)


# Files of arrays


def test_npz_with_a_test_set(tmp_path, pixels):
    label = np.arange(COUNT) % 4 + 5
    arrays = {"x_train": pixels[:40], "y_train": label[:40], "x_test": pixels[40:]}
    np.savez_compressed(tmp_path / "x.npz", y_test=label[40:], other=np.array(["x"]), **arrays)
    parts = data.load(f"npz:{tmp_path}/x.npz", valid=10)
    image = np.divide(pixels[..., None], 255, dtype=np.float32)
    train = rows({"image": image[:40], "label": label[:40] - 5})
    assert rows(parts["train"], parts["valid"]) == train
    assert rows(parts["test"]) == rows({"image": image[40:], "label": label[40:] - 5})
    assert data.name(f"npz:{tmp_path}/x.npz", "none") == "npz:x.npz/none"


def test_npz_of_one_lot_is_split_by_content(tmp_path, pixels):
    grey = np.concatenate([pixels, pixels]) / np.float32(255)
    np.savez(tmp_path / "x.npz", images=np.stack([grey] * 3, -1))
    parts = data.load(f"npz:{tmp_path}/x.npz")
    assert parts["train"]["image"].shape == (84, 12, 12, 3)
    sides = [{x.tobytes() for x in part["image"]} for part in parts.values()]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


@pytest.mark.parametrize(
    "arrays, said",
    [
        ({"a": np.zeros(3)}, "the arrays x_train and x_test .* or images with labels"),
        ({"images": np.zeros((40, 9), np.uint8)}, "images: images n x h x w, .* not 40 x 9$"),
        ({"images": np.zeros((40, 9, 9, 2), np.uint8)}, "not 40 x 9 x 9 x 2$"),
        ({"images": np.zeros((0, 9, 9), np.uint8)}, "not 0 x 9 x 9"),
        ({"images": np.zeros((40, 9, 9), int)}, "bytes, or numbers from 0 to 1, .* not int64"),
        ({"images": np.full((40, 9, 9), 255.0)}, "these reach from 255 to 255; divide them"),
        ({"images": np.full((40, 9, 9), np.nan)}, "these reach from nan to nan"),
        ({"images": np.full((40, 9, 9), None)}, "cannot be read: images.npy holds another"),
        ({"images": np.zeros((40, 9, 9)), "labels": np.zeros(39, int)}, "40 images, labels 39"),
        ({"images": np.zeros((40, 9, 9)), "labels": np.zeros(40)}, "a whole number .* not float"),
        ({"images": np.zeros((40, 9, 9)), "labels": np.zeros((40, 1), int)}, r"labels\[:, 0\]"),
        ({"x_train": np.zeros((4, 9, 9)), "x_test": np.zeros((4, 8, 9))}, "different shapes"),
        (
            {"x_train": np.zeros((4, 9, 9)), "x_test": np.zeros((4, 9, 9)), "y_test": np.arange(4)},
            "holds y_test alone; give y_train and y_test, or neither",
        ),
    ],
)
def test_npz_that_is_no_data(tmp_path, arrays, said):
    np.savez(tmp_path / "x.npz", **arrays)
    assert fails(said, f"npz:{tmp_path}/x.npz").startswith("--data=npz:")


def test_npz_missing_or_damaged(tmp_path):
    fails("is a folder; a file is needed$", f"npz:{tmp_path}")
    fails("there is no such file$", f"npz:{tmp_path}/none.npz")
    (tmp_path / "x.npz").write_bytes(b"x" * 100)
    fails("x.npz cannot be read: no .npz file$", f"npz:{tmp_path}/x.npz")


def test_npz_that_claims_too_much_gets_no_memory(tmp_path, monkeypatch):
    claim = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
    np.lib.format.write_array_header_1_0(claim, header)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("images.npy", claim.getvalue() + bytes(10**6))
    fails("images.npy holds another number of bytes than its header says", f"npz:{tmp_path}/x.npz")
    from genjax.core import machine

    monkeypatch.setattr(machine, "memory_free", lambda: 1e3)
    np.savez(tmp_path / "y.npz", images=np.zeros((40, 9, 9)))
    fails("its arrays take 0.0 GB", f"npz:{tmp_path}/y.npz")


# Names, and what the data are


def test_what_a_bare_name_stands_for(tmp_path, pixels, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "pics", pixels)
    (tmp_path / "idx").mkdir()
    for name in ("idx/train-images-idx3-ubyte", "x.npz", "x.csv"):
        (tmp_path / name).touch()
    for given, right in {
        "mnist": "tfds:mnist", "MNIST": "tfds:mnist", "fashion-mnist": "tfds:fashion_mnist",
        "cifar10": "tfds:cifar10", "cifar-10": "tfds:cifar10", "pics": "folder:pics",
        "./pics": "folder:./pics", "pics/class0/0.png": "folder:pics/class0", "idx": "idx:idx",
        str(tmp_path / "pics"): f"folder:{tmp_path}/pics", "x.npz": "npz:x.npz",
    }.items():  # fmt: skip
        assert fails("no such source", given).endswith(f"; did you mean {right}?")
    for given, right in {
        "foldr:pics": "folder:pics", "Folder:pics": "folder:pics", "tfsd:mnist": "tfds:mnist",
        "npz": "npz:<file>", "idxx": "idx:<folder>", "digit": "digits", "digits:3": "digits",
        "stacked:folder:pics": "folder:pics",
    }.items():  # fmt: skip
        assert fails("no such source", given).endswith(f"; did you mean {right}?")
    for given in ("csv:x.csv", "x.csv"):
        fails("points in the plane are for genjax gan --data=csv:x.csv; pictures: digits, ", given)
    for given in ("nothing", "\0", "~", ""):
        assert "did you mean" not in fails("no such source", given) or given == "~"


def test_checksum_is_of_the_images(tmp_path, pixels):
    def of(spec):
        parts = data.load(spec)
        return data.checksum(array for part in parts.values() for array in part.values())

    spec = write(tmp_path, pixels)
    before = of(spec)
    assert before == of(spec) and len(before) == 16
    pixels[7, 3, 3] ^= 1
    write(tmp_path, pixels)
    assert of(spec) != before
    (tmp_path / "class1" / "7.png").rename(tmp_path / "class2" / "7.png")
    assert len({before, of(spec), of("digits")}) == 3


def test_readers_give_their_classes(tmp_path, pixels):
    write(tmp_path, pixels)
    assert folder.read(str(tmp_path), None, None)[2] == ["class0", "class1", "class2"]
    np.savez(tmp_path / "x.npz", images=pixels)
    assert npz.read(f"{tmp_path}/x.npz")[1] is None
