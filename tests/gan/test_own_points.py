"""GANs of one's own points: the mixture that they are taken for, and a run."""

import jax
import numpy as np
import pytest

import genjax
from genjax.core.errors import UsageError
from genjax.gan import mixtures
from genjax.gan.config import Config

TINY = {
    "steps": 10, "seeds": 1, "g_width": 8, "d_width": 8, "batch_size": 16, "eval_samples": 200,
    "evaluations": 2,
}  # fmt: skip
TRUTH = mixtures.mixture("modes", modes="0,0;1,0;0,2", sigma=0.05, imbalance=2.0)


def drawn(count):
    rng = np.random.default_rng(0)
    mode = rng.choice(3, count, p=TRUTH.weights)
    return TRUTH.means[mode] + 0.05 * rng.standard_normal((count, 2)), mode


def write(place, count=2000, labels=True):
    found, mode = drawn(count)
    rows = np.column_stack([found, mode]) if labels else found
    np.savetxt(place, rows, delimiter=",")
    return f"csv:{place}"


def test_a_mixture_is_estimated_from_labels():
    found, mode = drawn(20_000)
    made = mixtures.of_points("csv:x", found, mode, modes=None, sigma=None)
    np.testing.assert_allclose(made.means, TRUTH.means, atol=5 * 0.05 / np.sqrt(4000))
    np.testing.assert_allclose(made.weights, TRUTH.weights, atol=0.02)
    assert made.sigma == pytest.approx(0.05, rel=0.03)
    by_hand = np.sqrt(np.mean([found[mode == i].var(0, ddof=1) for i in range(3)]))
    assert made.sigma == pytest.approx(by_hand, rel=0.02)
    assert mixtures.within(found, made, 3) == pytest.approx(0.989, abs=0.003)
    given = mixtures.of_points("csv:x", found, None, modes="0,0;1,0;0,2", sigma=0.05)
    np.testing.assert_array_equal(given.means, TRUTH.means)
    np.testing.assert_allclose(given.weights, made.weights)


def test_points_of_unknown_modes_are_refused():
    found, mode = drawn(100)
    for labels, flags, said in (
        (None, {}, "which mode a point is of is not known; add a third column"),
        (None, {"modes": "0,0;1,0"}, "not known"),
        (mode, {"sigma": 0.1}, "names the mode of each point; drop --modes and --sigma"),
        (None, {"modes": "0,0;99,99", "sigma": 0.1}, "a mode has none of the points"),
        (np.zeros(100, int), {}, "1 modes of 100 points; 2 to 10,000"),
        (np.arange(100), {}, "100 modes of 100 points"),
    ):
        options = {"modes": None, "sigma": None} | flags
        with pytest.raises(UsageError, match=said):
            mixtures.of_points("csv:x", found, labels, **options)
    same, two = np.ones((8, 2)), np.arange(8) % 2
    with pytest.raises(UsageError, match="two modes have the same mean"):
        mixtures.of_points("csv:x", same, two, modes=None, sigma=None)
    with pytest.raises(UsageError, match="modes of no width, 0; 1e-06 or more"):
        mixtures.of_points("csv:x", same * two[:, None], two, modes=None, sigma=None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("points")
    config = Config(data=write(place / "own.csv"), **TINY)
    return genjax.gan.run(config, place / "run", compile_cache="off")


def test_a_run_on_own_points(trained):
    metrics, facts = trained.summary["metrics"], trained.facts()
    assert facts["modes"] == 3 and facts["mixture"]["sigma"] == pytest.approx(0.05, rel=0.05)
    assert metrics["truth/high_quality"]["mean"] == pytest.approx(0.989, abs=0.01)
    assert "On the points of own.csv" in trained.claims[0]["statement"]
    assert trained.judge() == trained.claims
    assert any("a file's own" in note for note in trained.summary["notes"])
    assert trained.model().sample(jax.random.key(0), 5).shape == (5, 2)


def test_a_run_on_points_that_changed_is_refused(trained):
    place = trained.folder.parent / "own.csv"
    before = place.read_text()
    place.write_text(before + "0.01,0.01,0\n")
    with pytest.raises(UsageError, match=r"^--workdir=.*: the run in it began with other data"):
        genjax.gan.run(trained.config, trained.folder, compile_cache="off")
    place.write_text(before)


def test_training_sees_the_files_points(tmp_path):
    from genjax.gan.experiment import prepare, tasks_of

    spec = write(tmp_path / "own.csv")
    job = prepare(Config(data=spec, **TINY))
    (task,) = tasks_of(job, None).values()
    assert task.size == 2000
    np.testing.assert_array_equal(task.arrays["real"][:, 0], np.float32(drawn(2000)[0]))
    some = prepare(Config(data=spec, points=500, **TINY))
    rows = {tuple(row) for row in some.points}
    assert some.points.shape == (500, 2) and rows <= {tuple(row) for row in job.points}


@pytest.mark.parametrize(
    "options, said",
    [
        ({"imbalance": 2.0}, "--imbalance=2.0: points of a file have their own"),
        ({"batch_size": 5000}, "--data=csv:.*: 2,000 points; --points=2000: fewer than the 5000"),
        ({"data": "csv:none.csv"}, "--data=csv:none.csv: there is no such file"),
        ({"data": "none.csv"}, "--data=none.csv: no such task"),
    ],
)
def test_what_points_do_not_bear_is_refused(tmp_path, options, said):
    from genjax.gan.experiment import prepare

    asked = TINY | {"data": write(tmp_path / "own.csv")} | options
    with pytest.raises(UsageError, match=f"^{said}"):
        prepare(Config(**asked))


def test_a_file_without_its_source_is_named(tmp_path):
    write(tmp_path / "own.csv")
    with pytest.raises(UsageError, match=f"did you mean csv:{tmp_path}/own.csv[?]$"):
        Config(data=f"{tmp_path}/own.csv")


@pytest.mark.parametrize(
    "given, right",
    [
        ("stacked:foldr:x", "stacked:folder:x"),
        ("stacked:npz", "stacked:npz:<file>"),
        ("stacked:stacked:mnist", "stacked:mnist"),
        ("stackd:folder:x", "stacked:folder:x"),
        ("foldr:x", "stacked:folder:x"),
        ("tfds:mnist", "stacked:tfds:mnist"),
        ("cvs:x", "csv:x"),
    ],
)
def test_a_misspelt_source_is_answered_whole(given, right):
    with pytest.raises(UsageError) as refused:
        Config(data=given)
    assert str(refused.value).endswith(f"; did you mean {right}?")
