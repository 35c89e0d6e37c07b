"""What a study trains: arms on domains, and what they share once it was made."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from genjax.data.text import Measured
from genjax.domains import data, networks
from genjax.domains.config import Arm, Config
from genjax.domains.names import weights
from genjax.lm.transformer import Model


class Once:
    """What is made once and shared, by threads too: networks, compiled programs, meters."""

    def __init__(self):
        self._made, self._lock = {}, threading.RLock()

    def __call__(self, key, make: Callable) -> Any:
        """What `make` makes, at the first call of this key."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]


class Job(NamedTuple):
    """sources: one a seed; of a grid each seed has its own, of text they are the same.

    trained_on, trained_before: {arm: domains}, now and along the chain that it starts from.
    draw: of texts that are streamed, in the place of the sources'.
    """

    config: Config
    sources: list[data.Source]
    arms: dict[str, Arm]
    trained_on: dict[str, list[str]]
    trained_before: dict[str, list[str]]
    once: Once
    draw: Callable | None = None

    @property
    def source(self) -> data.Source:
        """The first seed's: what all agree in."""
        return self.sources[0]

    @property
    def checksum(self) -> str | None:
        """Of the texts; None of a grid."""
        return self.source.checksum

    def measured(self, domain: str, split: str) -> Measured:
        """What a domain is measured on; windows [seeds, n, length + 1] where seeds differ."""
        made = {id(source): source.measured(domain, split) for source in self.sources}
        return data.by_seed([made[id(source)] for source in self.sources])

    def lines(self, domain: str, training: list[str]) -> dict[str, np.ndarray]:
        """{line: bits [seeds, n, length]} of a domain's test, where the optimum is known."""
        made = [source.lines(domain, training) for source in self.sources if source.lines]
        return {line: np.stack([one[line] for one in made]) for line in made[0]} if made else {}

    def network(self, name: str) -> Model:
        """The network of an arm; arms of one shape share it."""
        arm, source = self.arms[name], self.source
        return self.once(
            ("network", *arm.network),
            lambda: networks.build(arm, source.vocabulary, source.length, self.config.precision),
        )

    def meter(self, name: str, kind: Callable) -> Callable:
        """A meter of genjax.lm.per_domain for an arm's network."""
        apply = self.network(name).apply
        return self.once((kind, apply), lambda: kind(apply))

    def size(self, name: str) -> dict[str, float]:
        """Parameters and FLOPs of an arm; an n-gram has neither."""
        arm = self.arms[name]
        if arm.model == "ngram":
            return {"parameters": 0, "flops": 0.0}
        length, precision = self.source.length, self.config.precision
        return self.once(
            ("size", bool(arm.dro), *arm.network),
            lambda: networks.size(arm, self.network(name), length, precision),
        )

    def mixture(self, name: str, found: dict | None = None) -> dict[str, float]:
        """How often each domain is drawn.

        found: what the arm's proxy found, {domain: [seeds]}; without it all count alike.
        """
        arm, names = self.arms[name], self.trained_on[name]
        sizes, rule = [self.source.pool(domain, arm.limit) for domain in names], arm.mixture
        if arm.proxy is not None:
            rule = "uniform"
            if found:
                rule = "+".join(str(np.mean(found[domain])) for domain in names)
        return weights(names, sizes, rule, arm.replay, tuple(self.trained_before[name]))

    def windows(self, name: str, found: dict | None = None, own: np.ndarray | None = None):
        """`data.batches` of what an arm is trained on, of the step's own rows; found: as above."""
        return data.batches(
            self.sources,
            self.mixture(name, found),
            self.config.batch_size,
            seeds=self.config.all_seeds,
            limits=dict.fromkeys(self.trained_on[name], self.arms[name].limit),
            own=own,
            draw=self.draw,
        )
