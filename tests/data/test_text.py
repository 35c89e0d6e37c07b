import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from texts import ROOT, SAMPLE, array, fails

from genjax.data import text


def write(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)
        for split in ("train", "valid", "test"):
            (folder / name / f"{split}.txt").write_bytes(f"{name} {split} é".encode())
    return str(folder)


# Reading


def test_read_folders(tmp_path):
    first, second = write(tmp_path / "1", "prose", "code"), write(tmp_path / "2", "law")
    (tmp_path / "1" / "notes").mkdir()
    (tmp_path / "1" / "README.md").write_text("no domain")
    assert list(text.read(first)) == ["code", "prose"]
    domains = text.read(f"{first},{second}")
    assert list(domains) == ["code", "law", "prose"]
    for name, parts in domains.items():
        for split, part in parts._asdict().items():
            assert isinstance(part, np.memmap) and part.dtype == np.uint8 and part.ndim == 1
            assert part.tobytes().decode() == f"{name} {split} é"
            assert not part.flags.writeable
    (tmp_path / "1" / "code" / "test.txt").write_bytes(b"\xff is not read")
    names = ["code", "law", "prose", "wiki"]
    assert text.names(f"{first},tfds:wiki,{second}") == names


def test_read_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "corpus", "prose")
    assert list(text.read("~/corpus")) == ["prose"]


def test_read_nothing(tmp_path):
    fails(f"^--corpus={tmp_path}/x: there is no such folder$", text.read, f"{tmp_path}/x")
    fails("^--corpus=: there is no such folder$", text.read, "")
    line = fails(f"^--corpus={tmp_path}: no subfolder has ", text.read, str(tmp_path))
    assert line.endswith("train.txt, valid.txt and test.txt, and there is no .txt file to split")
    fails("^--corpus=: there is no such folder$", text.read, f"{write(tmp_path, 'prose')},")


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_read_missing_or_empty_file(tmp_path, split):
    corpus = write(tmp_path, "a", "prose", "z")
    (tmp_path / "prose" / f"{split}.txt").write_bytes(b"")
    fails(f"^--corpus={corpus}: prose/{split}.txt is empty$", text.read, corpus)
    (tmp_path / "prose" / f"{split}.txt").unlink()
    (tmp_path / "z" / "valid.txt").unlink()  # the first domain is told
    fails(f"^--corpus={corpus}: the domain prose has no {split}.txt$", text.read, corpus)


def test_read_refused_file(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    corpus = write(tmp_path, "prose")
    monkeypatch.setattr(np, "memmap", refuse)
    fails("prose/train.txt cannot be read: Permission denied$", text.read, corpus)


def test_read_domain_twice(tmp_path):
    first, second = write(tmp_path / "1", "prose", "code"), write(tmp_path / "2", "law", "code")
    both = f"{first},{second}"
    fails(f"^--corpus={both}: two sources hold a domain code$", text.read, both)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 1 << 20])
def test_utf8_is_checked_whatever_the_chunk(monkeypatch, chunk):
    monkeypatch.setattr(text, "_CHUNK", chunk)
    good = SAMPLE[:28].encode()
    text._check_utf8("--corpus=c", "a/train.txt", array(good))
    for bad in (
        b"\xff",
        b"\xe2\x82",
        b"\xe2\x82A",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x99",
        b"\x80",
    ):
        for place in (0, 1, 4, len(good)):
            content = good[:place].decode(errors="ignore").encode() + bad
            content += b"" if place == len(good) else b"z"
            with pytest.raises(UnicodeDecodeError) as expected:
                content.decode()
            line = fails("^--corpus", text._check_utf8, "--corpus=c", "a/train.txt", array(content))
            assert line == (
                "--corpus=c: a/train.txt is not UTF-8, the first bad byte is at offset "
                f"{expected.value.start}"
            )


def test_read_not_utf8(tmp_path):
    corpus = write(tmp_path, "prose")
    (tmp_path / "prose" / "test.txt").write_bytes("naïve ".encode() + "naïve".encode("latin-1"))
    fails(f"^--corpus={corpus}: prose/test.txt is not .* at offset 9$", text.read, corpus)


# TensorFlow Datasets


class GenjaxText(tfds.core.GeneratorBasedBuilder):
    """Documents 'train é 0', ..., each with a line end to strip."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = {"train": 20, "validation": 2, "test": 3}
    FEATURES = {key: tfds.features.Text() for key in ("title", "text", "url")}
    BODY = "{split} é {i}\n"

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split, n) for split, n in self.SPLITS.items()}

    def _generate_examples(self, split, n):
        for i in range(n):
            body = self.BODY.format(split=split, i=i)
            example = {"title": "title", "text": body, "url": "url", "body": body, "size": i}
            yield i, {key: example[key] for key in self.FEATURES}


class GenjaxTextTrainOnly(GenjaxText):
    SPLITS = {"train": 30}
    FEATURES = {"size": tfds.features.Scalar(np.int64), "body": tfds.features.Text()}


class GenjaxTextNoTrain(GenjaxText):
    SPLITS = {"test": 2}


class GenjaxTextNoString(GenjaxText):
    FEATURES = {"size": tfds.features.Scalar(np.int64)}


class GenjaxTextEmpty(GenjaxText):
    BODY = ""
    SPLITS = {"train": 1, "validation": 1, "test": 1}


class GenjaxTextNotUtf8(GenjaxText):
    SPLITS = {"train": 1}


def prepare(builder, folder):
    builder(data_dir=str(folder)).download_and_prepare(file_format="array_record")
    return str(folder)


def documents(part):
    return sorted(part.tobytes().decode().split("\n\n"))


def test_tfds_splits(tmp_path):
    folder = prepare(GenjaxText, tmp_path)
    (parts,) = text.read("tfds:genjax_text", tfds_dir=folder).values()
    names = {"train": "train", "valid": "validation", "test": "test"}
    for split, part in parts._asdict().items():
        name = names[split]
        expected = sorted(f"{name} é {i}" for i in range(GenjaxText.SPLITS[name]))
        assert documents(part) == expected
        assert part.dtype == np.uint8 and not part.flags.writeable


def test_tfds_without_valid_and_test_takes_the_last_documents(tmp_path):
    folder = prepare(GenjaxTextTrainOnly, tmp_path)
    source = tfds.data_source("genjax_text_train_only", split="train", data_dir=folder)
    order = [record["body"].strip(b"\n") for record in source]
    corpus = f"{write(tmp_path / 'folder', 'prose')},tfds:genjax_text_train_only"
    domains = text.read(corpus, tfds_dir=folder)
    assert list(domains) == ["genjax_text_train_only", "prose"]
    parts = domains["genjax_text_train_only"]
    for part, documents in zip(parts, (order[:25], order[25:27], order[27:]), strict=True):
        assert part.tobytes() == b"\n\n".join(documents)


def test_tfds_read_without_tensorflow(tmp_path):
    folder = prepare(GenjaxTextTrainOnly, tmp_path)
    code = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "tensorflow" else find(name, *rest)
from genjax.data import text

text.read("tfds:genjax_text_train_only", tfds_dir=sys.argv[1])
assert not {"tensorflow", "jax"} & set(sys.modules)
"""
    command = [sys.executable, "-c", code, folder]
    assert not subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def test_tfds_that_does_not_fit(tmp_path, monkeypatch):
    def refused(name):
        return fails(f"^--corpus=tfds:{name}", text.read, f"tfds:{name}", tfds_dir=str(tmp_path))

    line = refused("genjax_text")
    build = f"tfds build genjax_text --file_format=array_record --data_dir={tmp_path}"
    assert "is not prepared in" in line and line.endswith(build)
    for builder in (GenjaxTextNoTrain, GenjaxTextNoString, GenjaxTextEmpty):
        prepare(builder, tmp_path)
    assert refused("genjax_text_no_train").endswith("split train is needed, it has test")
    assert refused("genjax_text_no_string").endswith("that is a string is needed, it has size")
    assert refused("genjax_text_empty").endswith(": its train text is empty")
    assert "tfds knows no such data set" in refused("genjax_txet")
    monkeypatch.setitem(sys.modules, "array_record", None)
    assert refused("genjax_text").endswith(
        "needs array_record: pip install 'genjax-experiments[tfds]'"
    )


def test_tfds_too_few_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(GenjaxTextTrainOnly, "SPLITS", {"train": 1})
    folder = prepare(GenjaxTextTrainOnly, tmp_path)
    fails(": its train text is empty$", text.read, "tfds:genjax_text_train_only", tfds_dir=folder)


def test_tfds_not_utf8(tmp_path, monkeypatch):
    folder = prepare(GenjaxText, tmp_path)
    monkeypatch.setattr(text, "_documents", lambda *args: [b"naive", b"na\xefve"])
    line = fails("^--corpus", text.read, "tfds:genjax_text", tfds_dir=folder)
    assert line.endswith("its train text is not UTF-8, the first bad byte is at offset 9")


def test_tfds_stored_as_tfrecord(tmp_path):
    folder = prepare(GenjaxText, tmp_path)
    (info,) = tmp_path.glob("genjax_text/1.0.0/dataset_info.json")
    info.chmod(0o644)
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    fails("as tfrecord, .* another --tfds_dir", text.read, "tfds:genjax_text", tfds_dir=folder)


# Tokens


def test_bytes():
    tokens = text.byte_tokens()
    assert (tokens.vocabulary, tokens.bos) == (257, 256)
    every = np.arange(256, dtype=np.uint8)
    assert tokens.encode(every) is every
    ids = tokens.encode(array(SAMPLE))
    assert tokens.decode([256, *ids, 256]) == SAMPLE
    assert tokens.decode(array("é")[:1]) == "\N{REPLACEMENT CHARACTER}"


def test_bpe_round_trip_and_vocabulary():
    pytest.importorskip("tokenizers")
    tokens = text.bpe_tokens(300, [array(SAMPLE), array("abc abc")])
    assert (tokens.vocabulary, tokens.bos) == (300, 299)
    ids = tokens.encode(array(SAMPLE))
    assert ids.dtype == np.int32 and len(ids) < len(SAMPLE.encode())
    assert min(ids) >= 0 and max(ids) < tokens.bos
    assert tokens.decode([tokens.bos, *ids, tokens.bos]) == SAMPLE
    unseen = "\x00\r\n Ж\N{NO-BREAK SPACE}\N{COMBINING ACUTE ACCENT}e\u0301 <s>[UNK]\n\n "
    assert tokens.decode(tokens.encode(array(unseen))) == unseen
    assert len(tokens.encode(array(""))) == 0
    assert tokens.decode(tokens.encode(array("é"))[:0]) == ""


def test_bpe_that_was_kept_is_the_same():
    pytest.importorskip("tokenizers")
    tokens = text.bpe_tokens(300, [array(SAMPLE)])
    again = text.kept_bpe(json.dumps(json.loads(tokens.bpe), indent=1))
    assert (again.vocabulary, again.bos) == (tokens.vocabulary, tokens.bos)
    np.testing.assert_array_equal(again.encode(array(SAMPLE)), tokens.encode(array(SAMPLE)))
    assert again.decode(tokens.encode(array(SAMPLE))) == SAMPLE


def test_bpe_is_learned_from_the_training_text_alone_and_again_the_same():
    pytest.importorskip("tokenizers")
    first, again = (text.bpe_tokens(280, [array(SAMPLE)]).encode for _ in range(2))
    other = text.bpe_tokens(280, [array("abcdefgh " * 9)]).encode
    probe = array(SAMPLE + "abcdefgh")
    np.testing.assert_array_equal(first(probe), again(probe))
    assert len(other(array("abcdefgh"))) < len(first(array("abcdefgh"))) == 8


def test_bpe_vocabulary_is_smaller_where_the_text_is():
    pytest.importorskip("tokenizers")
    tokens = text.bpe_tokens(1000, [array("ab ab")])
    assert tokens.vocabulary == tokens.bos + 1 == 256 + 2 + 1  # ab, and ab with a blank before it
    bytes_alone = text.bpe_tokens(257, [array("ab ab")])
    assert (bytes_alone.vocabulary, bytes_alone.bos) == (257, 256)
    assert len(bytes_alone.encode(array("ab ab"))) == 5
    assert bytes_alone.decode(bytes_alone.encode(array("é"))[:1]) == "\N{REPLACEMENT CHARACTER}"
    with pytest.raises(UnicodeDecodeError):
        bytes_alone.encode(array(b"\xff"))


def test_bpe_in_pieces_is_that_of_the_whole(monkeypatch):
    pytest.importorskip("tokenizers")
    content = array(SAMPLE + "one two  three\n\nfour\u00a0 five \n six's 'tis" * 3)
    whole = text.bpe_tokens(330, [content])
    expected = whole.encode(content)
    monkeypatch.setattr(text, "_CHUNK", 1)
    assert len(list(text._pieces(content))) > 20
    np.testing.assert_array_equal(whole.encode(content), expected)
    np.testing.assert_array_equal(text.bpe_tokens(330, [content]).encode(content), expected)


def test_bpe_errors(monkeypatch):
    fails("^--bpe=256: choose 257 or more", text.bpe_tokens, 256, [array("ab")])
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    line = fails("^--bpe=300 needs ", text.bpe_tokens, 300, [array("ab")])
    assert line.endswith("pip install 'genjax-experiments[text]'")


# Windows


def test_windows_are_slices_after_bos():
    tokens = np.arange(10, 20)
    rows = text.windows(tokens, 99, np.array([0, 3, 6]), 4)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[99, 10, 11, 12, 13], [12, 13, 14, 15, 16], [15, 16, 17, 18, 19]]
    assert text.windows(tokens[:2], 99, np.array([0]), 4).tolist() == [[99, 10, 11, 99, 99]]
    of_bytes = text.windows(array("ab"), 256, np.array([0]), 2)
    assert of_bytes.tolist() == [[256, 97, 98]]
    assert text.windows(tokens, 99, np.zeros(0, int), 4).shape == (0, 5)


@pytest.mark.parametrize("length, stride", [(1, 1), (4, 1), (4, 3), (4, 4), (7, 5)])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 23, 28])
def test_every_token_is_scored_once_with_its_context(count, length, stride):
    starts, scored = text.scored_windows(count, length, stride)
    assert scored.shape == (len(starts), length) and scored.dtype == bool
    position = starts[:, None] + np.arange(length)
    np.testing.assert_array_equal(np.sort(position[scored]), np.arange(count))
    context = np.broadcast_to(np.arange(length), scored.shape)[scored]
    assert np.all(context >= np.minimum(length - stride, position[scored]))
    assert len(starts) == 1 + -(-max(count - length, 0) // stride), "more windows than needed"
    assert starts[-1] == max(count - length, 0)
    # What is scored comes out of the tokens in their order.
    targets = text.windows(np.arange(count), -1, starts, length)[:, 1:]
    np.testing.assert_array_equal(targets[scored], np.arange(count))
    if count < length:
        assert np.all(targets[~scored] == -1)


def test_stride_outside_the_context():
    for stride in (0, -1, 9):
        line = fails(f"^--stride={stride}: ", text.scored_windows, 20, 8, stride)
        assert "choose 1 to 8" in line


def test_importing_is_light():
    heavy = "{'jax', 'tensorflow', 'tensorflow_datasets', 'tokenizers', 'requests'}"
    code = f"import sys, genjax.data.text; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
