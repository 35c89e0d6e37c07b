"""A trained language model, used: log_probs, score, generate, encode, decode. No corpus needed."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core.checkpoints import last_params, one_seed
from genjax.core.errors import UsageError
from genjax.data import text
from genjax.domains import networks
from genjax.domains.arms import facts_of
from genjax.domains.training import kept_params
from genjax.lm import finetune, per_domain

# Windows that are scored at a time.
ROWS = 32


class LanguageModel(NamedTuple):
    """A trained model as plain functions; tokens are integers, `bos` stands before a text.

    step: of training; the arm's last where it is finished. log_probs: tokens [b, n] -> [b, n,
    vocabulary] in nats, of the token after each position, given those up to it. score: text -> bits
    a byte (a token on the grid), in windows as the run measures its tests. generate: (prompt, n,
    key) -> the prompt and n tokens drawn behind it, at temperature 1: text of a text, tokens [b,
    p + n] of tokens [b, p]. encode: text -> tokens [n]. decode: tokens [n] -> text. The grid's text
    is numbers between blanks. window: tokens that it was trained on at a time, `bos` among them.
    """

    params: dict
    step: int
    bos: int
    log_probs: Callable
    score: Callable
    generate: Callable
    encode: Callable
    decode: Callable
    window: int


def model(run, arm: str, step: int, params: dict) -> LanguageModel:
    """The functions of an arm with parameters of a step."""
    config, facts, net = run.config, facts_of(run.facts()), network(run, arm)
    own, length = config.arms()[arm], facts.length
    tokens = tokens_of(run, facts)
    apply = jax.jit(lambda windows: jax.nn.log_softmax(net.apply(params, windows)))

    def log_probs(given):
        given = jnp.asarray(given, jnp.int32)
        size = given.shape[1]
        _require_room(f"{size} tokens", size, length)
        # What is behind a token does not reach it; one length is one program.
        return apply(jnp.pad(given, ((0, 0), (0, length - size))))[:, :size]

    def score(content: str) -> float:
        ids = encode(content)
        stride = config.stride if config.corpus else length
        starts, scored = text.scored_windows(len(ids), length, stride)
        windows, bits = text.windows(ids, tokens.bos, starts, length), 0.0
        for i in range(0, len(windows), ROWS):
            part, counts = windows[i : i + ROWS], scored[i : i + ROWS]
            found = np.take_along_axis(np.asarray(log_probs(part[:, :-1])), part[:, 1:, None], -1)
            bits -= found[..., 0][counts].sum(dtype=float) / np.log(2)
        return float(bits / (len(content.encode()) if config.corpus else len(ids)))

    def generate(prompt, n: int, key):
        if isinstance(prompt, str):
            start = np.concatenate([[tokens.bos], encode(prompt)])
            return decode(generate(start[None], n, key)[0])
        prompt = np.asarray(prompt, np.int32)
        size = prompt.shape[1] + n
        if own.model == "transformer":
            _require_room(f"a prompt of {prompt.shape[1]} tokens and {n} more", size, length)
        # What cannot go token by token needs windows of its one length.
        whole = size if net.step else length
        return per_domain.generate(net, params, prompt, whole, key)[:, :size]

    def encode(content: str) -> np.ndarray:
        ids = np.asarray(tokens.encode(np.frombuffer(content.encode(), np.uint8)), np.int32)
        if not len(ids):
            raise UsageError("no text: a token at least is needed")
        return ids

    decode = tokens.decode
    return LanguageModel(
        params, step, tokens.bos, log_probs, score, generate, encode, decode, length
    )


def texts(model: LanguageModel, key, n: int | None, prompt: str, size: int | None) -> list[str]:
    """Texts drawn behind a prompt, by default 8, of `size` tokens behind it: by default what the
    window leaves room for."""
    start = [model.bos, *(model.encode(prompt) if prompt else ())]
    size = size or max(1, model.window - len(start))
    made = model.generate(np.tile(np.asarray(start, np.int32), (n or 8, 1)), size, key)
    return [model.decode(one) for one in made]


def network(run, arm: str):
    """The network of an arm. Raises UsageError of one that is counted."""
    own, facts = run.config.arms()[arm], facts_of(run.facts())
    if own.model == "ngram":
        raise UsageError(f"{run.folder}: arm {arm} is an n-gram, which is counted, not kept")
    return networks.build(own, facts.vocabulary, facts.length, run.config.precision)


def trained(run, arm: str, seed: int) -> tuple[int, dict]:
    """(step, params) of one seed of a finished arm, or of its last checkpoint.

    Raises UsageError where there is none, or it is damaged.
    """
    step, every = _trained(run, arm)
    return step, one_seed(every, run.config.all_seeds.index(seed))


def _trained(run, arm: str) -> tuple[int, dict]:
    config, own, net = run.config, run.config.arms()[arm], network(run, arm)
    place = run.folder / "models" / arm
    if (place / str(own.steps)).exists():
        found = kept_params(place, net, config.all_seeds)
        if found is None:  # The last checkpoint may be another: what `average` makes is not in it.
            raise UsageError(f"{place}: is damaged; the command that made the run mends it")
        return own.steps, found
    step, state = last_params(run.folder / "checkpoints" / arm)
    if state is None:
        raise UsageError(f"{run.folder}: no checkpoint of arm {arm} yet")
    return step, jax.vmap(lambda one: finetune.merged(one, finetune.Method(own.train)))(state)


def tokens_of(run, facts) -> text.Tokens:
    """How the run's text became tokens, from its files alone."""
    if facts.tokens == "bytes":
        return text.byte_tokens()
    if facts.tokens == "bpe":
        return text.kept_bpe((run.folder / "tokens.json").read_text())
    bos = facts.vocabulary - 1

    def encode(content: np.ndarray) -> np.ndarray:
        words = content.tobytes().decode().split()
        if not all(word.isdecimal() and int(word) <= bos for word in words):
            raise UsageError(f"the grid's text is numbers from 0 to {bos} between blanks")
        return np.array(words, np.int32)

    def decode(ids) -> str:
        return " ".join(str(i) for i in ids if i != bos)

    return text.Tokens(facts.vocabulary, bos, encode, decode)


def _require_room(what: str, size: int, length: int):
    if size > length:
        raise UsageError(f"{what}: more than the window of {length} that the model was trained on")
