"""Domains of plain text files, split by document."""

import os

import numpy as np
import pytest
from texts import fails

from genjax.data import checksum, text


def paragraphs(count, name):
    return [f"{name} {i}: é {'x' * (i % 7)}" for i in range(count)]


def write(place, count=50, name=None, gap="\n\n"):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(gap.join(paragraphs(count, name or place.stem)), newline="")


def documents_of(part):
    return bytes(part).decode().split("\n\n")


def test_files_and_subfolders_are_domains(tmp_path, capsys):
    write(tmp_path / "prose.txt", gap="\n\n\n")
    write(tmp_path / "law" / "a.txt", 25, "a", gap="\r\n \t\r\n")
    write(tmp_path / "law" / "deep" / "b.txt", 25, "b")
    write(tmp_path / ".hidden.txt"), write(tmp_path / "law" / ".hidden.txt")
    (tmp_path / "table.csv").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "law" / "loop").symlink_to(tmp_path)
    found = text.read(str(tmp_path))
    assert list(found) == ["law", "prose"] == text.names(str(tmp_path))
    assert sorted(sum(map(documents_of, found["prose"]), [])) == sorted(paragraphs(50, "prose"))
    both = paragraphs(25, "a") + paragraphs(25, "b")
    assert sorted(sum(map(documents_of, found["law"]), [])) == sorted(both)
    for domain in found.values():
        whole = sum(map(len, domain))
        assert all(0.08 * whole < len(part) < 0.14 * whole for part in (domain.valid, domain.test))
        assert not domain.train.flags.writeable
    # Documents stay in their order.
    order = [both.index(one) for one in documents_of(found["law"].train)]
    assert order == sorted(order)
    said = capsys.readouterr().err
    assert "2 domains: law of 50 paragraphs, prose of 50 paragraphs; split by content: 10%" in said
    again = text.read(str(tmp_path))
    assert checksum(found["law"]) == checksum(again["law"]) != checksum(again["prose"])


def test_many_files_are_documents(tmp_path, capsys):
    for i in range(30):
        write(tmp_path / "law" / f"{i}.txt", 3, f"a{i}")
    found = text.read(str(tmp_path))["law"]
    assert "law of 30 files" in capsys.readouterr().err
    for part in found:
        # Its three paragraphs stay together.
        names = [document.split()[0] for document in documents_of(part)]
        assert all(names.count(name) == 3 for name in names)


def test_a_document_that_occurs_twice_is_on_one_side(tmp_path):
    (tmp_path / "x.txt").write_text("\n\n".join(paragraphs(20, "x") * 3))
    sides = [{*documents_of(part)} for part in text.read(str(tmp_path))["x"]]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    assert sorted(set.union(*sides)) == sorted(paragraphs(20, "x"))


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "x.txt").write_text("\n\n".join(paragraphs(20, "x")), encoding="utf-8-sig")
    whole = b"".join(bytes(part) for part in text.read(str(tmp_path))["x"])
    assert "\ufeff" not in whole.decode()


@pytest.mark.parametrize(
    "files, said",
    [
        (
            {"x.txt": b"one\n\ntwo"},
            "the domain x has 2 different paragraphs; 10 or more .* x/train",
        ),
        ({"x.txt": b""}, "the domain x has 0 different paragraphs"),
        ({"x.txt": b"a\n\n" * 50}, "the domain x has 1 different paragraphs"),
        ({"a/x.txt": b"ab\xffc"}, "a/x.txt is not UTF-8, the first bad byte is at offset 2$"),
        ({"x.txt": b"a", "x/y.txt": b"a"}, "x is a subfolder and a file; rename one"),
        (
            {"train.txt": b"a", "valid.txt": b"a", "test.txt": b"a"},
            "is a domain; give the folder that it is in: --corpus=",
        ),
        ({"x.md": b"a"}, "no subfolder has train.txt, .* and there is no .txt file to split$"),
    ],
)
def test_folders_that_are_no_corpus(tmp_path, files, said):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    fails(f"^--corpus={tmp_path}: .*{said}", text.read, str(tmp_path))


def test_a_file_is_answered_with_what_to_type(tmp_path):
    write(tmp_path / "book.md")
    line = fails("is a file; a corpus is a folder", text.read, f"{tmp_path}/book.md")
    assert f"mkdir corpus; cp {tmp_path}/book.md corpus/book.txt; and give --corpus=corpus" in line
    write(tmp_path / "corpus" / "book.txt")
    assert np.all([len(part) for part in text.read(f"{tmp_path}/corpus")["book"]])
