"""A job of domains whose network is known: its losses are worked out by hand."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np

from genjax.data.text import Measured
from genjax.domains import data
from genjax.domains.config import Arm
from genjax.domains.job import Job, Once
from genjax.domains.names import trained_before
from genjax.lm import transformer

NAMES, HELD_OUT, VOCABULARY, LENGTH, SEEDS = ["a", "b", "c", "d"], ["c", "d"], 5, 8, [3, 4]
SHARPNESS = 1 - np.arange(LENGTH) / (2 * LENGTH)
LOGITS = np.array([[2.0, 1.0, 0.0, -1.0, 0.5], [0.0, 1.5, -0.5, 1.0, 0.0]])
PARAMS = {"logits": jnp.asarray(LOGITS, jnp.float32)}


def apply(params, tokens):
    """Logits of their own for every token, softer from place to place, whatever came before."""
    sharpness = jnp.asarray(SHARPNESS, jnp.float32)[: tokens.shape[1], None]
    return jnp.broadcast_to(params["logits"] * sharpness, (*tokens.shape, VOCABULARY))


def measured(name, split):
    """Nine windows of four documents; not every place counts, and a unit is 1.6 tokens."""
    rng = np.random.default_rng([NAMES.index(name), split == "test"])
    share = rng.dirichlet(np.ones(VOCABULARY - 1))
    windows = rng.choice(VOCABULARY - 1, (9, LENGTH + 1), p=share).astype(np.int32)
    scored = np.ones((9, LENGTH), bool)
    scored[5:, : NAMES.index(name) + 1] = False
    document = np.array([0, 0, 1, 1, 1, 4, 4, 7, 7])
    return Measured(windows, scored, scored.sum() / 1.6, document)


def lines(name, training):
    """{line: bits [windows, length]}; the memory's is lower the more domains there are."""
    base = 1.0 + NAMES.index(name) + np.arange(LENGTH) / 10
    table = {"known": base, "family": base + 0.25, "seen": base + 4 / len(training)}
    return {line: np.tile(row, (9, 1)) for line, row in table.items()}


def sequences(name):
    return [np.arange(i, i + 30) * (NAMES.index(name) + 1) % VOCABULARY for i in range(3)]


SOURCE = data.Source(
    names=NAMES,
    held_out=HELD_OUT,
    far=[],
    groups={},
    vocabulary=VOCABULARY,
    bos=VOCABULARY - 1,
    length=LENGTH,
    unit="bits a unit",
    pool=None,
    draw=None,
    measured=measured,
    lines=lines,
    sequences=sequences,
    decode=lambda ids: " ".join(map(str, ids)),
    overlap=lambda name, known: 0.1 * (NAMES.index(name) + 1) / len(known),
)
PLAIN = {"domains": "a+b", "steps": 3, "width": 8}


class FakeJob(Job):
    """A job whose network is `apply`; a NamedTuple's methods may be replaced, its fields not."""

    def meter(self, name, kind):
        return kind(apply)

    def network(self, name):
        return transformer.Model(None, apply)

    def size(self, name):
        return {}


def study_of(arms, source=SOURCE, kind=FakeJob, **settings):
    """What evaluate.py asks of a job: the one place that knows."""
    plain = {"watched": 4, "example": 2, "dynamic": (), "samples": 0, "batch_size": 2, "shots": ()}
    config = SimpleNamespace(**(plain | {"seeds": len(SEEDS)} | settings))
    options = Arm.options()
    made = {
        name: Arm(**{options[key].name: value for key, value in (PLAIN | recipe).items()})
        for name, recipe in arms.items()
    }
    trained_on = {name: arm.domains.split("+") for name, arm in made.items()}
    before = {name: trained_before(made, trained_on, name) for name in made}
    return kind(config, [source] * len(SEEDS), made, trained_on, before, Once())


def run_of(**files):
    return SimpleNamespace(read_json=lambda path: files[path.replace("/", "_").split(".")[0]])


def probabilities(logits, places=LENGTH):
    p = np.exp(logits[:, None] * SHARPNESS[:places, None])
    return p / p.sum(-1, keepdims=True)


def bits_of(found, logits=LOGITS):
    """[seeds, windows, length], 0 where a place does not count."""
    p = probabilities(logits)
    bits = -np.log2(p[:, np.arange(LENGTH), found.windows[:, 1:]])
    return np.where(found.scored, bits, 0)


def loss(name, split="test", logits=LOGITS):
    found = measured(name, split)
    return bits_of(found, logits).sum((1, 2)) / found.units
