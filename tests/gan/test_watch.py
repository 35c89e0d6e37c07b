"""Which evaluations make an arm's figures, and what becomes of values that are no numbers."""

import math
from pathlib import Path

import numpy as np
import pytest

from genjax.gan import data, mixtures, watch
from genjax.gan.config import Config
from genjax.report import blocks


def test_windows_of_the_main_command():
    spans = watch.windows(Config(steps=10_000, evaluations=50), 200)
    assert spans.final == list(range(7_600, 10_001, 200))
    assert spans.early == [1000, 1200, 1400, 1600, 1800, 2000]
    # Two and four of thirteen, counted back from the end; and fifths of the whole.
    assert spans.slow == {8600, 10_000}
    assert spans.near == {2000, 4000, 6000, 8000, 7600, 8400, 8600, 9200, 10_000}


@pytest.mark.parametrize(
    ("options", "every", "final", "early"),
    [
        ({"steps": 100, "window": 0.0}, 10, [100], [10, 20]),
        ({"steps": 100, "window": 1.0}, 50, [50, 100], [50]),
        # The last step counts where it ends no interval, and early is what comes first.
        ({"steps": 25, "window": 0.2}, 10, [25], [10]),
        ({"steps": 1}, 1, [1], [1]),
    ],
)
def test_windows_of_short_runs(options, every, final, early):
    spans = watch.windows(Config(**options), every)
    assert (spans.final, spans.early) == (final, early)
    assert options["steps"] in spans.near & spans.slow


def test_noise_in_every_second_sample_leaves_the_others():
    """What finds modes by chance holds none; the generator's own samples keep half their share."""
    task = data.mixture_task(mixtures.mixture("ring8"), 1000, 1, 0)
    perfect = task.perfect(2000, np.random.default_rng(0))
    mixed = watch.noised(task, perfect)
    np.testing.assert_array_equal(mixed[1::2], perfect[1::2])
    assert not (mixed[::2] == perfect[::2]).any()
    assert task.quick(mixed)["high_quality"] == pytest.approx(0.5, abs=0.02)
    two = np.repeat(perfect[:2], 1000, 0)
    found = task.quick(watch.noised(task, two))
    assert found["held"] == task.quick(two)["held"] < found["modes"]


def test_means_are_over_the_evaluations_that_have_a_measure():
    def row(step, seed, **measures):
        return {"arm": "gan", "step": step, "seed": seed} | measures

    rows = [
        row(10, 7, modes=1.0, recall=0.5),
        row(20, 8, modes=6.0, spread=math.nan),
        row(20, 7, modes=2.0, spread=0.4, **{"@4/modes": 5.0}),
        row(30, 7, modes=4.0, spread=math.nan, recall=0.9, **{"@4/modes": 7.0}),
        row(30, 8, modes=8.0, spread=math.nan, recall=0.7),
    ]
    found = watch.means(rows, [20, 30])
    assert found.keys() == {"modes", "spread", "recall"}
    assert found["modes"] == [3.0, 7.0] and found["recall"] == [0.9, 0.7]
    assert found["spread"][0] == 0.4 and math.isnan(found["spread"][1])
    assert watch.means(rows, [20, 30], "@4") == {"modes": [6.0]}


def test_blocks_of_seeds_are_read_as_one_run():
    """Rows of an arm have the seeds of all blocks; draws that no seed made stay as they are."""

    def block(first, value):
        part = {"modes": [value, value + 1]}
        evaluation = {"pac": {"": part, "@last": part}, "truth": {"truth": {"modes": [8.0, 8.0]}}}
        rows = [{"arm": "pac", "step": 1, "seed": first}]
        return [first, first + 1], {"rows": rows, "evaluation": evaluation}

    found = blocks.merged(Path("run"), [block(0, 4.0), block(2, 6.0)])["evaluation"]
    every = {"modes": [4.0, 5.0, 6.0, 7.0]}
    assert found == {
        "pac": {"": every, "@last": every},
        "truth": {"truth": {"modes": [8.0, 8.0]}},
    }
    assert Config(seeds=5, max_seeds=40).max_seeds == 40
