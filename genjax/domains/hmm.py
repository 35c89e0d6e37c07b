"""Domains whose optimum is exact: a grid of hidden Markov models.

A domain of the grid is a pair (structure s, lexicon l). The structure is a transition matrix over
K hidden states, the lexicon an injection of B base tokens into the vocabulary; which base tokens a
state emits is common to all. Transition matrices are doubly stochastic with the same four weights
in every row, so that all domains have the same state entropy and the same unigrams up to a
renaming: no domain is easier than another. Held out are the pairs (s, s): every structure and every
lexicon occurs in training, their pair does not.

What a model can reach at best is computed, not estimated, by the forward algorithm (Rabiner 1989,
eq. 19-20) and the posterior over domains.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from genjax.core.errors import UsageError

TRANSITIONS = (0.55, 0.25, 0.15, 0.05)
EMISSIONS = (0.6, 0.3, 0.1)
NOISE = 0.01


class Grid(NamedTuple):
    """transition [S, K, K] of the structures, emission [L, K, V] of the lexicons, noise included.

    Token V is BOS. A domain's name is s<structure>l<lexicon>.
    """

    transition: Float64[np.ndarray, "s k k"]
    emission: Float64[np.ndarray, "l k v"]

    @property
    def vocabulary(self) -> int:
        return self.emission.shape[-1]

    @property
    def domains(self) -> list[str]:
        return pairs(len(self.transition))

    def place(self, name: str) -> tuple[int, int]:
        """(structure, lexicon) of a domain."""
        structure, _, lexicon = name[1:].partition("l")
        return int(structure), int(lexicon)


def pairs(side: int) -> list[str]:
    """The domains of a grid: every structure with every lexicon."""
    return [f"s{s}l{lexicon}" for s in range(side) for lexicon in range(side)]


def diagonal(side: int) -> list[str]:
    """The pairs (s, s), which are held out."""
    return [f"s{s}l{s}" for s in range(side)]


def diagonals(side: int, count: int) -> list[str]:
    """The pairs of the first `count` cyclic diagonals beside the main one.

    Each holds every structure and every lexicon once.
    """
    return [f"s{s}l{(s + d) % side}" for d in range(1, count + 1) for s in range(side)]


def require_sizes(side: int, *, states: int, base: int, vocabulary: int, shared: int) -> None:
    """Raises UsageError where the sizes of a grid contradict each other."""
    slots = len(EMISSIONS) * states
    for wrong, text in (
        (side < 2, f"--grid={side}: at least 2"),
        (states < 8, f"--states={states}: at least 8, so that four permutations agree nowhere"),
        (
            not states < base <= slots <= 2 * base,
            f"--base={base}: each base token has one or two states, and {states} states emit "
            f"{slots} of them: choose {-(-slots // 2)} to {slots}",
        ),
        (base > vocabulary, f"--vocabulary={vocabulary}: at least --base={base}"),
        (shared > base, f"--shared={shared}: at most --base={base}"),
    ):
        if wrong:
            raise UsageError(text)


def grid(side: int, *, states: int, base: int, vocabulary: int, shared: int, seed: int = 0) -> Grid:
    """A grid of side x side domains; `shared` base tokens have one name in all lexicons.

    Raises UsageError where the sizes contradict each other.
    """
    require_sizes(side, states=states, base=base, vocabulary=vocabulary, shared=shared)
    slots = len(EMISSIONS) * states
    rng = np.random.default_rng([20261121, seed])
    transition = np.zeros((side, states, states))
    for structure in transition:
        for weight, order in zip(TRANSITIONS, _apart(states, len(TRANSITIONS), rng), strict=True):
            structure[np.arange(states), order] += weight
    emits = np.zeros((states, base))
    # The favourite of each state is its own; the rest of the tokens fill up the other places.
    names = rng.permutation(base)
    emits[np.arange(states), names[:states]] = EMISSIONS[0]
    others = np.concatenate([names[states:], rng.permutation(base)[: slots - base]])
    emits = _spread(emits, others, states, rng)
    words = np.tile(rng.permutation(vocabulary)[:base], (side, 1))
    free = np.setdiff1d(np.arange(vocabulary), words[0, :shared])
    for lexicon in words:
        lexicon[shared:] = rng.permutation(free)[: base - shared]
    emission = np.full((side, states, vocabulary), NOISE / vocabulary)
    for lexicon, word in enumerate(words):
        emission[lexicon][:, word] += (1 - NOISE) * emits
    return Grid(transition, emission)


def _apart(size, count, rng) -> list[np.ndarray]:
    """Random permutations of which no two agree anywhere."""
    found, seen = [], set()
    while len(found) < count:
        order = rng.permutation(size)
        places = [*enumerate(order.tolist())]
        if seen.isdisjoint(places):
            found.append(order)
            seen.update(places)
    return found


def _spread(emits, others, states, rng):
    """Gives each state two more of `others`, none of them twice or its favourite."""
    while True:
        pairs = rng.permutation(others).reshape(len(EMISSIONS) - 1, states)
        filled = emits.copy()
        for weight, tokens in zip(EMISSIONS[1:], pairs, strict=True):
            filled[np.arange(states), tokens] += weight
        if ((filled > 0).sum(1) == len(EMISSIONS)).all():
            return filled


def documents(
    source: Grid, names: list[str], count: int, length: int, seed: int
) -> Int32[np.ndarray, "{len(names)} {count} {length}+1"]:
    """`count` documents of every domain: BOS, then `length` tokens."""
    places = np.array([source.place(name) for name in names])
    rng = np.random.default_rng([7, seed])
    move = np.cumsum(source.transition, -1)[places[:, 0]]
    emit = np.cumsum(source.emission, -1)[places[:, 1]]
    row = np.arange(len(names))[:, None]
    state = rng.integers(0, move.shape[-1], (len(names), count))
    found = np.full((len(names), count, length + 1), source.vocabulary, np.int32)
    for t in range(length):
        found[:, :, t + 1] = _draw(emit[row, state], rng)
        state = _draw(move[row, state], rng)
    return found


def _draw(cumulative, rng):
    """An index by cumulative probabilities [..., n]."""
    uniform = rng.random(cumulative.shape[:-1])[..., None]
    return np.minimum((uniform >= cumulative).sum(-1), cumulative.shape[-1] - 1)


def log_probs(
    source: Grid, names: list[str], tokens: np.ndarray
) -> Float64[np.ndarray, "{len(names)} n t"]:
    """log2 p_d(x_t | x_<t) of documents [n, t + 1] under every domain d, in bits.

    The forward recursion b <- (b * e(x_t)) A, normalised, from the stationary (uniform) state.
    """
    places = np.array([source.place(name) for name in names])
    move, emit = source.transition[places[:, 0]], source.emission[places[:, 1]].swapaxes(1, 2)
    states = move.shape[-1]
    belief = np.full((len(names), len(tokens), states), 1 / states)
    found = np.empty((len(names), len(tokens), tokens.shape[1] - 1))
    for t in range(found.shape[-1]):
        joint = belief * emit[:, tokens[:, t + 1]]
        found[..., t] = joint.sum(-1)
        belief = joint @ move / found[..., t, None]
    return np.log2(found)


def mixture(log_prob: np.ndarray) -> np.ndarray:
    """log2 p(x_t | x_<t) [n, t] where the domain (first axis) is one of many, all as likely.

    p(x_t | x_<t) = sum_d p(d | x_<t) p_d(x_t | x_<t): the difference of two evidences.
    """
    from scipy.special import logsumexp  # What is refused does not wait for it.

    nats = np.cumsum(log_prob, -1) * np.log(2)
    evidence = (logsumexp(nats, 0) - np.log(len(nats))) / np.log(2)
    return np.diff(evidence, prepend=0.0)
