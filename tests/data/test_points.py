"""Points of one's own: .csv and .npz files."""

import numpy as np
import pytest
from texts import fails

from genjax.data import points

SOME = np.array([[0.5, -1.0], [2e3, 1e-3], [0.0, 7.0]])


@pytest.mark.parametrize(
    "content",
    [
        "0.5,-1\n2e3,1e-3\n0,7\n",
        "x,y\r\n0.5,-1\r\n\r\n2e3,1e-3\r\n0,7",
        "\ufeff0.5,-1\n2e3,1e-3\n0,7",
    ],
)
def test_csv_of_points(tmp_path, content):
    (tmp_path / "x.csv").write_text(content, newline="")
    found, modes = points.read(f"csv:{tmp_path}/x.csv")
    np.testing.assert_array_equal(found, SOME)
    assert modes is None


def test_csv_of_points_and_modes(tmp_path):
    (tmp_path / "x.csv").write_text("x,y,mode\n0.5,-1,a\n2e3,1e-3, b\n0,7,a\n")
    found, modes = points.read(f"csv:{tmp_path}/x.csv")
    np.testing.assert_array_equal(found, SOME)
    assert modes.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "content",
    [
        "mode,y,x\na,-1,0.5\nb,1e-3,2e3\na,7,0\n",
        "Y, Mode, X\n-1,4,0.5\n1e-3,9.0,2e3\n7,4,0\n",
        "label,x,y\na,0.5,-1\nb,2e3,1e-3\na,0,7\n",
        "lon,lat,site\n0.5,-1,a\n2e3,1e-3,b\n0,7,a\n",
    ],
)
def test_the_names_of_a_csv_tell_its_columns(tmp_path, content):
    (tmp_path / "x.csv").write_text(content)
    found, modes = points.read(f"csv:{tmp_path}/x.csv")
    np.testing.assert_array_equal(found, SOME)
    assert modes.tolist() == [0, 1, 0]


@pytest.mark.parametrize("modes", [[4, 9, 4], ["a", "b", "a"]])
def test_npz_of_points(tmp_path, modes):
    np.savez(tmp_path / "x.npz", points=SOME, modes=np.array(modes), other=SOME)
    found, numbers = points.read(f"npz:{tmp_path}/x.npz")
    np.testing.assert_array_equal(found, SOME)
    assert numbers.tolist() == [0, 1, 0]
    np.savez(tmp_path / "y.npz", points=np.float32(SOME))
    assert points.read(f"npz:{tmp_path}/y.npz")[1] is None


@pytest.mark.parametrize(
    "content, said",
    [
        ("", "holds no points$"),
        ("x,y\n", "holds no points$"),
        ("1,2\n1,2,3\n", "line 2 is '1,2,3'; x,y or x,y,mode is needed"),
        ("1,2\nx,y\n", "line 2 is 'x,y'"),
        ("x,y\na,b\n", "line 2 is 'a,b'"),
        ("1\n", "line 1 is '1'"),
        ("1,2,3,4\n", "line 1 is '1,2,3,4'"),
        ("1;2\n3;4\n", "line 1 is '1;2'"),
        ("x,y,z,mode\n1,2,3,4\n", "line 1 is 'x,y,z,mode'; x,y or x,y,mode is needed"),
        ("1,,0\n3,4,0\n", "line 1 is '1,,0'"),
        ("1,2\n3,nan\n", "line 2 is '3,nan'; coordinates up to 1,000,000 are needed, none of them"),
        ("nan,2\n", "line 1 is 'nan,2'; coordinates up to 1,000,000"),
        ("1,2\n3,1e7\n", "line 2 is '3,1e7'; coordinates up to 1,000,000"),
        (
            "x,y,z\n1,2,0.25\n",
            "line 2 is '1,2,0.25'; a mode is a name or a whole number, not '0.25'",
        ),
        ("1,2,a\n3,4,\n", "line 2 is '3,4,'; a mode is a name or a whole number, not ''"),
        ("1,2\n3,'" + "x" * 200_000 + "\n", "cannot be read: field larger than"),
    ],
)
def test_csv_that_is_no_points(tmp_path, content, said):
    (tmp_path / "x.csv").write_text(content)
    fails(f"^--data=csv:.*{said}", points.read, f"csv:{tmp_path}/x.csv")


def test_files_that_are_no_points(tmp_path):
    fails("there is no such file$", points.read, f"csv:{tmp_path}/x.csv")
    (tmp_path / "x.csv").write_bytes(b"1,2\n\xff,1\n")
    fails("cannot be read: .utf-8. codec", points.read, f"csv:{tmp_path}/x.csv")
    for arrays, said in (
        ({"a": SOME}, "the array points .* is needed"),
        ({"points": SOME.T}, "points: numbers n x 2 are needed, not 2 x 3"),
        ({"points": SOME.astype(str)}, "numbers n x 2 are needed"),
        ({"points": SOME, "modes": np.arange(2)}, "modes: a number or a name for each"),
        ({"points": SOME, "modes": np.zeros(3)}, "modes: a number or a name for each"),
        ({"points": SOME[:0]}, "holds no points"),
    ):
        np.savez(tmp_path / "x.npz", **arrays)
        fails(said, points.read, f"npz:{tmp_path}/x.npz")
