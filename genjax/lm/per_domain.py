"""What a language model loses on each domain: bits, calibration, examples in context, drift.

A measure is taken for all seeds at once: parameters have leaves [seeds, ...]. Windows are
[n, t + 1], the same for every seed, or each seed's own [seeds, n, t + 1].
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import parallel
from genjax.data.text import Measured
from genjax.lm import transfer
from genjax.lm.ngram import NGram
from genjax.lm.transformer import Model

CHUNK = 32
# Windows that domains share chunks up to: beyond, what the last chunk is filled with is little.
PACKED = 512
# Windows that must score a position before its mean says anything.
CASES = 4


def meter(apply: Callable) -> Callable:
    """(params [seeds, ...], windows) -> bits, top probability, hit, each [seeds, n, t].

    Bits are -log2 p of each token given those before it in its window.
    """

    @parallel.by_seed
    def run(case):
        params, windows = case
        log_p = jax.nn.log_softmax(apply(params, windows[:, :-1]))
        bits = -jnp.take_along_axis(log_p, windows[:, 1:, None], -1)[..., 0] / jnp.log(2.0)
        hit = jnp.argmax(log_p, -1) == windows[:, 1:]
        return bits, jnp.exp(log_p.max(-1)), hit

    return lambda params, windows: _in_chunks(run, params, windows)


def drift_meter(apply: Callable) -> Callable:
    """((base, params), windows) -> the cross-entropy to the base's distribution, as in `meter`.

    The forgetting of Kalajdzievski (2024), equation 2: no labels are needed, and nothing else than
    the base's own predictions is kept.
    """

    @parallel.by_seed
    def run(case):
        both, windows = case
        base, tuned = (jax.nn.log_softmax(apply(p, windows[:, :-1])) for p in both)
        return (-(jnp.exp(base) * tuned).sum(-1) / jnp.log(2.0),)

    return lambda params, windows: _in_chunks(run, params, windows)


def dynamic_meter(apply: Callable) -> Callable:
    """(params, Measured, rate) -> bits a unit [seeds], the model learning from what it has read.

    Dynamic evaluation (Krause et al. 2018, section 3): windows in their order, each scored and then
    descended once, by plain gradient of its scored positions' mean loss in nats.
    """

    @parallel.by_seed
    def run(own, scored, rate):
        params, windows = own

        def read(params, case):
            window, counts = case

            def loss(params):
                log_p = jax.nn.log_softmax(apply(params, window[None, :-1])[0])
                nats = -jnp.take_along_axis(log_p, window[1:, None], -1)[:, 0]
                total = (nats * counts).sum()
                return total / jnp.maximum(counts.sum(), 1), total

            slopes, total = jax.grad(loss, has_aux=True)(params)
            return jax.tree.map(lambda p, g: p - rate * g, params, slopes), total

        params, totals = jax.lax.scan(read, params, (windows, scored))
        return params, totals.sum()

    def measure(params, measured, rate):
        # What fills the last chunk is scored nowhere, and so moves nothing.
        scored = _chunks(measured.scored.astype(np.float32))

        def read(params, rows):
            nats = np.zeros(len(rows))
            for part, counts in zip(_chunks(rows, 1), scored, strict=True):
                params, total = run((params, part), counts, rate)
                nats += np.asarray(total, float)
            return (nats,)

        rows = _by_seed(params, measured.windows)
        return parallel.of_own_seeds(read, params, rows)[0] / np.log(2) / measured.units

    return measure


def _by_seed(params, windows: np.ndarray) -> np.ndarray:
    """Each seed's windows, [seeds, n, t + 1]."""
    seeds = len(jax.tree.leaves(params)[0])
    return np.broadcast_to(windows, (seeds, *windows.shape[-2:]))


def _chunks(rows: np.ndarray, axis: int = 0) -> list[np.ndarray]:
    """Parts of CHUNK along an axis, the last filled with zeros: one program serves every n."""
    filled = [(0, 0)] * rows.ndim
    filled[axis] = (0, -rows.shape[axis] % CHUNK)
    rows = np.pad(rows, filled)
    return np.split(rows, rows.shape[axis] // CHUNK, axis)


def _in_chunks(run, params, windows):
    def measure(params, windows):
        params, count = parallel.place_seeds(params), windows.shape[-2]
        found = [jax.device_get(run((params, part))) for part in _chunks(windows, 1)]
        return tuple(np.concatenate(parts, 1)[:, :count] for parts in zip(*found, strict=True))

    return parallel.of_own_seeds(measure, params, _by_seed(params, windows))


def ngram_meter(models: Sequence[NGram]) -> Callable:
    """The same three for n-grams, one a seed; they know bits alone."""

    def run(params, windows):
        del params
        alike = windows.ndim == 2 and all(model is models[0] for model in models)
        counted = models[:1] if alike else models
        rows = np.broadcast_to(windows, (len(counted), *windows.shape[-2:]))
        bits = -np.stack(
            [
                np.stack([model.log2_probs(window) for window in own])
                for model, own in zip(counted, rows, strict=True)
            ]
        )
        bits = np.broadcast_to(bits, (len(models), *bits.shape[1:]))
        blank = np.full(bits.shape, np.nan)
        return bits, blank, blank

    return run


def together(measure: Callable, params, windows: Sequence[np.ndarray]) -> list[tuple]:
    """What a meter returns of each domain's windows: few windows share chunks with the next's.

    windows: as in `meter`, of each domain.
    """
    found, first = [], 0
    while first < len(windows):
        ends = np.cumsum([part.shape[-2] for part in windows[first:]])
        count = max(1, int(np.searchsorted(ends, PACKED, side="right")))
        arrays = measure(params, np.concatenate(windows[first : first + count], -2))
        parts = [np.split(array, ends[: count - 1], 1) for array in arrays]
        found += zip(*parts, strict=True)
        first += count
    return found


def losses(measure: Callable, params, measured: Sequence[Measured]) -> list[dict[str, np.ndarray]]:
    """What each domain costs.

    loss [seeds]: bits a unit.
    documents [seeds, docs]: bits of each document; sizes [docs]: units in it.
    position [seeds, t]: bits a unit at each place of the window, over the windows that score it
        (nan below CASES of them).
    ece [seeds]: expected calibration error of the likeliest token.
    """
    found = together(measure, params, [part.windows for part in measured])
    return [_losses(part, *arrays) for part, arrays in zip(measured, found, strict=True)]


def _losses(measured, bits, top, hit):
    counted = np.where(measured.scored, bits, 0.0)
    places, which = np.unique(measured.document, return_inverse=True)
    documents = np.zeros((len(bits), len(places)))
    for seed, row in enumerate(counted.sum(-1)):
        np.add.at(documents[seed], which, row)
    times = measured.scored.sum(0)
    position = counted.sum(1) / np.where(times >= CASES, times, np.nan) * measured.tokens_per_unit
    ece = [
        transfer.calibration_error(t[measured.scored].astype(float), h[measured.scored])
        if np.isfinite(t).all()
        else np.nan
        for t, h in zip(top, hit, strict=True)
    ]
    return {
        "loss": counted.sum((1, 2)) / measured.units,
        "documents": documents,
        "sizes": np.bincount(which, measured.scored.sum(1)) / measured.tokens_per_unit,
        "position": position,
        "ece": np.array(ece),
    }


def generate(model: Model, params, prompts: np.ndarray, length: int, key) -> np.ndarray:
    """Continuations drawn from the model: prompts [n, p] to [n, length], temperature 1.

    Token by token where the model can, at a cost that is linear in the length for a recurrent net
    and for all but attention's products; otherwise by whole passes.
    """
    return np.asarray(_continue(model, length, params, jnp.asarray(prompts), key))


@partial(jax.jit, static_argnums=(0, 1))
def _continue(model, length, params, prompts, key):
    rows, size = prompts.shape
    tokens = jnp.zeros((rows, length), jnp.int32).at[:, :size].set(prompts)

    def put(i, tokens, logits):
        """Tokens i, drawn behind the prompt."""
        drawn = jax.random.categorical(jax.random.fold_in(key, i), logits)
        return tokens.at[:, i].set(jnp.where(i < size, tokens[:, i], drawn))

    def by_token(i, carry):
        tokens, memory = carry
        logits, memory = model.step(params, memory, tokens[:, i - 1])
        return put(i, tokens, logits), memory

    def by_pass(i, tokens):
        return put(i, tokens, model.apply(params, tokens)[:, i - 1])

    if model.step:
        return jax.lax.fori_loop(1, length, by_token, (tokens, model.begin(rows)))[0]
    return jax.lax.fori_loop(size, length, by_pass, tokens)
