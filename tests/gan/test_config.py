"""What the GAN room is asked: its lists of names are those of the tables that they stand for."""

import pytest

from genjax.core.errors import UsageError
from genjax.gan import config, networks, networks_blocks, networks_dense
from genjax.gan.losses import ADVERSARIAL


def test_names_are_those_of_the_tables():
    assert set(config.ARCHITECTURES) == set(networks.PAIRS)
    assert set(config.LAYERS) == set(networks_dense.LAYERS)
    assert set(config.MINIBATCH) == set(networks_blocks.MINIBATCH)
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
