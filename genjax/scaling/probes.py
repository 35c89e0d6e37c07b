"""What an attention variant loses, without any training: errors and look-ups against the exact one.

Random q, k, v flatter smooth kernels; needles, where one key alone matters, show who can look
something up. A fixed pattern finds a needle exactly where it reaches: the share of its pairs is the
expectation, reported beside the measurement.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from genjax.attention import blocks
from genjax.attention.variant import Variant

SCALES, LOGITS = (0.5, 1.0, 2.0), (8.0, 16.0)


def exact(q, k, v, *, causal: bool, alone: bool) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v of [n, d]; alone: no position sees itself, but where it must."""
    scores = q @ k.T * q.shape[-1] ** -0.5
    i = jnp.arange(len(q))
    if alone:
        scores = jnp.where(i[:, None] == i, -1e5, scores)
    if causal:
        scores = jnp.where(i[:, None] >= i, scores, -jnp.inf)
    return jax.nn.softmax(scores) @ v


def all_of(variant: Variant, length: int, head_dim: int, *, causal: bool, seed: int = 0) -> dict:
    """{measure: value}: relative errors on Gaussian inputs, and error and top-1 share of look-ups.

    error_s0.5, ..: |out - exact| / |exact| for q, k ~ s N(0, I), v ~ N(0, I).
    needle<logit>_error, needle<logit>_top1: a query meets one key at that logit; found if the
        output is nearest to its value. Where keys are the queries, pairs of positions are equal.
    reachable_share: of these look-ups, those that the pattern allows.
    """
    rng = np.random.default_rng(seed)
    attend = jax.jit(functools.partial(compare, variant, causal=causal, seed=seed))

    def draw():
        return rng.standard_normal((length, head_dim)).astype(np.float32)

    def measure(q, k, v):
        """Output and exact output [n, dim], and the relative error."""
        found, target = (
            np.asarray(x[0, :, 0]) for x in attend(*(x[None, :, None] for x in (q, k, v)))
        )
        return found, relative(found, target)

    measures = {}
    for scale in SCALES:
        measures[f"error_s{scale:g}"] = measure(scale * draw(), scale * draw(), draw())[1]
    partner = partners(length, rng, causal=causal, pairs=variant.shared_qk)
    # The first position of a causal sequence, or a last one without a partner, looks up itself.
    asked = partner != np.arange(length) if variant.shared_qk else np.ones(length, bool)
    for logit in LOGITS:
        k, v = draw(), draw()
        if variant.shared_qk:
            q = k[np.minimum(partner, np.arange(length))]
            q = q / np.linalg.norm(q, axis=-1, keepdims=True) * logit * head_dim**0.5
        else:
            key = k[partner]
            q = key * logit * head_dim**0.5 / (key**2).sum(-1, keepdims=True)
        found, measures[f"needle{logit:g}_error"] = measure(q, k, v)
        hits = np.argmax(found @ v.T - 0.5 * (v**2).sum(-1), -1) == partner
        # A zero output has looked nothing up.
        hits &= np.abs(found).max(-1) > 0
        measures[f"needle{logit:g}_top1"] = float(hits[asked].mean())
    if variant.pattern is not None:
        mask = blocks.dense_mask(variant.pattern) > 0
        measures["reachable_share"] = float(mask[np.arange(length), partner].mean())
    return measures


def compare(variant: Variant, q, k, v, *, causal: bool, seed: int = 0) -> tuple:
    """The variant's output on q, k, v [b, n, heads, dim], and the exact one."""
    found = variant.attend(q, k, v, extra=variant.init(jax.random.key(seed)))
    if variant.shared_qk:
        k = q * jax.lax.rsqrt((q**2).sum(-1, keepdims=True) + 1e-12)

    def one(q, k, v):
        return exact(q, k, v, causal=causal, alone=variant.shared_qk)

    return found, jax.vmap(jax.vmap(one, in_axes=1, out_axes=1))(q, k, v)


def relative(found: np.ndarray, target: np.ndarray) -> float:
    """|found - target| / |target|."""
    return float(np.linalg.norm(found - target) / np.linalg.norm(target))


def error(variant: Variant, q, k, v, *, causal: bool) -> float:
    """The relative error of the variant's output on q, k, v [b, n, heads, dim]."""
    found = jax.jit(functools.partial(compare, variant, causal=causal))(q, k, v)
    return relative(*(np.asarray(x).ravel() for x in found))


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
