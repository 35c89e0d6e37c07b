"""Readers and broken input: whatever stands in a file, one line says so."""

import gzip
import io
import json
import random
import resource
import shutil
from pathlib import Path

import fuzz
import numpy as np
import pytest
import values
from image_files import idx_bytes, write_folder
from PIL import Image

from genjax.core import config as configs
from genjax.core import files, flags, rows
from genjax.core.errors import UsageError
from genjax.data import folder, idx, leaks, npz, points, text
from genjax.report import page
from genjax.vae.config import Config


def refused_in_a_line(read, *arguments) -> bool:
    """Whether it was refused; any exception but a UsageError of one line fails the test."""
    try:
        read(*arguments)
    except UsageError as error:
        assert str(error) and "\n" not in str(error)
        return True
    return False


@pytest.mark.parametrize("zipped", [False, True])
def test_idx(tmp_path, zipped):
    images = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    content, dot = idx_bytes(images), ".gz" if zipped else ""
    given = [gzip.compress(content), gzip.compress(content, 0)] if zipped else [content]
    path = tmp_path / f"train-images-idx3-ubyte{dot}"
    refused = 0
    for damaged in fuzz.damaged(given):
        path.write_bytes(damaged)
        refused += refused_in_a_line(idx._read_array, "--data=idx:x", path, 3)
    assert refused > 0.5 * fuzz.COUNT


def test_idx_unpacks_no_more_than_its_header_allows(tmp_path):
    """A gigabyte behind a header of three images, and a header of a gigabyte before three."""
    images = np.zeros((3, 4, 5), np.uint8)
    write_folder(tmp_path, images, images, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with gzip.open(path, "wb", 1) as file:
        file.write(idx_bytes(images))
        for _ in range(2**6):
            file.write(bytes(2**24))
    with pytest.raises(UsageError, match="too long: 76 bytes expected, more found"):
        idx.read(str(tmp_path))
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((3, 4, 5), np.uint8))[:4] + b"\x7f" * 80))
    with pytest.raises(UsageError, match="cut short"):
        idx.read(str(tmp_path))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # Kilobytes; the stream holds a million.


def test_pictures(tmp_path):
    """Damaged files in a folder: what is read has as many pictures as before."""
    rng, given = np.random.default_rng(0), []
    for kind, mode in (("PNG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB")):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).convert(mode).save(buffer, kind)
        given.append(buffer.getvalue())
    for i, content in enumerate(given):
        (tmp_path / f"{i}.png").write_bytes(content)
    refused = 0
    for damaged in fuzz.damaged(given):
        (tmp_path / "0.png").write_bytes(damaged)
        if refused_in_a_line(folder.read, str(tmp_path), None, None):
            refused += 1
        else:
            found = folder.read(str(tmp_path), None, None)[0]["image"]
            assert len(found) == 4 and 0 <= found.min() <= found.max() <= 1
    assert 0.3 < refused / fuzz.COUNT < 1


@pytest.mark.parametrize("packed", [False, True])
def test_npz(tmp_path, packed):
    buffer, path = io.BytesIO(), tmp_path / "x.npz"
    arrays = {"images": np.arange(160, dtype=np.uint8).reshape(10, 4, 4), "labels": np.arange(10)}
    (np.savez_compressed if packed else np.savez)(buffer, **arrays)
    refused = 0
    for damaged in fuzz.damaged([buffer.getvalue()]):
        path.write_bytes(damaged)
        refused += refused_in_a_line(npz.read, str(path))
    assert refused > 0.5 * fuzz.COUNT


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_points(tmp_path, kind):
    buffer, path = io.BytesIO(), tmp_path / f"x.{kind}"
    np.savez(buffer, points=np.arange(20.0).reshape(10, 2), modes=np.arange(10) % 2)
    rows = "x,y,mode\n" + "".join(f"{i}.5,-{i}e-1,m{i % 2}\n" for i in range(10))
    read = 0
    for damaged in fuzz.damaged([rows.encode() if kind == "csv" else buffer.getvalue()]):
        path.write_bytes(damaged)
        if not refused_in_a_line(points.read, f"{kind}:{path}"):
            found, modes = points.read(f"{kind}:{path}")
            assert np.isfinite(found).all() and found.shape[1:] == (2,)
            read += modes is None or modes.shape == found.shape[:1]
    assert 0.05 < read / fuzz.COUNT < 0.9


def test_json(tmp_path):
    content = json.dumps({"arms": ["ae"], "metrics": {"a": 1.5}, "n": [1, 2, {"b": None}]}).encode()
    path = tmp_path / "summary.json"
    for damaged in [b"[" * 10**5, b'{"a":' * 10**5, b"1" * 10**4, *fuzz.damaged([content])]:
        path.write_bytes(damaged)
        refused_in_a_line(page.read_json, tmp_path, "summary.json")


def test_rows(tmp_path):
    given = [{"arm": "ae", "seed": i, "step": 10, "loss": 0.1 * i} for i in range(3)]
    lines = [rows.encode(row) for row in [*given, {"arm": "flash", "seconds": 1.5, "note": "x"}]]
    path = tmp_path / "metrics.jsonl"
    known = {tuple(row.items()) for row in rows.decode(b"".join(lines))[0]}
    for damaged in fuzz.damaged([b"".join(lines)]):
        path.write_bytes(damaged)
        if not refused_in_a_line(page.read_rows, tmp_path):
            timings = {tuple(r.items()) for r in page.read_rows(tmp_path) if "seed" not in r}
            assert timings <= known  # Their own checksum lets none pass that was changed.
    strange = [{"arm": "ae", "seed": 0, "step": 1, "loss": 0.5}, {"arm": "x"}, [], 1]
    for found in fuzz.mistyped(strange):
        found = found if isinstance(found, list) else [found]
        path.write_text("".join(json.dumps(line) + "\n" for line in found))
        refused_in_a_line(page.read_rows, tmp_path)


def test_arrays(tmp_path):
    buffer, plain = io.BytesIO(), io.BytesIO()
    arrays = {"codes": np.arange(12.0).reshape(3, 4), "label": np.arange(3)}
    np.savez_compressed(buffer, **arrays), np.savez(plain, **arrays)
    (tmp_path / "arrays").mkdir()
    for damaged in fuzz.damaged([buffer.getvalue(), plain.getvalue()]):
        (tmp_path / "arrays" / "ae.npz").write_bytes(damaged)
        refused_in_a_line(page.read_arrays, tmp_path, "arrays/ae.npz")


def test_manifest(tmp_path):
    manifest = files.Manifest(tmp_path)
    manifest.put("data.json", b'{"a": 1}\n')
    content = manifest.path.read_bytes()
    for damaged in fuzz.damaged([content]):
        manifest.path.write_bytes(damaged)
        refused_in_a_line(files.read, tmp_path, "data.json")


def test_config():
    config = Config(compare=("ae", "vae"), samplers=("gmm",), hidden=(8, 4))
    variants = Config(variants={"a": {"latent": 3}, "b": {"model": "rae", "rae": "l2"}})
    for base in (config, variants):
        for found in fuzz.mistyped(configs.to_json(base)):
            refused_in_a_line(configs.from_json, Config, found)


def test_corpus(tmp_path):
    """Damaged texts, and what is no file where one should be."""
    rng, folder = random.Random(0), tmp_path / "corpus"
    places = [folder / name / f"{split}.txt" for name in "ab" for split in text._SPLITS]
    # No window of a text occurs in another: what is read is refused for damage alone.
    good = [
        f"{place.parent.name}{i} Größe, 日本 🙂 ".encode() * 8 for i, place in enumerate(places)
    ]
    read = 0
    for damaged in fuzz.damaged(good):
        shutil.rmtree(folder, ignore_errors=True)
        for place, content in zip(places, good, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        place, how = rng.choice(places), rng.randrange(12)
        place.write_bytes(damaged)
        if how < 3:
            place.unlink()
            [lambda: None, place.mkdir, lambda path=place: path.symlink_to(path)][how]()
        elif how == 3:
            shutil.rmtree(place.parent)
            place.parent.write_bytes(damaged)
        if not refused_in_a_line(text.read, str(folder)):
            found = text.read(str(folder))
            read += 1
            if place.is_file() and place.parent.name in found:
                kept = getattr(found[place.parent.name], place.stem)
                assert bytes(kept) == damaged and bytes(kept).decode()
            refused_in_a_line(leaks.refuse, found, 16)
    assert 0.1 < read / fuzz.COUNT < 0.9


def test_documents(tmp_path):
    """Damaged texts to split: what is read has all that is written, each content on one side."""
    good = "\n\n".join(f"Größe {i}, 日本 🙂" for i in range(20)).encode()
    read = 0
    for damaged in fuzz.damaged([good, good.replace(b"\n", b"\r\n")]):
        (tmp_path / "a.txt").write_bytes(damaged)
        if not refused_in_a_line(text.read, str(tmp_path)):
            sides = [set(bytes(part).split(b"\n\n")) for part in text.read(str(tmp_path))["a"]]
            assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
            read += 1
    assert 0.1 < read / fuzz.COUNT < 0.9


CONFIGS = {room: values.config_of(room) for room in values.ROOMS}


@pytest.mark.parametrize("room", CONFIGS)
def test_flags(room, tmp_path, monkeypatch):
    """Random words; what is accepted says the same when it is written down and read again."""
    monkeypatch.chdir(tmp_path)
    kind, accepted = CONFIGS[room], 0
    for words in fuzz.flags(kind, tmp_path):
        if not refused_in_a_line(flags.parse, kind, room, words):
            config = flags.parse(kind, room, words).config
            accepted += 1
            if config is not None:  # None where help is asked for.
                again = flags.parse(kind, room, configs.lines(config)).config
                assert configs.to_json(again) == configs.to_json(config), words
    assert accepted > 0.02 * fuzz.COUNT


@pytest.mark.parametrize("room", ["vae", "domains"])
def test_flagfiles(room, tmp_path):
    names = {"vae": "vae_digits", "domains": "domains_grid"}
    good = (Path(__file__).parents[1] / f"experiments/flags/{names[room]}.flags").read_bytes()
    path, refused = tmp_path / "x.flags", 0
    for damaged in fuzz.damaged([good]):
        path.write_bytes(damaged)
        refused += refused_in_a_line(flags.parse, CONFIGS[room], room, [f"--flagfile={path}"])
    assert refused > 0.2 * fuzz.COUNT


def test_flagfiles_that_name_each_other_end(tmp_path):
    """Itself, in a ring, and a thousand million lines by doubling thirty times."""
    for i in range(30):
        (tmp_path / f"{i}.flags").write_text(f"--flagfile={tmp_path}/{i + 1}.flags\n" * 2)
    (tmp_path / "30.flags").write_text("--seeds=2\n")
    (tmp_path / "ring.flags").write_text(f"--flagfile={tmp_path}/gnir.flags\n")
    (tmp_path / "gnir.flags").write_text(f"--flagfile\n{tmp_path}/ring.flags\n")
    for name, said in (("0", "characters of flags"), ("ring", "names itself")):
        with pytest.raises(UsageError, match=said):
            flags.parse(Config, "vae", [f"--flagfile={tmp_path}/{name}.flags"])
    twice = [f"--flagfile={tmp_path}/29.flags"]
    assert flags.parse(Config, "vae", twice).config == Config(seeds=2)
    for path in ("/dev/zero", str(tmp_path), "", "x" * 300):
        with pytest.raises(UsageError, match="there is no such file|is a folder"):
            flags.parse(Config, "vae", [f"--flagfile={path}"])


def test_page(tmp_path):
    """A summary that no manifest vouches for."""
    part = {"id": "V1", "verdict": "supported", "statement": "s", "estimate": 1.0, "low": 0.5}
    part |= {"high": 2.0, "threshold": 0.0, "direction": "more"}
    value = {"mean": 1.0, "low": 0.5, "high": 1.5, "unit": "nats", "better": "less"}
    summary = {
        "experiment": "vae", "title": "t", "data": "d", "flags": {"latent": 8}, "seeds": [0, 1],
        "arms": ["ae"], "arrays": [], "samplers": ["gmm"],
        "claims": [part, part | {"parts": [part]}],
        "metrics": {"ae/mse": value, "ae/gmm/kfid": value, "floor/kfid": value}, "notes": ["n"],
        "timing": {"total_s": 1.0}, "device": {"kind": "cpu"}, "versions": {}, "commit": "c",
    }  # fmt: skip
    figures = {"none": lambda run: run["summary"]["metrics"]["ae/mse"]["mean"] * 0.0 or None}
    for found in fuzz.mistyped(summary):
        (tmp_path / "summary.json").write_text(json.dumps(found))
        refused_in_a_line(page.write, tmp_path, figures)
        refused_in_a_line(page.draw, tmp_path, figures)
    assert Path(tmp_path / "report.html").stat().st_size > 1000
