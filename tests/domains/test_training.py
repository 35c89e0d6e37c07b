"""What an arm is trained with: its optimizer's rates, batches, weights, and what is watched."""

import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.core import environment, platforms
from genjax.core.checkpoints import Checkpoints, last_params
from genjax.core.errors import UsageError
from genjax.core.folder import Folder
from genjax.data.text import Measured
from genjax.domains import ahead, training
from genjax.domains.config import Arm, Config
from genjax.domains.job import Job, Once
from genjax.lm import finetune, transformer

LENGTH = 6
NAMES = ["a", "b", "c", "d"]


def draw(name, index):
    """Windows that tell their domain and their number."""
    return np.full((len(index), LENGTH + 1), 100 * NAMES.index(name)) + index[:, None]


def measured(name, split):
    """Five windows; from the third on the first places do not count; a token is half a unit."""
    windows = (
        3 * (split == "test")
        + np.arange(5)[:, None]
        + 10 * NAMES.index(name)
        + np.zeros(LENGTH + 1, int)
    )
    scored = np.ones((5, LENGTH), bool)
    scored[2:, :2] = False
    return Measured(windows, scored, scored.sum() / 2, np.arange(5))


def job_of(arms, **settings):
    source = SimpleNamespace(
        names=NAMES, held_out=["c", "d"], length=LENGTH, vocabulary=7, draw=draw,
        pool=lambda name, limit=0: 50, measured=measured,
    )  # fmt: skip
    config = SimpleNamespace(**({"all_seeds": [3, 4], "watched": 3} | settings))
    made = {name: Arm(**arm) for name, (arm, *_) in arms.items()}
    on, before = ({name: row[i] for name, row in arms.items()} for i in (1, 2))
    return Job(config, [source] * 2, made, on, before, Once())


def rates_of(steps, **more):
    """The change of one parameter at each step, with gradients alike once they are clipped."""
    arm = Arm(steps=steps, optimizer="adamw", **more)
    made = training.optimizer(arm, finetune.Method(), steps, rate=0.01)
    params = {"model": {"w": jnp.array([2.0, 2.0])}}
    state, moved = made.init(params), []
    for i in range(steps):
        grads = {"model": {"w": jnp.array([3.0, 4.0]) * 10.0 ** (i % 3)}}
        updates, state = made.update(grads, state, params)
        moved.append(-float(updates["model"]["w"][1]))
    return np.array(moved)


@pytest.mark.parametrize(("steps", "peak"), [(7, 1), (59, 3), (60, 4)])
def test_the_rate_warms_up_for_a_twentieth_and_falls_to_a_twentieth(steps, peak):
    count = np.arange(steps)
    # The cosine would reach its end one step behind the last.
    falling = 0.5 * (1 + np.cos(np.pi * (count - peak) / (steps + 1 - peak)))
    wanted = 0.01 * np.where(count < peak, count / peak, 0.05 + 0.95 * falling)
    np.testing.assert_allclose(rates_of(steps), wanted, rtol=1e-4, atol=1e-7)
    # Decay is decoupled: times the parameter, 2, and the rate.
    decayed = rates_of(steps, weight_decay=0.1)
    np.testing.assert_allclose(decayed, 1.2 * wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 4, 19, 20, 32, 120, 2000])
def test_the_rates_share_is_optaxs_bit_for_bit_though_the_steps_are_traced(steps):
    optaxs = optax.warmup_cosine_decay_schedule(0, 1, steps // 20 + 1, steps + 1, end_value=0.05)
    count = jnp.arange(steps)
    found = jax.jit(lambda n: jax.lax.map(lambda i: training.share_of_peak(i, n), count))(steps)
    wanted = jax.jit(lambda: jax.lax.map(optaxs, count))()
    np.testing.assert_array_equal(found, wanted)


def test_a_batch_is_windows_their_targets_and_domains():
    windows = np.array([[[1, 2, 3, 4, 9], [-1] * 5, [0, 6, 0, 5, 0]]])
    read = training.with_steps(lambda first, count: windows[first : first + count], 70)(0, 1)
    batch = training.take_windows(None, jnp.asarray(read[0]))
    np.testing.assert_array_equal(batch["tokens"], [[1, 2, 3], [0, 0, 0], [0, 6, 0]])
    np.testing.assert_array_equal(batch["target"], [[2, 3, 4], [0, 0, 0], [6, 0, 5]])
    np.testing.assert_array_equal(batch["domain"], [9, -1, 0])
    np.testing.assert_array_equal(batch["weight"], [1, 0, 1])
    # A device may have padding alone.
    np.testing.assert_array_equal(batch["steps"], [70, 70, 70])
    assert batch["weight"].dtype == jnp.float32


def test_a_method_is_what_the_arm_says():
    arms = {
        "plain": ({}, ["a", "b"], []),
        "lora": ({"from_": "plain", "train": "lora", "lora_rank": 3}, ["c"], ["a", "b"]),
        "bits": ({"from_": "plain", "train": "biases", "lora_rank": 3}, ["c"], ["a", "b"]),
        "last": ({"from_": "plain", "train": "last", "ewc": 2.0, "anchor": 0.5}, ["c"], ["a"]),
        "dro": ({"dro": "plain"}, ["a", "b"], []),
    }
    job = job_of(arms)
    found = {name: training.method_of(job, name) for name in arms}
    assert found == {
        "plain": finetune.Method("all", 0, 0, 0, 0),
        "lora": finetune.Method("lora", 3, 0, 0, 0),
        "bits": finetune.Method("biases", 0, 0, 0, 0),
        "last": finetune.Method("last", 0, 2.0, 0.5, 0),
        "dro": finetune.Method("all", 0, 0, 0, 2),
    }


def test_mean_weights_sum_to_one_by_seed():
    params = {"weights": {"mean": jnp.array([[1.0, 3.0], [0.5, 0.5], [0.9, 0.0]])}}
    job = job_of({"proxy": ({}, ["b", "a"], [])})
    found = training.mean_weights(job, "proxy", params)
    assert found == {"b": [0.25, 0.5, 1.0], "a": [0.75, 0.5, 0.0]}


def test_fishers_windows_are_whole_ones_of_the_old_domains():
    job = job_of({"next": ({}, ["a"], ["c", "d"])})
    found = training.old_windows(job, "next")
    assert found.shape == (2, 64, LENGTH + 1)
    np.testing.assert_array_equal(found[0], found[1])
    found = found[0]
    of, number = found // 100, found % 100
    # Whole windows as they were drawn, of both domains about evenly.
    assert (found == found[:, :1]).all() and number.max() < 50
    assert set(of[:, 0]) == {2, 3} and 20 < (of[:, 0] == 2).sum() < 44
    np.testing.assert_array_equal(found, training.old_windows(job, "next")[0])


def test_what_is_watched_is_the_mean_bits_a_unit_of_some_windows():
    """Bits of a window are its tokens' number, times the seed's parameter."""

    def meter(params, windows):
        bits = params["scale"][:, None, None] * (windows[None, :, 1:] + 1.0)
        return bits, None, None

    class Watched(Job):
        def meter(self, name, kind):
            return meter

    arms = {"first": ({}, ["a", "b"], []), "next": ({}, ["c"], ["a", "b"])}
    job = Watched(*job_of(arms))
    state = SimpleNamespace(params={"model": {"scale": jnp.array([1.0, 3.0])}})

    def loss(name, split="valid"):
        """Windows 0, 2 and 4 of five; the first counts at six places, the others at four."""
        start = 10 * NAMES.index(name) + 1 + 3 * (split == "test")
        return 2 * (6 * start + 4 * (start + 2) + 4 * (start + 4)) / 14

    found = training.watch(job, "next", lambda params: params["model"])(state)
    wanted = {f"test/{name}": loss(name, "test") for name in "cabd"} | {"valid_new": loss("c")}
    wanted |= {
        "test_new": loss("c", "test"),
        "test_old": (loss("a", "test") + loss("b", "test")) / 2,
        "test_unseen": loss("d", "test"),
    }
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx([value, 3 * value]), name
    # From scratch nothing is old, and all that was held out is unseen.
    found = training.watch(job, "first", lambda params: params["model"])(state)
    assert found.keys() == {"valid_new", "test_new", "test_unseen"} | {f"test/{n}" for n in NAMES}
    unseen = (loss("c", "test") + loss("d", "test")) / 2
    assert found["test_unseen"] == pytest.approx([unseen, 3 * unseen])
    assert found["valid_new"] == pytest.approx([(loss("a") + loss("b")) / 2] * np.array([1, 3]))


def network(width):
    return transformer.Model(lambda key: {"w": jax.random.normal(key, (width,))}, None)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """(a run's folder, what its arm `base` ended with)."""
    folder = tmp_path_factory.mktemp("run")
    params = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    kept = Checkpoints(folder / "models" / "base", keep=1, owner="base's")
    kept.save(5, params)
    kept.close()
    return folder, params


def test_an_arms_end_is_read_where_seeds_and_shape_agree(kept):
    folder, params = kept
    place = folder / "models" / "base"
    found = training.kept_params(place, network(3), [0, 1])
    np.testing.assert_array_equal(found["w"], params["w"])
    assert training.kept_params(place, network(4), [0, 1]) is None
    assert training.kept_params(place, network(3), [0, 1, 2]) is None
    assert training.kept_params(place, network(3), [0, 1], "another's") is None
    assert place.exists()


def test_what_an_arm_starts_from_is_its_own_runs_or_another_runs(kept, monkeypatch, capsys):
    folder, params = kept
    arms = {"base": ({}, ["a"], []), "next": ({"from_": "base"}, ["b"], ["a"])}
    job = job_of(arms)
    monkeypatch.setattr(Job, "network", lambda job, name: network(3))
    run = SimpleNamespace(path=folder, owner=lambda name: "base's" if name == "models/base" else "")
    found = training.started_from(job, run, "next", "from", "base")
    np.testing.assert_array_equal(found["w"], params["w"])
    # Of another run nobody asks who saved it.
    other = str(folder / "models" / "base")
    found = training.started_from(job, run, "next", "from", other)
    np.testing.assert_array_equal(found["w"], params["w"])
    # What its own run has lost is trained again; what another has is refused.
    monkeypatch.setattr(training, "train", lambda job, folder, name: f"{name} again")
    run.owner = lambda name: "somebody else's"
    assert training.started_from(job, run, "next", "from", "base") == "base again"
    with pytest.raises(UsageError, match="--arm=next: --from=nowhere: no whole .* 2 seeds"):
        training.started_from(job, run, "next", "from", "nowhere")
    assert "made again from the checkpoints of base" in capsys.readouterr().err


BIGRAM = transformer.Model(
    lambda key: {"table": {"kernel": jax.random.normal(key, (350, 350))}},
    lambda params, tokens: params["table"]["kernel"][tokens],
)


class Bigrams(Job):
    def network(self, name):
        return BIGRAM


def bigrams(arms, **settings):
    """A job of two seeds."""
    config = Config(seeds=2, seed=3, batch_size=4, evaluations=1, watched=2, **settings)
    return Bigrams(*job_of(arms)._replace(config=config))


def test_an_arm_ends_as_what_others_start_from(tmp_path):
    """A table of bigrams on two domains, then on a third: twice at a rate of next to nothing, bound
    by the Fisher penalty and not, and once with a quarter of the new weights."""
    more = {"steps": 3, "optimizer": "adamw", "depth": 1}
    still = more | {"from_": "base", "learning_rate": 1e-30}
    arms = {
        "base": (more, ["a", "b"], []),
        "still": (still, ["c"], ["a", "b"]),
        "bound": (still | {"ewc": 2.0}, ["c"], ["a", "b"]),
        "part": (more | {"from_": "base", "average": 0.25}, ["c"], ["a", "b"]),
    }
    job = bigrams(arms, steps_per_call=3)
    kept = Folder(tmp_path / "run", job.config, experiment="domains", room="domains")
    try:
        ends = {name: training.train(job, kept, name)["table"]["kernel"] for name in arms}
    finally:
        kept.close()
    for name, end in ends.items():
        assert end.shape == (2, 350, 350)
        # The folder that a later --from names holds the end, and no other checkpoint.
        place = kept.path / "models" / name
        assert [path.name for path in place.iterdir() if path.is_dir()] == ["3"]
        found = training.kept_params(place, BIGRAM, [3, 4])
        np.testing.assert_array_equal(found["table"]["kernel"], end)
    np.testing.assert_array_equal(ends["still"], ends["base"])
    np.testing.assert_array_equal(ends["bound"], ends["base"])
    # A quarter of the way to where training ended; the tokens of domain c alone were seen.
    _, whole = last_params(kept.path / "checkpoints" / "part")
    base, end = ends["base"], whole["model"]["table"]["kernel"]
    np.testing.assert_allclose(ends["part"], 0.75 * base + 0.25 * end, atol=1e-6)
    moved = np.abs(end - base).max((0, 2)) > 1e-4
    assert moved.any() and set(np.flatnonzero(moved)) <= set(range(200, 250))


@pytest.fixture
def trained(tmp_path):
    """(folder, job, what surrounds training) -> (how its arms end, programs that were compiled)."""
    clock = environment.Clock()

    def compiled():
        return clock.compiled["cache_hits"] + clock.compiled["cache_misses"]

    def train(name, job, how=contextlib.nullcontext):
        kept, before = (
            Folder(tmp_path / name, job.config, experiment="x", room="domains"),
            compiled(),
        )
        with contextlib.closing(kept), how():
            ends = {arm: training.train(job, kept, arm)["table"]["kernel"] for arm in job.arms}
        return ends, compiled() - before

    with contextlib.closing(clock), environment.compile_cache(str(tmp_path / "cache")):
        yield train


def test_arms_of_other_lengths_share_programs_and_end_as_they_do_alone(trained):
    """Alone the short one's calls have 6 steps, beside the long one 14, of which 8 never run."""
    more = {"optimizer": "adamw", "depth": 1}
    arms = {
        "short": (more | {"steps": 6}, ["a", "b"], []),
        "long": (more | {"steps": 14, "learning_rate": 0.1}, ["c"], []),
    }
    both = bigrams(arms)
    assert training.call_schedule(both, "short").log_every == 14
    alone = {name: trained(name, bigrams({name: arms[name]})) for name in arms}
    together, count = trained("both", both)
    both = bigrams(arms)
    with platforms.products("highest"):
        beside = functools.partial(ahead.steps, both, list(arms), "highest")
        again, counted = trained("ahead", both, beside)
    for name, (ends, _) in alone.items():
        np.testing.assert_array_equal(together[name], ends[name])
        np.testing.assert_array_equal(again[name], ends[name])
    # What eager operations compile was there.
    assert count == counted == alone["long"][1]


def test_what_is_compiled_ahead_is_what_trains(trained, monkeypatch):
    """Of an arm that begins anew, one bound to where it begins, one with a reference."""
    more = {"steps": 3, "optimizer": "adamw", "depth": 1}
    arms = {
        "base": (more, ["a", "b"], []),
        "again": (more | {"learning_rate": 0.1}, ["c"], []),
        "bound": (more | {"from_": "base", "ewc": 2.0}, ["c"], ["a", "b"]),
        "fair": (more | {"dro": "base"}, ["a", "b"], []),
    }
    asked = []

    class Pool(ThreadPoolExecutor):
        def submit(self, *what):
            asked.append(super().submit(*what))
            return asked[-1]

    monkeypatch.setattr(ahead, "ThreadPoolExecutor", Pool)

    @contextlib.contextmanager
    def before():
        with ahead.steps(job, list(arms), "highest"):
            for one in asked:
                one.result()  # And raises what it raised.
            yield

    with platforms.products("highest"):
        trained("first", bigrams(arms))  # What eager operations compile.
        _, count = trained("alone", bigrams(arms))
        job = bigrams(arms)
        _, counted = trained("ahead", job, before)
    assert len(asked) == 3 and counted == count


def test_whose_batch_is_cut():
    arms = {"a": {}, "b": {"model": "gru"}, "c": {"dro": "a"}, "d": {"width": 32}}
    config = Config(context=1024, width=128, depth=4, variants=arms)
    found = {name: training.microbatches(config, arm, 8) for name, arm in config.arms().items()}
    assert found == {"a": 8, "b": 1, "c": 1, "d": 4}
