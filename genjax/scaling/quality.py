"""What an attention variant loses, without any training: errors and look-ups against the exact.

Random q, k, v flatter smooth kernels; needles, where one key alone matters, show who can look
something up. A fixed pattern finds a needle exactly where it reaches, look-up by look-up. NumPy
alone.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# A needle's logit; queries of a sequence whose result is compared with the exact one, and that look
# up a needle: a pattern that reaches one pair in two hundred holds ten of them.
LOGIT, QUERIES, LOOK_UPS = 16.0, 256, 2048


def of(
    attend: Callable, length: int, head_dim: int, seed: int, *, causal: bool, shared_qk: bool
) -> dict:
    """{measure: value} of a variant: attend(q, k, v [length, head_dim]) -> [length, head_dim].

    error: |out - exact| / |exact| for standard normal q, k, v. needles: share of queries whose
    output is nearest to the value of the one key that they meet at LOGIT. hits: which of them, as
    `unpack` reads it. Where keys are the queries (shared_qk), pairs of positions are equal.
    """
    task = _task(length, head_dim, seed, causal, shared_qk)
    out = attend(*task.normal)[task.compared]
    found = attend(*task.needles)[task.rows]
    v = task.needles[2]
    hits = np.argmax(found @ v.T - 0.5 * (v**2).sum(-1), -1) == task.partner
    # A zero output has looked nothing up.
    hits &= np.abs(found).max(-1) > 0
    return {
        "error": relative(out, task.right),
        "needles": float(hits.mean()),
        "hits": np.packbits(hits).tobytes().hex(),
    }


def unpack(hits: str, count: int) -> np.ndarray:
    """Which of so many look-ups were found, [count] of bool."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(hits), np.uint8), count=count).astype(bool)


def within(hits: np.ndarray, reached: np.ndarray) -> dict[str, float]:
    """Of look-ups that a pattern holds (reached) and finds (hits), [n] of bool each: shares.

    missed: of those within reach, not found. beyond: of those out of reach, found all the same.
    shifted: the larger of both, where each finding is held against the next look-up's reach. Where
    nothing is within reach there are neither missed nor shifted.
    """
    found = {"reached": float(reached.mean()), "beyond": _share(hits[~reached])}
    if reached.any():
        following = np.roll(reached, -1)
        found["missed"] = _share(~hits[reached])
        found["shifted"] = max(_share(~hits[following]), _share(hits[~following]))
    return found


def _share(some: np.ndarray) -> float:
    """Of some look-ups; 0 of none."""
    return float(some.mean()) if some.size else 0.0


class _Task(NamedTuple):
    """What a variant is asked: q, k, v of both kinds [length, head_dim], and what is right.

    rows, partner: the queries that look something up, and the position that is. compared, right:
    the queries whose result of `normal` is held against the exact one, and that.
    """

    rows: np.ndarray
    partner: np.ndarray
    compared: np.ndarray
    normal: tuple[np.ndarray, ...]
    needles: tuple[np.ndarray, ...]
    right: np.ndarray


# Most variants are asked the same.
@functools.lru_cache(maxsize=4)
def _task(length: int, head_dim: int, seed: int, causal: bool, shared_qk: bool) -> _Task:
    rng = np.random.default_rng([seed, 2])
    rows, partner = asked(length, seed, causal=causal, pairs=shared_qk)
    q, k, v = (rng.standard_normal((length, head_dim), np.float32) for _ in range(3))
    compared = np.sort(rows[:QUERIES])
    right = exact(q, k, v, compared, causal=causal, shared_qk=shared_qk)
    normal = (q, k, v)
    k, v = (rng.standard_normal((length, head_dim), np.float32) for _ in range(2))
    key = k[partner]
    if shared_qk:
        # Twins carry the content of one of them; the other is what it looks up.
        key = k[np.minimum(partner, np.arange(length))]
        q = key / np.linalg.norm(key, axis=-1, keepdims=True) * LOGIT * head_dim**0.5
    else:
        q = key * LOGIT * head_dim**0.5 / (key**2).sum(-1, keepdims=True)
    return _Task(rows, partner[rows], compared, normal, (q.astype(np.float32), k, v), right)


def asked(length: int, seed: int, *, causal: bool, pairs: bool) -> tuple[np.ndarray, np.ndarray]:
    """(the queries that are asked [rows], in any order, the position that each of all looks up)."""
    rng = np.random.default_rng([seed, 1])
    partner = partners(length, rng, causal=causal, pairs=pairs)
    # The first position of a causal sequence, or a last one without a partner, looks up itself.
    able = np.flatnonzero(partner != np.arange(length)) if pairs else np.arange(length)
    return rng.permutation(able)[:LOOK_UPS], partner


def exact(q, k, v, rows, *, causal: bool, shared_qk: bool = False) -> np.ndarray:
    """softmax(q k^T / sqrt(d)) v of [n, d] at some queries, [rows, d].

    shared_qk: the keys are the normalised queries, and no position sees itself, but where it must.
    """
    if shared_qk:
        k = q / np.sqrt((q**2).sum(-1, keepdims=True) + 1e-12)
    scores = q[rows] @ k.T * q.shape[-1] ** -0.5
    j = np.arange(len(q))
    if shared_qk:
        scores[j == rows[:, None]] = -1e5
    if causal:
        scores[j > rows[:, None]] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights @ v / weights.sum(-1, keepdims=True)


def relative(found: np.ndarray, target: np.ndarray) -> float:
    """|found - target| / |target|."""
    return float(np.linalg.norm(found - target) / np.linalg.norm(target))


def partners(length: int, rng: np.random.Generator, *, causal: bool, pairs: bool) -> np.ndarray:
    """The position that each query looks up, [length]; earlier ones where causal.

    pairs: the position's twin, with the same content; the earlier twin of a causal pair looks up
    nothing, and is its own partner, as is an odd one out.
    """
    if not pairs:
        return rng.integers(0, np.arange(1, length + 1)) if causal else rng.permutation(length)
    order = rng.permutation(length)[: length // 2 * 2].reshape(-1, 2)
    partner = np.arange(length)
    low, high = order.min(1), order.max(1)
    partner[high] = low
    if not causal:
        partner[low] = high
    return partner
