"""What the GAN room is asked: its lists of names are those of the tables that they stand for."""

import numpy as np
import pytest
from PIL import Image

from genjax.core.errors import UsageError
from genjax.gan import config, experiment, flow, networks, networks_blocks, networks_dense
from genjax.gan.losses import ADVERSARIAL


def test_names_are_those_of_the_tables():
    assert set(config.ARCHITECTURES) == set(networks.PAIRS)
    assert set(config.LAYERS) == set(networks_dense.LAYERS)
    assert set(config.MINIBATCH) == set(networks_blocks.MINIBATCH)
    assert set(config.SOLVERS) == set(flow.SOLVERS)
    assert set(config.METHODS) == set(experiment.METHODS)
    choices = config.Arm.options()["loss"].metadata["choices"]
    assert set(choices) == set(ADVERSARIAL)


def test_python_is_refused_as_the_command_line_is():
    made = config.Config(loss="rpgan", r1=0.1, variants={"one": {}, "pac": {"pack": 2}})
    assert {name: arm.pack for name, arm in made.arms().items()} == {"one": 1, "pac": 2}
    assert all(arm.loss == "rpgan" and arm.r1 == 0.1 for arm in made.arms().values())
    with pytest.raises(UsageError, match="--arm=pac: --n_critic=2 needs --updates=alternating"):
        made.replace(arm={"pac": {"n_critic": 2}})
    # Common flags that no arm has as they are may contradict each other.
    config.Config(loss="wgan", variants={"a": {"gp": 10.0}, "b": {"spectral_norm": True}})
    with pytest.raises(UsageError, match="--arm=b: --loss=wgan needs a Lipschitz critic"):
        config.Config(loss="wgan", variants={"a": {"gp": 10.0}, "b": {}})


@pytest.mark.parametrize(
    ("data", "plane"), [("ring8", True), ("modes", True), ("stacked:idx:there", False)]
)
def test_a_task_is_a_plane_or_images(data, plane):
    more = {"modes": "0,0;1,1", "sigma": 0.1} if data == "modes" else {}
    assert config.Config(data=data, **more).is_plane == plane
    wrong = {"arch": "dcgan"} if plane else {"sigma": 0.1}
    with pytest.raises(UsageError, match="--data=stacked"):
        config.Config(data=data, **more | wrong)


def test_an_option_of_one_method_does_not_reach_the_arms_of_another():
    made = config.Config(
        loss="rpgan", pack=2, flow_steps=(8, 4), variants={"gan": {}, "flow": {"method": "flow"}}
    ).arms()
    assert (made["gan"].loss, made["gan"].pack, made["gan"].flow_steps) == ("rpgan", 2, (64,))
    assert (made["flow"].loss, made["flow"].pack, made["flow"].flow_steps) == ("ns", 1, (8, 4))
    # All else does.
    assert all(arm.learning_rate == 1e-3 for arm in made.values())


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"variants": {"f": {"method": "flow", "pack": 2}}}, "--arm=f: --pack=2 belongs to"),
        ({"variants": {"f": {"method": "flow"}}, "r1": 0.1}, "--arm=f: --r1=0.1 belongs to"),
        ({"method": "flow", "loss": "hinge"}, "--loss=hinge belongs to --method=gan"),
        ({"method": "flow", "g_norm": True}, "--g_norm=true belongs to --method=gan"),
        ({"solver": "euler"}, "--solver=euler belongs to --method=flow, not to --method=gan"),
        ({"method": "flow", "arch": "dcgan", "data": "stacked"}, "--arch=dcgan: .* --arch=mlp"),
        ({"method": "flow", "flow_steps": ()}, "--flow_steps=: "),
        ({"method": "flaw"}, "--method=flaw: .* did you mean flow"),
        ({"variants": {"f": {"method": ["flow"]}}}, "--arm=f: --method="),
        ({"variants": {"f": 3}}, "--arm=f: {option: value}"),
    ],
)
def test_what_belongs_to_another_method_is_refused_by_name(options, line):
    with pytest.raises(UsageError, match=line):
        config.Config(**options)


def test_a_task_that_is_none_is_answered_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pics").mkdir()
    for given, right in {
        "mnist": "stacked:tfds:mnist", "./pics": "stacked:folder:./pics", "rng8": "ring8",
        "folder:pics": "stacked:folder:pics",
        "gird25": "grid25", "mode": "modes", "staked": "stacked",
        "stacked:mnist": "stacked:tfds:mnist", "stacked:./pics": "stacked:folder:./pics",
    }.items():  # fmt: skip
        with pytest.raises(UsageError, match=f"^--data={given}: .*did you mean {right}[?]"):
            config.Config(data=given)
    with pytest.raises(UsageError, match="ring8, grid25, .*stacked:tfds:<name>, stacked:folder"):
        config.Config(data="nothing of the kind")


def test_pictures_of_ones_own_are_stacked_in_grey(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for i in range(60):
        (tmp_path / str(i % 3)).mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / str(i % 3) / f"{i}.png")
    asked = config.Config(data=f"stacked:folder:{tmp_path}", image_size=8)
    train, splits = experiment.read_images(asked)
    assert train["image"] is splits["train"]["image"]  # From memory.
    assert splits["train"]["image"].shape == (42, 8, 8, 1) and splits["test"]["label"].max() == 2
    monkeypatch.setattr(experiment, "MOST_CLASSES", 2)
    with pytest.raises(UsageError, match="3 classes, 27 modes of three images; at most 2"):
        experiment.read_images(asked)
