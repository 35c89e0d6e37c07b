"""What golden files hold, and that a run which differs from them is seen."""

import copy
import json

import golden
import pytest


def load(name):
    return json.loads((golden.PLACE / f"{name}.json").read_text())


def test_golden_files_are_small():
    assert sum(path.stat().st_size for path in golden.PLACE.iterdir()) < 220_000


def places(of):
    """A path to a number of each section that is compared elsewhere too."""
    arm, *_ = of["arms"]
    leaf = next(name for name, found in of["arms"][arm]["params"].items() if found[4])
    compared = (name for name in of["metrics"] if golden.allowed_at(f"metrics/{name}/0", {}))
    measure = max(compared, key=lambda name: abs(of["metrics"][name][0] or 0))
    (step, *_) = of["rows"][arm]["loss"]
    yield "arms", arm, "params", leaf, 4
    yield "metrics", measure, 0
    yield "rows", arm, "loss", step, 0


@pytest.mark.parametrize("name", golden.EXPERIMENTS)
def test_a_number_that_differs_is_seen_and_elsewhere_if_it_differs_much(name):
    of = load(name)
    for *path, last in places(of):
        for times, exact, elsewhere in ((1, 0, 0), (1 + 1e-15, 1, 0), (1.1, 1, 1)):
            found = copy.deepcopy(of)
            inside = found
            for part in path:
                inside = inside[part]
            inside[last] *= times
            assert bool(golden.differences(of, found, elsewhere=False)) == exact, (path, times)
            assert bool(golden.differences(of, found, elsewhere=True)) == elsewhere, (path, times)


@pytest.mark.parametrize("section", golden.SECTIONS)
def test_what_is_gone_is_seen_and_a_new_measure_is_none(section):
    of = load("attention")
    found = copy.deepcopy(of)
    name, value = found[section].popitem()
    assert golden.differences(of, found, elsewhere=True)
    found = copy.deepcopy(of)
    found[section]["another"] = copy.deepcopy(value)
    said = golden.differences(of, found, elsewhere=True)
    assert bool(said) == (section in ("arms", "cases"))
